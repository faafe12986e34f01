// admissionregistration.k8s.io/v1: MutatingWebhookConfiguration and ValidatingWebhookConfiguration
// (pkg/apis/admissionregistration/validation).
#include <set>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/admission_rules.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/match_conditions.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "api/resources/webhook_validation.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char* kGroup = "admissionregistration.k8s.io";
constexpr int64_t kMaxTimeout = 30;

using Names = std::vector<std::string>;

/// What an update need not put right because it was so before.
struct Options {
  bool check_conditions = true;
  bool no_side_effects = true;
  bool known_version = true;
  bool unique_names = true;
  bool allow_invalid_values = false;
};

bool is_review_version(std::string_view version) { return version == "v1" || version == "v1beta1"; }

void validate_review_versions(const Json& versions, bool known, const FieldPath& path, FieldErrors& errors) {
  if (versions.empty()) {
    errors.required(path, "must specify one of v1, v1beta1");
    return;
  }
  std::set<std::string_view> seen;
  bool accepted = false;
  for (size_t i = 0; i < versions.size(); ++i) {
    const std::string_view version = text(versions[i]);
    if (!seen.insert(version).second) {
      add_invalid(errors, path.index(i), version, "duplicate version");
      continue;
    }
    add_problems(errors, path.index(i), version, check_dns1035_label(version));
    accepted = accepted || is_review_version(version);
  }
  if (known && !accepted) errors.invalid(path, versions, "must include at least one of v1, v1beta1");
}

void validate_hook(const Json& hook, bool mutating, const Options& options, const FieldPath& path,
                   FieldErrors& errors) {
  validate_full_name(text_of(hook, "name"), path.child("name"), errors);
  size_t i = 0;
  for (const Json& rule : list_of(hook, "rules"))
    validate_admission_rule(rule, path.child("rules").index(i++), errors);
  validate_one_of(hook, "failurePolicy", {"Fail", "Ignore"}, path, errors);
  validate_one_of(hook, "matchPolicy", {"Equivalent", "Exact"}, path, errors);
  const Names effects = options.no_side_effects ? Names{"None", "NoneOnDryRun"}
                                                : Names{"None", "NoneOnDryRun", "Some", "Unknown"};
  if (!has(hook, "sideEffects"))
    errors.required(path.child("sideEffects"), "must specify one of " + join(effects, ", "));
  validate_one_of(hook, "sideEffects", effects, path, errors);
  if (has(hook, "timeoutSeconds")) {
    const int64_t timeout = number_of(hook, "timeoutSeconds");
    if (timeout > kMaxTimeout || timeout < 1) {
      errors.invalid(path.child("timeoutSeconds"), timeout,
                     "the timeout value must be between 1 and 30 seconds");
    }
  }
  for (const char* selector : {"namespaceSelector", "objectSelector"}) {
    validate_label_selector(member_of(hook, selector), path.child(selector), errors,
                            {options.allow_invalid_values});
  }
  if (mutating) validate_one_of(hook, "reinvocationPolicy", {"IfNeeded", "Never"}, path, errors);
  validate_webhook_client(map_of(hook, "clientConfig"), path.child("clientConfig"), errors);
  if (options.check_conditions) {
    validate_match_conditions(list_of(hook, "matchConditions"), path.child("matchConditions"), errors);
  }
  validate_review_versions(list_of(hook, "admissionReviewVersions"), options.known_version,
                           path.child("admissionReviewVersions"), errors);
}

void validate(const Json& object, bool mutating, const Options& options, FieldErrors& errors) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (const Json& hook : list_of(object, "webhooks")) {
    const FieldPath path = FieldPath("webhooks").index(i++);
    validate_hook(hook, mutating, options, path, errors);
    const std::string_view name = text_of(hook, "name");
    if (options.unique_names && !name.empty() && !names.insert(name).second)
      errors.duplicate(path.child("name"), Json(name));
  }
}

bool same_conditions(const Json& hooks, const Json& old) {
  if (hooks.size() != old.size()) return false;
  for (size_t i = 0; i < old.size(); ++i) {
    if (list_of(hooks[i], "matchConditions") != list_of(old[i], "matchConditions")) return false;
  }
  return true;
}

/// What was stored under older rules may stay as it is.
Options options_of_update(const Json& object, const Json& old) {
  Options options;
  options.check_conditions = !same_conditions(list_of(object, "webhooks"), list_of(old, "webhooks"));
  std::set<std::string_view> names;
  for (const Json& hook : list_of(old, "webhooks")) {
    const std::string_view effects = text_of(hook, "sideEffects");
    if (effects != "None" && effects != "NoneOnDryRun") options.no_side_effects = false;
    if (!names.insert(text_of(hook, "name")).second) options.unique_names = false;
    const Json& versions = list_of(hook, "admissionReviewVersions");
    bool known = versions.empty();
    for (const Json& version : versions) known = known || is_review_version(text(version));
    if (!known) options.known_version = false;
    for (const char* selector : {"namespaceSelector", "objectSelector"}) {
      if (has_invalid_selector_value(member_of(hook, selector))) options.allow_invalid_values = true;
    }
  }
  return options;
}

void set_defaults(Json& object, bool mutating) {
  each(object, "webhooks", [mutating](Json& hook) {
    default_pointer(hook, "failurePolicy", "Fail");
    default_pointer(hook, "matchPolicy", "Equivalent");
    default_pointer(hook, "namespaceSelector", Json::object());
    default_pointer(hook, "objectSelector", Json::object());
    default_pointer(hook, "timeoutSeconds", 10);
    if (mutating) default_pointer(hook, "reinvocationPolicy", "Never");
    each(hook, "rules", [](Json& rule) { default_pointer(rule, "scope", "*"); });
    Json* client = object_in(hook, "clientConfig");
    Json* service = client != nullptr ? object_in(*client, "service") : nullptr;
    if (service != nullptr) default_pointer(*service, "port", 443);
  });
}

Strategy make(const char* kind, bool mutating) {
  Strategy s = traits_of(kGroup, kind);
  s.set_defaults = [mutating](Json& object) { set_defaults(object, mutating); };
  s.generation_changed = [](const Json& object, const Json& old) {
    return member_of(object, "webhooks") != member_of(old, "webhooks");  // also by an empty list
  };
  s.validate = [mutating](const Json& object, FieldErrors& errors) {
    validate(object, mutating, {}, errors);
  };
  s.validate_update = [mutating](const Json& object, const Json& old, FieldErrors& errors) {
    validate(object, mutating, options_of_update(object, old), errors);
  };
  return s;
}

}  // namespace

Strategy mutating_webhook_strategy() { return make("MutatingWebhookConfiguration", true); }
Strategy validating_webhook_strategy() { return make("ValidatingWebhookConfiguration", false); }

}  // namespace orch::api
