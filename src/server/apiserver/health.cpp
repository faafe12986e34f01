// Paths outside the resource APIs: health, version, metrics, discovery, OpenAPI, OpenID.
#include <algorithm>

#include "base/json.h"
#include "server/apiserver/call.h"
#include "server/apiserver/documents.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

using Checks = std::vector<std::pair<std::string, Status>>;

http::Response health_text(std::string text, int code) {
  http::Response r = http::Response::text(std::move(text), code);
  r.headers.emplace_back("Cache-Control", "no-cache, private");
  r.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return r;
}

/// One check alone, by its name.
http::Response one_check(std::string_view name, const Checks& checks) {
  for (const auto& [own, status] : checks) {
    if (own != name) continue;
    if (status.ok()) return health_text("ok", 200);
    return health_text(base::cat("internal server error: ", status.message(), "\n"), 500);
  }
  return no_such_page();
}

http::Response all_checks(const http::Query& query, std::string_view endpoint, const Checks& checks) {
  std::vector<std::string_view> excluded = query.all("exclude");
  std::string report;
  bool failed = false;
  for (const auto& [name, status] : checks) {
    const auto found = std::find(excluded.begin(), excluded.end(), name);
    if (found != excluded.end()) {
      excluded.erase(found);
      report += base::cat("[+]", name, " excluded: ok\n");
    } else if (status.ok()) {
      report += base::cat("[+]", name, " ok\n");
    } else {
      report += base::cat("[-]", name, " failed: reason withheld\n");
      failed = true;
    }
  }
  if (!excluded.empty()) {
    std::string names;
    for (std::string_view name : excluded) names += base::cat(names.empty() ? "\"" : ",\"", name, "\"");
    report += base::cat("warn: some health checks cannot be excluded: no matches for ", names, "\n");
  }
  if (failed) return health_text(base::cat(report, endpoint, " check failed\n"), 500);
  if (!query.has("verbose")) return health_text("ok", 200);
  return health_text(base::cat(report, endpoint, " check passed\n"), 200);
}

bool under(std::string_view path, std::string_view root) {
  return path == root ||
         (path.size() > root.size() && path.substr(0, root.size()) == root && path[root.size()] == '/');
}

}  // namespace

http::Response ApiServer::plain_path(Call& call) {
  const std::string& path = call.info.path;
  const std::string& method = call.request.method;
  if (method != "GET" && method != "HEAD") return method_not_allowed();
  for (std::string_view root : {"/healthz", "/livez", "/readyz"}) {
    if (under(path, root)) return health(call, root);
  }
  if (path == "/version" || path == "/version/") return version(call);
  if (path == "/metrics") {
    auto r = http::Response::text(o_.metrics->expose());
    r.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return r;
  }
  if (auto dump = dump_flow(call)) return std::move(*dump);
  if (o_.settle) o_.settle();
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
  return no_such_page();
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
  std::vector<std::pair<std::string, Status>> checks;
  checks.emplace_back("ping", Status());
  for (const auto& c : o_.health) {
    if ((readyz ? c.ready : c.live) && (one.empty() || one == c.name)) checks.emplace_back(c.name, c.check());
  }
  if (readyz) {
    checks.emplace_back(
        "startup", ready_ ? Status() : Status(Code::kServiceUnavailable, "not started, or shutting down"));
  }
  return one.empty() ? all_checks(call.info.query, root.substr(1), checks) : one_check(one, checks);
}

http::Response ApiServer::discovery(Call& call) {
  std::string path = call.info.path;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if ((path == "/api" || path == "/apis") && !call.want.discovery_version.empty()) {
    auto r = document_response(call.request, documents_->aggregated(path, call.want.discovery_version));
    r.content_type = base::cat("application/json;g=apidiscovery.k8s.io;v=", call.want.discovery_version,
                               ";as=APIGroupDiscoveryList");
    return r;
  }
  std::string document = documents_->discovery(path, o_.advertise_address);
  if (document.empty()) {
    const std::string_view rest = path.substr(0, 6) == "/apis/" ? std::string_view(path).substr(6) : "";
    const bool group = rest.empty() || serves_group(registry_.table(), rest.substr(0, rest.find('/')));
    return group ? no_such_resource() : no_such_page();
  }
  if (call.want.format == Format::kJson) {
    auto r = http::Response::json(std::move(document));
    r.headers.emplace_back("Vary", "Accept");
    return r;
  }
  auto tree = base::parse_json(document);
  return encode_tree(call.want, schema_, *tree);
}

namespace {

/// With and without the version in its name; "@" came when "." turned out to be no media type.
bool wants_openapi_protobuf(std::string_view accept) {
  return accept.find("application/com.github.proto-openapi.spec.v2@v1.0+protobuf") !=
             std::string_view::npos ||
         accept.find("application/com.github.proto-openapi.spec.v2.v1.0+protobuf") != std::string_view::npos;
}

}  // namespace

http::Response ApiServer::openapi(Call& call) {
  const std::string_view accept = call.request.header("Accept");
  const bool protobuf = call.info.path == "/openapi/v2" && wants_openapi_protobuf(accept);
  const auto document = documents_->openapi(call.info.path, protobuf);
  if (document == nullptr) {
    if (call.info.path.rfind("/openapi/v3/", 0) != 0) return no_such_page();
    http::Response none;
    none.status = 404;
    return none;
  }
  http::Response r = document_response(call.request, document);
  if (protobuf) r.content_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
  return r;
}

}  // namespace orch::server
