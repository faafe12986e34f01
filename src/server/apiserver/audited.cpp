// Audited requests: what the audit log is told of them, before, between and after.
#include "api/schema/protobuf.h"
#include "api/yaml.h"
#include "server/apiserver/call.h"

namespace orch::server {

namespace {

constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";

/// Tells the log when a stream is gone.
struct EndOfStream {
  std::shared_ptr<http::StreamBody> stream;
  std::shared_ptr<AuditEvent> event;
  EndOfStream(std::shared_ptr<http::StreamBody> s, std::shared_ptr<AuditEvent> e)
      : stream(std::move(s)), event(std::move(e)) {}
  ~EndOfStream() { event->emit(AuditStage::kResponseComplete); }
  EndOfStream(const EndOfStream&) = delete;
  EndOfStream& operator=(const EndOfStream&) = delete;
};

std::string whole_body(const http::Response& response) {
  std::string body = response.body;
  for (const auto& piece : response.pieces) body += piece.bytes;
  return body;
}

bool starts_with(std::string_view text, std::string_view part) { return text.substr(0, part.size()) == part; }

}  // namespace

/// The body as JSON, or null.
Json ApiServer::audited_request(const Call& call) const {
  const http::Request& request = call.request;
  if (request.body.empty() || request.method == "GET" || request.method == "HEAD") return nullptr;
  const std::string_view type = request.header("Content-Type");
  base::Result<Json> tree = Json();
  if (starts_with(type, kProtobuf)) {
    tree = api::schema::decode_protobuf(schema_, nullptr, request.body);
  } else if (type.find("yaml") != std::string_view::npos) {
    tree = api::parse_yaml(request.body);
  } else {
    tree = base::parse_json(request.body);
  }
  if (!tree.ok()) return nullptr;
  // What is redacted is told by its kind.
  if (tree->is_object() && call.resource != nullptr && !tree->contains("kind") && call.info.verb == "create")
    (*tree)["kind"] = call.info.subresource == "token" ? "TokenRequest" : call.resource->kind;
  return std::move(*tree);
}

/// The answer as JSON where the log wants it: a failure, the Status of a delete, or everything.
Json ApiServer::audited_response(const Call& call, const http::Response& response) const {
  const bool all = call.audit->level() == AuditLevel::kRequestResponse && call.info.resource_request;
  if (!all && response.status < 400 && call.info.verb != "delete") return nullptr;
  base::Result<Json> tree = Json();
  if (starts_with(response.content_type, "application/json")) {
    tree = base::parse_json(whole_body(response));
  } else if (all && starts_with(response.content_type, kProtobuf)) {
    tree = api::schema::decode_protobuf(schema_, nullptr, whole_body(response));
  }
  return tree.ok() ? std::move(*tree) : Json();
}

void ApiServer::audit_refusal(Call& call) {
  if (o_.audit == nullptr) return;
  Attributes attributes = call.info.attributes(call.user);
  attributes.user = nullptr;
  const auto event = o_.audit->begin(call.request, attributes);
  if (event == nullptr) return;
  event->response_message(401, failed_authentication(call.request));
  event->emit(AuditStage::kResponseStarted);
}

void ApiServer::audit_answer(Call& call, http::Response& response) {
  AuditEvent& event = *call.audit;
  response.headers.emplace_back("Audit-Id", event.id());
  if (Json body = audited_request(call); !body.is_null()) event.request_object(std::move(body));
  const bool taken = static_cast<bool>(response.takeover);
  if (!taken && !response.stream) {
    const Json body = audited_response(call, response);
    event.response(response.status, body.is_null() ? nullptr : &body);
    if (call.info.long_running()) event.emit(AuditStage::kResponseStarted);
    event.emit(AuditStage::kResponseComplete);
    return;
  }
  event.response(taken ? 101 : response.status, nullptr);
  event.emit(AuditStage::kResponseStarted);
  if (taken) {
    response.takeover = [inner = std::move(response.takeover),
                         event = call.audit](std::shared_ptr<http::Stream> stream) {
      inner(std::move(stream));
      event->emit(AuditStage::kResponseComplete);
    };
    return;
  }
  auto whole = std::make_shared<EndOfStream>(std::move(response.stream), call.audit);
  http::StreamBody* body = whole->stream.get();
  response.stream = std::shared_ptr<http::StreamBody>(std::move(whole), body);
}

}  // namespace orch::server
