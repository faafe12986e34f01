// The authorizer: questions put together step by step, and what it answered.
#include "api/cel/functions.h"
#include "api/names.h"

namespace orch::api::cel {

namespace {

using A = ValueAccess;

/// The authorizer, or a question put together step by step.
struct CheckRep final : OpaqueRep {
  CheckRep(const char* t, const Authorizer& a) : type(t), authorizer(a) {}
  const char* type;
  const Authorizer& authorizer;
  Authorizer::Query query;
  std::string_view type_name() const override { return type; }
  bool equals(const OpaqueRep&) const override { return false; }
};

struct DecisionRep final : OpaqueRep {
  Authorizer::Decision decision;
  std::string_view type_name() const override { return "kubernetes.authorization.Decision"; }
  bool equals(const OpaqueRep&) const override { return false; }
};

constexpr const char* kAuthorizer = "kubernetes.authorization.Authorizer";
constexpr const char* kPathCheck = "kubernetes.authorization.PathCheck";
constexpr const char* kGroupCheck = "kubernetes.authorization.GroupCheck";
constexpr const char* kResourceCheck = "kubernetes.authorization.ResourceCheck";

std::shared_ptr<CheckRep> next(const Value& from, const char* type) {
  const auto& before = *static_cast<const CheckRep*>(A::opaque(from));
  auto rep = std::make_shared<CheckRep>(type, before.authorizer);
  rep->query = before.query;
  return rep;
}

bool blank(const std::string& text) { return text.find_first_not_of(" \t\r\n\v\f") == std::string::npos; }

Value authorizer_path(const Value* a, size_t) {
  if (blank(text_of(a[1]))) return Value::error("path must not be empty");
  auto rep = next(a[0], kPathCheck);
  rep->query.path = text_of(a[1]);
  return A::opaque(std::move(rep));
}
Value authorizer_group(const Value* a, size_t) {
  auto rep = next(a[0], kGroupCheck);
  rep->query.group = text_of(a[1]);
  return A::opaque(std::move(rep));
}
Value authorizer_service_account(const Value* a, size_t) {
  if (!check_name_is_subdomain(text_of(a[2]), false).empty()) {
    return Value::error("Invalid service account name");
  }
  if (!check_name_is_label(text_of(a[1]), false).empty()) {
    return Value::error("Invalid service account namespace");
  }
  auto rep = next(a[0], kAuthorizer);
  rep->query.service_account_namespace = text_of(a[1]);
  rep->query.service_account_name = text_of(a[2]);
  return A::opaque(std::move(rep));
}
Value group_resource(const Value* a, size_t) {
  if (blank(text_of(a[1]))) return Value::error("resource must not be empty");
  auto rep = next(a[0], kResourceCheck);
  rep->query.version = "*";
  rep->query.resource = text_of(a[1]);
  return A::opaque(std::move(rep));
}
template <std::string Authorizer::Query::*Field>
Value narrow(const Value* a, size_t) {
  auto rep = next(a[0], kResourceCheck);
  rep->query.*Field = text_of(a[1]);
  return A::opaque(std::move(rep));
}
Value check(const Value* a, size_t) {
  const auto rep = next(a[0], kResourceCheck);
  rep->query.verb = text_of(a[1]);
  auto decision = std::make_shared<DecisionRep>();
  decision->decision = rep->authorizer.authorize(rep->query);
  return A::opaque(std::move(decision));
}
const Authorizer::Decision& decision_of(const Value& v) {
  return static_cast<const DecisionRep*>(A::opaque(v))->decision;
}
Value allowed(const Value* a, size_t) { return Value::of(decision_of(a[0]).allowed); }
Value reason(const Value* a, size_t) { return Value::of(decision_of(a[0]).reason); }
Value error(const Value* a, size_t) { return Value::of(decision_of(a[0]).error); }
Value errored(const Value* a, size_t) { return Value::of(!decision_of(a[0]).error.empty()); }

constexpr Binding kAuthorizers[] = {
    {"authorizer_path", authorizer_path},
    {"authorizer_group", authorizer_group},
    {"authorizer_serviceaccount", authorizer_service_account},
    {"groupcheck_resource", group_resource},
    {"resourcecheck_subresource", narrow<&Authorizer::Query::subresource>},
    {"resourcecheck_namespace", narrow<&Authorizer::Query::namespace_>},
    {"resourcecheck_name", narrow<&Authorizer::Query::name>},
    {"authorizer_fieldselector", narrow<&Authorizer::Query::field_selector>},
    {"authorizer_labelselector", narrow<&Authorizer::Query::label_selector>},
    {"pathcheck_check", check},
    {"resourcecheck_check", check},
    {"decision_allowed", allowed},
    {"decision_reason", reason},
    {"decision_error", error},
    {"decision_errored", errored},
};

}  // namespace

Value Value::authorizer(const Authorizer& authorizer) {
  return A::opaque(std::make_shared<CheckRep>(kAuthorizer, authorizer));
}

Value Value::resource_check(const Authorizer& authorizer, Authorizer::Query query) {
  auto rep = std::make_shared<CheckRep>(kResourceCheck, authorizer);
  rep->query = std::move(query);
  rep->query.version = "*";
  return A::opaque(std::move(rep));
}

std::span<const Binding> authorizer_bindings() { return kAuthorizers; }

}  // namespace orch::api::cel
