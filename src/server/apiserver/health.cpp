// Paths outside the resource APIs: health, version, metrics, discovery, OpenAPI, OpenID.
#include <algorithm>

#include "base/json.h"
#include "server/apiserver/call.h"
#include "server/apiserver/documents.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

http::Response not_found() {
  http::Response r = http::Response::text("404 page not found\n", 404);
  return r;
}

bool under(std::string_view path, std::string_view root) {
  return path == root ||
         (path.size() > root.size() && path.substr(0, root.size()) == root && path[root.size()] == '/');
}

}  // namespace

http::Response ApiServer::plain_path(Call& call) {
  const std::string& path = call.info.path;
  const std::string& method = call.request.method;
  if (method != "GET" && method != "HEAD") {
    return http::Response::from_status(
        Status(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource"));
  }
  for (std::string_view root : {"/healthz", "/livez", "/readyz"}) {
    if (under(path, root)) return health(call, root);
  }
  if (path == "/version" || path == "/version/") return version(call);
  if (path == "/metrics") {
    auto r = http::Response::text(o_.metrics->expose());
    r.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return r;
  }
  if (under(path, "/api") || under(path, "/apis")) return discovery(call);
  if (under(path, "/openapi")) return openapi(call);
  if (path == "/.well-known/openid-configuration" && o_.openid_configuration) {
    return http::Response::json(o_.openid_configuration());
  }
  if (path == "/openid/v1/jwks" && o_.jwks) {
    auto r = http::Response::json(o_.jwks());
    r.content_type = "application/jwk-set+json";
    return r;
  }
  if (path == "/" || path.empty()) {
    Json paths = {"/.well-known/openid-configuration",
                  "/api",
                  "/api/v1",
                  "/apis",
                  "/healthz",
                  "/livez",
                  "/metrics",
                  "/openapi/v2",
                  "/openapi/v3",
                  "/openid/v1/jwks",
                  "/readyz",
                  "/version"};
    return http::Response::json(base::dump_json({{"paths", paths}}));
  }
  return not_found();
}

http::Response ApiServer::version(Call& call) {
  const std::string& v = o_.git_version;
  size_t plus = v.find('+');
  Json info = {{"major", "1"},
               {"minor", "35"},
               {"emulationMajor", "1"},
               {"emulationMinor", "35"},
               {"minCompatibilityMajor", "1"},
               {"minCompatibilityMinor", "34"},
               {"gitVersion", v},
               {"gitCommit", plus == std::string::npos ? std::string() : v.substr(plus + 1)},
               {"gitTreeState", v.find("dirty") == std::string::npos ? "clean" : "dirty"},
               {"buildDate", ""},
               {"goVersion", ""},
               {"compiler", "gcc"},
               {"platform", o_.platform}};
  (void)call;
  return http::Response::json(base::dump_json(info));
}

http::Response ApiServer::health(Call& call, std::string_view root) {
  const bool readyz = root == "/readyz";
  std::string_view one = std::string_view(call.info.path).substr(root.size());
  if (!one.empty()) one.remove_prefix(1);
  const auto excluded = call.info.query.all("exclude");
  std::string report;
  std::vector<std::string> failed;
  bool known = one.empty();
  auto run = [&](std::string_view name, const Status& status) {
    if (!one.empty() && one != name) return;
    known = true;
    if (std::find(excluded.begin(), excluded.end(), name) != excluded.end()) {
      report += base::cat("[+]", name, " excluded: ok\n");
    } else if (status.ok()) {
      report += base::cat("[+]", name, " ok\n");
    } else {
      report += base::cat("[-]", name, " failed: reason withheld\n");
      failed.emplace_back(name);
    }
  };
  run("ping", {});
  for (const auto& c : o_.health) {
    if (readyz ? c.ready : c.live) run(c.name, c.check());
  }
  if (readyz) {
    run("startup", ready_ ? Status() : Status(Code::kServiceUnavailable, "not started, or shutting down"));
  }
  if (!known) return not_found();
  const std::string_view name = root.substr(1);
  http::Response response;
  if (!failed.empty()) {
    report += base::cat(name, " check failed\n");
    response = http::Response::text(report, 500);
  } else if (call.info.query.has("verbose")) {
    response = http::Response::text(report + base::cat(name, " check passed\n"));
  } else {
    response = http::Response::text("ok");
  }
  response.headers.emplace_back("Cache-Control", "no-cache, private");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return response;
}

http::Response ApiServer::discovery(Call& call) {
  std::string path = call.info.path;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if ((path == "/api" || path == "/apis") && !call.want.discovery_version.empty()) {
    auto r = http::Response::json(documents_->aggregated(path, call.want.discovery_version));
    r.content_type = base::cat("application/json;g=apidiscovery.k8s.io;v=", call.want.discovery_version,
                               ";as=APIGroupDiscoveryList");
    r.headers.emplace_back("Vary", "Accept");
    return r;
  }
  std::string document = documents_->discovery(path, o_.advertise_address);
  if (document.empty()) {
    return http::Response::from_status(
        Status(Code::kNotFound, "the server could not find the requested resource"));
  }
  if (call.want.format == Format::kJson) {
    auto r = http::Response::json(std::move(document));
    r.headers.emplace_back("Vary", "Accept");
    return r;
  }
  auto tree = base::parse_json(document);
  return encode_tree(call.want, schema_, *tree);
}

http::Response ApiServer::openapi(Call& call) {
  auto document = documents_->openapi(call.info.path);
  if (document == nullptr) return not_found();
  http::Response r;
  r.pieces.push_back({*document, document});
  return r;
}

}  // namespace orch::server
