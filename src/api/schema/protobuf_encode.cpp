#include <bit>

#include "api/duration.h"
#include "api/schema/protobuf.h"
#include "api/schema/scalars.h"
#include "api/schema/wire.h"
#include "base/json.h"

namespace orch::api::schema {
namespace {

constexpr std::string_view kPrefix{"k8s\0", 4};

base::Status internal(std::string message) { return {base::Code::kInternal, std::move(message)}; }

const Json* member_of(const Json* object, std::string_view name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto& members = object->get_ref<const Json::object_t&>();
  auto found = members.find(name);
  return found == members.end() || found->second.is_null() ? nullptr : &found->second;
}

class Encoder {
 public:
  /// `object` is an object, or null for an empty message.
  void message(const Json* object, const Type& type) {
    for (size_t i = type.fields.size(); i-- > 0;) {
      const Field& field = type.fields[i];
      if (field.number == 0) continue;
      if (field.is_inline) {
        size_t before = out_.size();
        message(object, *field.value->type);
        out_.close(field.number, before);
      } else {
        write_field(field, member_of(object, field.name));
      }
    }
  }

  BackWriter& out() { return out_; }
  const std::string& error() const { return error_; }

 private:
  /// `json` is null for an absent field, which Go writes with its zero value unless it is a pointer.
  void write_field(const Field& field, const Json* json) {
    const Value& value = *field.value;
    if (json == nullptr) {
      bool zero_is_absent = field.pointer || value.element != nullptr || value.kind == ValueKind::kBytes;
      if (!zero_is_absent) single(field.number, value, nullptr);
    } else if (value.kind == ValueKind::kList && !value.wrapped) {
      list(field.number, *value.element, *json);
    } else if (value.kind == ValueKind::kMap) {
      map(field.number, *value.element, *json);
    } else {
      single(field.number, value, json);
    }
  }

  void list(uint32_t number, const Value& element, const Json& json) {
    if (!json.is_array()) return wrong(json);
    for (size_t i = json.size(); i-- > 0;) single(number, element, present(json[i]));
  }

  void map(uint32_t number, const Value& element, const Json& json) {
    if (!json.is_object()) return wrong(json);
    const auto& members = json.get_ref<const Json::object_t&>();
    for (auto it = members.end(); it != members.begin();) {
      --it;
      size_t before = out_.size();
      single(2, element, present(it->second));
      out_.bytes(it->first);
      out_.varint(it->first.size());
      out_.tag(1, WireType::kBytes);
      out_.close(number, before);
    }
  }

  static const Json* present(const Json& json) { return json.is_null() ? nullptr : &json; }

  /// One value with its tag; a null pointer is the zero value.
  void single(uint32_t number, const Value& value, const Json* json) {
    switch (value.kind) {
      case ValueKind::kString:
        return text(number, json);
      case ValueKind::kBool:
        out_.varint(json != nullptr && json->is_boolean() && json->get<bool>() ? 1 : 0);
        return out_.tag(number, WireType::kVarint);
      case ValueKind::kInt32:
      case ValueKind::kInt64:
        out_.varint(static_cast<uint64_t>(integer(json)));
        return out_.tag(number, WireType::kVarint);
      case ValueKind::kDouble:
        out_.fixed64(
            std::bit_cast<uint64_t>(json != nullptr && json->is_number() ? json->get<double>() : 0.0));
        return out_.tag(number, WireType::kFixed64);
      case ValueKind::kBytes:
        return binary(number, json);
      default:
        break;
    }
    size_t before = out_.size();
    switch (value.kind) {
      case ValueKind::kQuantity:
        text(1, json != nullptr && json->is_string() ? json : &zero_quantity_);
        break;
      case ValueKind::kTime:
      case ValueKind::kMicroTime:
        time(value.kind, json);
        break;
      case ValueKind::kDuration:
        duration(json);
        break;
      case ValueKind::kIntOrString:
        int_or_string(json);
        break;
      case ValueKind::kAny:
        any(json);
        break;
      case ValueKind::kSchemaOrBool:
      case ValueKind::kSchemaOrArray:
      case ValueKind::kSchemaOrStrings:
        schema_union(value, json);
        break;
      case ValueKind::kMessage:
        if (json != nullptr && !json->is_object()) return wrong(*json);
        message(json, *value.type);
        break;
      case ValueKind::kList:  // wrapped
        if (json != nullptr) list(1, *value.element, *json);
        break;
      default:
        break;
    }
    out_.close(number, before);
  }

  int64_t integer(const Json* json) {
    if (json == nullptr) return 0;
    if (json->is_number_integer()) return json->get<int64_t>();
    wrong(*json);
    return 0;
  }

  void text(uint32_t number, const Json* json) {
    std::string_view text;
    if (json != nullptr && !json->is_string()) return wrong(*json);
    if (json != nullptr) text = json->get_ref<const std::string&>();
    out_.bytes(text);
    out_.varint(text.size());
    out_.tag(number, WireType::kBytes);
  }

  void binary(uint32_t number, const Json* json) {
    std::string bytes;
    if (json != nullptr) {
      if (!json->is_string()) return wrong(*json);
      auto decoded = decode_base64(json->get_ref<const std::string&>());
      if (!decoded.ok()) return wrong(*json);
      bytes = std::move(*decoded);
    }
    out_.bytes(bytes);
    out_.varint(bytes.size());
    out_.tag(number, WireType::kBytes);
  }

