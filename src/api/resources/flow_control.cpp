// flowcontrol.apiserver.k8s.io/v1 FlowSchema and PriorityLevelConfiguration.
#include <algorithm>
#include <cmath>

#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/flow_objects.h"
#include "api/resources/object_meta.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr int64_t kMaxPrecedence = 10000;
constexpr int64_t kMaxQueues = 10'000'000;
constexpr int kMaxHashBits = 60;
const std::vector<std::string> kVerbs = {"create", "delete", "deletecollection", "get",  "list",
                                         "patch",  "proxy",  "update",           "watch"};

// --- FlowSchema

bool has_wildcard(const Json& list) { return contains(list, "*"); }

void validate_verbs(const Json& rule, const FieldPath& path, FieldErrors& errors) {
  const Json& verbs = list_of(rule, "verbs");
  const FieldPath own = path.child("verbs");
  if (verbs.empty()) return errors.required(own, "verbs must contain at least one value");
  if (has_wildcard(verbs)) {
    if (verbs.size() > 1) errors.invalid(own, verbs, "if '*' is present, must not specify other verbs");
    return;
  }
  const bool known = std::all_of(verbs.begin(), verbs.end(), [](const Json& verb) {
    return std::find(kVerbs.begin(), kVerbs.end(), text(verb)) != kVerbs.end();
  });
  if (known) return;
  std::string supported;
  for (const std::string& verb : kVerbs)
    supported += base::cat(supported.empty() ? "" : ", ", '"', verb, '"');
  add_cause(errors, "FieldValueNotSupported", own,
            base::cat("Unsupported value: ", base::dump_json(verbs), ": supported values: ", supported));
}

/// A list that has something in it, and nothing besides "*".
void validate_wild(const Json& rule, const char* key, const FieldPath& path, std::string_view missing,
                   std::string_view what, FieldErrors& errors) {
  const Json& list = list_of(rule, key);
  if (list.empty()) {
    errors.required(path.child(key), missing);
  } else if (list.size() > 1 && has_wildcard(list)) {
    errors.invalid(path.child(key), list, base::cat("if '*' is present, must not specify other ", what));
  }
}

void validate_resource_rule(const Json& rule, const FieldPath& path, FieldErrors& errors) {
  validate_verbs(rule, path, errors);
  validate_wild(rule, "apiGroups", path, "resource rules must supply at least one api group", "api groups",
                errors);
  validate_wild(rule, "resources", path, "resource rules must supply at least one resource", "resources",
                errors);
  const Json& namespaces = list_of(rule, "namespaces");
  const FieldPath own = path.child("namespaces");
  if (namespaces.empty() && !flag_of(rule, "clusterScope")) {
    errors.required(own, "resource rules that are not cluster scoped must supply at least one namespace");
  } else if (has_wildcard(namespaces)) {
    if (namespaces.size() > 1)
      errors.invalid(own, namespaces, "if '*' is present, must not specify other namespaces");
  } else {
    for (size_t i = 0; i < namespaces.size(); ++i) {
      for (const std::string& problem : check_dns1123_label(text(namespaces[i])))
        errors.invalid(own.index(i), namespaces[i],
                       base::cat("each member of this list must be '*' or a DNS-1123 label; ", problem));
    }
  }
}

void validate_url(const Json& value, const FieldPath& path, FieldErrors& errors) {
  const std::string_view url = text(value);
  const auto bad = [&](std::string_view why) { errors.invalid(path, value, why); };
  if (url.empty()) return bad("must not be empty");
  if (url == "/") return;
  if (url.front() != '/') return bad("must start with slash");
  if (url.find(' ') != std::string_view::npos) return bad("must not contain white-space");
  if (url.find("//") != std::string_view::npos) return bad("must not contain double slash");
  const auto stars = std::count(url.begin(), url.end(), '*');
  if (stars > 1 || (stars == 1 && (url.size() < 2 || url.substr(url.size() - 2) != "/*")))
    return bad("wildcard can only do suffix matching");
}

