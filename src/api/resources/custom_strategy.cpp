#include "api/resources/custom_strategy.h"

#include <algorithm>
#include <limits>
#include <set>

#include "api/duration.h"
#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/crd_rules.h"
#include "api/structural/json_path.h"
#include "api/structural/object.h"
#include "api/structural/value.h"
#include "base/json.h"

namespace orch::api {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// What Go's %T says of a JSON value.
std::string_view go_type(const Json& value) {
  if (value.is_string()) return "string";
  if (value.is_boolean()) return "bool";
  if (value.is_number_float()) return "float64";
  if (value.is_number()) return "int64";
  if (value.is_array()) return "[]interface {}";
  return value.is_object() ? "map[string]interface {}" : "<nil>";
}

/// The value at a path; null pointer if a step is missing.
Result<const Json*> nested(const Json& object, const std::vector<std::string>& path) {
  const Json* at = &object;
  std::string way;
  for (const std::string& name : path) {
    if (!at->is_object()) {
      if (at->is_null()) return static_cast<const Json*>(nullptr);
      return Status(Code::kInternal, base::cat(way, " accessor error: ", go_plain(*at), " is of the type ",
                                               go_type(*at), ", expected map[string]interface{}"));
    }
    way += base::cat(".", name);
    const auto it = at->find(name);
    if (it == at->end()) return static_cast<const Json*>(nullptr);
    at = &*it;
  }
  return at;
}

std::string dotted(const std::vector<std::string>& path) {
  std::string out;
  for (const std::string& name : path) out += base::cat(".", name);
  return out;
}

Status wrong_type(const std::vector<std::string>& path, const Json& value, std::string_view wanted) {
  return {Code::kInternal, base::cat(dotted(path), " accessor error: ", go_plain(value), " is of the type ",
                                     go_type(value), ", expected ", wanted)};
}

// --- Validation -------------------------------------------------------------------------------------

void validate_replicas(const Json& object, const std::vector<std::string>& path, const std::string& text,
                       FieldErrors& errors) {
  const FieldPath at(text);
  const auto replicas = nested_int(object, path);
  if (!replicas.ok()) return errors.invalid(at, 0, replicas.error().message());
  const int64_t value = replicas->value_or(0);
  if (value < 0) errors.invalid(at, value, "should be a non-negative integer");
  if (value > std::numeric_limits<int32_t>::max())
    errors.invalid(at, value, "should be less than or equal to 2147483647");
}

void validate_scale_status(const Json& object, const ScalePaths& scale, FieldErrors& errors) {
  validate_replicas(object, scale.status_replicas, scale.status_text, errors);
  if (scale.label_selector.empty()) return;
  if (const auto selector = nested_text(object, scale.label_selector); !selector.ok())
    errors.invalid(FieldPath(scale.selector_text), "", selector.error().message());
}

/// Problems that rules need not be asked after.
bool blocks_rules(const FieldErrors& errors) {
  static const std::set<std::string_view> reasons = {"FieldValueNotSupported", "FieldValueRequired",
                                                     "FieldValueTooLong", "FieldValueTooMany",
                                                     "FieldValueTypeInvalid"};
  return std::any_of(errors.causes().begin(), errors.causes().end(),
                     [&](const base::Cause& cause) { return reasons.contains(cause.reason); });
}

class Validator {
 public:
  Validator(std::shared_ptr<const CustomKind> kind, const Resource& row)
      : kind_(std::move(kind)), kind_name_(row.kind), api_version_(row.api_version()) {}

  void create(const Json& object, FieldErrors& errors) const {
    if (!is_of_kind(object, errors)) return;
    if (const structural::Node* node = kind_->node()) {
      structural::validate_value(*node, object, nullptr, {}, errors);
      scale(object, true, errors);
      structural::validate_embedded(*kind_->builtin, *node, object, {}, false, errors);
      structural::validate_lists(*node, object, errors);
    } else {
      scale(object, true, errors);
    }
    rules(object, nullptr, errors);
  }

