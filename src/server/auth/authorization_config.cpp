#include "server/auth/authorization_config.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "api/cel/cel.h"
#include "api/duration.h"
#include "api/field_error.h"
#include "api/names.h"
#include "api/yaml.h"
#include "base/json.h"

namespace orch::server {

using api::FieldErrors;
using api::FieldPath;
using base::Code;
using base::Result;
using base::Status;
namespace cel = api::cel;

namespace {

constexpr size_t kMaxConditions = 64;

struct Mode {
  const char* name;
  AuthorizerConfig::Type type;
};
constexpr Mode kModes[] = {{"AlwaysAllow", AuthorizerConfig::Type::kAlwaysAllow},
                           {"AlwaysDeny", AuthorizerConfig::Type::kAlwaysDeny},
                           {"Node", AuthorizerConfig::Type::kNode},
                           {"RBAC", AuthorizerConfig::Type::kRbac},
                           {"Webhook", AuthorizerConfig::Type::kWebhook}};

const cel::Environment& review_environment() {
  static const cel::Environment environment = [] {
    const cel::Type text = cel::string_type(), texts = cel::list_type(text);
    const cel::Type requirement = cel::object_type("kubernetes.SelectorRequirement",
                                                   {{"key", text}, {"operator", text}, {"values", texts}});
    const auto selector = [&](const char* name) {
      return cel::object_type(name, {{"rawSelector", text}, {"requirements", cel::list_type(requirement)}});
    };
    const cel::Type resource = cel::object_type(
        "kubernetes.ResourceAttributes", {{"namespace", text},
                                          {"verb", text},
                                          {"group", text},
                                          {"version", text},
                                          {"resource", text},
                                          {"subresource", text},
                                          {"name", text},
                                          {"fieldSelector", selector("kubernetes.FieldSelectorAttributes")},
                                          {"labelSelector", selector("kubernetes.LabelSelectorAttributes")}});
    const cel::Type path =
        cel::object_type("kubernetes.NonResourceAttributes", {{"path", text}, {"verb", text}});
    const cel::Type request =
        cel::object_type("kubernetes.SubjectAccessReviewSpec", {{"resourceAttributes", resource},
                                                                {"nonResourceAttributes", path},
                                                                {"user", text},
                                                                {"groups", texts},
                                                                {"extra", cel::map_type(text, texts)},
                                                                {"uid", text}});
    return cel::Environment({.variables = {{"request", request}}});
  }();
  return environment;
}

/// With every member, so that expressions need not ask whether it is there.
Json whole_spec(const Attributes& a) {
  static const UserInfo nobody;
  const UserInfo& user = a.user != nullptr ? *a.user : nobody;
  Json spec = {{"user", user.name}, {"groups", user.groups}, {"uid", user.uid}, {"extra", user.extra}};
  if (user.extra.empty()) spec["extra"] = Json::object();
  if (!a.resource_request) {
    spec["nonResourceAttributes"] = {{"path", a.path}, {"verb", a.verb}};
    return spec;
  }
  spec["resourceAttributes"] = {{"namespace", a.ns},      {"verb", a.verb},
                                {"group", a.group},       {"version", a.version},
                                {"resource", a.resource}, {"subresource", a.subresource},
                                {"name", a.name}};
  if (!a.field_selector.empty())
    spec["resourceAttributes"]["fieldSelector"] = {{"rawSelector", a.field_selector}};
  return spec;
}

class Compiled final : public ReviewConditions {
 public:
  struct Condition {
    std::string expression;
    std::shared_ptr<const cel::Program> program;
  };
  explicit Compiled(std::vector<Condition> conditions) : conditions_(std::move(conditions)) {}

  Result<bool> match(const Attributes& attributes) const override {
    const Json spec = whole_spec(attributes);
    cel::Activation variables;
    variables.set("request", cel::Value::view(spec));
    std::string errors;
    size_t failed = 0;
    for (const Condition& condition : conditions_) {
      const cel::Evaluation done = condition.program->evaluate(variables);
      if (!done.ok()) {
        errors += base::cat(failed++ == 0 ? "" : ", ", "cel evaluation error: expression '",
                            condition.expression, "' resulted in error: ", done.error);
      } else if (done.value.as_bool() == false) {
        return false;
      }
    }
    if (failed == 0) return true;
    return Status(Code::kUnknown, failed == 1 ? errors : base::cat("[", errors, "]"));
  }

