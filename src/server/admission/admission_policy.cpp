#include "server/admission/admission_policy.h"

#include <algorithm>

#include "base/json.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

MatchResources parse_match(const Json& tree) {
  MatchResources out;
  out.rules = parse_hook_rules(base::array_at(tree, {"resourceRules"}));
  out.excluded = parse_hook_rules(base::array_at(tree, {"excludeResourceRules"}));
  out.equivalent = base::string_at(tree, {"matchPolicy"}) == "Equivalent";
  out.namespaces = parse_hook_selector(tree, "namespaceSelector");
  out.objects = parse_hook_selector(tree, "objectSelector");
  return out;
}

/// The member if it is an object.
const Json* object_member(const Json& tree, const char* key) {
  const Json* member = base::find_path(tree, {key});
  return member != nullptr && member->is_object() ? member : nullptr;
}

Json spec_of(const api::Object& object) {
  Json tree = object.tree();
  return tree.contains("spec") ? std::move(tree["spec"]) : Json::object();
}

Status problem(std::string text) { return Status(Code::kUnknown, std::move(text)); }

}  // namespace

Result<std::optional<RuleMatch>> matches(const MatchResources& resources, const AdmissionRequest& request,
                                         const std::vector<api::ResourcePtr>& equivalents,
                                         const Lookup& lookup) {
  const auto in_namespace = matches_namespace(resources.namespaces, request, lookup);
  if (in_namespace.ok() && !*in_namespace) return std::optional<RuleMatch>();
  const auto selected = matches_object(resources.objects, request);
  if (selected.ok() && !*selected) return std::optional<RuleMatch>();
  if (match_rules(resources.excluded, resources.equivalent, request, equivalents))
    return std::optional<RuleMatch>();
  std::optional<RuleMatch> match = RuleMatch{};
  if (!resources.rules.empty())
    match = match_rules(resources.rules, resources.equivalent, request, equivalents);
  if (!match) return match;
  // It would apply: only then does it matter what could not be told.
  if (!in_namespace.ok()) return in_namespace.error();
  if (!selected.ok()) return selected.error();
  return match;
}

AdmissionPolicy::AdmissionPolicy(const api::Object& policy)
    : name(policy.name()), uid(policy.uid()), generation(policy.generation()), spec_(spec_of(policy)) {
  constraints = parse_match(base::object_at(spec_, {"matchConstraints"}));
  ignore_failures = base::string_at(spec_, {"failurePolicy"}) == "Ignore";
  param_api_version = base::string_at(spec_, {"paramKind", "apiVersion"});
  param_kind = base::string_at(spec_, {"paramKind", "kind"});
}

const api::cel::PolicyExpressions& AdmissionPolicy::expressions() const {
  std::call_once(once_, [this] { expressions_ = api::cel::PolicyExpressions::compile(spec_); });
  return *expressions_;
}

AdmissionBinding::AdmissionBinding(const api::Object& binding) : name(binding.name()) {
  const Json spec = spec_of(binding);
  policy = base::string_at(spec, {"policyName"});
  for (const Json& action : base::array_at(spec, {"validationActions"})) {
    if (action.is_string()) actions.push_back(action.get<std::string>());
  }
  if (const Json* match = object_member(spec, "matchResources")) resources = parse_match(*match);
  if (const Json* ref = object_member(spec, "paramRef")) {
    params.emplace();
    params->name = base::string_at(*ref, {"name"});
    params->ns = base::string_at(*ref, {"namespace"});
    params->deny_when_missing = base::string_at(*ref, {"parameterNotFoundAction"}) == "Deny";
    if (object_member(*ref, "selector") != nullptr) params->selector = parse_hook_selector(*ref, "selector");
  }
}

void PolicySource::on_policy(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  std::shared_ptr<const AdmissionPolicy> parsed;
  if (after != nullptr) {
    {
      // What was compiled stays as long as the spec does: most changes are of the status.
      std::shared_lock lock(mutex_);
      const auto known = policies_.find(after->name());
      if (known != policies_.end() && known->second->uid == after->uid() &&
          known->second->generation == after->generation()) {
        return;
      }
    }
    parsed = std::make_shared<const AdmissionPolicy>(*after);
  }
  const std::string name(after != nullptr ? after->name() : before->name());
  std::unique_lock lock(mutex_);
  if (parsed == nullptr) {
    policies_.erase(name);
  } else {
    policies_[name] = std::move(parsed);
  }
  publish();
}

void PolicySource::on_binding(const api::ObjectPtr& before, const api::ObjectPtr& after) {
  const std::string name(after != nullptr ? after->name() : before->name());
  std::shared_ptr<const AdmissionBinding> parsed;
  if (after != nullptr) parsed = std::make_shared<const AdmissionBinding>(*after);
  std::unique_lock lock(mutex_);
  if (parsed == nullptr) {
    bindings_.erase(name);
  } else {
    bindings_[name] = std::move(parsed);
  }
  publish();
}

