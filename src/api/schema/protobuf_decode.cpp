#include <bit>

#include "api/duration.h"
#include "api/quantity.h"
#include "api/schema/protobuf.h"
#include "api/schema/scalars.h"
#include "api/schema/wire.h"
#include "api/schema/zero.h"
#include "base/json.h"

namespace orch::api::schema {
namespace {

constexpr std::string_view kPrefix{"k8s\0", 4};

base::Status bad(std::string message) { return {base::Code::kBadRequest, std::move(message)}; }

/// runtime.Unknown.
struct Envelope {
  std::string_view api_version, kind, raw;
};

class Decoder {
 public:
  explicit Decoder(const Schema& schema) : schema_(schema) {}

  const std::string& error() const { return error_; }

  /// An object in its envelope; `fallback` is its type if the envelope does not say.
  bool object(std::string_view bytes, const Type* fallback, Json& out) {
    if (bytes.empty()) return fail("empty data");
    if (bytes.substr(0, kPrefix.size()) != kPrefix) {
      return fail("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    }
    bytes.remove_prefix(kPrefix.size());
    if (bytes.empty()) return fail("empty body");
    Envelope envelope;
    if (!read_envelope(bytes, envelope)) return false;
    const Type* type = fallback;
    if (!envelope.kind.empty() || fallback == nullptr) {
      type = type_of(envelope);
      if (type == nullptr) return fail(not_registered(envelope));
    }
    out = Json::object();
    if (!message(envelope.raw, *type, out)) return false;
    if (!envelope.kind.empty()) out["kind"] = std::string(envelope.kind);
    if (!envelope.api_version.empty()) out["apiVersion"] = std::string(envelope.api_version);
    return true;
  }

  bool message(std::string_view bytes, const Type& type, Json& out) {
    if (depth_ >= kMaxProtobufDepth) return fail("proto: exceeded max depth");
    ++depth_;
    bool good = fields(bytes, type, out.get_ref<Json::object_t&>(), out);
    --depth_;
    return good;
  }

 private:
  static std::pair<std::string_view, std::string_view> split(std::string_view api_version) {
    size_t slash = api_version.find('/');
    if (slash == std::string_view::npos) return {{}, api_version};
    return {api_version.substr(0, slash), api_version.substr(slash + 1)};
  }

  const Type* type_of(const Envelope& envelope) const {
    auto [group, version] = split(envelope.api_version);
    return schema_.kind(group, version, envelope.kind);
  }

  static std::string not_registered(const Envelope& e) {
    if (e.kind.empty()) return "Object 'Kind' is missing";
    return base::cat("no kind \"", e.kind, "\" is registered for version \"", e.api_version,
                     "\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"");
  }

  bool read_envelope(std::string_view bytes, Envelope& out) {
    std::string_view meta;
    if (!each_field(bytes, [&](uint32_t number, WireType type, WireReader& in) {
          if (number == 1) return text(in, type, meta);
          return number == 2 ? text(in, type, out.raw) : in.skip(type);
        })) {
      return false;
    }
    return each_field(meta, [&](uint32_t number, WireType type, WireReader& in) {
      if (number == 1) return text(in, type, out.api_version);
      return number == 2 ? text(in, type, out.kind) : in.skip(type);
    });
  }

  /// Calls back with each field's number and wire type; the callback reads or skips the value.
  template <typename Callback>
  bool each_field(std::string_view bytes, const Callback& callback) {
    WireReader in(bytes);
    while (!in.done()) {
      uint32_t number = 0;
      WireType type = WireType::kVarint;
      if (!in.tag(number, type) || !callback(number, type, in)) return fail(in.error());
    }
    return true;
  }

  bool fields(std::string_view bytes, const Type& type, Json::object_t& members, Json& object) {
    return each_field(bytes, [&](uint32_t number, WireType wire, WireReader& in) {
      const Field* field = type.field(number);
      if (field == nullptr) return in.skip(wire);
      if (field->is_inline) {
        std::string_view inner;
        return text(in, wire, inner) && message(inner, *field->value->type, object);
      }
      Json& slot = members[std::string(field->name)];
      const Value& value = *field->value;
      if (value.kind == ValueKind::kMap) return map_entry(in, wire, value, slot);
      if (value.kind == ValueKind::kList && !value.wrapped) return list_item(in, wire, *value.element, slot);
      return single(in, wire, value, slot);
    });
  }

  bool list_item(WireReader& in, WireType wire, const Value& element, Json& list) {
    if (!list.is_array()) list = Json::array();
    auto& items = list.get_ref<Json::array_t&>();
    if (wire == WireType::kBytes && is_number(element.kind)) {  // packed
      std::string_view packed;
      if (!in.bytes(packed)) return false;
      WireReader numbers(packed);
      while (!numbers.done()) {
        if (!count_element()) return false;
        WireType each = element.kind == ValueKind::kDouble ? WireType::kFixed64 : WireType::kVarint;
        if (!single(numbers, each, element, items.emplace_back())) return in.fail(numbers.error());
      }
      return true;
    }
    return count_element() && single(in, wire, element, items.emplace_back());
  }

  bool map_entry(WireReader& in, WireType wire, const Value& map, Json& object) {
    std::string_view entry, key;
    if (!count_element() || !text(in, wire, entry)) return false;
    if (!object.is_object()) object = Json::object();
    Json value;
    bool has_value = false;
    if (!each_field(entry, [&](uint32_t number, WireType type, WireReader& inner) {
          if (number == 1) return text(inner, type, key);
          if (number != 2) return inner.skip(type);
          has_value = true;
          return single(inner, type, *map.element, value);
        })) {
      return false;
    }
    if (!has_value) value = zero_value(*map.element);
    object[std::string(key)] = std::move(value);
    return true;
  }

  static bool is_number(ValueKind kind) {
    return kind == ValueKind::kBool || kind == ValueKind::kInt32 || kind == ValueKind::kInt64 ||
           kind == ValueKind::kDouble;
  }

  /// One value into `out`, which has what an earlier occurrence of the field left there.
  bool single(WireReader& in, WireType wire, const Value& value, Json& out) {
    if (is_number(value.kind)) return number(in, wire, value.kind, out);
    std::string_view data;
    if (!text(in, wire, data)) return false;
    switch (value.kind) {
      case ValueKind::kString:
        out = std::string(data);
        return true;
      case ValueKind::kBytes:
        out = encode_base64(data);
        return true;
      case ValueKind::kQuantity:
        return quantity(data, out);
      case ValueKind::kTime:
      case ValueKind::kMicroTime:
        return time(data, value.kind, out);
      case ValueKind::kDuration:
        return duration(data, out);
      case ValueKind::kIntOrString:
        return int_or_string(data, out);
      case ValueKind::kAny:
        return any(data, out);
      case ValueKind::kSchemaOrBool:
      case ValueKind::kSchemaOrArray:
      case ValueKind::kSchemaOrStrings:
        return schema_union(data, value, out);
      case ValueKind::kMessage:
        if (!out.is_object()) out = Json::object();
        return message(data, *value.type, out);
      case ValueKind::kList:
        return wrapped_list(data, *value.element, out);
      default:
        return fail("proto: unexpected field");
    }
  }

  bool number(WireReader& in, WireType wire, ValueKind kind, Json& out) {
    uint64_t raw = 0;
    if (kind == ValueKind::kDouble) {
      if (wire != WireType::kFixed64) return wrong_wire(wire);
      if (!in.fixed(raw, 8)) return false;
      auto value = std::bit_cast<double>(raw);
      bool whole = value > -1e15 && value < 1e15 && value == static_cast<double>(static_cast<int64_t>(value));
      out = whole ? Json(static_cast<int64_t>(value)) : Json(value);
      return true;
    }
    if (wire != WireType::kVarint) return wrong_wire(wire);
    if (!in.varint(raw)) return false;
    if (kind == ValueKind::kBool) {
      out = raw != 0;
    } else if (kind == ValueKind::kInt32) {
      out = static_cast<int32_t>(raw);
    } else {
      out = static_cast<int64_t>(raw);
    }
    return true;
  }

  bool text(WireReader& in, WireType wire, std::string_view& out) {
    return wire == WireType::kBytes ? in.bytes(out) : wrong_wire(wire);
  }

  bool quantity(std::string_view data, Json& out) {
    std::string_view content;
    if (!each_field(data, [&](uint32_t number, WireType type, WireReader& in) {
          return number == 1 ? text(in, type, content) : in.skip(type);
        })) {
      return false;
    }
    auto canonical = canonical_quantity(content);
    if (!canonical.ok()) return fail(canonical.error().message());
    out = std::move(*canonical);
    return true;
  }

  bool time(std::string_view data, ValueKind kind, Json& out) {
    out = nullptr;
    if (data.empty()) return true;
    Json seconds = 0, nanos = 0;
    if (!each_field(data, [&](uint32_t number, WireType type, WireReader& in) {
          if (number == 1) return this->number(in, type, ValueKind::kInt64, seconds);
          return number == 2 ? this->number(in, type, ValueKind::kInt32, nanos) : in.skip(type);
        })) {
      return false;
    }
    Instant at{seconds.get<int64_t>(), nanos.get<int32_t>()};
    constexpr int64_t kYear10000 = 253402300800;
    if (at.seconds < Instant::zero().seconds || at.seconds >= kYear10000)
      return fail("proto: time out of range");
    if (kind == ValueKind::kTime || at.nanos < 0 || at.nanos > 999'999'999) at.nanos = 0;
    if (!at.is_zero()) out = kind == ValueKind::kTime ? format_time(at) : format_micro_time(at);
    return true;
  }

  bool duration(std::string_view data, Json& out) {
    Json nanos = 0;
    if (!each_field(data, [&](uint32_t number, WireType type, WireReader& in) {
          return number == 1 ? this->number(in, type, ValueKind::kInt64, nanos) : in.skip(type);
        })) {
      return false;
    }
    out = format_duration(base::Duration(nanos.get<int64_t>()));
    return true;
  }

  bool int_or_string(std::string_view data, Json& out) {
    Json kind = 0, integer = 0;
    std::string_view content;
    if (!each_field(data, [&](uint32_t number, WireType type, WireReader& in) {
          if (number == 1) return this->number(in, type, ValueKind::kInt64, kind);
          if (number == 2) return this->number(in, type, ValueKind::kInt32, integer);
          return number == 3 ? text(in, type, content) : in.skip(type);
        })) {
      return false;
    }
    out = kind == 1 ? Json(std::string(content)) : std::move(integer);
    return true;
  }

  /// The bytes are JSON, or an object in an envelope of its own.
  bool any(std::string_view data, Json& out) {
    std::string_view raw;
    if (!each_field(data, [&](uint32_t number, WireType type, WireReader& in) {
          return number == 1 ? text(in, type, raw) : in.skip(type);
        })) {
      return false;
    }
    out = nullptr;
    if (raw.empty()) return true;
    if (raw.substr(0, kPrefix.size()) == kPrefix) {
      if (depth_ >= kMaxProtobufDepth) return fail("proto: exceeded max depth");
      ++depth_;
      bool good = object(raw, nullptr, out);
      --depth_;
      return good;
    }
    auto tree = base::parse_json(raw);
    if (!tree.ok()) return fail(tree.error().message());
    out = std::move(*tree);
    return true;
  }

  bool schema_union(std::string_view data, const Value& value, Json& out) {
    bool or_bool = value.kind == ValueKind::kSchemaOrBool;
    uint32_t schema_number = or_bool ? 2 : 1;
    Json allows = false, schema, items = Json::array();
    if (!each_field(data, [&](uint32_t number, WireType type, WireReader& in) {
          std::string_view inner;
          if (or_bool && number == 1) return this->number(in, type, ValueKind::kBool, allows);
          if (number != 1 && number != 2) return in.skip(type);
          if (!text(in, type, inner)) return false;
          if (number != schema_number && !count_element()) return false;
          Json& into = number == schema_number ? schema : items.emplace_back();
          if (number != schema_number && value.kind == ValueKind::kSchemaOrStrings) {
            into = std::string(inner);
            return true;
          }
          if (!into.is_object()) into = Json::object();
          return message(inner, *value.type, into);
        })) {
      return false;
    }
    if (!items.empty()) {
      out = std::move(items);
    } else if (!schema.is_null() || !or_bool) {
      out = std::move(schema);
    } else {
      out = std::move(allows);
    }
    return true;
  }

  bool wrapped_list(std::string_view data, const Value& element, Json& out) {
    out = Json::array();
    return each_field(data, [&](uint32_t number, WireType type, WireReader& in) {
      return number == 1 ? list_item(in, type, element, out) : in.skip(type);
    });
  }

  bool count_element() { return ++elements_ <= kMaxProtobufElements || fail("proto: too many elements"); }

  bool wrong_wire(WireType wire) {
    return fail(base::cat("proto: wrong wireType = ", static_cast<int>(wire), " for field"));
  }

  bool fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
  }

  const Schema& schema_;
  int depth_ = 0;
  int elements_ = 0;
  std::string error_;
};

}  // namespace

base::Result<Json> decode_protobuf(const Schema& schema, const Type* type, std::string_view bytes) {
  Decoder decoder(schema);
  Json out;
  if (!decoder.object(bytes, type, out)) return bad(decoder.error());
  return out;
}

base::Result<Json> decode_message(const Schema& schema, const Type& type, std::string_view bytes) {
  Decoder decoder(schema);
  Json out = Json::object();
  if (!decoder.message(bytes, type, out)) return bad(decoder.error());
  return out;
}

}  // namespace orch::api::schema