 private:
  const std::vector<Condition> conditions_;
};

std::shared_ptr<const ReviewConditions> read_conditions(const Json& webhook, const FieldPath& path,
                                                        FieldErrors& errors) {
  const Json& list = base::array_at(webhook, {"matchConditions"});
  const FieldPath own = path.child("matchConditions");
  if (list.size() > kMaxConditions) {
    errors.too_many(own, static_cast<int>(list.size()), kMaxConditions);
    return nullptr;
  }
  std::vector<Compiled::Condition> out;
  for (size_t i = 0; i < list.size(); ++i) {
    const FieldPath at = own.index(i).child("expression");
    const std::string expression(base::string_at(list[i], {"expression"}));
    if (expression.find_first_not_of(" \t\r\n") == std::string::npos) {
      errors.required(at);
      continue;
    }
    if (std::any_of(out.begin(), out.end(), [&](const auto& c) { return c.expression == expression; })) {
      errors.duplicate(at, expression);
      continue;
    }
    cel::Compilation compiled = review_environment().compile(expression);
    if (!compiled.error.empty()) {
      errors.invalid(at, expression, "compilation failed: " + compiled.error);
    } else if (compiled.program == nullptr) {
      errors.internal(at, "program instantiation failed: " + compiled.instantiation_error);
    } else if (!cel::is_bool(compiled.program->output_type())) {
      errors.invalid(
          at, expression,
          base::cat("must evaluate to bool but got ", cel::type_name(compiled.program->output_type())));
    } else {
      out.push_back({expression, compiled.program});
    }
  }
  return out.empty() ? nullptr : std::make_shared<const Compiled>(std::move(out));
}

/// A duration that must be there (unless it has a default) and be more than nothing.
base::Duration read_duration(const Json& webhook, const char* key, base::Duration fallback,
                             const FieldPath& path, FieldErrors& errors) {
  const std::string text(base::string_at(webhook, {key}));
  base::Duration value{0};
  if (!text.empty()) {
    auto parsed = api::parse_duration(text);
    if (!parsed.ok()) {
      errors.invalid(path.child(key), text, parsed.error().message());
      return fallback;
    }
    value = *parsed;
  }
  if (value.count() == 0 && fallback.count() == 0) errors.required(path.child(key));
  if (value.count() == 0) return fallback;
  const bool timeout = std::string_view(key) == "timeout";
  if (timeout && (value.count() < 0 || value > std::chrono::seconds(30))) {
    errors.invalid(path.child(key), api::format_duration(value), "must be > 0s and <= 30s");
  } else if (value.count() < 0) {
    errors.invalid(path.child(key), api::format_duration(value), "must be > 0s");
  }
  return value;
}

void check_choice(const Json& object, const char* key, const std::vector<std::string>& choices,
                  const FieldPath& path, FieldErrors& errors) {
  const std::string value(base::string_at(object, {key}));
  if (value.empty()) return errors.required(path.child(key));
  if (std::find(choices.begin(), choices.end(), value) == choices.end())
    errors.not_supported(path.child(key), value, choices);
}

void check_kubeconfig(const Json& info, const FieldPath& path, FieldErrors& errors) {
  const FieldPath at = path.child("kubeConfigFile");
  const std::string file(base::string_at(info, {"kubeConfigFile"}));
  const std::string_view type = base::string_at(info, {"type"});
  if (type == "InClusterConfig") {
    if (!file.empty()) errors.invalid(at, file, "can only be set when type=KubeConfigFile");
    return;
  }
  if (type != "KubeConfigFile") return;
  struct stat about {};
  if (file.empty()) {
    errors.required(at);
  } else if (file[0] != '/') {
    errors.invalid(at, file, "must be an absolute path");
  } else if (::stat(file.c_str(), &about) != 0) {
    errors.invalid(at, file, base::cat("error loading file: stat ", file, ": no such file or directory"));
  } else if (!S_ISREG(about.st_mode)) {
    errors.invalid(at, file, "must be a regular file");
  }
}

WebhookAuthorizerConfig read_webhook(const Json& webhook, const FieldPath& path, FieldErrors& errors) {
  WebhookAuthorizerConfig out;
  out.timeout = read_duration(webhook, "timeout", {}, path, errors);
  out.allowed_ttl = read_duration(webhook, "authorizedTTL", std::chrono::minutes(5), path, errors);
  out.refused_ttl = read_duration(webhook, "unauthorizedTTL", std::chrono::seconds(30), path, errors);
  if (!base::bool_at(webhook, {"cacheAuthorizedRequests"}, true)) out.allowed_ttl = {};
  if (!base::bool_at(webhook, {"cacheUnauthorizedRequests"}, true)) out.refused_ttl = {};
  check_choice(webhook, "subjectAccessReviewVersion", {"v1", "v1beta1"}, path, errors);
  out.version = base::string_at(webhook, {"subjectAccessReviewVersion"});
  const std::string version(base::string_at(webhook, {"matchConditionSubjectAccessReviewVersion"}));
  const FieldPath version_path = path.child("matchConditionSubjectAccessReviewVersion");
  if (version.empty()) {
    if (!base::array_at(webhook, {"matchConditions"}).empty())
      errors.required(version_path, "required if match conditions are specified");
  } else if (version != "v1") {
    errors.not_supported(version_path, version, {"v1"});
  }
  check_choice(webhook, "failurePolicy", {"NoOpinion", "Deny"}, path, errors);
  out.deny_on_failure = base::string_at(webhook, {"failurePolicy"}) == "Deny";
  const Json& info = base::object_at(webhook, {"connectionInfo"});
  check_choice(info, "type", {"InClusterConfig", "KubeConfigFile"}, path.child("connectionInfo"), errors);
  check_kubeconfig(info, path.child("connectionInfo"), errors);
  out.kubeconfig = base::string_at(info, {"kubeConfigFile"});
  out.conditions = read_conditions(webhook, path, errors);
  return out;
}

/// Type and name; false when the rest is not worth reading.
bool read_authorizer(const Json& tree, const FieldPath& path, const std::vector<AuthorizerConfig>& before,
                     AuthorizerConfig& out, FieldErrors& errors) {
  const std::string type(base::string_at(tree, {"type"}));
  const auto* mode =
      std::find_if(std::begin(kModes), std::end(kModes), [&](const Mode& m) { return m.name == type; });
  if (type.empty()) {
    errors.required(path.child("type"));
    return false;
  }
  if (mode == std::end(kModes)) {
    std::vector<std::string> known;
    for (const Mode& m : kModes) known.emplace_back(m.name);
    errors.not_supported(path.child("type"), type, known);
    return false;
  }
  out.type = mode->type;
  const auto seen = [&](auto same) { return std::any_of(before.begin(), before.end(), same); };
  if (out.type != AuthorizerConfig::Type::kWebhook &&
      seen([&](const AuthorizerConfig& other) { return other.type == out.type; })) {
    errors.duplicate(path.child("type"), type);
    return false;
  }
  out.name = base::string_at(tree, {"name"});
  if (out.name.empty()) {
    errors.required(path.child("name"));
  } else if (seen([&](const AuthorizerConfig& other) { return other.name == out.name; })) {
    errors.duplicate(path.child("name"), out.name);
  } else if (const auto problems = api::check_dns1123_subdomain(out.name); !problems.empty()) {
    errors.invalid(path.child("name"), out.name, base::cat("authorizer name is invalid: ", problems[0]));
  }
  return true;
}

}  // namespace

Json review_spec(const Attributes& a, std::string_view version) {
  Json spec = Json::object();
  if (a.user != nullptr) {
    spec["user"] = a.user->name;
    if (!a.user->uid.empty()) spec["uid"] = a.user->uid;
    if (!a.user->groups.empty()) spec[version == "v1beta1" ? "group" : "groups"] = a.user->groups;
    if (!a.user->extra.empty()) spec["extra"] = a.user->extra;
  }
  Json what = {{"verb", a.verb}};
  const auto put = [&what](const char* key, const std::string& value) {
    if (!value.empty()) what[key] = value;
  };
  if (a.resource_request) {
    put("namespace", a.ns);
    put("group", a.group);
    put("version", a.version);
    put("resource", a.resource);
    put("subresource", a.subresource);
    put("name", a.name);
  } else {
    put("path", a.path);
  }
  spec[a.resource_request ? "resourceAttributes" : "nonResourceAttributes"] = std::move(what);
  return spec;
}

Result<std::vector<AuthorizerConfig>> parse_authorization_config(std::string_view text) {
  auto tree = api::parse_yaml(text);
  if (!tree.ok()) return Status(Code::kBadRequest, tree.error().message());
  const std::string_view version = base::string_at(*tree, {"apiVersion"});
  if (base::string_at(*tree, {"kind"}) != "AuthorizationConfiguration" ||
      (version != "apiserver.config.k8s.io/v1" && version != "apiserver.config.k8s.io/v1beta1"))
    return Status(Code::kBadRequest, "not an AuthorizationConfiguration of apiserver.config.k8s.io/v1");
  std::vector<AuthorizerConfig> out;
  FieldErrors errors;
  const Json& list = base::array_at(*tree, {"authorizers"});
  const FieldPath path("authorizers");
  if (list.empty()) errors.required(path, "at least one authorization mode must be defined");
  for (size_t i = 0; i < list.size(); ++i) {
    AuthorizerConfig one;
    if (!read_authorizer(list[i], path.index(i), out, one, errors)) continue;
    const Json* webhook = base::find_path(list[i], {"webhook"});
    const bool given = webhook != nullptr && !webhook->is_null();
    if (one.type == AuthorizerConfig::Type::kWebhook) {
      if (given) {
        one.webhook = read_webhook(*webhook, path.index(i), errors);
      } else {
        errors.required(path.index(i).child("webhook"), "required when type=Webhook");
      }
    } else if (given) {
      errors.invalid(path.index(i).child("webhook"), "non-null", "may only be specified when type=Webhook");
    }
    out.push_back(std::move(one));
  }
  if (!errors.empty()) return Status(Code::kBadRequest, errors.text());
  return out;
}

}  // namespace orch::server
