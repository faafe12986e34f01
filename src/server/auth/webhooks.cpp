#include "server/auth/webhooks.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "pki/pki.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

std::vector<std::string> strings_at(const Json& tree, std::initializer_list<std::string_view> path) {
  std::vector<std::string> out;
  for (const Json& v : base::array_at(tree, path)) {
    if (v.is_string()) out.push_back(v.get<std::string>());
  }
  return out;
}

/// The review that came back, which must be of the kind that was sent.
Result<Json> ask(const Post& post, const Json& review) {
  auto text = post(base::dump_json(review));
  if (!text.ok()) return text.error();
  auto tree = base::parse_json(*text);
  if (!tree.ok()) return tree.error();
  if (base::string_at(*tree, {"kind"}) != base::string_at(review, {"kind"}) ||
      base::string_at(*tree, {"apiVersion"}) != base::string_at(review, {"apiVersion"}))
    return Status(Code::kInternal, "the webhook answered with something else than a review");
  return tree;
}

/// Larger questions are not worth the memory.
constexpr size_t kMaxRemembered = 10000;

}  // namespace

WebhookTokenAuthenticator::WebhookTokenAuthenticator(Post post, std::string version, base::Duration ttl,
                                                     std::vector<std::string> api_audiences,
                                                     const base::Clock& clock)
    : post_(std::move(post)),
      version_(std::move(version)),
      ttl_(ttl),
      api_audiences_(std::move(api_audiences)),
      cache_(clock) {}

Result<std::optional<TokenUser>> WebhookTokenAuthenticator::authenticate_token(
    std::string_view token, const std::vector<std::string>& audiences) {
  const auto& wanted = audiences.empty() ? api_audiences_ : audiences;
  std::string key(token);
  for (const std::string& a : wanted) key += base::cat("\n", a);
  key = pki::sha256_hex(key);
  if (auto known = cache_.find(key)) return *known;
  const Json review = {{"kind", "TokenReview"},
                       {"apiVersion", "authentication.k8s.io/" + version_},
                       {"spec", {{"token", token}, {"audiences", wanted}}}};
  auto answer = ask(post_, review);
  if (!answer.ok()) return answer.error();
  const Json& status = base::object_at(*answer, {"status"});
  std::optional<TokenUser> found;
  if (!base::bool_at(status, {"authenticated"})) {
    const std::string_view why = base::string_at(status, {"error"});
    if (!why.empty()) return Status(Code::kUnauthorized, std::string(why));
    cache_.put(key, found, ttl_);
    return found;
  }
  std::vector<std::string> got = strings_at(status, {"audiences"});
  if (got.empty()) got = api_audiences_;
  TokenUser out;
  for (const std::string& a : wanted) {
    if (std::find(got.begin(), got.end(), a) != got.end()) out.audiences.push_back(a);
  }
  if (!out.audiences.empty() || wanted.empty()) {
    out.user.name = base::string_at(status, {"user", "username"});
    out.user.uid = base::string_at(status, {"user", "uid"});
    out.user.groups = strings_at(status, {"user", "groups"});
    for (const auto& [name, values] : base::object_at(status, {"user", "extra"}).items()) {
      for (const Json& v : values) {
        if (v.is_string()) out.user.extra[name].push_back(v.get<std::string>());
      }
    }
    found = std::move(out);
  }
  cache_.put(key, found, ttl_);
  return found;
}

WebhookAuthorizer::WebhookAuthorizer(Post post, std::string version, base::Duration allowed_ttl,
                                     base::Duration refused_ttl, const base::Clock& clock,
                                     WebhookBehavior behavior)
    : post_(std::move(post)),
      version_(std::move(version)),
      allowed_ttl_(allowed_ttl),
      refused_ttl_(refused_ttl),
      behavior_(std::move(behavior)),
      cache_(clock) {}

Verdict WebhookAuthorizer::authorize(const Attributes& a) {
  Verdict failed{behavior_.deny_on_failure ? Decision::kDeny : Decision::kNoOpinion, {}};
  if (behavior_.conditions != nullptr) {
    auto matches = behavior_.conditions->match(a);
    if (!matches.ok()) {
      base::log_error("auth", "a match condition of the authorization webhook failed",
                      {{"reason", matches.error().message()}});
      failed.error = matches.error().message();
      return failed;
    }
    if (!*matches) return {};
  }
  Json spec = review_spec(a, version_);
  const std::string key = base::dump_json(spec);
  if (auto known = cache_.find(key)) return *known;
  const Json review = {{"kind", "SubjectAccessReview"},
                       {"apiVersion", "authorization.k8s.io/" + version_},
                       {"spec", std::move(spec)}};
  auto answer = ask(post_, review);
  if (!answer.ok()) {
    base::log_error("auth", "the authorization webhook failed", {{"reason", answer.error().message()}});
    failed.error = answer.error().message();
    return failed;
  }
  const Json& status = base::object_at(*answer, {"status"});
  Verdict verdict{Decision::kNoOpinion, std::string(base::string_at(status, {"reason"}))};
  const bool allowed = base::bool_at(status, {"allowed"}), denied = base::bool_at(status, {"denied"});
  if (denied) verdict.decision = Decision::kDeny;
  if (denied && allowed)
    verdict.error = "webhook subject access review returned both allow and deny response";
  if (allowed && !denied) verdict.decision = Decision::kAllow;
  if (key.size() < kMaxRemembered)
    cache_.put(key, verdict, verdict.decision == Decision::kAllow ? allowed_ttl_ : refused_ttl_);
  return verdict;
}

}  // namespace orch::server
