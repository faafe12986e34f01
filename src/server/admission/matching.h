// Which requests a webhook or an admission policy is for, and how it sees their objects
// (k8s.io/apiserver/pkg/admission/plugin/webhook/predicates, .../policy/matching).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/selector.h"
#include "base/json.h"
#include "base/status.h"
#include "server/admission/admission.h"
#include "server/auth/lookup.h"

namespace orch::server {

/// admissionregistration.k8s.io/v1 RuleWithOperations and NamedRuleWithOperations.
struct HookRule {
  std::vector<std::string> operations, groups, versions, resources;
  std::string scope = "*";
  std::vector<std::string> names = {};  // resourceNames, of policies alone; empty: any
};

/// A list of them.
std::vector<HookRule> parse_hook_rules(const Json& rules);

/// What a rule is held against.
struct RuleTarget {
  std::string_view operation;  // "CREATE"
  std::string_view group, version, resource, subresource;
  std::string_view ns;  // that of a Namespace is its name
};
bool rule_matches(const HookRule& rule, const RuleTarget& target);

std::string_view operation_name(AdmissionRequest::Operation operation);
/// Of the request; a Namespace is in itself.
std::string_view request_namespace(const AdmissionRequest& request);
RuleTarget rule_target(const AdmissionRequest& request, const api::Resource& as);

/// A selector that could be read, or why it could not.
using HookSelector = base::Result<api::LabelSelector>;
/// The selector at this key; everything where there is none.
HookSelector parse_hook_selector(const Json& parent, const char* key);

/// The namespace of the request has these labels; always so for what is in no namespace. kNotFound when the
/// namespace is gone, kInternal for a selector that is none.
base::Result<bool> matches_namespace(const HookSelector& selector, const AdmissionRequest& request,
                                     const Lookup& lookup);
/// The object or the old object has these labels.
base::Result<bool> matches_object(const HookSelector& selector, const AdmissionRequest& request);

/// Rows that objects of the requested one can be shown as, in order.
std::vector<api::ResourcePtr> equivalent_rows(const AdmissionRequest& request,
                                              const api::ResourceTable& table);

/// The version in which a request is wanted.
struct RuleMatch {
  api::ResourcePtr row;  // null: the one that was asked for
  const api::Resource& of(const AdmissionRequest& request) const {
    return row != nullptr ? *row : request.requested();
  }
};
/// By rules alone: nothing, or in which version. `equivalents`: see equivalent_rows; used with matchPolicy
/// Equivalent only.
std::optional<RuleMatch> match_rules(const std::vector<HookRule>& rules, bool equivalent,
                                     const AdmissionRequest& request,
                                     const std::vector<api::ResourcePtr>& equivalents);

/// Object and old object as one webhook or policy sees them; null where there is none.
struct ShownRequest {
  const api::Resource* row = nullptr;
  Json object, old_object;
};
base::Result<ShownRequest> show_request(const AdmissionRequest& request, const api::Resource& row);

/// kInternal as Kubernetes wraps an error: "Internal error occurred: …", with its cause.
base::Status internal_error(const std::string& text);

}  // namespace orch::server
