#include <algorithm>
#include <bit>

#include "api/duration.h"
#include "api/schema/protobuf.h"
#include "api/schema/scalars.h"
#include "api/schema/wire.h"
#include "base/json_tape.h"

namespace orch::api::schema {

using base::JsonToken;
using Kind = JsonToken::Kind;

namespace {

constexpr std::string_view kPrefix{"k8s\0", 4};

base::Status internal(std::string message) { return {base::Code::kInternal, std::move(message)}; }

void put_text(BackWriter& out, uint32_t number, std::string_view text) {
  out.bytes(text);
  out.varint(text.size());
  out.tag(number, WireType::kBytes);
}

class Encoder {
 public:
  /// `object` is an object, or null for an empty message.
  void message(const JsonToken* object, const Type& type) {
    for (size_t i = type.fields.size(); i-- > 0;) {
      const Field& field = type.fields[i];
      if (field.number == 0) continue;
      if (field.is_inline) {
        size_t before = out_.size();
        message(object, *field.value->type);
        out_.close(field.number, before);
      } else {
        write_field(field, object == nullptr ? nullptr : object->member(field.name));
      }
    }
  }

  BackWriter& out() { return out_; }
  const std::string& error() const { return error_; }

  /// The end of an envelope: content type and encoding, which are written even though they are empty.
  void open() {
    put_text(out_, 4, "");
    put_text(out_, 3, "");
    enclosed = out_.size();
  }
  /// Where the message in the envelope ends.
  size_t enclosed = 0;

