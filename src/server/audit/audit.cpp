#include "server/audit/audit.h"

#include <arpa/inet.h>

#include "base/json.h"
#include "pki/pki.h"

namespace orch::server {

namespace {

constexpr size_t kMaxId = 64, kMaxAgent = 1024;

bool is_address(const std::string& text) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, text.c_str(), bytes) == 1 || inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

/// What proxies say of where a request comes from, then the peer itself.
Json source_ips(const http::Request& request) {
  std::vector<std::string> ips;
  const auto add = [&ips](std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    std::string ip(text);
    if (is_address(ip) && (ips.empty() || ips.back() != ip)) ips.push_back(std::move(ip));
  };
  std::string_view forwarded = request.header("X-Forwarded-For");
  while (!forwarded.empty()) {
    const size_t comma = std::min(forwarded.find(','), forwarded.size());
    add(forwarded.substr(0, comma));
    forwarded.remove_prefix(std::min(comma + 1, forwarded.size()));
  }
  add(request.header("X-Real-Ip"));
  std::string peer = request.remote_address.substr(0, request.remote_address.rfind(':'));
  if (peer.size() > 2 && peer.front() == '[') peer = peer.substr(1, peer.size() - 2);
  add(peer);
  return ips;
}

Json object_reference(const Attributes& a) {
  Json ref = Json::object();
  const auto put = [&ref](const char* key, const std::string& value) {
    if (!value.empty()) ref[key] = value;
  };
  put("resource", a.resource);
  put("namespace", a.ns);
  put("name", a.name);
  put("apiGroup", a.group);
  put("apiVersion", a.version);
  put("subresource", a.subresource);
  return ref;
}

}  // namespace

AuditLog::AuditLog(AuditPolicy policy, std::vector<std::unique_ptr<AuditBackend>> backends,
                   const base::Clock& clock)
    : policy_(std::move(policy)), backends_(std::move(backends)), clock_(clock) {}

std::shared_ptr<AuditEvent> AuditLog::begin(const http::Request& request, const Attributes& a) {
  const AuditRule rule = policy_.evaluate(a);
  if (rule.level == AuditLevel::kNone) return nullptr;
  std::string id(request.header("Audit-ID").substr(0, kMaxId));
  if (id.empty()) id = pki::make_uuid();
  std::string agent(request.header("User-Agent"));
  if (agent.size() > kMaxAgent) agent = agent.substr(0, kMaxAgent) + "...TRUNCATED";
  Json event = {{"kind", "Event"},
                {"apiVersion", "audit.k8s.io/v1"},
                {"level", audit_level_name(rule.level)},
                {"auditID", id},
                {"requestURI", request.target},
                {"verb", a.verb},
                {"user", a.user != nullptr ? user_to_json(*a.user) : Json::object()},
                {"sourceIPs", source_ips(request)},
                {"requestReceivedTimestamp", base::format_micro_time(clock_.now())}};
  if (!agent.empty()) event["userAgent"] = agent;
  if (a.resource_request) event["objectRef"] = object_reference(a);
  return std::make_shared<AuditEvent>(*this, rule, std::move(event));
}

void AuditLog::write(const Json& event) {
  const std::string text = base::dump_json(event);
  for (const auto& backend : backends_) backend->write(text);
}

AuditEvent::AuditEvent(AuditLog& log, AuditRule rule, Json start)
    : log_(log),
      rule_(rule),
      id_(base::string_at(start, {"auditID"})),
      event_(std::make_unique<Json>(std::move(start))) {}

AuditEvent::~AuditEvent() = default;

void AuditEvent::impersonated(const UserInfo& user) { (*event_)["impersonatedUser"] = user_to_json(user); }

void AuditEvent::annotate(std::string_view key, std::string_view value) {
  (*event_)["annotations"][std::string(key)] = value;
}

void AuditEvent::strip(Json& object) const {
  const std::string_view kind = base::string_at(object, {"kind"});
  if (kind == "TokenRequest" && object.contains("status") && object["status"].is_object())
    object["status"].erase("token");
  if (kind == "TokenReview" && object.contains("spec") && object["spec"].is_object())
    object["spec"].erase("token");
  if (!rule_.omit_managed_fields || !object.is_object()) return;
  const auto forget = [](Json& one) {
    if (one.is_object() && one.contains("metadata") && one["metadata"].is_object())
      one["metadata"].erase("managedFields");
  };
  forget(object);
  if (object.contains("items") && object["items"].is_array()) {
    for (Json& item : object["items"]) forget(item);
  }
  if (object.contains("rows") && object["rows"].is_array()) {
    for (Json& row : object["rows"]) {
      if (row.is_object() && row.contains("object")) forget(row["object"]);
    }
  }
}

void AuditEvent::request_object(Json object) {
  if (event_->contains("objectRef")) {
    Json& ref = (*event_)["objectRef"];
    for (const char* key : {"namespace", "name", "uid", "resourceVersion"}) {
      const std::string_view value = base::string_at(object, {"metadata", key});
      if (!value.empty() && !ref.contains(key)) ref[key] = value;
    }
  }
  if (rule_.level < AuditLevel::kRequest) return;
  strip(object);
  (*event_)["requestObject"] = std::move(object);
}

void AuditEvent::response(int code, const Json* body) {
  Json status = {{"metadata", Json::object()}};
  if (body != nullptr && base::string_at(*body, {"kind"}) == "Status") {
    for (const char* key : {"status", "message", "reason", "details"}) {
      if (body->contains(key)) status[key] = (*body)[key];
    }
  }
  status["code"] = code;
  (*event_)["responseStatus"] = std::move(status);
  if (body == nullptr || rule_.level < AuditLevel::kRequestResponse) return;
  Json object = *body;
  strip(object);
  (*event_)["responseObject"] = std::move(object);
}

void AuditEvent::response_message(int code, std::string_view message) {
  (*event_)["responseStatus"] = {{"metadata", Json::object()}, {"message", message}, {"code", code}};
}

void AuditEvent::emit(AuditStage stage) {
  if (rule_.omits(stage)) return;
  (*event_)["stage"] = audit_stage_name(stage);
  (*event_)["stageTimestamp"] = base::format_micro_time(log_.clock().now());
  log_.write(*event_);
}

std::string failed_authentication(const http::Request& request) {
  std::string methods;
  const auto add = [&methods](const char* method) {
    if (!methods.empty()) methods += ", ";
    methods += method;
  };
  const std::string_view header = request.header("Authorization");
  const std::string_view scheme = header.substr(0, header.find(' '));
  if (http::equal_fold(scheme, "Basic")) add("basic");
  if (http::equal_fold(scheme, "Bearer")) add("bearer");
  if (http::Query::parse(request.query).has("access_token")) add("access_token");
  if (!request.peer.common_name.empty() || !request.peer.error.empty()) add("x509");
  if (methods.empty()) return "Authentication failed, no credentials provided";
  return "Authentication failed, attempted: " + methods;
}

}  // namespace orch::server
