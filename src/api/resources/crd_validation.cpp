#include "api/resources/crd_validation.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/go_text.h"
#include "api/meta.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/crd_rules.h"
#include "api/resources/crd_schema.h"
#include "api/resources/crd_structural.h"
#include "api/resources/crd_text.h"
#include "api/resources/webhook_validation.h"
#include "api/structural/format.h"
#include "api/structural/format_text.h"
#include "api/structural/object.h"
#include "base/json.h"

namespace orch::api {

namespace {

constexpr size_t kMostSelectable = 8;
constexpr const char* kApproved = "api-approved.kubernetes.io";

const Json* present(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string text_at(const Json& object, const char* key) {
  return std::string(base::string_at(object, {key}));
}

const Json& versions_of(const Json& crd) { return base::array_at(crd, {"spec", "versions"}); }

const Json* schema_of(const Json& version) { return base::find_path(version, {"schema", "openAPIV3Schema"}); }

const Json* schema_of(const Json& crd, std::string_view version) {
  for (const Json& v : versions_of(crd)) {
    if (base::string_at(v, {"name"}) == version) return schema_of(v);
  }
  return nullptr;
}

template <typename Predicate>
bool any_schema(const Json& crd, const Predicate& predicate) {
  return std::any_of(versions_of(crd).begin(), versions_of(crd).end(), [&](const Json& v) {
    const Json* schema = schema_of(v);
    return schema != nullptr && predicate(*schema);
  });
}

bool status_enabled(const Json& version) {
  return base::find_path(version, {"subresources", "status"}) != nullptr;
}

void add_joined(FieldErrors& errors, const FieldPath& path, const std::string& value,
                const Problems& problems, std::string_view before = {}) {
  if (!problems.empty()) errors.invalid(path, value, base::cat(before, join(problems, ",")));
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

void validate_names(const Json& names, const FieldPath& path, FieldErrors& errors) {
  for (const char* key : {"plural", "singular"}) {
    const std::string name = text_at(names, key);
    if (!name.empty()) add_joined(errors, path.child(key), name, check_dns1035_label(name));
  }
  for (const char* key : {"kind", "listKind"}) {
    const std::string name = text_at(names, key);
    if (!name.empty()) {
      add_joined(errors, path.child(key), name, check_dns1035_label(lower(name)),
                 "may have mixed case, but should otherwise match: ");
    }
  }
  const auto labels = [&](const char* key) {
    size_t i = 0;
    for (const Json& name : base::array_at(names, {key})) {
      const auto text = name.get<std::string>();
      add_joined(errors, path.child(key).index(i++), text, check_dns1035_label(text));
    }
  };
  labels("shortNames");
  const std::string kind = text_at(names, "kind"), list = text_at(names, "listKind");
  if (!kind.empty() && kind == list)
    errors.invalid(path.child("listKind"), list, "kind and listKind may not be the same");
  labels("categories");
}

void validate_simple_path(const std::string& text, const FieldPath& path, FieldErrors& errors) {
  if (text.front() != '.') errors.invalid(path, text, "must be a simple json path starting with .");
}

void validate_column(const Json& column, const FieldPath& path, FieldErrors& errors) {
  static const std::set<std::string> types = {"boolean", "date", "integer", "number", "string"};
  static const std::set<std::string> formats = {"byte",  "date",  "date-time", "double",
                                                "float", "int32", "int64",     "password"};
  const auto one_of = [](const std::set<std::string>& names) {
    return "must be one of " + join({names.begin(), names.end()}, ",");
  };
  const std::string type = text_at(column, "type"), format = text_at(column, "format");
  const std::string json_path = text_at(column, "jsonPath");
  if (text_at(column, "name").empty()) errors.required(path.child("name"));
  if (type.empty()) {
    errors.required(path.child("type"), one_of(types));
  } else if (!types.contains(type)) {
    errors.invalid(path.child("type"), type, one_of(types));
  }
  if (!format.empty() && !formats.contains(format))
    errors.invalid(path.child("format"), format, one_of(formats));
  if (json_path.empty()) {
    errors.required(path.child("JSONPath"));
  } else {
    validate_simple_path(json_path, path.child("JSONPath"), errors);
  }
}

void validate_scale(const Json& scale, const FieldPath& path, FieldErrors& errors) {
  const auto check = [&](const char* key, std::initializer_list<std::string_view> roots, std::string_view why,
                         bool needed) {
    const FieldPath at(path.text() + ".scale." + key);
    const std::string value = text_at(scale, key);
    if (value.empty()) {
      if (needed) errors.required(at);
      return;
    }
    if (value.front() != '.') return validate_simple_path(value, at, errors);
    const bool below = std::any_of(roots.begin(), roots.end(), [&](std::string_view root) {
      return value.compare(0, root.size(), root) == 0;
    });
    if (!below) errors.invalid(at, value, why);
  };
  check("specReplicasPath", {".spec."}, "should be a json path under .spec", true);
  check("statusReplicasPath", {".status."}, "should be a json path under .status", true);
  check("labelSelectorPath", {".spec.", ".status."}, "should be a json path under either .spec or .status",
        false);
}

void validate_selectable(const Json& fields, const Json& schema, bool too_many_allowed, const FieldPath& path,
                         FieldErrors& errors) {
  std::set<std::string> unique;
  size_t i = 0;
  for (const Json& field : fields) {
    const FieldPath at = path.index(i++).child("jsonPath");
    const std::string text = text_at(field, "jsonPath");
    if (text.empty()) {
      errors.required(at);
      continue;
    }
    const FieldOfSchema found = find_field(schema, text, false);
    if (found.schema == nullptr) {
      errors.invalid(at, text, base::cat("is an invalid path: ", found.problem));
      continue;
    }
    if (found.path == "metadata" || found.path.compare(0, 9, "metadata.") == 0)
      errors.invalid(at, text, "must not point to fields in metadata");
    const std::string type = text_at(*found.schema, "type");
    if (type != "string" && type != "boolean" && type != "integer") {
      errors.invalid(
          at, text,
          "must point to a field of type string, boolean or integer. Enum string fields and strings "
          "with formats are allowed.");
    }
    if (!unique.insert(found.path).second) errors.duplicate(at, text);
  }
  if (unique.size() > kMostSelectable && !too_many_allowed)
    errors.too_many(path, static_cast<int>(unique.size()), static_cast<int>(kMostSelectable));
}

void validate_deprecation(const Json& version, const FieldPath& path, FieldErrors& errors) {
  const Json* warning = present(version, "deprecationWarning");
  if (warning == nullptr) return;
  const auto text = warning->get<std::string>();
  if (!base::bool_at(version, {"deprecated"}))
    return errors.invalid(path, text, "can only be set for deprecated versions");
  constexpr size_t kLongest = 256;
  if (text.size() > kLongest) errors.invalid(path, text, "must be <= 256 characters long");
  if (text.empty()) errors.invalid(path, text, "must not be an empty string");
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != 0x7f) continue;
    errors.invalid(path, text,
                   base::cat("must only contain printable UTF-8 characters; non-printable character found at "
                             "index ",
                             i));
    break;
  }
}

class SpecChecker {
 public:
  SpecChecker(const Schema& builtin, const Json& crd, const Json* old, FieldErrors& errors)
      : builtin_(builtin), crd_(crd), spec_(base::object_at(crd, {"spec"})), old_(old), errors_(errors) {
    if (old == nullptr) return;
    const Json& before = base::object_at(*old, {"spec"});
    demands_.structural = !any_schema(*old, [](const Json& s) {
      if (!not_structural(s).empty()) return true;
      FieldErrors found;
      validate_structural(s, {}, found);
      return !found.empty();
    });
    demands_.valid_types = !any_schema(*old, has_unknown_type);
    demands_.atomic_sets = !any_schema(*old, has_non_atomic_set);
    demands_.list_keys = !any_schema(*old, [](const Json& s) {
      return schema_has(s, [](const Json& one) {
        FieldErrors found;
        validate_list_keys(one, {}, found);
        return !found.empty();
      });
    });
    demands_.pruned_defaults = !any_schema(*old, has_unpruned_defaults);
    schemas_needed_ = std::all_of(versions_of(*old).begin(), versions_of(*old).end(),
                                  [](const Json& v) { return schema_of(v) != nullptr; });
    established_ = condition_is_true(*old, "Established");
    reviewed_ = base::find_path(before, {"conversion", "webhook"}) == nullptr ||
                known_review(base::array_at(before, {"conversion", "webhook", "conversionReviewVersions"}));
  }