  void update(const Json& object, const Json& old, FieldErrors& errors) const {
    if (!is_of_kind(object, errors)) return;
    if (const structural::Node* node = kind_->node()) {
      structural::validate_value(*node, object, &old, {}, errors);
      scale(object, true, errors);
      structural::validate_embedded(*kind_->builtin, *node, object, {}, false, errors);
      lists(*node, object, old, errors);
    } else {
      scale(object, true, errors);
    }
    rules(object, &old, errors);
  }

  void status(const Json& object, const Json& old, FieldErrors& errors) const {
    if (!is_of_kind(object, errors)) return;
    const structural::Node* node = kind_->node();
    const structural::Node* own = node != nullptr ? node->property("status") : nullptr;
    if (const auto status = object.find("status"); status != object.end() && own != nullptr) {
      const auto before = old.find("status");
      structural::validate_value(*own, *status, before != old.end() ? &*before : nullptr, "status", errors);
    }
    scale(object, false, errors);
    if (node != nullptr) lists(*node, object, old, errors);
    rules(object, &old, errors);
  }

 private:
  bool is_of_kind(const Json& object, FieldErrors& errors) const {
    const size_t before = errors.causes().size();
    const auto check = [&](const char* key, const std::string& wanted) {
      const std::string own(base::string_at(object, {key}));
      if (own != wanted) errors.invalid(FieldPath(key), own, base::cat("must be ", wanted));
    };
    check("kind", kind_name_);
    check("apiVersion", api_version_);
    return errors.causes().size() == before;
  }

  static void lists(const structural::Node& node, const Json& object, const Json& old, FieldErrors& errors) {
    FieldErrors before;
    structural::validate_lists(node, old, before);
    if (before.empty()) structural::validate_lists(node, object, errors);
  }

  void scale(const Json& object, bool spec, FieldErrors& errors) const {
    if (!kind_->scale) return;
    if (spec) validate_replicas(object, kind_->scale->spec_replicas, kind_->scale->spec_text, errors);
    validate_scale_status(object, *kind_->scale, errors);
  }

  void rules(const Json& object, const Json* old, FieldErrors& errors) const {
    const RuleSet* rules = kind_->schemas->rules(kind_->version);
    if (rules == nullptr) return;
    if (blocks_rules(errors)) {
      return errors.invalid(
          FieldPath("<nil>"), nullptr,
          "some validation rules were not checked because the object was invalid; correct the "
          "existing errors to complete validation");
    }
    rules->validate(object, old, {}, errors);
  }

  std::shared_ptr<const CustomKind> kind_;
  const std::string kind_name_, api_version_;
};

// --- Warnings ---------------------------------------------------------------------------------------

std::vector<std::string> finalizer_warnings(const Json& object, const Json* old) {
  std::set<std::string> added;
  for (const Json& name : base::array_at(object, {"metadata", "finalizers"}))
    added.insert(name.get<std::string>());
  if (old != nullptr) {
    for (const Json& name : base::array_at(*old, {"metadata", "finalizers"}))
      added.erase(name.get<std::string>());
  }
  std::vector<std::string> out;
  for (const std::string& name : added) {
    const std::string prefix = base::cat("metadata.finalizers: ", go_quote(name), ": ");
    for (const std::string& problem : check_qualified_name(name)) out.push_back(prefix + problem);
    if (name.find('/') != std::string::npos || name == "orphan" || name == "foregroundDeletion" ||
        name == "kubernetes") {
      continue;
    }
    out.push_back(base::cat(prefix, "prefer a domain-qualified finalizer name ",
                            name.find('.') != std::string::npos ? "including a path (/) " : "",
                            "to avoid accidental conflicts with other finalizer writers"));
  }
  return out;
}

// --- Cells ------------------------------------------------------------------------------------------

std::string printed(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "<no value>";
  return value.is_structured() ? go_json(value) : go_plain(value);
}

Json cell(const std::string& type, const Json& value, base::WallTime now) {
  if (type == "string") return printed(value);
  if (value.is_null()) return nullptr;
  if (type == "integer") return value.is_number() ? Json(value.get<int64_t>()) : Json();
  if (type == "number") return value.is_number() ? Json(value.get<double>()) : Json();
  if (type == "boolean") return value.is_boolean() ? value : Json();
  if (type != "date" || !value.is_string()) return nullptr;
  const auto& text = value.get_ref<const std::string&>();
  if (!text.empty() && !base::parse_time(text).ok()) return "<invalid>";
  return age_text(text, now);
}

struct Column {
  std::string type;
  std::shared_ptr<const structural::JsonPath> path;
};

std::vector<Column> columns_of(const Json& version) {
  std::vector<Column> out;
  const auto add = [&out](const std::string& type, std::string_view text) {
    auto path = structural::JsonPath::parse(text);
    out.push_back({type, path.ok() ? *path : nullptr});
  };
  const Json& columns = base::array_at(version, {"additionalPrinterColumns"});
  if (columns.empty()) add("date", ".metadata.creationTimestamp");
  for (const Json& column : columns)
    add(std::string(base::string_at(column, {"type"})), base::string_at(column, {"jsonPath"}));
  return out;
}

bool differs_beyond_metadata(const Json& object, const Json& old) {
  Json a = object, b = old;
  a.erase("metadata");
  b.erase("metadata");
  return a != b;
}

}  // namespace