 private:
  /// `json` is null for an absent field, which Go writes with its zero value unless it is a pointer.
  void write_field(const Field& field, const JsonToken* json) {
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

  void list(uint32_t number, const Value& element, const JsonToken& json) {
    if (json.kind != Kind::kArray) return wrong(json);
    const size_t before = pending_.size();
    for (const JsonToken* item = json.first(); item < json.next(); item = item->next())
      pending_.push_back(item);
    for (; pending_.size() > before; pending_.pop_back()) single(number, element, present(*pending_.back()));
  }

  void map(uint32_t number, const Value& element, const JsonToken& json) {
    if (json.kind != Kind::kObject) return wrong(json);
    const size_t before = pending_.size();
    for (const JsonToken* key = json.first(); key + 1 < json.next(); key = key[1].next())
      pending_.push_back(key);
    for (; pending_.size() > before; pending_.pop_back()) {
      const JsonToken* key = pending_.back();
      const size_t size = out_.size();
      single(2, element, present(key[1]));
      text(1, key);
      out_.close(number, size);
    }
  }

  static const JsonToken* present(const JsonToken& json) {
    return json.kind == Kind::kNull ? nullptr : &json;
  }

  /// One value with its tag; a null pointer is the zero value.
  void single(uint32_t number, const Value& value, const JsonToken* json) {
    switch (value.kind) {
      case ValueKind::kString:
        return text(number, json);
      case ValueKind::kBool:
        out_.varint(json != nullptr && json->is_true() ? 1 : 0);
        return out_.tag(number, WireType::kVarint);
      case ValueKind::kInt32:
      case ValueKind::kInt64:
        out_.varint(static_cast<uint64_t>(integer(json)));
        return out_.tag(number, WireType::kVarint);
      case ValueKind::kDouble:
        out_.fixed64(std::bit_cast<uint64_t>(json == nullptr ? 0.0 : json->number().value_or(0)));
        return out_.tag(number, WireType::kFixed64);
      case ValueKind::kBytes:
        return binary(number, json);
      default:
        break;
    }
    size_t before = out_.size();
    switch (value.kind) {
      case ValueKind::kQuantity:
        text(1, json != nullptr && json->kind == Kind::kString ? json : &zero_quantity_);
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
        if (json != nullptr && json->kind != Kind::kObject) return wrong(*json);
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

  int64_t integer(const JsonToken* json) {
    if (json == nullptr) return 0;
    if (const auto whole = json->integer()) return *whole;
    wrong(*json);
    return 0;
  }

  void text(uint32_t number, const JsonToken* json) {
    std::string_view text;
    if (json != nullptr && json->kind != Kind::kString) return wrong(*json);
    if (json != nullptr) text = json->string(scratch_);
    out_.bytes(text);
    out_.varint(text.size());
    out_.tag(number, WireType::kBytes);
  }

  void binary(uint32_t number, const JsonToken* json) {
    std::string bytes;
    if (json != nullptr) {
      if (json->kind != Kind::kString) return wrong(*json);
      auto decoded = decode_base64(json->string(scratch_));
      if (!decoded.ok()) return wrong(*json);
      bytes = std::move(*decoded);
    }
    out_.bytes(bytes);
    out_.varint(bytes.size());
    out_.tag(number, WireType::kBytes);
  }

  void time(ValueKind kind, const JsonToken* json) {
    if (json == nullptr) return;  // the zero time is an empty message
    if (json->kind != Kind::kString) return wrong(*json);
    const std::string_view text = json->string(scratch_);
    auto time = kind == ValueKind::kTime ? parse_time(text) : parse_micro_time(text);
    if (!time.ok()) return wrong(*json);
    if (time->is_zero()) return;
    out_.varint(static_cast<uint64_t>(time->nanos) / 1000 * 1000);
    out_.tag(2, WireType::kVarint);
    out_.varint(static_cast<uint64_t>(time->seconds));
    out_.tag(1, WireType::kVarint);
  }

  void duration(const JsonToken* json) {
    int64_t nanos = 0;
    if (json != nullptr) {
      if (json->kind != Kind::kString) return wrong(*json);
      auto parsed = parse_duration(json->string(scratch_));
      if (!parsed.ok()) return wrong(*json);
      nanos = parsed->count();
    }
    out_.varint(static_cast<uint64_t>(nanos));
    out_.tag(1, WireType::kVarint);
  }

  void int_or_string(const JsonToken* json) {
    bool is_text = json != nullptr && json->kind == Kind::kString;
    text(3, is_text ? json : nullptr);
    out_.varint(is_text ? 0 : static_cast<uint64_t>(integer(json)));
    out_.tag(2, WireType::kVarint);
    out_.varint(is_text ? 1 : 0);
    out_.tag(1, WireType::kVarint);
  }

  void any(const JsonToken* json) {
    if (json == nullptr) return;
    const std::string_view raw = whole_text(*json);
    out_.bytes(raw);
    out_.varint(raw.size());
    out_.tag(1, WireType::kBytes);
  }

  void schema_union(const Value& value, const JsonToken* json) {
    bool object = json != nullptr && json->kind == Kind::kObject;
    uint32_t schema_number = value.kind == ValueKind::kSchemaOrBool ? 2 : 1;
    if (json != nullptr && json->kind == Kind::kArray) {
      const size_t before = pending_.size();
      for (const JsonToken* item = json->first(); item < json->next(); item = item->next())
        pending_.push_back(item);
      for (; pending_.size() > before; pending_.pop_back()) union_item(value, *pending_.back());
    }
    if (object) {
      size_t before = out_.size();
      message(json, *value.type);
      out_.close(schema_number, before);
    }
    if (value.kind == ValueKind::kSchemaOrBool) {
      out_.varint(object || (json != nullptr && json->is_true()) ? 1 : 0);
      out_.tag(1, WireType::kVarint);
    }
  }

  void union_item(const Value& value, const JsonToken& item) {
    if (value.kind == ValueKind::kSchemaOrStrings) return text(2, &item);
    size_t before = out_.size();
    message(&item, *value.type);
    out_.close(2, before);
  }

  void wrong(const JsonToken& json) {
    if (error_.empty()) error_ = base::cat("cannot encode as protobuf: unexpected ", json.kind_name());
  }

  /// A string with its quotes; anything else as it is.
  static std::string_view whole_text(const JsonToken& json) {
    return json.kind == Kind::kString ? std::string_view(json.text.data() - 1, json.text.size() + 2)
                                      : json.text;
  }

  BackWriter out_;
  std::string error_, scratch_;
  /// Items and members on the way: text is read forwards, messages are written backwards.
  std::vector<const JsonToken*> pending_;
  const JsonToken zero_quantity_{"0", 1, Kind::kString, false};
};

/// What an object says it is, and its type.
struct Named {
  std::string kind, api_version;
  const Type* type = nullptr;
};

base::Result<Named> name_of(const Schema& schema, const JsonToken& object) {
  Named out;
  std::string scratch;
  const auto text_at = [&](const char* name) -> std::string {
    const JsonToken* found = object.member(name);
    return found == nullptr || found->kind != Kind::kString ? std::string()
                                                            : std::string(found->string(scratch));
  };
  out.kind = text_at("kind");
  out.api_version = text_at("apiVersion");
  const std::string_view api_version = out.api_version;
  const size_t slash = api_version.find('/');
  const std::string_view group =
      slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
  std::string_view version = slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
  // The core group's discovery is older than the version of its kinds, and tells none in protobuf either.
  if (api_version.empty()) version = "v1";
  out.type = schema.kind(group, version, out.kind);
  if (out.type == nullptr) {
    return base::Status(
        base::Code::kNotAcceptable,
        base::cat("object of kind ", out.kind, " in ", api_version,
                  " does not implement the protobuf marshalling interface and cannot be encoded "
                  "to a protobuf message"));
  }
  return out;
}

/// The envelope around the message that `encoder` has written all of.
base::Result<std::string> enclose(Encoder& encoder, const Named& named) {
  BackWriter& out = encoder.out();
  out.close(2, encoder.enclosed);
  const size_t before = out.size();
  put_text(out, 2, named.kind);
  put_text(out, 1, named.api_version);
  out.close(1, before);
  out.bytes(kPrefix);
  if (!encoder.error().empty()) return internal(encoder.error());
  return std::string(out.view());
}

base::Status not_json() { return internal("cannot encode as protobuf: the object is not JSON"); }

}  // namespace

base::Result<std::string> encode_message(const Type& type, std::string_view json) {
  base::JsonTape tape;
  if (!tape.read(json)) return not_json();
  Encoder encoder;
  encoder.message(tape.root().kind == Kind::kNull ? nullptr : &tape.root(), type);
  if (!encoder.error().empty()) return internal(encoder.error());
  return std::string(encoder.out().view());
}

base::Result<std::string> encode_protobuf_list(const Schema& schema, std::string_view head,
                                               const std::vector<std::string_view>& items) {
  base::JsonTape tape;
  if (!tape.read(head)) return not_json();
  auto named = name_of(schema, tape.root());
  if (!named.ok()) return named.error();
  const auto field = std::find_if(named->type->fields.begin(), named->type->fields.end(),
                                  [](const Field& f) { return f.name == "items"; });
  if (field == named->type->fields.end() || field->value->element == nullptr)
    return internal(base::cat("cannot encode as protobuf: ", named->kind, " is no list"));
  Encoder encoder;
  encoder.open();
  base::JsonTape item;
  for (size_t i = items.size(); i-- > 0;) {
    if (!item.read(items[i])) return not_json();
    const size_t before = encoder.out().size();
    encoder.message(&item.root(), *field->value->element->type);
    encoder.out().close(field->number, before);
  }
  // The metadata, which stands before the items.
  encoder.message(&tape.root(), *named->type);
  return enclose(encoder, *named);
}

base::Result<std::string> encode_protobuf_object(const Schema& schema, std::string_view json) {
  base::JsonTape tape;
  if (!tape.read(json)) return not_json();
  auto named = name_of(schema, tape.root());
  if (!named.ok()) return named.error();
  Encoder encoder;
  encoder.open();
  encoder.message(&tape.root(), *named->type);
  return enclose(encoder, *named);
}

base::Result<std::string> encode_protobuf_watch_event(const Schema& schema, std::string_view event,
                                                      std::string_view json) {
  auto bytes = encode_protobuf_object(schema, json);
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
