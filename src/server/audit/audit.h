// Audit: one event per stage of a request, as audit.k8s.io/v1 Event, written to every backend.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "http/message.h"
#include "server/audit/backend.h"
#include "server/audit/policy.h"
#include "server/auth/auth.h"

namespace orch::server {

class AuditEvent;

/// Thread-safe.
class AuditLog {
 public:
  /// `clock` must outlive this.
  AuditLog(AuditPolicy policy, std::vector<std::unique_ptr<AuditBackend>> backends, const base::Clock& clock);
  /// The event of a request that has just come, of which nothing is written yet; null when the policy wants
  /// none of it. `attributes.user` is who asks, null when nobody could be told.
  std::shared_ptr<AuditEvent> begin(const http::Request& request, const Attributes& attributes);
  void write(const Json& event);
  const base::Clock& clock() const { return clock_; }

 private:
  const AuditPolicy policy_;
  const std::vector<std::unique_ptr<AuditBackend>> backends_;
  const base::Clock& clock_;
};

/// What is known of one request so far. Used by one thread at a time: the worker's, then whoever ends a
/// watch. Tokens never get in: headers are not written, nor what TokenReviews ask about and TokenRequests
/// give.
class AuditEvent {
 public:
  AuditEvent(AuditLog& log, AuditRule rule, Json start);
  ~AuditEvent();
  AuditEvent(const AuditEvent&) = delete;
  AuditEvent& operator=(const AuditEvent&) = delete;

  AuditLevel level() const { return rule_.level; }
  const std::string& id() const { return id_; }
  void impersonated(const UserInfo& user);
  void annotate(std::string_view key, std::string_view value);
  /// The body of a request: names the object further, and is kept at level Request and above.
  void request_object(Json object);
  /// The outcome: `body` when it is JSON (a Status tells more than its code), else null.
  void response(int code, const Json* body);
  /// Instead of a body.
  void response_message(int code, std::string_view message);
  void emit(AuditStage stage);

 private:
  void strip(Json& object) const;

  AuditLog& log_;
  const AuditRule rule_;
  std::string id_;
  std::unique_ptr<Json> event_;
};

/// "Authentication failed, attempted: bearer", by what a request offers.
std::string failed_authentication(const http::Request& request);

}  // namespace orch::server