void validate_path_rule(const Json& rule, const FieldPath& path, FieldErrors& errors) {
  validate_verbs(rule, path, errors);
  const Json& urls = list_of(rule, "nonResourceURLs");
  if (urls.empty() || has_wildcard(urls)) {
    return validate_wild(rule, "nonResourceURLs", path, "nonResourceURLs must contain at least one value",
                         "non-resource URLs", errors);
  }
  for (size_t i = 0; i < urls.size(); ++i)
    validate_url(urls[i], path.child("nonResourceURLs").index(i), errors);
}

void validate_service_account(const Json& account, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = text_of(account, "name"), ns = text_of(account, "namespace");
  if (name.empty()) {
    errors.required(path.child("name"));
  } else if (name != "*") {
    validate_dns1123_subdomain(name, path.child("name"), errors);
  }
  if (ns.empty())
    return errors.required(path.child("namespace"), "must specify namespace for service account");
  validate_dns1123_label(ns, path.child("namespace"), errors);
}

struct SubjectKind {
  const char* kind;
  const char* member;
};
constexpr SubjectKind kSubjects[] = {
    {"ServiceAccount", "serviceAccount"}, {"User", "user"}, {"Group", "group"}};

void validate_subject(const Json& subject, const FieldPath& path, FieldErrors& errors) {
  const std::string_view kind = text_of(subject, "kind");
  const auto* own = std::find_if(std::begin(kSubjects), std::end(kSubjects),
                                 [&](const SubjectKind& k) { return k.kind == kind; });
  if (own == std::end(kSubjects))
    return errors.not_supported(path.child("kind"), kind, {"Group", "ServiceAccount", "User"});
  const FieldPath member = path.child(own->member);
  if (!has(subject, own->member)) {
    errors.required(member, base::cat(own->member, " is required when subject kind is '", own->kind, "'"));
  } else if (kind == "ServiceAccount") {
    validate_service_account(map_of(subject, own->member), member, errors);
  } else if (!has_items(map_of(subject, own->member), "name")) {
    errors.required(member.child("name"));
  }
  for (const SubjectKind& other : {kSubjects[1], kSubjects[0], kSubjects[2]}) {
    if (other.kind != kind && has(subject, other.member))
      errors.forbidden(path.child(other.member),
                       base::cat(other.member, " is forbidden when subject kind is not '", other.kind, "'"));
  }
}

void validate_rule(const Json& rule, const FieldPath& path, FieldErrors& errors) {
  const Json& subjects = list_of(rule, "subjects");
  if (subjects.empty()) errors.required(path.child("subjects"), "subjects must contain at least one value");
  for (size_t i = 0; i < subjects.size(); ++i)
    validate_subject(subjects[i], path.child("subjects").index(i), errors);
  const Json &resources = list_of(rule, "resourceRules"), &paths = list_of(rule, "nonResourceRules");
  if (resources.empty() && paths.empty())
    errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
  for (size_t i = 0; i < resources.size(); ++i)
    validate_resource_rule(resources[i], path.child("resourceRules").index(i), errors);
  for (size_t i = 0; i < paths.size(); ++i)
    validate_path_rule(paths[i], path.child("nonResourceRules").index(i), errors);
}

/// Conditions of either kind: each type once.
void validate_status(const Json& object, FieldErrors& errors) {
  const FieldPath path = FieldPath("status").child("conditions");
  const Json& conditions = list_of(map_of(object, "status"), "conditions");
  std::vector<std::string_view> types;
  for (size_t i = 0; i < conditions.size(); ++i) {
    const std::string_view type = text_of(conditions[i], "type");
    if (std::find(types.begin(), types.end(), type) != types.end())
      errors.duplicate(path.index(i).child("type"), std::string(type));
    types.push_back(type);
    if (type.empty()) errors.required(path.index(i).child("type"));
  }
}

