// ValidatingAdmissionPolicies and their bindings as values: whether a request is for them, and with which
// params (k8s.io/apiserver/pkg/admission/plugin/policy/generic).
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/cel/policy.h"
#include "api/object.h"
#include "server/admission/matching.h"

namespace orch::server {

/// matchConstraints of a policy, matchResources of a binding.
struct MatchResources {
  std::vector<HookRule> rules, excluded;
  bool equivalent = true;  // matchPolicy
  HookSelector namespaces = api::LabelSelector(), objects = api::LabelSelector();
};
/// In which version the request is wanted, nothing when it is not, or why that cannot be told.
base::Result<std::optional<RuleMatch>> matches(const MatchResources& resources,
                                               const AdmissionRequest& request,
                                               const std::vector<api::ResourcePtr>& equivalents,
                                               const Lookup& lookup);

/// Immutable, thread-safe.
class AdmissionPolicy {
 public:
  explicit AdmissionPolicy(const api::Object& policy);

  std::string name, uid;
  int64_t generation = 0;
  MatchResources constraints;
  bool ignore_failures = false;  // failurePolicy
  /// paramKind; both empty: it has none.
  std::string param_api_version, param_kind;
  bool has_params() const { return !param_kind.empty(); }
  /// Compiled when a request first matches, once.
  const api::cel::PolicyExpressions& expressions() const;

 private:
  const Json spec_;
  mutable std::once_flag once_;
  mutable std::shared_ptr<const api::cel::PolicyExpressions> expressions_;
};

/// paramRef.
struct ParamRef {
  std::string name, ns;
  std::optional<HookSelector> selector;
  bool deny_when_missing = false;  // parameterNotFoundAction
};

struct AdmissionBinding {
  explicit AdmissionBinding(const api::Object& binding);
  std::string name, policy;
  std::vector<std::string> actions;         // validationActions
  std::optional<MatchResources> resources;  // nothing: whatever the policy matches
  std::optional<ParamRef> params;
};

/// A policy and the bindings that put it in force.
struct BoundPolicy {
  std::shared_ptr<const AdmissionPolicy> policy;
  std::vector<std::shared_ptr<const AdmissionBinding>> bindings;  // by name
};

/// The policies in force, by name. Immutable.
struct PolicySet {
  std::vector<BoundPolicy> policies;
  /// What their rules name, without subresources; equivalent resources are named alike.
  std::set<std::string, std::less<>> plurals;
  bool any = false;  // a rule names all
  bool concern(std::string_view plural) const { return any || plurals.contains(plural); }
};

/// Follows policies and bindings. Thread-safe.
class PolicySource {
 public:
  /// One was made, changed (both) or deleted (`after` is null).
  void on_policy(const api::ObjectPtr& before, const api::ObjectPtr& after);
  void on_binding(const api::ObjectPtr& before, const api::ObjectPtr& after);
  /// Never null.
  std::shared_ptr<const PolicySet> policies() const;

 private:
  void publish();  // under mutex_

  mutable std::shared_mutex mutex_;
  // Under mutex_:
  std::map<std::string, std::shared_ptr<const AdmissionPolicy>, std::less<>> policies_;
  std::map<std::string, std::shared_ptr<const AdmissionBinding>, std::less<>> bindings_;
  std::shared_ptr<const PolicySet> set_ = std::make_shared<PolicySet>();
};

/// Where params are looked for.
struct ParamSource {
  const Lookup& lookup;
  const api::ResourceTable& table;
};
/// The kind of a policy's params as it is served; kNotFound worded as Kubernetes' configuration errors are.
base::Result<api::ResourcePtr> find_param_kind(const AdmissionPolicy& policy,
                                               const api::ResourceTable& table);
/// What the policy is to be evaluated with, one after another: null JSON for no params; nothing at all when
/// there are none and that is allowed. kUnknown says why it cannot be done.
base::Result<std::vector<Json>> collect_params(const AdmissionPolicy& policy, const AdmissionBinding& binding,
                                               const api::Resource* kind, const AdmissionRequest& request,
                                               const ParamSource& source);

/// Kinds whose requests policies never see: they would lock everybody out.
bool is_beyond_policies(const AdmissionRequest& request);

}  // namespace orch::server
