#include "server/auth/reviews.h"

#include "api/field_error.h"
#include "api/go_text.h"
#include "api/names.h"
#include "api/selector.h"
#include "base/json.h"

namespace orch::server {
namespace {

constexpr std::string_view kAuthorizationGroup = "authorization.k8s.io";

const Json* non_null(const Json& spec, const char* key) {
  const auto it = spec.find(key);
  return it == spec.end() || it->is_null() ? nullptr : &*it;
}

const Json& spec_of(const Json& review) { return base::object_at(review, {"spec"}); }

constexpr std::string_view kLabelSelector = "labelSelector";

/// An operator that is not known is taken, for the sake of newer clients.
void check_requirement(const Json& requirement, bool of_labels, const api::FieldPath& path,
                       api::FieldErrors& errors) {
  const std::string_view key = base::string_at(requirement, {"key"});
  const std::string_view op = base::string_at(requirement, {"operator"});
  const Json& values = base::array_at(requirement, {"values"});
  if (!of_labels && key.empty()) errors.required(path.child("key"), "must be specified");
  if ((op == "In" || op == "NotIn") && values.empty()) {
    errors.required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
  } else if ((op == "Exists" || op == "DoesNotExist") && !values.empty()) {
    errors.forbidden(path.child("values"),
                     "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
  }
  if (!of_labels) return;
  for (const std::string& problem : api::check_qualified_name(key))
    errors.invalid(path.child("key"), std::string(key), problem);
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string value = values[i].is_string() ? values[i].get<std::string>() : "";
    for (const std::string& problem : api::check_label_value(value))
      errors.invalid(path.child("values").index(i), value, problem);
  }
}

void check_selector(const Json& attributes, const char* key, const api::FieldPath& at,
                    api::FieldErrors& errors) {
  const Json* selector = non_null(attributes, key);
  if (selector == nullptr) return;
  const std::string_view raw = base::string_at(*selector, {"rawSelector"});
  const bool requirements = !base::array_at(*selector, {"requirements"}).empty();
  const api::FieldPath path = at.child(key);
  if (!raw.empty() && requirements) {
    errors.invalid(path.child("rawSelector"), std::string(raw),
                   "may not specified at the same time as requirements");
  } else if (raw.empty() && !requirements) {
    errors.required(
        path.child("requirements"),
        base::cat("when ", path.text(), " is specified, requirements or rawSelector is required"));
  }
  size_t i = 0;
  for (const Json& one : base::array_at(*selector, {"requirements"}))
    check_requirement(one, key == kLabelSelector, path.child("requirements").index(i++), errors);
}

void check_attributes(const Json& spec, api::FieldErrors& errors) {
  const api::FieldPath at("spec");
  const Json* resource = non_null(spec, "resourceAttributes");
  const Json* other = non_null(spec, "nonResourceAttributes");
  if (resource != nullptr && other != nullptr) {
    errors.invalid(at.child("nonResourceAttributes"), *other,
                   "cannot be specified in combination with resourceAttributes");
  }
  if (resource == nullptr && other == nullptr) {
    errors.invalid(at.child("resourceAttributes"), Json(),
                   "exactly one of nonResourceAttributes or resourceAttributes must be specified");
  }
  if (resource != nullptr) {
    check_selector(*resource, "fieldSelector", at.child("resourceAttributes"), errors);
    check_selector(*resource, "labelSelector", at.child("resourceAttributes"), errors);
  }
}

void check_subject(const Json& spec, api::FieldErrors& errors) {
  if (base::string_at(spec, {"user"}).empty() && base::array_at(spec, {"groups"}).empty()) {
    errors.invalid(api::FieldPath("spec.user"), "", "at least one of user or group must be specified");
  }
}

/// What stands in messages of the binary encoding where nothing was said.
bool is_zero(const Json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (value.is_number()) return value.get<double>() == 0;
  if (value.is_boolean()) return !value.get<bool>();
  return value.empty();
}

/// Reviews are never stored: their metadata says nothing, but for what the server adds by itself.
void check_metadata(const Json& review, bool namespaced, api::FieldErrors& errors) {
  for (const auto& [key, value] : base::object_at(review, {"metadata"}).items()) {
    const bool harmless =
        key == "managedFields" || key == "creationTimestamp" || (namespaced && key == "namespace");
    if (harmless || is_zero(value)) continue;
    errors.invalid(api::FieldPath("metadata"), review["metadata"],
                   namespaced ? "must be empty except for namespace" : "must be empty");
    return;
  }
}

UserInfo subject_of(const Json& spec) {
  UserInfo user;
  user.name = base::string_at(spec, {"user"});
  user.uid = base::string_at(spec, {"uid"});
  for (const Json& g : base::array_at(spec, {"groups"})) {
    if (g.is_string()) user.groups.push_back(g.get<std::string>());
  }
  for (const auto& [key, values] : base::object_at(spec, {"extra"}).items()) {
    if (!values.is_array()) continue;
    for (const Json& v : values) {
      if (v.is_string()) user.extra[key].push_back(v.get<std::string>());
    }
  }
  return user;
}

/// The selector as clients would send it; of requirements only equality can be written in that form.
std::string field_selector_of(const Json& resource) {
  const std::string_view raw = base::string_at(resource, {"fieldSelector", "rawSelector"});
  if (!raw.empty()) return std::string(raw);
  std::string text;
  for (const Json& r : base::array_at(resource, {"fieldSelector", "requirements"})) {
    const Json& values = base::array_at(r, {"values"});
    const std::string_view op = base::string_at(r, {"operator"});
    if (values.size() != 1 || !values[0].is_string() || (op != "In" && op != "NotIn")) continue;
    if (!text.empty()) text += ',';
    text += base::cat(base::string_at(r, {"key"}),
                      op == "In" ? "=" : "!=", values[0].get_ref<const std::string&>());
  }
  return text;
}

Attributes attributes_of(const Json& spec, const UserInfo& user) {
  Attributes a;
  a.user = &user;
  if (const Json* resource = non_null(spec, "resourceAttributes")) {
    a.resource_request = true;
    a.verb = base::string_at(*resource, {"verb"});
    a.ns = base::string_at(*resource, {"namespace"});
    a.group = base::string_at(*resource, {"group"});
    a.version = base::string_at(*resource, {"version"}, "*");
    if (a.version.empty()) a.version = "*";
    a.resource = base::string_at(*resource, {"resource"});
    a.subresource = base::string_at(*resource, {"subresource"});
    a.name = base::string_at(*resource, {"name"});
    a.field_selector = field_selector_of(*resource);
  } else if (const Json* other = non_null(spec, "nonResourceAttributes")) {
    a.path = base::string_at(*other, {"path"});
    a.verb = base::string_at(*other, {"verb"});
  }
  return a;
}

/// How much of a selector the authorizers could be told: requirements that say nothing they know are left
/// out, which only makes the question a wider one.
struct Understood {
  size_t kept = 0;
  bool all = true;
};

Understood understood_of(const Json& resource, std::string_view key) {
  Understood out;
  const Json& selector = base::object_at(resource, {key});
  const std::string_view raw = base::string_at(selector, {"rawSelector"});
  if (!raw.empty()) {
    out.all =
        key == kLabelSelector ? api::LabelSelector::parse(raw).ok() : api::FieldSelector::parse(raw).ok();
    return out;
  }
  for (const Json& one : base::array_at(selector, {"requirements"})) {
    const std::string_view op = base::string_at(one, {"operator"});
    const bool compares = op == "In" || op == "NotIn";
    const bool known = key == kLabelSelector ? compares || op == "Exists" || op == "DoesNotExist"
                                             : compares && base::array_at(one, {"values"}).size() == 1;
    if (known) {
      ++out.kept;
    } else {
      out.all = false;
    }
  }
  return out;
}

std::string evaluation_error(const Json& spec, std::string_view error) {
  std::string out(error);
  const Json* resource = non_null(spec, "resourceAttributes");
  for (const std::string_view key : {std::string_view("fieldSelector"), kLabelSelector}) {
    if (resource == nullptr) continue;
    const Understood understood = understood_of(*resource, key);
    if (understood.all) continue;
    out += base::cat(out.empty() ? "" : "; ", "spec.resourceAttributes.", key,
                     understood.kept > 0 ? " partially" : "", " ignored due to parse error");
  }
  return out;
}

Json answered(const Json& review, const UserInfo& user, Authorizer& authorizer) {
  const Verdict verdict = authorizer.authorize(attributes_of(spec_of(review), user));
  Json out = review;
  Json status = {{"allowed", verdict.decision == Decision::kAllow}};
  if (verdict.decision == Decision::kDeny) status["denied"] = true;
  if (!verdict.reason.empty()) status["reason"] = verdict.reason;
  if (std::string error = evaluation_error(spec_of(review), verdict.error); !error.empty())
    status["evaluationError"] = std::move(error);
  out["status"] = std::move(status);
  return out;
}

base::Status bad_request(std::string message) { return {base::Code::kBadRequest, std::move(message)}; }

}  // namespace

base::Result<Json> review_subject_access(const Json& review, Authorizer& authorizer) {
  api::FieldErrors errors;
  check_attributes(spec_of(review), errors);
  check_subject(spec_of(review), errors);
  check_metadata(review, false, errors);
  if (!errors.empty()) return errors.to_status(kAuthorizationGroup, {}, "");
  return answered(review, subject_of(spec_of(review)), authorizer);
}

base::Result<Json> review_local_subject_access(const Json& review, std::string_view ns,
                                               Authorizer& authorizer) {
  api::FieldErrors errors;
  const Json& spec = spec_of(review);
  check_attributes(spec, errors);
  check_subject(spec, errors);
  check_metadata(review, true, errors);
  const std::string_view own = base::string_at(review, {"metadata", "namespace"});
  if (const Json* resource = non_null(spec, "resourceAttributes")) {
    const std::string_view asked = base::string_at(*resource, {"namespace"});
    if (asked != own) {
      errors.invalid(api::FieldPath("spec.resourceAttributes.namespace"), std::string(asked),
                     "must match metadata.namespace");
    }
  }
  if (const Json* other = non_null(spec, "nonResourceAttributes")) {
    errors.invalid(api::FieldPath("spec.nonResourceAttributes"), *other,
                   "disallowed on this kind of request");
  }
  if (!errors.empty()) return errors.to_status(kAuthorizationGroup, {}, "");
  if (ns.empty()) return bad_request("namespace is required on this type: ");
  if (ns != own)
    return bad_request(base::cat("spec.resourceAttributes.namespace must match namespace: ", ns));
  return answered(review, subject_of(spec), authorizer);
}

base::Result<Json> review_self_subject_access(const Json& review, const UserInfo& user,
                                              Authorizer& authorizer) {
  api::FieldErrors errors;
  check_attributes(spec_of(review), errors);
  check_metadata(review, false, errors);
  if (!errors.empty()) return errors.to_status(kAuthorizationGroup, {}, "");
  return answered(review, user, authorizer);
}

base::Result<Json> review_self_subject_rules(const Json& review, const UserInfo& user,
                                             const RbacAuthorizer& rbac) {
  const std::string_view ns = base::string_at(review, {"spec", "namespace"});
  if (ns.empty()) return bad_request("no namespace on request");
  RbacAuthorizer::HeldRules held = rbac.rules_for(user, ns);
  Json resource_rules = Json::array();
  Json other_rules = Json::array();
  for (const PolicyRule& rule : held.rules) {
    if (!rule.resources.empty()) {
      Json entry = {{"verbs", rule.verbs}, {"apiGroups", rule.api_groups}, {"resources", rule.resources}};
      if (!rule.resource_names.empty()) entry["resourceNames"] = rule.resource_names;
      resource_rules.push_back(std::move(entry));
    }
    if (!rule.non_resource_urls.empty()) {
      other_rules.push_back({{"verbs", rule.verbs}, {"nonResourceURLs", rule.non_resource_urls}});
    }
  }
  const bool node = node_identity(user).has_value();
  std::string error = std::move(held.errors);
  if (node) {
    const std::string_view text = "node authorizer does not support user rule resolution";
    error = error.empty() ? std::string(text) : base::cat("[", text, ", ", error, "]");
  }
  Json out = review;
  out["spec"] = Json::object();
  out["status"] = {{"resourceRules", std::move(resource_rules)},
                   {"nonResourceRules", std::move(other_rules)},
                   {"incomplete", node}};
  if (!error.empty()) out["status"]["evaluationError"] = error;
  return out;
}

base::Result<Json> review_token(const Json& review, Authenticator& authenticator,
                                const std::vector<std::string>& api_audiences) {
  const std::string token(base::string_at(review, {"spec", "token"}));
  if (token.empty()) return bad_request("token is required for TokenReview in authentication");
  std::vector<std::string> audiences;
  for (const Json& a : base::array_at(review, {"spec", "audiences"})) {
    if (a.is_string()) audiences.push_back(a.get<std::string>());
  }
  if (audiences.empty()) audiences = api_audiences;
  const base::Result<std::optional<TokenUser>> user = authenticator.authenticate_token(token, audiences);
  Json out = review;
  // What a client sends of the status stays where the answer says nothing else.
  Json status = base::object_at(review, {"status"});
  if (!status.contains("user")) status["user"] = Json::object();
  status.erase("authenticated");
  if (!user.ok()) {
    status["error"] = user.error().message();
  } else if (user->has_value()) {
    status["authenticated"] = true;
    status["user"] = user_to_json((*user)->user);
    if (!(*user)->audiences.empty()) status["audiences"] = (*user)->audiences;
  }
  out["status"] = std::move(status);
  return out;
}

Json review_self_subject(const Json& review, const UserInfo& user, base::WallTime now) {
  Json out = review;
  out["metadata"] = {{"creationTimestamp", base::format_time(now)}};
  out["status"] = {{"userInfo", user_to_json(user)}};
  return out;
}

}  // namespace orch::server