void validate_flow_schema(const Json& object, FieldErrors& errors) {
  const Json& spec = map_of(object, "spec");
  const FieldPath path("spec");
  const std::string_view name = name_of(object);
  const Json& precedence = member_of(spec, "matchingPrecedence");
  const FieldPath precedence_path = path.child("matchingPrecedence");
  if (number(precedence) <= 0) errors.invalid(precedence_path, precedence, "must be a positive value");
  if (number(precedence) > kMaxPrecedence)
    errors.invalid(precedence_path, precedence, base::cat("must not be greater than ", kMaxPrecedence));
  if (number(precedence) == 1 && name != "exempt")
    errors.invalid(precedence_path, precedence,
                   "only the schema named 'exempt' may have matchingPrecedence 1");
  if (has(spec, "distinguisherMethod")) {
    const std::string_view type = text_of(map_of(spec, "distinguisherMethod"), "type");
    if (type != "ByUser" && type != "ByNamespace") {
      // The whole method is shown, not the type that is meant.
      add_cause(errors, "FieldValueNotSupported", path.child("distinguisherMethod").child("type"),
                base::cat("Unsupported value: ", go_struct({{"Type", type}}),
                          ": supported values: \"ByNamespace\", \"ByUser\""));
    }
  }
  const std::string_view level = text_of(map_of(spec, "priorityLevelConfiguration"), "name");
  const FieldPath level_path = path.child("priorityLevelConfiguration").child("name");
  if (level.empty()) {
    errors.required(level_path, "must reference a priority level");
  } else {
    validate_dns1123_subdomain(level, level_path, errors);
  }
  const Json& rules = list_of(spec, "rules");
  for (size_t i = 0; i < rules.size(); ++i) validate_rule(rules[i], path.child("rules").index(i), errors);
  const Json* fixed = mandatory_flow_object(builtin_flow_schemas(), name);
  if (fixed != nullptr && !same(spec, (*fixed)["spec"]))
    errors.invalid(path, spec, base::cat("spec of '", name, "' must equal the fixed value"));
  validate_status(object, errors);
}

// --- PriorityLevelConfiguration

void validate_share(const Json& part, const FieldPath& path, FieldErrors& errors) {
  if (number_of(part, "nominalConcurrencyShares") < 0)
    errors.invalid(path.child("nominalConcurrencyShares"), member_of(part, "nominalConcurrencyShares"),
                   "must be a non-negative integer");
}

void validate_lendable(const Json& part, const FieldPath& path, FieldErrors& errors) {
  const int64_t percent = number_of(part, "lendablePercent");
  if (percent < 0 || percent > 100)
    errors.invalid(path.child("lendablePercent"), member_of(part, "lendablePercent"),
                   "must be between 0 and 100, inclusive");
}

void validate_queuing(const Json& queuing, const FieldPath& path, FieldErrors& errors) {
  const auto invalid = [&](const char* key, std::string_view why) {
    errors.invalid(path.child(key), number_of(queuing, key), why);
  };
  const int64_t queues = number_of(queuing, "queues"), hand = number_of(queuing, "handSize");
  if (number_of(queuing, "queueLengthLimit") <= 0) invalid("queueLengthLimit", "must be positive");
  if (queues <= 0) {
    invalid("queues", "must be positive");
  } else if (queues > kMaxQueues) {
    invalid("queues", base::cat("must not be greater than ", kMaxQueues));
  }
  if (hand <= 0) return invalid("handSize", "must be positive");
  if (hand > queues)
    return invalid("handSize", base::cat("should not be greater than queues (", queues, ")"));
  const int entropy =
      static_cast<int>(std::ceil(std::log2(static_cast<double>(queues)) * static_cast<double>(hand)));
  if (entropy > kMaxHashBits)
    invalid("handSize", base::cat("required entropy bits of deckSize ", queues, " and handSize ", hand,
                                  " should not be greater than ", kMaxHashBits));
}

void validate_limited(const Json& limited, const FieldPath& path, FieldErrors& errors) {
  validate_share(limited, path, errors);
  const Json& response = map_of(limited, "limitResponse");
  const FieldPath own = path.child("limitResponse");
  const std::string_view type = text_of(response, "type");
  if (type == "Reject") {
    if (has(response, "queuing"))
      errors.forbidden(own.child("queuing"), "must be nil if limited.limitResponse.type is not Limited");
  } else if (type == "Queue") {
    if (has(response, "queuing")) {
      validate_queuing(map_of(response, "queuing"), own.child("queuing"), errors);
    } else {
      errors.required(own.child("queuing"), "must not be empty if limited.limitResponse.type is Limited");
    }
  } else {
    errors.not_supported(own.child("type"), type, {"Queue", "Reject"});
  }
  validate_lendable(limited, path, errors);
  if (number_of(limited, "borrowingLimitPercent") < 0)
    errors.invalid(path.child("borrowingLimitPercent"), member_of(limited, "borrowingLimitPercent"),
                   "if specified, must be a non-negative integer");
}

