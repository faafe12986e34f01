#include "server/apiserver/api_server.h"

#include <algorithm>

#include "api/resources/object_meta.h"
#include "api/schema/schema.h"
#include "base/log.h"
#include "server/apiserver/call.h"
#include "server/apiserver/documents.h"
#include "server/auth/forbidden.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

ApiServer::ApiServer(ApiServerOptions options)
    : o_(std::move(options)),
      registry_(*o_.registry),
      schema_(*o_.schema),
      reaper_("watch-end", 1),
      documents_(std::make_unique<DocumentCache>(*o_.schema, registry_.table())) {
  requests_total_ = &o_.metrics->counter("apiserver_request_total", "Requests answered or taken over.");
}

ApiServer::~ApiServer() = default;

Encoding ApiServer::Call::encoding(const ApiServer& server) const {
  Encoding e;
  e.want = want;
  e.schema = &server.schema_;
  e.resource = resource.get();
  e.storage = storage ? storage.get() : resource.get();
  e.include_object = info.query.get("includeObject");
  e.now = server.registry_.clock().now();
  return e;
}

WriteContext ApiServer::Call::write_context() {
  WriteContext c;
  c.user = &user;
  c.dry_run = dry_run;
  c.warnings = &warnings;
  return c;
}

namespace {

/// RFC 7234 warning header value as the API sends them: code 299, no agent.
std::string warning_header(const std::string& text) {
  std::string out = "299 - \"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

}  // namespace

http::Response ApiServer::handle(http::Request& request) {
  requests_total_->add();
  auto info = parse_request(request);
  if (!info.ok()) return http::Response::from_status(info.error());
  Call call{request, std::move(*info), {}, {}, nullptr, nullptr, {}, false};
  if (auto open = o_.open_paths.find(call.info.path); open != o_.open_paths.end())
    return open->second(request, call.user);
  auto authenticated = o_.authenticator->authenticate(request);
  if (!authenticated.ok()) return http::Response::from_status(authenticated.error());
  if (!*authenticated) return http::Response::from_status(Status(Code::kUnauthorized, "Unauthorized"));
  call.user = std::move(**authenticated);
  if (auto join = o_.join_paths.find(call.info.path); join != o_.join_paths.end())
    return join->second(request, call.user);
  if (o_.impersonate) {
    auto user = o_.impersonate(request, call.user);
    if (!user.ok()) return http::Response::from_status(user.error());
    call.user = std::move(*user);
  }
  Attributes attributes = call.info.attributes(call.user);
  Verdict verdict = o_.authorizer->authorize(attributes);
  if (verdict.decision != Decision::kAllow) {
    return http::Response::from_status(forbidden_status(attributes, verdict.reason));
  }
  http::Response response = dispatch(call);
  for (const auto& w : call.warnings) response.headers.emplace_back("Warning", warning_header(w));
  return response;
}

http::Response ApiServer::dispatch(Call& call) {
  bool watch = call.info.verb == "watch";
  bool upgrade = call.request.has_header("Upgrade");
  if (!upgrade) {
    auto want = negotiate(call.request, call.info.query, watch);
    // Proxied requests and logs pass any Accept on.
    const bool passes =
        call.info.subresource == "proxy" || call.info.subresource == "log" || !call.info.resource_request;
    if (!want.ok() && !passes) return http::Response::from_status(want.error());
    if (want.ok()) call.want = std::move(*want);
  }
  return call.info.resource_request ? resource_request(call) : plain_path(call);
}

http::Response ApiServer::resource_request(Call& call) {
  RequestInfo& info = call.info;
  call.resource = registry_.table().find(info.group, info.version, info.resource);
  if (call.resource == nullptr) {
    return http::Response::from_status(
        Status(Code::kNotFound, "the server could not find the requested resource"));
  }
  const api::Resource& r = *call.resource;
  // A namespace is authorized as of itself, but stored in none.
  if (!r.namespaced) call.info.ns.clear();
  call.storage =
      r.stored ? registry_.table().storage(r.storage_version ? r.group : r.storage_group, r.plural) : nullptr;
  if (r.namespaced && info.ns.empty() && (!info.name.empty() || info.verb == "create")) {
    return http::Response::from_status(
        Status(Code::kNotFound, "the server could not find the requested resource"));
  }
  auto dry_run = parse_dry_run(info.query);
  if (!dry_run.ok()) return http::Response::from_status(dry_run.error());
  call.dry_run = *dry_run;

  if (!info.subresource.empty()) {
    const api::Subresource* sub = r.subresource(info.subresource);
    if (sub == nullptr) {
      return http::Response::from_status(
          Status(Code::kNotFound, "the server could not find the requested resource"));
    }
    if (info.subresource == "log") return do_log(call);
    if (info.subresource == "exec" || info.subresource == "attach" || info.subresource == "portforward") {
      return do_connect(call);
    }
    if (info.subresource == "proxy") return do_proxy(call);
    if (info.subresource == "scale") return do_scale(call);
    if (info.verb == "create") return do_post_subresource(call);
  } else if (!r.stored) {
    return do_virtual(call);
  }
  if (info.verb == "get") return do_get(call);
  if (info.verb == "list") return do_list(call);
  if (info.verb == "watch") return do_watch(call);
  if (info.verb == "create" && info.name.empty()) return do_create(call);
  if (info.verb == "update") return do_update(call);
  if (info.verb == "patch") return do_patch(call);
  if (info.verb == "delete") return do_delete(call);
  if (info.verb == "deletecollection") return do_delete_collection(call);
  return http::Response::from_status(
      Status(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource"));
}

}  // namespace orch::server
