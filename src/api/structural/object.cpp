#include "api/structural/object.h"

#include <algorithm>
#include <cmath>

#include "api/go_text.h"
#include "api/names.h"
#include "api/object.h"
#include "api/schema/decode.h"
#include "api/schema/defaults.h"
#include "base/json.h"

namespace orch::api::structural {

using base::Code;
using base::Status;

namespace {

using Members = Json::object_t;

const Type& meta_type(const Schema& builtin) {
  return *builtin.type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
}

bool is_meta(std::string_view name) { return name == "kind" || name == "apiVersion" || name == "metadata"; }

/// The way to the value at hand, as unknown fields are reported.
class Way {
 public:
  explicit Way(std::vector<std::string>* out) : out_(out) {}
  bool empty() const { return text_.empty(); }
  size_t enter(std::string_view name) {
    const size_t before = text_.size();
    if (out_ != nullptr) text_ += base::cat(text_.empty() ? "" : ".", name);
    ++depth_;
    return before;
  }
  size_t enter(size_t index) {
    const size_t before = text_.size();
    if (out_ != nullptr) text_ += base::cat("[", index, "]");
    ++depth_;
    return before;
  }
  void leave(size_t before) {
    text_.resize(before);
    --depth_;
  }
  bool at_root() const { return depth_ == 0; }
  void unknown(std::string_view name) {
    if (out_ != nullptr) out_->push_back(base::cat(text_, text_.empty() ? "" : ".", name));
  }

 private:
  std::vector<std::string>* out_;
  std::string text_;
  size_t depth_ = 0;
};

class Pruner {
 public:
  explicit Pruner(std::vector<std::string>* unknown) : way_(unknown) {}

  void prune(const Node* s, Json& value, bool embedded) {
    if (s != nullptr && s->preserve_unknown) return keep(*s, value, embedded);
    if (value.is_object()) {
      auto& members = value.get_ref<Members&>();
      for (auto it = members.begin(); it != members.end();) it = member(s, members, it, embedded);
    } else if (value.is_array()) {
      size_t index = 0;
      for (Json& item : value) {
        const size_t before = way_.enter(index++);
        prune(s != nullptr ? s->items : nullptr, item,
              s != nullptr && s->items != nullptr && s->items->embedded);
        way_.leave(before);
      }
    }
  }

 private:
  Members::iterator member(const Node* s, Members& members, Members::iterator it, bool embedded) {
    if (embedded && is_meta(it->first)) return ++it;
    const Node* below = s != nullptr ? s->property(it->first) : nullptr;
    if (below == nullptr && (s == nullptr || !s->has_additional)) {
      if (!is_meta(it->first) || !way_.at_root()) way_.unknown(it->first);
      return members.erase(it);
    }
    if (below == nullptr) below = s->additional;
    const size_t before = way_.enter(it->first);
    prune(below, it->second, below != nullptr && below->embedded);
    way_.leave(before);
    return ++it;
  }

  /// Everything stays, but what is specified below is pruned by that.
  void keep(const Node& s, Json& value, bool embedded) {
    if (value.is_object()) {
      for (auto& [name, member] : value.get_ref<Members&>()) {
        if (embedded && is_meta(name)) continue;
        const Node* below = s.property(name);
        if (below == nullptr && !s.has_additional) continue;
        if (below == nullptr) below = s.additional;
        const size_t before = way_.enter(name);
        prune(below, member, below != nullptr && below->embedded);
        way_.leave(before);
      }
    } else if (value.is_array()) {
      size_t index = 0;
      for (Json& item : value) {
        const size_t before = way_.enter(index++);
        if (s.items != nullptr) keep(*s.items, item, s.items->embedded);
        way_.leave(before);
      }
    }
  }

  Way way_;
};

bool refused_null(const Json& value, const Node* schema) {
  return value.is_null() && schema != nullptr && !schema->nullable;
}

class Coercer {
 public:
  Coercer(const Schema& builtin, bool drop, std::vector<std::string>* unknown)
      : builtin_(builtin), drop_(drop), unknown_(unknown) {}

  Status coerce(const Node& s, Json& value, const FieldPath& path) {
    if (!s.has_embedded) return {};
    if (value.is_array() && s.items != nullptr) {
      for (size_t i = 0; i < value.size(); ++i)
        ORCH_RETURN_IF_ERROR(coerce(*s.items, value[i], path.index(i)));
    }
    if (!value.is_object()) return {};
    if (s.embedded) ORCH_RETURN_IF_ERROR(embedded(value, path));
    for (auto& [name, member] : value.get_ref<Members&>()) {
      const Node* own = s.property(name);
      const Node* below = own != nullptr ? own : s.additional;
      if (below == nullptr) continue;
      ORCH_RETURN_IF_ERROR(coerce(*below, member, own != nullptr ? path.child(name) : path.key(name)));
    }
    return {};
  }

