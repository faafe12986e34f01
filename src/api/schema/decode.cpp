#include "api/schema/decode.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "api/duration.h"
#include "api/go_text.h"
#include "api/quantity.h"
#include "api/schema/scalars.h"
#include "api/schema/zero.h"
#include "base/json.h"

namespace orch::api::schema {
namespace {

constexpr size_t kMostProblems = 100;

/// What Go's errors call a JSON value.
std::string_view json_kind(const Json& json) {
  if (json.is_string()) return "string";
  if (json.is_boolean()) return "bool";
  if (json.is_number()) return "number";
  return json.is_array() ? "array" : "object";
}

/// "[]v1.Container" without its outermost container, "" if it is none.
std::string_view element_name(std::string_view go_type) {
  if (go_type.substr(0, 2) == "[]") return go_type.substr(2);
  if (go_type.substr(0, 4) == "map[") return go_type.substr(go_type.find(']') + 1);
  return {};
}

/// A number as it was written, as far as the tree still knows: integers beyond 64 bits without an exponent.
std::string number_text(const Json& json) {
  const double d = json.is_number_float() ? json.get<double>() : 0;
  if (std::trunc(d) != d || std::abs(d) < 0x1p63 || std::abs(d) >= 1e21) return json.dump();
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), d, std::chars_format::fixed, 0);
  return {text.data(), end.ptr};
}

class Decoder {
 public:
  base::Result<std::vector<std::string>> run(const Type& type, Json& tree) {
    if (!tree.is_object()) {
      mismatch(tree, type.go_name());
    } else {
      message(tree, type);
    }
    if (!fatal_.empty()) return bad(std::move(fatal_));
    if (!type_error_.empty()) return bad(std::move(type_error_));
    return std::move(problems_);
  }

 private:
  /// One step of the way from the root to the value at hand.
  struct Step {
    enum Kind : uint8_t { kField, kKey, kIndex } kind;
    const Type* owner;     // kField
    const Member* member;  // kField
    std::string_view key;  // kKey
    size_t index;          // kIndex
  };

  static base::Status bad(std::string message) { return {base::Code::kBadRequest, std::move(message)}; }

  /// False: a fatal error ends the decoding, as an error of a type's own decoder does in Go.
  bool message(Json& json, const Type& type) {
    auto& members = json.get_ref<Json::object_t&>();
    for (auto it = members.begin(); it != members.end();) {
      const Member* member = type.member(it->first);
      if (member == nullptr) {
        if (type.preserve_unknown) {
          ++it;
        } else {
          unknown(it->first);
          it = members.erase(it);
        }
        continue;
      }
      if (it->second.is_null() && !type.structural) {
        it = members.erase(it);
        continue;
      }
      way_.push_back({Step::kField, &type, member, {}, 0});
      bool good = value(it->second, *member->field->value, type.structural);
      way_.pop_back();
      if (!good) return false;
      ++it;
    }
    return true;
  }