void PolicySource::publish() {
  std::map<std::string_view, BoundPolicy> bound;
  for (const auto& [name, binding] : bindings_) {
    const auto policy = policies_.find(binding->policy);
    if (policy == policies_.end()) continue;
    BoundPolicy& one = bound[policy->first];
    one.policy = policy->second;
    one.bindings.push_back(binding);
  }
  auto set = std::make_shared<PolicySet>();
  for (auto& [name, one] : bound) {
    set->any = set->any || one.policy->constraints.rules.empty();
    for (const HookRule& rule : one.policy->constraints.rules) {
      for (const std::string& resource : rule.resources) {
        const std::string plural = resource.substr(0, resource.find('/'));
        set->any = set->any || plural == "*";
        set->plurals.insert(plural);
      }
    }
    set->policies.push_back(std::move(one));
  }
  set_ = std::move(set);
}

std::shared_ptr<const PolicySet> PolicySource::policies() const {
  std::shared_lock lock(mutex_);
  return set_;
}

Result<api::ResourcePtr> find_param_kind(const AdmissionPolicy& policy, const api::ResourceTable& table) {
  const auto [group, version] = api::split_api_version(policy.param_api_version);
  api::ResourcePtr row = table.find_kind(group, version, policy.param_kind);
  if (row != nullptr && row->stored && row->served) return row;
  return Status(Code::kNotFound, base::cat("failed to find resource referenced by paramKind: '", group, "/",
                                           version, ", Kind=", policy.param_kind, "'"));
}

namespace {

/// The stored object in the version of the policy's params.
Result<Json> show_param(const api::Object& object, const api::Resource& kind, const AdmissionRequest& request,
                        const api::ResourceTable& table) {
  Json tree = object.tree();
  const api::ResourcePtr stored = table.storage(kind.group, kind.plural);
  if (stored == nullptr || request.versions == nullptr ||
      (stored->group == kind.group && stored->version == kind.version)) {
    return tree;
  }
  return request.versions->show(tree, *stored, kind);
}

}  // namespace

Result<std::vector<Json>> collect_params(const AdmissionPolicy& policy, const AdmissionBinding& binding,
                                         const api::Resource* kind, const AdmissionRequest& request,
                                         const ParamSource& source) {
  std::vector<Json> out;
  if (!policy.has_params() || kind == nullptr || !binding.params) {
    out.emplace_back();
    return out;
  }
  const ParamRef& ref = *binding.params;
  std::string_view ns;
  if (kind->namespaced) {
    ns = ref.ns.empty() ? request_namespace(request) : std::string_view(ref.ns);
    if (ns.empty()) {
      return problem(
          "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
    }
  } else if (!ref.ns.empty()) {
    return problem("paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
  }
  const api::ResourcePtr stored = source.table.storage(kind->group, kind->plural);
  const std::string resource = (stored != nullptr ? *stored : *kind).group_resource();
  std::vector<api::ObjectPtr> found;
  if (!ref.name.empty()) {
    if (ref.selector) return problem("paramRef.name and paramRef.selector are mutually exclusive");
    if (auto one = source.lookup.get(resource, ns, ref.name)) found.push_back(std::move(one));
  } else if (ref.selector) {
    if (!ref.selector->ok()) return problem(ref.selector->error().message());
    for (auto& one : source.lookup.list(resource, ns)) {
      if ((*ref.selector)->matches(*one)) found.push_back(std::move(one));
    }
  } else {
    return problem("one of name or selector must be provided");
  }
  if (found.empty() && ref.deny_when_missing)
    return problem("no params found for policy binding with `Deny` parameterNotFoundAction");
  for (const api::ObjectPtr& object : found) {
    auto shown = show_param(*object, *kind, request, source.table);
    if (!shown.ok()) return problem(shown.error().message());
    out.push_back(std::move(*shown));
  }
  return out;
}

bool is_beyond_policies(const AdmissionRequest& request) {
  static constexpr std::pair<std::string_view, std::string_view> kBeyond[] = {
      {"admissionregistration.k8s.io", "validatingadmissionpolicies"},
      {"admissionregistration.k8s.io", "validatingadmissionpolicybindings"},
      {"admissionregistration.k8s.io", "mutatingadmissionpolicies"},
      {"admissionregistration.k8s.io", "mutatingadmissionpolicybindings"},
      {"authentication.k8s.io", "selfsubjectreviews"},
      {"authentication.k8s.io", "tokenreviews"},
      {"authorization.k8s.io", "localsubjectaccessreviews"},
      {"authorization.k8s.io", "selfsubjectaccessreviews"},
      {"authorization.k8s.io", "selfsubjectrulesreviews"},
      {"authorization.k8s.io", "subjectaccessreviews"},
  };
  const api::Resource& row = *request.resource;
  return std::any_of(std::begin(kBeyond), std::end(kBeyond),
                     [&](const auto& one) { return one.first == row.group && one.second == row.plural; });
}

}  // namespace orch::server
