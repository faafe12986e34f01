// Authentication and authorization by webhook: somebody else is asked, and the answers are remembered for a
// while.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/status.h"
#include "server/auth/authenticators.h"
#include "server/auth/authorization_config.h"

namespace orch::server {

/// Posts a JSON text and gives the answer's. May wait; thread-safe.
using Post = std::function<base::Result<std::string>(const std::string& body)>;

/// Answers by key, each until its time is over; the oldest go when there are too many. Thread-safe.
template <typename Answer>
class AnswerCache {
 public:
  explicit AnswerCache(const base::Clock& clock) : clock_(clock) {}
  std::optional<Answer> find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto it = answers_.find(key);
    if (it == answers_.end() || it->second.until <= clock_.mono()) return std::nullopt;
    return it->second.answer;
  }
  void put(const std::string& key, Answer answer, base::Duration ttl) {
    if (ttl <= base::Duration::zero()) return;
    const std::lock_guard lock(mutex_);
    if (answers_.size() >= kSize) answers_.clear();  // rare, and only costs asking again
    answers_.insert_or_assign(key, Entry{std::move(answer), clock_.mono() + ttl});
  }

 private:
  static constexpr size_t kSize = 8192;
  struct Entry {
    Answer answer;
    base::MonoTime until;
  };
  const base::Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> answers_;  // under mutex_
};

/// TokenReviews of authentication.k8s.io/`version`. What fails is not remembered. Thread-safe.
class WebhookTokenAuthenticator final : public TokenAuthenticator {
 public:
  WebhookTokenAuthenticator(Post post, std::string version, base::Duration ttl,
                            std::vector<std::string> api_audiences, const base::Clock& clock);
  base::Result<std::optional<TokenUser>> authenticate_token(
      std::string_view token, const std::vector<std::string>& audiences) override;

 private:
  const Post post_;
  const std::string version_;
  const base::Duration ttl_;
  const std::vector<std::string> api_audiences_;
  AnswerCache<std::optional<TokenUser>> cache_;
};

/// When a webhook is asked, and what it counts for when it does not answer.
struct WebhookBehavior {
  bool deny_on_failure = false;                        // otherwise it has no opinion
  std::shared_ptr<const ReviewConditions> conditions;  // null: it is asked about everything
};

/// SubjectAccessReviews of authorization.k8s.io/`version`. Thread-safe; waits for the webhook.
class WebhookAuthorizer final : public Authorizer {
 public:
  WebhookAuthorizer(Post post, std::string version, base::Duration allowed_ttl, base::Duration refused_ttl,
                    const base::Clock& clock, WebhookBehavior behavior = {});
  Verdict authorize(const Attributes& attributes) override;

 private:
  const Post post_;
  const std::string version_;
  const base::Duration allowed_ttl_, refused_ttl_;
  const WebhookBehavior behavior_;
  AnswerCache<Verdict> cache_;
};

}  // namespace orch::server