void validate_fixed_level(const Json& object, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = name_of(object);
  const Json* fixed = mandatory_flow_object(builtin_priority_levels(), name);
  if (fixed == nullptr) return;
  Json have = map_of(object, "spec");
  if (name == "exempt") {
    // Shares and what is lent of them are for the administrator.
    put(have, "exempt", (*fixed)["spec"]["exempt"]);
    if (!same(have, (*fixed)["spec"]))
      errors.invalid(
          path, map_of(object, "spec"),
          base::cat("spec of '", name, "' except the 'spec.exempt' field must equal the fixed value"));
  } else if (!same(have, (*fixed)["spec"])) {
    errors.invalid(path, have, base::cat("spec of '", name, "' must equal the fixed value"));
  }
}

void validate_priority_level(const Json& object, FieldErrors& errors) {
  constexpr const char* kPreserveZero = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
  if (has(annotations_of(object), kPreserveZero))
    errors.forbidden(FieldPath("metadata").child("annotations"),
                     base::cat("annotation '", kPreserveZero, "' is forbidden"));
  const Json& spec = map_of(object, "spec");
  const FieldPath path("spec");
  const std::string_view type = text_of(spec, "type");
  if ((name_of(object) == "exempt") != (type == "Exempt"))
    errors.invalid(path.child("type"), member_of(spec, "type"),
                   "must be 'Exempt' if and only if `name` is 'exempt'");
  if (type == "Exempt") {
    if (has(spec, "limited"))
      errors.forbidden(path.child("limited"), "must be nil if the type is not Limited");
    validate_share(map_of(spec, "exempt"), path.child("exempt"), errors);
    validate_lendable(map_of(spec, "exempt"), path.child("exempt"), errors);
  } else if (type == "Limited") {
    if (has(spec, "exempt")) errors.forbidden(path.child("exempt"), "must be nil if the type is Limited");
    if (has(spec, "limited")) {
      validate_limited(map_of(spec, "limited"), path.child("limited"), errors);
    } else {
      errors.required(path.child("limited"), "must not be empty when type is Limited");
    }
  } else {
    errors.not_supported(path.child("type"), type, {"Exempt", "Limited"});
  }
  validate_fixed_level(object, path, errors);
  validate_status(object, errors);
}

void default_priority_level(Json& object) {
  Json* spec = object_in(object, "spec");
  if (spec == nullptr) return;
  if (Json* exempt = object_in(*spec, "exempt")) {
    default_pointer(*exempt, "nominalConcurrencyShares", 0);
    default_pointer(*exempt, "lendablePercent", 0);
  }
  Json* limited = object_in(*spec, "limited");
  if (limited == nullptr) return;
  default_pointer(*limited, "nominalConcurrencyShares", 30);
  default_pointer(*limited, "lendablePercent", 0);
  Json* response = object_in(*limited, "limitResponse");
  Json* queuing = response == nullptr ? nullptr : object_in(*response, "queuing");
  if (queuing == nullptr) return;
  default_number(*queuing, "handSize", 8);
  default_number(*queuing, "queues", 64);
  default_number(*queuing, "queueLengthLimit", 50);
}

Strategy common(void (*validate)(const Json&, FieldErrors&)) {
  Strategy s;
  s.has_generation = true;
  s.validate = validate;
  s.validate_update = [validate](const Json& object, const Json&, FieldErrors& errors) {
    validate(object, errors);
  };
  s.prepare_status_update = [](Json& object, const Json& old, const StrategyContext&) {
    keep_own_metadata(object, old);
  };
  s.validate_status_update = [](const Json& object, const Json&, FieldErrors& errors) {
    validate_status(object, errors);
  };
  return s;
}

}  // namespace

Strategy flow_schema_strategy() {
  Strategy s = common(validate_flow_schema);
  s.set_defaults = [](Json& object) { default_number(child(object, "spec"), "matchingPrecedence", 1000); };
  s.cells = flow_schema_cells;
  return s;
}

Strategy priority_level_strategy() {
  Strategy s = common(validate_priority_level);
  s.set_defaults = default_priority_level;
  s.cells = priority_level_cells;
  return s;
}

}  // namespace orch::api