  bool value(Json& json, const Value& expected, bool structural) {
    switch (expected.kind) {
      case ValueKind::kMessage:
        return descend(json, expected, structural);
      case ValueKind::kList:
        return list(json, expected, structural);
      case ValueKind::kMap:
        return map(json, expected, structural);
      default:
        break;
    }
    if (structural) return true;
    switch (expected.kind) {
      case ValueKind::kString:
        return json.is_string() || mismatch(json);
      case ValueKind::kBool:
        return json.is_boolean() || mismatch(json);
      case ValueKind::kInt32:
        return integer(json, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(), {});
      case ValueKind::kInt64:
        return integer(json, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), {});
      case ValueKind::kDouble:
        return number(json);
      case ValueKind::kBytes:
        return bytes(json);
      case ValueKind::kQuantity:
        return quantity(json);
      case ValueKind::kTime:
      case ValueKind::kMicroTime:
      case ValueKind::kDuration:
        return text_scalar(json, expected.kind);
      case ValueKind::kIntOrString:
        return int_or_string(json);
      case ValueKind::kSchemaOrBool:
      case ValueKind::kSchemaOrArray:
      case ValueKind::kSchemaOrStrings:
        return schema_union(json, expected);
      default:
        return true;  // kAny
    }
  }

  bool descend(Json& json, const Value& expected, bool structural) {
    if (json.is_object()) return message(json, *expected.type);
    return structural || mismatch(json);
  }

  bool list(Json& json, const Value& expected, bool structural) {
    if (!json.is_array()) return structural || mismatch(json);
    size_t index = 0;
    for (Json& item : json) {
      if (item.is_null() && !structural) item = zero_value(*expected.element);
      if (!item.is_null()) {
        way_.push_back({Step::kIndex, nullptr, nullptr, {}, index});
        bool good = value(item, *expected.element, structural);
        way_.pop_back();
        if (!good) return false;
      }
      ++index;
    }
    return true;
  }

  bool map(Json& json, const Value& expected, bool structural) {
    if (!json.is_object()) return structural || mismatch(json);
    for (auto& [key, item] : json.get_ref<Json::object_t&>()) {
      if (item.is_null() && !structural) item = zero_value(*expected.element);
      if (item.is_null()) continue;
      way_.push_back({Step::kKey, nullptr, nullptr, key, 0});
      bool good = value(item, *expected.element, structural);
      way_.pop_back();
      if (!good) return false;
    }
    return true;
  }

  bool integer(Json& json, int64_t low, int64_t high, std::string_view go_type) {
    if (!json.is_number()) return mismatch(json, go_type);
    bool fits = json.is_number_integer() &&
                (!json.is_number_unsigned() || json.get<uint64_t>() <= static_cast<uint64_t>(high));
    fits = fits && json.get<int64_t>() >= low && json.get<int64_t>() <= high;
    return fits || type_error(base::cat("number ", number_text(json)), go_type);
  }

  bool number(Json& json) {
    if (!json.is_number()) return mismatch(json);
    if (!json.is_number_float()) return true;
    // Go writes 1.0 as 1.
    double d = json.get<double>();
    constexpr double kExact = 1e15;
    if (std::trunc(d) == d && std::abs(d) < kExact) json = static_cast<int64_t>(d);
    return true;
  }

  /// Go takes bytes as a list of numbers too.
  bool byte_list(Json& json) {
    constexpr int64_t kMost = std::numeric_limits<uint8_t>::max();
    std::string out;
    for (Json& item : json) {
      if (item.is_null()) item = 0;
      if (!integer(item, 0, kMost, "uint8")) return false;
      out += static_cast<char>(item.is_number_integer() ? item.get<int64_t>() : 0);
    }
    json = encode_base64(out);
    return true;
  }

  bool bytes(Json& json) {
    if (json.is_array()) return byte_list(json);
    if (!json.is_string()) return mismatch(json);
    auto decoded = decode_base64(json.get_ref<const std::string&>());
    if (!decoded.ok()) {
      if (type_error_.empty()) type_error_ = decoded.error().message();
      return true;
    }
    json = encode_base64(*decoded);
    return true;
  }

  bool quantity(Json& json) {
    auto canonical = canonical_quantity(json.is_string() ? json.get_ref<const std::string&>() : json.dump());
    return replace(json, std::move(canonical));
  }

  bool text_scalar(Json& json, ValueKind kind) {
    if (!json.is_string()) return fatal_mismatch(json, "string");
    const auto& text = json.get_ref<const std::string&>();
    if (kind == ValueKind::kDuration) {
      auto duration = parse_duration(text);
      if (!duration.ok()) return fatal(duration.error().message());
      json = format_duration(*duration);
      return true;
    }
    bool micro = kind == ValueKind::kMicroTime;
    auto time = micro ? parse_micro_time(text) : parse_time(text);
    if (!time.ok()) return fatal(time.error().message());
    json = time->is_zero() ? Json() : Json(micro ? format_micro_time(*time) : format_time(*time));
    return true;
  }

  bool int_or_string(Json& json) {
    if (json.is_string()) return true;
    size_t before = type_error_.size();
    integer(json, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(), "int32");
    if (type_error_.size() == before) return true;
    return fatal(std::move(type_error_));
  }

  bool schema_union(Json& json, const Value& expected) {
    bool wants_bool = expected.kind == ValueKind::kSchemaOrBool;
    if (wants_bool && json.is_boolean()) return true;
    if (wants_bool && !json.is_object()) return fatal("boolean or JSON schema expected");
    // The library's decoders of these types neither report what they do not know nor refuse other types.
    ++quiet_;
    bool good = true;
    if (json.is_object()) {
      good = message(json, *expected.type);
    } else if (json.is_array()) {
      good = union_list(json, expected);
    } else {
      json = nullptr;
    }
    --quiet_;
    return good;
  }

  bool union_list(Json& json, const Value& expected) {
    for (Json& item : json) {
      bool strings = expected.kind == ValueKind::kSchemaOrStrings;
      if (strings ? !item.is_string() : !item.is_object()) {
        return fatal_mismatch(item, strings ? "string" : expected.type->go_name());
      }
      if (!strings && !message(item, *expected.type)) return false;
    }
    return true;
  }

  bool replace(Json& json, base::Result<std::string> canonical) {
    if (!canonical.ok()) return fatal(canonical.error().message());
    json = std::move(*canonical);
    return true;
  }

  // --- Errors. A type error is kept, the first wins, and decoding goes on; true is returned for that. ---

  bool fatal(std::string message) {
    fatal_ = std::move(message);
    return false;
  }

  bool fatal_mismatch(const Json& json, std::string_view go_type) {
    type_error_.clear();
    mismatch(json, go_type);
    return fatal(std::move(type_error_));
  }

  bool mismatch(const Json& json, std::string_view go_type = {}) {
    return type_error(json_kind(json), go_type);
  }

  bool type_error(std::string_view what, std::string_view go_type) {
    if (!type_error_.empty()) return true;
    std::string type = go_type.empty() ? expected_name() : std::string(go_type);
    std::string where = go_way();
    type_error_ = base::cat("json: cannot unmarshal ", what, " into Go ",
                            where.empty() ? "value" : "struct field " + where, " of type ", type);
    return true;
  }

  /// The Go type of the value at hand.
  std::string expected_name() const {
    size_t last = way_.size();
    while (last > 0 && way_[last - 1].kind != Step::kField) --last;
    if (last == 0) return {};
    const Field& field = *way_[last - 1].member->field;
    std::string whole = go_type_name(field);
    std::string_view name = whole;
    const Value* value = field.value;
    for (size_t i = last; i < way_.size(); ++i) {
      name = element_name(name);
      if (value->element != nullptr) value = value->element;
    }
    return name.empty() ? go_type_name(*value) : std::string(name);
  }

  /// "DeploymentSpec.spec.replicas": the innermost struct, then the fields from the root, with the names of
  /// embedded structs, without indices and keys of maps.
  std::string go_way() const {
    std::string_view innermost;
    std::string way;
    for (const Step& step : way_) {
      if (step.kind != Step::kField) continue;
      innermost = step.owner->short_name();
      if (step.member->field->number == 0 && step.member->via == nullptr &&
          is_type_meta(*step.member->field)) {
        way += ".TypeMeta";
      }
      for (const Field* via = step.member->via; via != nullptr;) {
        way += base::cat(".", via->name);
        const Member* below = via->value->type->member(step.member->field->name);
        via = below != nullptr ? below->via : nullptr;
      }
      way += base::cat(".", step.member->field->name);
    }
    return innermost.empty() ? std::string() : base::cat(innermost, way);
  }

  static bool is_type_meta(const Field& field) { return field.name == "kind" || field.name == "apiVersion"; }

  void unknown(std::string_view key) {
    if (quiet_ > 0 || problems_.size() >= kMostProblems) return;
    std::string path;
    for (const Step& step : way_) {
      if (step.kind == Step::kIndex) {
        path += base::cat("[", step.index, "]");
        continue;
      }
      if (!path.empty()) path += '.';
      path += step.kind == Step::kField ? step.member->field->name : step.key;
    }
    if (!path.empty()) path += '.';
    path += key;
    problems_.push_back(base::cat("unknown field ", go_quote(path)));
  }

  std::vector<Step> way_;
  int quiet_ = 0;
  std::string fatal_, type_error_;
  std::vector<std::string> problems_;
};

}  // namespace

base::Result<std::vector<std::string>> decode(const Schema& /*schema*/, const Type& type, Json& tree) {
  return Decoder().run(type, tree);
}

}  // namespace orch::api::schema