 private:
  Status embedded(Json& value, const FieldPath& path) {
    for (const char* key : {"apiVersion", "kind"}) {
      const auto it = value.find(key);
      if (it == value.end() || it->is_string()) continue;
      if (!drop_) return refuse(path.child(key), *it, "must be a string");
      value.erase(it);
    }
    const auto meta = value.find("metadata");
    if (meta == value.end()) return {};
    const Json shown = *meta;
    Status status = coerce_metadata(builtin_, *meta, path, drop_, unknown_);
    if (!status.ok()) return drop_ ? Status() : refuse(path.child("metadata"), shown, status.message());
    if (meta->is_object() && meta->contains("creationTimestamp") && (*meta)["creationTimestamp"].is_null())
      meta->erase("creationTimestamp");
    return {};
  }

  static Status refuse(const FieldPath& path, const Json& value, std::string_view detail) {
    FieldErrors errors;
    errors.invalid(path, value, detail);
    return {Code::kBadRequest, errors.text()};
  }

  const Schema& builtin_;
  const bool drop_;
  std::vector<std::string>* unknown_;
};

/// Members that do not decode by themselves go.
void drop_malformed_members(const Schema& builtin, Json& metadata) {
  auto& members = metadata.get_ref<Members&>();
  for (auto it = members.begin(); it != members.end();) {
    Json alone = Json::object({{it->first, it->second}});
    it = schema::decode(builtin, meta_type(builtin), alone).ok() ? std::next(it) : members.erase(it);
  }
}

void validate_embedded_names(const Json& object, const FieldPath& path, FieldErrors& errors) {
  for (const char* key : {"apiVersion", "kind"}) {
    if (!object.contains(key)) errors.required(path.child(key));
  }
  for (const char* key : {"apiVersion", "kind"}) {
    const auto it = object.find(key);
    if (it == object.end()) continue;
    const FieldPath at = path.child(key);
    if (!it->is_string()) {
      errors.invalid(at, *it, "must be a string");
      continue;
    }
    const std::string& text = it->get_ref<const std::string&>();
    if (text.empty()) {
      errors.invalid(at, text, "must not be empty");
    } else if (key == std::string_view("apiVersion")) {
      if (std::count(text.begin(), text.end(), '/') > 1)
        errors.invalid(at, text, base::cat("unexpected GroupVersion string: ", text));
    } else {
      std::string lower = text;
      std::transform(lower.begin(), lower.end(), lower.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      if (const Problems problems = check_dns1035_label(lower); !problems.empty()) {
        errors.invalid(at, text,
                       base::cat("may have mixed case, but should otherwise match: ", join(problems, ",")));
      }
    }
  }
}

void validate_embedded_metadata(const Schema& builtin, const Json& metadata, const FieldPath& path,
                                FieldErrors& errors) {
  Json copy = metadata;
  if (const Status status = coerce_metadata(builtin, copy, {}, false, nullptr); !status.ok())
    return errors.invalid(path, metadata, status.message());
  const std::string_view name = base::string_at(copy, {"name"});
  const auto problems = [&](const char* key, std::string_view value, const Problems& found) {
    for (const std::string& problem : found)
      errors.invalid(path.child(key), Json(std::string(value)), problem);
  };
  if (!name.empty()) problems("name", name, check_path_segment_name(name));
  const std::string_view ns = base::string_at(copy, {"namespace"});
  if (!ns.empty()) problems("namespace", ns, check_dns1123_label(ns));
  for (const auto& [key, value] : base::object_at(copy, {"labels"}).items()) {
    problems("labels", key, check_qualified_name(key));
    problems("labels", value.get_ref<const std::string&>(),
             check_label_value(value.get_ref<const std::string&>()));
  }
  for (const auto& [key, value] : base::object_at(copy, {"annotations"}).items()) {
    std::string lower = key;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    problems("annotations", key, check_qualified_name(lower));
  }
}

}  // namespace

Status coerce_metadata(const Schema& builtin, Json& metadata, const FieldPath& parent, bool drop_malformed,
                       std::vector<std::string>* unknown) {
  if (metadata.is_null()) metadata = Json::object();
  Json before = drop_malformed ? metadata : Json();
  auto problems = schema::decode(builtin, meta_type(builtin), metadata);
  if (!problems.ok()) {
    if (!drop_malformed || !before.is_object()) return problems.error();
    metadata = std::move(before);
    drop_malformed_members(builtin, metadata);
    problems = schema::decode(builtin, meta_type(builtin), metadata);
    if (!problems.ok()) return problems.error();
  }
  if (unknown != nullptr) {
    constexpr std::string_view kPrefix = "unknown field \"";
    const std::string own = parent.child("metadata").text();
    for (const std::string& problem : *problems) {
      if (problem.substr(0, kPrefix.size()) != kPrefix) continue;
      unknown->push_back(
          base::cat(own, ".", problem.substr(kPrefix.size(), problem.size() - kPrefix.size() - 1)));
    }
  }
  schema::normalise(builtin, meta_type(builtin), metadata);
  return {};
}

void prune(const Node* schema, Json& object, bool resource_root, std::vector<std::string>* unknown) {
  const size_t before = unknown != nullptr ? unknown->size() : 0;
  Pruner(unknown).prune(schema, object, resource_root || (schema != nullptr && schema->embedded));
  if (unknown != nullptr) std::sort(unknown->begin() + static_cast<std::ptrdiff_t>(before), unknown->end());
}

void drop_nulls(const Node* schema, Json& object) {
  if (object.is_object()) {
    auto& members = object.get_ref<Members&>();
    for (auto it = members.begin(); it != members.end();) {
      const Node* below = schema != nullptr ? schema->member(it->first) : nullptr;
      if (refused_null(it->second, below) && below->default_value() == nullptr) {
        it = members.erase(it);
      } else {
        drop_nulls(below, it->second);
        ++it;
      }
    }
  } else if (object.is_array()) {
    for (Json& item : object) drop_nulls(schema != nullptr ? schema->items : nullptr, item);
  }
}

Status coerce_embedded(const Schema& builtin, const Node& schema, Json& object, bool drop_malformed,
                       std::vector<std::string>* unknown) {
  return Coercer(builtin, drop_malformed, unknown).coerce(schema, object, {});
}

void apply_defaults(const Node& schema, Json& object) {
  if (!schema.has_defaults) return;
  const auto set = [](Json& value, const Node& node) {
    value = node.default_value() != nullptr ? *node.default_value() : Json();
  };
  if (object.is_object()) {
    for (const Property& property : schema) {
      const Json* value = property.node->default_value();
      if (value == nullptr) continue;
      const auto it = object.find(property.name);
      if (it == object.end()) {
        object[std::string(property.name)] = *value;
      } else if (refused_null(*it, property.node)) {
        *it = *value;
      }
    }
    for (auto& [name, member] : object.get_ref<Members&>()) {
      const Node* own = schema.property(name);
      if (own == nullptr && schema.additional != nullptr && refused_null(member, schema.additional))
        set(member, *schema.additional);
      if (const Node* below = schema.member(name)) apply_defaults(*below, member);
    }
  } else if (object.is_array() && schema.items != nullptr) {
    for (Json& item : object) {
      if (refused_null(item, schema.items)) set(item, *schema.items);
      apply_defaults(*schema.items, item);
    }
  }
}

void validate_embedded(const Schema& builtin, const Node& schema, const Json& object, const FieldPath& path,
                       bool resource_root, FieldErrors& errors) {
  if (!schema.has_embedded && !resource_root) return;
  if (object.is_array() && schema.items != nullptr) {
    for (size_t i = 0; i < object.size(); ++i)
      validate_embedded(builtin, *schema.items, object[i], path.index(i), false, errors);
  }
  if (!object.is_object()) return;
  if (schema.embedded || resource_root) {
    validate_embedded_names(object, path, errors);
    if (const auto meta = object.find("metadata"); meta != object.end())
      validate_embedded_metadata(builtin, *meta, path.child("metadata"), errors);
  }
  for (const auto& [name, member] : object.items()) {
    const Node* own = schema.property(name);
    const Node* below = own != nullptr ? own : schema.additional;
    if (below != nullptr) {
      validate_embedded(builtin, *below, member, own != nullptr ? path.child(name) : path.key(name), false,
                        errors);
    }
  }
}

void normalise_numbers(Json& value) {
  if (value.is_structured()) {
    for (Json& member : value) normalise_numbers(member);
  } else if (value.is_number_float()) {
    constexpr double kExact = 1e15;
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::abs(number) < kExact) value = static_cast<int64_t>(number);
  } else if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) {
    value = static_cast<double>(value.get<uint64_t>());
  }
}

}  // namespace orch::api::structural