Result<std::optional<int64_t>> nested_int(const Json& object, const std::vector<std::string>& path) {
  const auto value = nested(object, path);
  if (!value.ok()) return value.error();
  if (*value == nullptr) return std::optional<int64_t>();
  if (!(*value)->is_number_integer()) return wrong_type(path, **value, "int64");
  return std::optional<int64_t>((*value)->get<int64_t>());
}

Result<std::optional<std::string>> nested_text(const Json& object, const std::vector<std::string>& path) {
  const auto value = nested(object, path);
  if (!value.ok()) return value.error();
  if (*value == nullptr) return std::optional<std::string>();
  if (!(*value)->is_string()) return wrong_type(path, **value, "string");
  return std::optional<std::string>((*value)->get<std::string>());
}

void set_nested(Json& object, const std::vector<std::string>& path, Json value) {
  Json* at = &object;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    at = &(*at)[path[i]];
    if (!at->is_object()) *at = Json::object();
  }
  (*at)[path.back()] = std::move(value);
}

std::shared_ptr<const Strategy> custom_strategy(const Resource& row,
                                                const std::shared_ptr<const CustomKind>& kind,
                                                const Json& version) {
  auto s = std::make_shared<Strategy>();
  const auto validator = std::make_shared<const Validator>(kind, row);
  s->set_defaults = [kind](Json& object) {
    if (const structural::Node* node = kind->node()) structural::apply_defaults(*node, object);
  };
  s->prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
    const Json version_of = object["metadata"].value("resourceVersion", Json());
    object["metadata"] = old["metadata"];
    if (version_of.is_null()) {
      object["metadata"].erase("resourceVersion");
    } else {
      object["metadata"]["resourceVersion"] = version_of;
    }
  };
  s->validate = [validator](const Json& object, FieldErrors& errors) { validator->create(object, errors); };
  s->validate_update = [validator](const Json& object, const Json& old, FieldErrors& errors) {
    validator->update(object, old, errors);
  };
  s->validate_status_update = [validator](const Json& object, const Json& old, FieldErrors& errors) {
    validator->status(object, old, errors);
  };
  s->warnings = finalizer_warnings;
  s->cells = [columns = columns_of(version)](const Json& object, base::WallTime now) {
    std::vector<Json> cells = {Json(std::string(base::string_at(object, {"metadata", "name"})))};
    for (const Column& column : columns) {
      const auto found = column.path != nullptr ? column.path->find(object) : std::vector<const Json*>();
      cells.push_back(found.empty() ? Json() : cell(column.type, *found.front(), now));
    }
    return cells;
  };
  s->allow_unconditional_update = false;
  s->has_generation = true;
  s->generation_changed = differs_beyond_metadata;
  return s;
}

}  // namespace orch::api