  void check() {
    group();
    const bool keep = base::bool_at(spec_, {"preserveUnknownFields"});
    scope();
    if (!keep) demands_.structural = true;
    need_schemas(keep);
    const FieldPath path("spec");
    if (any_schema(crd_, [](const Json& s) {
          return schema_has(s, [](const Json& one) { return present(one, "default") != nullptr; });
        })) {
      demands_.structural = true;
      if (keep) {
        errors_.invalid(path.child("preserveUnknownFields"), true,
                        "must be false in order to use defaults in the schema");
      }
    }
    if (any_schema(crd_, has_extensions)) demands_.structural = true;
    versions();
    shared_parts();
    needed_names();
    validate_names(base::object_at(spec_, {"names"}), path.child("names"), errors_);
    shared_details();
    conversion(keep);
    if (old_ != nullptr) immutable();
  }

 private:
  static bool known_review(const Json& versions) {
    return versions.empty() || std::any_of(versions.begin(), versions.end(),
                                           [](const Json& v) { return v == "v1" || v == "v1beta1"; });
  }

  static bool has_extensions(const Json& schema) {
    return schema_has(schema, [](const Json& s) {
      for (const char* key : {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type"}) {
        if (present(s, key) != nullptr) return true;
      }
      return base::bool_at(s, {"x-kubernetes-embedded-resource"}) ||
             base::bool_at(s, {"x-kubernetes-int-or-string"}) ||
             !base::array_at(s, {"x-kubernetes-list-map-keys"}).empty() ||
             !base::array_at(s, {"x-kubernetes-validations"}).empty();
    });
  }

  static bool has_unpruned_defaults(const Json& schema) {
    structural::Schemas schemas;
    return schema_has(schema, [&](const Json& s) {
      const Json* value = present(s, "default");
      if (value == nullptr) return false;
      Json copy = *value;
      const structural::Node* node = schemas.add(s);
      structural::prune(node, copy, node->embedded, nullptr);
      return copy != *value;
    });
  }

  const Json& all() const { return versions_of(crd_); }

  void group() {
    const FieldPath path("spec.group");
    const std::string group = text_at(spec_, "group");
    if (group.empty()) {
      errors_.required(path);
    } else if (const Problems problems = check_dns1123_subdomain(group); !problems.empty()) {
      add_joined(errors_, path, group, problems);
    } else if (group.find('.') == std::string::npos) {
      errors_.invalid(path, group, "should be a domain with at least one dot");
    }
  }

  void scope() {
    const FieldPath path("spec.scope");
    const std::string scope = text_at(spec_, "scope");
    if (scope.empty()) {
      errors_.required(path);
    } else if (scope != "Cluster" && scope != "Namespaced") {
      errors_.not_supported(path, scope, {"Cluster", "Namespaced"});
    }
  }

  void need_schemas(bool keep) {
    // Where all versions have the same, it stands at the top.
    if (shared_by_all(all(), "schema") && !all().empty() && schema_of(all()[0]) != nullptr) return;
    if (!schemas_needed_ && keep) return;
    size_t i = 0;
    for (const Json& version : all()) {
      const FieldPath path = FieldPath("spec.versions").index(i++).child("schema").child("openAPIV3Schema");
      if (schema_of(version) != nullptr) continue;
      if (schemas_needed_) {
        errors_.required(path);
      } else if (base::bool_at(version, {"served"})) {
        errors_.required(path, "because otherwise all fields are pruned");
      }
    }
  }

  void schema(const Json& version, bool status, const FieldPath& path) {
    const Json* own = schema_of(version);
    if (own == nullptr) return;
    CrdSchemaDemands demands = demands_;
    demands.status_enabled = status;
    const Json* before = old_ != nullptr ? schema_of(*old_, text_at(version, "name")) : nullptr;
    validate_crd_schema(builtin_, *own, before, demands, path, errors_);
  }

  void columns(const Json& version, const FieldPath& path) {
    size_t i = 0;
    for (const Json& column : base::array_at(version, {"additionalPrinterColumns"}))
      validate_column(column, path.child("additionalPrinterColumns").index(i++), errors_);
  }

  void subresources(const Json& version, const FieldPath& path) {
    if (const Json* scale = base::find_path(version, {"subresources", "scale"}))
      validate_scale(*scale, path.child("subresources"), errors_);
  }

  void selectable(const Json& version, const FieldPath& path) {
    const Json& fields = base::array_at(version, {"selectableFields"});
    if (fields.empty() || schema_of(version) == nullptr) return;
    bool allowed = false;
    if (old_ != nullptr) {
      for (const Json& before : versions_of(*old_)) {
        const Json& same = base::array_at(before, {"selectableFields"});
        allowed = allowed || (before.value("name", "") == text_at(version, "name") &&
                              same.size() > kMostSelectable && same == fields);
      }
    }
    validate_selectable(fields, *schema_of(version), allowed, path.child("selectableFields"), errors_);
  }

  void versions() {
    const FieldPath path("spec.versions");
    size_t i = 0, stored = 0;
    std::set<std::string> names;
    for (const Json& version : all()) {
      const FieldPath at = path.index(i++);
      const std::string name = text_at(version, "name");
      if (base::bool_at(version, {"storage"})) ++stored;
      names.insert(name);
      add_joined(errors_, at.child("name"), name, check_dns1035_label(name));
      validate_deprecation(version, at.child("deprecationWarning"), errors_);
      if (!shared_by_all(all(), "schema")) schema(version, status_enabled(version), at.child("schema"));
      if (!shared_by_all(all(), "subresources")) subresources(version, at);
      if (!shared_by_all(all(), "additionalPrinterColumns")) columns(version, at);
      if (!shared_by_all(all(), "selectableFields")) selectable(version, at);
    }
    const Json* given = present(spec_, "versions");
    const auto wrong = [&](std::string_view why) {
      add_cause(errors_, "FieldValueInvalid", path,
                base::cat("Invalid value: ", go_versions(given == nullptr ? Json() : *given), ": ", why));
    };
    if (names.size() != all().size()) wrong("must contain unique version names");
    if (stored != 1) wrong("must have exactly one version marked as storage version");
  }

  void shared_parts() {
    if (all().empty()) return;
    const std::string name = text_at(all()[0], "name");
    add_joined(errors_, FieldPath("spec.version"), name, check_dns1035_label(name));
  }

  void needed_names() {
    for (const char* key : {"plural", "singular", "kind", "listKind"}) {
      if (base::string_at(spec_, {"names", key}).empty())
        errors_.required(FieldPath("spec.names").child(key));
    }
  }

  void shared_details() {
    if (all().empty()) return;
    const FieldPath path("spec");
    const bool any_status = std::any_of(all().begin(), all().end(), status_enabled);
    if (shared_by_all(all(), "schema")) schema(all()[0], any_status, path.child("validation"));
    if (shared_by_all(all(), "subresources")) subresources(all()[0], path);
    if (shared_by_all(all(), "additionalPrinterColumns")) columns(all()[0], path);
    if (shared_by_all(all(), "selectableFields")) selectable(all()[0], path);
  }

  void conversion(bool keep) {
    const Json* conversion = present(spec_, "conversion");
    if (conversion == nullptr) return;
    const FieldPath path("spec.conversion");
    const std::string strategy = text_at(*conversion, "strategy");
    if (strategy != "None" && keep) {
      errors_.invalid(path.child("strategy"), strategy, "must be None if spec.preserveUnknownFields is true");
    }
    if (strategy.empty()) {
      errors_.required(path.child("strategy"));
    } else if (strategy != "None" && strategy != "Webhook") {
      errors_.not_supported(path.child("strategy"), strategy, {"None", "Webhook"});
    }
    const Json* client = base::find_path(*conversion, {"webhook", "clientConfig"});
    const Json& reviews = base::array_at(*conversion, {"webhook", "conversionReviewVersions"});
    const FieldPath client_path = path.child("webhookClientConfig");
    if (strategy != "Webhook") {
      constexpr std::string_view kWhy = "should not be set when strategy is not set to Webhook";
      if (client != nullptr && !client->is_null()) errors_.forbidden(client_path, kWhy);
      if (!reviews.empty()) errors_.forbidden(path.child("conversionReviewVersions"), kWhy);
      return;
    }
    if (client == nullptr || client->is_null()) {
      errors_.required(client_path, "required when strategy is set to Webhook");
    } else {
      validate_webhook_client(*client, client_path, errors_);
    }
    review_versions(reviews, path.child("conversionReviewVersions"));
  }

  void review_versions(const Json& versions, const FieldPath& path) {
    if (versions.empty()) return errors_.required(path);
    std::set<std::string> seen;
    size_t i = 0;
    for (const Json& version : versions) {
      const auto name = version.get<std::string>();
      const FieldPath at = path.index(i++);
      if (!seen.insert(name).second) {
        errors_.invalid(at, name, "duplicate version");
        continue;
      }
      for (const std::string& problem : check_dns1035_label(name)) errors_.invalid(at, name, problem);
    }
    if (reviewed_ && !seen.contains("v1") && !seen.contains("v1beta1"))
      errors_.invalid(path, versions, "must include at least one of v1, v1beta1");
  }

  void immutable() {
    const Json& before = base::object_at(*old_, {"spec"});
    const auto same = [&](std::initializer_list<std::string_view> keys, const char* path) {
      const std::string now(base::string_at(spec_, keys));
      if (now != base::string_at(before, keys)) errors_.invalid(FieldPath(path), now, "field is immutable");
    };
    if (established_) {
      same({"scope"}, "spec.scope");
      same({"names", "kind"}, "spec.names.kind");
    }
    same({"group"}, "spec.group");
    same({"names", "plural"}, "spec.names.plural");
  }

  const Schema& builtin_;
  const Json& crd_;
  const Json& spec_;
  const Json* old_;
  FieldErrors& errors_;
  CrdSchemaDemands demands_;
  bool schemas_needed_ = true, established_ = false, reviewed_ = true;
};

void validate_stored_versions(const Json& crd, FieldErrors& errors) {
  const FieldPath path("status.storedVersions");
  const Json& stored = base::array_at(crd, {"status", "storedVersions"});
  if (stored.empty()) return errors.invalid(path, Json(nullptr), "must have at least one stored version");
  std::map<std::string, size_t> left;
  for (size_t i = 0; i < stored.size(); ++i) left[stored[i].get<std::string>()] = i;
  for (const Json& version : versions_of(crd)) {
    const std::string name = text_at(version, "name");
    if (left.erase(name) == 0 && base::bool_at(version, {"storage"}))
      errors.invalid(path, stored, "must have the storage version " + name);
  }
  for (const auto& [name, i] : left) {
    errors.invalid(path.index(i), name,
                   base::cat("missing from spec.versions; ", name,
                             " was previously a storage version, and must remain in "
                             "spec.versions until a storage migration ensures no data remains persisted in ",
                             name, " and removes ", name, " from status.storedVersions"));
  }
}

void validate_approval(const Json& crd, const Json* old, FieldErrors& errors) {
  if (!is_protected_group(base::string_at(crd, {"spec", "group"}))) return;
  const auto [state, reason] = crd_approval(crd);
  if (old != nullptr && crd_approval(*old).first == state) return;
  const FieldPath path = FieldPath("metadata.annotations").key(kApproved);
  if (state == CrdApproval::kInvalid) errors.invalid(path, std::string(annotation(crd, kApproved)), reason);
  if (state == CrdApproval::kMissing) errors.required(path, reason);
}

}  // namespace

bool is_protected_group(std::string_view group) {
  return group == "k8s.io" || group.ends_with(".k8s.io") || group == "kubernetes.io" ||
         group.ends_with(".kubernetes.io");
}

std::pair<CrdApproval, std::string> crd_approval(const Json& crd) {
  const std::string value(annotation(crd, kApproved));
  constexpr const char* kSee = ", see https://github.com/kubernetes/enhancements/pull/1111";
  if (value.empty()) {
    return {CrdApproval::kMissing,
            base::cat("protected groups must have approval annotation ", go_quote(kApproved), kSee)};
  }
  if (value.compare(0, 10, "unapproved") == 0)
    return {CrdApproval::kBypassed, base::cat("not approved: ", go_quote(value))};
  if (structural::is_request_uri(value, true))
    return {CrdApproval::kApproved, base::cat("approved in ", value)};
  return {CrdApproval::kInvalid,
          base::cat("protected groups must have approval annotation ", go_quote(kApproved),
                    " with either a URL or a reason starting with \"unapproved\"", kSee)};
}

std::vector<std::string> unknown_formats(const Json& crd) {
  std::vector<std::string> out;
  const Json& versions = versions_of(crd);
  const bool once = shared_by_all(versions, "schema");
  for (const Json& version : versions) {
    const Json* schema = schema_of(version);
    if (schema == nullptr) continue;
    schema_has(*schema, [&](const Json& s) {
      const std::string format = text_at(s, "format");
      if (!format.empty() && text_at(s, "type") == "string" &&
          structural::format_of(format) == structural::Format::kNone) {
        out.push_back(format);
      }
      return false;
    });
    if (once) break;
  }
  return out;
}

void validate_crd_status(const Json& crd, FieldErrors& errors) {
  validate_names(base::object_at(crd, {"status", "acceptedNames"}), FieldPath("status.acceptedNames"),
                 errors);
}

void validate_crd(const Schema& builtin, const Json& crd, const Json* old, FieldErrors& errors) {
  const std::string name = base::cat(base::string_at(crd, {"spec", "names", "plural"}), ".",
                                     base::string_at(crd, {"spec", "group"}));
  const std::string_view own = base::string_at(crd, {"metadata", "name"});
  if (old == nullptr && !own.empty() && own != name) {
    errors.invalid(FieldPath("metadata.name"), std::string(own),
                   "must be spec.names.plural+\".\"+spec.group");
  }
  SpecChecker(builtin, crd, old, errors).check();
  validate_crd_status(crd, errors);
  validate_stored_versions(crd, errors);
  validate_approval(crd, old, errors);
  const bool kept = old != nullptr && base::bool_at(*old, {"spec", "preserveUnknownFields"});
  if (!kept && base::bool_at(crd, {"spec", "preserveUnknownFields"})) {
    errors.invalid(FieldPath("spec.preserveUnknownFields"), true,
                   "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                   "spec.versions[*].schema instead");
  }
}

}  // namespace orch::api
