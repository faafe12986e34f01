#include "api/schema/zero.h"

#include "base/json.h"

namespace orch::api::schema {

namespace {

bool is_text(const Json& json, std::string_view wanted) {
  const auto* text = json.get_ptr<const std::string*>();
  return text != nullptr && *text == wanted;
}

}  // namespace

Json zero_value(const Value& value) {
  switch (value.kind) {
    case ValueKind::kString:
    case ValueKind::kBytes:
      return "";
    case ValueKind::kBool:
      return false;
    case ValueKind::kInt32:
    case ValueKind::kInt64:
    case ValueKind::kDouble:
    case ValueKind::kIntOrString:
      return 0;
    case ValueKind::kQuantity:
      return "0";
    case ValueKind::kDuration:
      return "0s";
    case ValueKind::kMessage:
      return Json::object();
    case ValueKind::kSchemaOrBool:
      return false;
    case ValueKind::kTime:
    case ValueKind::kMicroTime:
    case ValueKind::kAny:
    case ValueKind::kSchemaOrArray:
    case ValueKind::kSchemaOrStrings:
    case ValueKind::kList:
    case ValueKind::kMap:
      return nullptr;
  }
  return nullptr;
}

bool is_zero(const Json& json, const Value& value) {
  if (json.is_null()) return true;
  switch (value.kind) {
    case ValueKind::kList:
    case ValueKind::kMap:
      return json.empty();
    case ValueKind::kMessage:
    case ValueKind::kAny:
      return false;
    // As the zero value has it, which takes memory to make.
    case ValueKind::kString:
    case ValueKind::kBytes:
      return base::is_empty_text(json);
    case ValueKind::kQuantity:
      return is_text(json, "0");
    case ValueKind::kDuration:
      return is_text(json, "0s");
    default:
      return json == zero_value(value);
  }
}

}  // namespace orch::api::schema