  void time(ValueKind kind, const Json* json) {
    if (json == nullptr) return;  // the zero time is an empty message
    if (!json->is_string()) return wrong(*json);
    const auto& text = json->get_ref<const std::string&>();
    auto time = kind == ValueKind::kTime ? parse_time(text) : parse_micro_time(text);
    if (!time.ok()) return wrong(*json);
    if (time->is_zero()) return;
    out_.varint(static_cast<uint64_t>(time->nanos) / 1000 * 1000);
    out_.tag(2, WireType::kVarint);
    out_.varint(static_cast<uint64_t>(time->seconds));
    out_.tag(1, WireType::kVarint);
  }

  void duration(const Json* json) {
    int64_t nanos = 0;
    if (json != nullptr) {
      if (!json->is_string()) return wrong(*json);
      auto parsed = parse_duration(json->get_ref<const std::string&>());
      if (!parsed.ok()) return wrong(*json);
      nanos = parsed->count();
    }
    out_.varint(static_cast<uint64_t>(nanos));
    out_.tag(1, WireType::kVarint);
  }

  void int_or_string(const Json* json) {
    bool is_text = json != nullptr && json->is_string();
    text(3, is_text ? json : nullptr);
    out_.varint(is_text ? 0 : static_cast<uint64_t>(integer(json)));
    out_.tag(2, WireType::kVarint);
    out_.varint(is_text ? 1 : 0);
    out_.tag(1, WireType::kVarint);
  }

  void any(const Json* json) {
    if (json == nullptr) return;
    std::string raw = base::dump_json(*json);
    out_.bytes(raw);
    out_.varint(raw.size());
    out_.tag(1, WireType::kBytes);
  }

  void schema_union(const Value& value, const Json* json) {
    bool object = json != nullptr && json->is_object();
    uint32_t schema_number = value.kind == ValueKind::kSchemaOrBool ? 2 : 1;
    if (json != nullptr && json->is_array()) {
      for (size_t i = json->size(); i-- > 0;) union_item(value, json->at(i));
    }
    if (object) {
      size_t before = out_.size();
      message(json, *value.type);
      out_.close(schema_number, before);
    }
    if (value.kind == ValueKind::kSchemaOrBool) {
      out_.varint(object || (json != nullptr && json->is_boolean() && json->get<bool>()) ? 1 : 0);
      out_.tag(1, WireType::kVarint);
    }
  }

  void union_item(const Value& value, const Json& item) {
    if (value.kind == ValueKind::kSchemaOrStrings) return text(2, &item);
    size_t before = out_.size();
    message(&item, *value.type);
    out_.close(2, before);
  }

  void wrong(const Json& json) {
    if (error_.empty()) error_ = base::cat("cannot encode as protobuf: unexpected ", json.type_name());
  }

  BackWriter out_;
  std::string error_;
  const Json zero_quantity_ = "0";
};

void put_text(BackWriter& out, uint32_t number, std::string_view text) {
  out.bytes(text);
  out.varint(text.size());
  out.tag(number, WireType::kBytes);
}

/// kind and apiVersion of a tree, and its type.
base::Result<const Type*> type_of(const Schema& schema, const Json& object) {
  std::string_view api_version = base::string_at(object, {"apiVersion"});
  std::string_view kind = base::string_at(object, {"kind"});
  size_t slash = api_version.find('/');
  std::string_view group =
      slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
  std::string_view version = slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
  // The core group's discovery is older than the version of its kinds, and tells none in protobuf either.
  if (api_version.empty()) version = "v1";
  const Type* type = schema.kind(group, version, kind);
  if (type == nullptr) {
    return base::Status(
        base::Code::kNotAcceptable,
        base::cat("object of kind ", kind, " in ", api_version,
                  " does not implement the protobuf marshalling interface and cannot be encoded "
                  "to a protobuf message"));
  }
  return type;
}

}  // namespace

base::Result<std::string> encode_message(const Type& type, const Json& object) {
  Encoder encoder;
  encoder.message(&object, type);
  if (!encoder.error().empty()) return internal(encoder.error());
  return std::string(encoder.out().view());
}

base::Result<std::string> encode_protobuf_object(const Schema& schema, const Json& object) {
  auto type = type_of(schema, object);
  if (!type.ok()) return type.error();
  Encoder encoder;
  BackWriter& out = encoder.out();
  put_text(out, 4, "");  // contentType and contentEncoding are written even though they are empty
  put_text(out, 3, "");
  size_t before = out.size();
  encoder.message(&object, **type);
  out.close(2, before);
  before = out.size();
  put_text(out, 2, base::string_at(object, {"kind"}));
  put_text(out, 1, base::string_at(object, {"apiVersion"}));
  out.close(1, before);
  out.bytes(kPrefix);
  if (!encoder.error().empty()) return internal(encoder.error());
  return std::string(out.view());
}

base::Result<std::string> encode_protobuf_watch_event(const Schema& schema, std::string_view event,
                                                      const Json& object) {
  auto bytes = encode_protobuf_object(schema, object);
  if (!bytes.ok()) return bytes.error();
  BackWriter out;
  put_text(out, 1, *bytes);  // RawExtension.raw
  out.close(2, 0);
  put_text(out, 1, event);
  size_t length = out.size();
  char head[4];
  for (size_t i = 0; i < 4; ++i) head[i] = static_cast<char>(length >> (24 - 8 * i));
  out.bytes({head, sizeof head});
  return std::string(out.view());
}

}  // namespace orch::api::schema
