#include "server/aggregator/api_service.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>

#include "api/go_text.h"
#include "api/resources/custom_resource.h"
#include "base/json.h"
#include "pki/pki.h"

namespace orch::server {

namespace {

constexpr int kCustomGroupPriority = 1000, kCustomVersionPriority = 100;

Json make_service(std::string_view group, std::string_view version, int group_priority, int version_priority,
                  const char* managed) {
  Json spec = {
      {"version", version}, {"groupPriorityMinimum", group_priority}, {"versionPriority", version_priority}};
  if (!group.empty()) spec["group"] = group;
  return {{"kind", "APIService"},
          {"apiVersion", "apiregistration.k8s.io/v1"},
          {"metadata",
           {{"name", base::cat(version, ".", group)}, {"labels", {{std::string(kAutoManaged), managed}}}}},
          {"spec", std::move(spec)}};
}

std::string_view managed(const Json* object) {
  if (object == nullptr) return {};
  return base::string_at(*object, {"metadata", "labels", kAutoManaged});
}

bool on_start(const Json* object) { return managed(object) == "onstart"; }

bool same_spec(const Json& a, const Json& b) {
  return base::object_at(a, {"spec"}) == base::object_at(b, {"spec"});
}

/// RFC 7230's token characters but for the percent sign, which escapes the others.
bool header_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         (c != 0 && std::string_view("!#$&'*+-.^_`|~").find(c) != std::string_view::npos);
}

std::string escape_header(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (header_character(c)) {
      out += c;
    } else {
      std::array<char, 4> escape{};
      std::snprintf(escape.data(), escape.size(), "%%%02X", static_cast<unsigned char>(c));
      out += escape.data();
    }
  }
  return out;
}

}  // namespace

ApiService ApiService::parse(const api::Object& object) {
  const Json tree = object.tree();
  const Json& spec = base::object_at(tree, {"spec"});
  ApiService out;
  out.name = object.name();
  out.group = base::string_at(spec, {"group"});
  out.version = base::string_at(spec, {"version"});
  out.group_priority = static_cast<int>(base::int_at(spec, {"groupPriorityMinimum"}));
  out.version_priority = static_cast<int>(base::int_at(spec, {"versionPriority"}));
  out.available = api::condition_is_true(tree, "Available");
  const Json* service = base::find_path(spec, {"service"});
  out.remote = service != nullptr && service->is_object();
  if (!out.remote) return out;
  out.service_ns = base::string_at(*service, {"namespace"});
  out.service_name = base::string_at(*service, {"name"});
  out.service_port = base::int_at(*service, {"port"}, out.service_port);
  out.insecure = base::bool_at(spec, {"insecureSkipTLSVerify"});
  auto ca = pki::base64_decode(base::string_at(spec, {"caBundle"}));
  if (ca.ok()) out.ca_pem = std::move(*ca);
  return out;
}

std::string ApiService::server_name() const { return base::cat(service_name, ".", service_ns, ".svc"); }

bool before_in_discovery(const ApiService& a, const ApiService& b) {
  if (a.group != b.group) {
    return a.group_priority != b.group_priority ? a.group_priority > b.group_priority : a.group < b.group;
  }
  if (a.version_priority != b.version_priority) return a.version_priority > b.version_priority;
  return api::version_before(a.version, b.version);
}

namespace {

bool slice_serves(const Json& slice, std::string_view port_name) {
  const auto ready = [](const Json& endpoint) {
    return base::bool_at(endpoint, {"conditions", "ready"}, true);
  };
  const Json& endpoints = base::array_at(slice, {"endpoints"});
  if (std::none_of(endpoints.begin(), endpoints.end(), ready)) return false;
  const Json& ports = base::array_at(slice, {"ports"});
  return std::any_of(ports.begin(), ports.end(), [&](const Json& port) {
    return base::string_at(port, {"name"}) == port_name && port.contains("port");
  });
}

}  // namespace

std::optional<Availability> judge_endpoints(const ApiService& wanted, const Json* service,
                                            const std::vector<Json>& slices) {
  if (!wanted.remote) return Availability{"True", "Local", "Local APIServices are always available"};
  const std::string which =
      base::cat("service/", wanted.service_name, " in ", api::go_quote(wanted.service_ns));
  if (service == nullptr) return Availability{"False", "ServiceNotFound", which + " is not present"};
  if (base::string_at(*service, {"spec", "type"}, "ClusterIP") != "ClusterIP") return std::nullopt;
  const Json* found = nullptr;
  for (const auto& port : base::array_at(*service, {"spec", "ports"})) {
    if (found == nullptr && base::int_at(port, {"port"}) == wanted.service_port) found = &port;
  }
  if (found == nullptr) {
    return Availability{"False", "ServicePortError",
                        base::cat(which, " is not listening on port ", wanted.service_port)};
  }
  if (slices.empty()) {
    return Availability{"False", "EndpointsNotFound", "cannot find endpointslices for " + which};
  }
  const std::string_view port_name = base::string_at(*found, {"name"});
  if (std::any_of(slices.begin(), slices.end(), [&](const Json& s) { return slice_serves(s, port_name); }))
    return std::nullopt;
  return Availability{"False", "MissingEndpoints",
                      base::cat("endpointslices for ", which, " have no addresses with port name ",
                                api::go_quote(port_name))};
}

Availability judge_probe(const std::string& failure) {
  if (failure.empty()) return {"True", "Passed", "all checks passed"};
  return {"False", "FailedDiscoveryCheck", failure};
}

std::map<std::string, Json> local_api_services(
    const std::vector<api::GroupVersion>& builtin,
    const std::vector<std::pair<std::string, std::string>>& custom) {
  std::map<std::string, Json> out;
  const auto add = [&out](Json service) {
    std::string name(base::string_at(service, {"metadata", "name"}));
    out.emplace(std::move(name), std::move(service));
  };
  for (const auto& known : builtin) {
    if (known.group_priority != 0)
      add(make_service(known.group, known.version, known.group_priority, known.version_priority, "onstart"));
  }
  for (const auto& [group, version] : custom)
    add(make_service(group, version, kCustomGroupPriority, kCustomVersionPriority, "true"));
  return out;
}

RegistrationStep plan_registration(const Json* wanted, const Json* current, bool at_start, bool synced) {
  using Kind = RegistrationStep::Kind;
  if (current == nullptr && wanted == nullptr) return {};
  if (on_start(wanted) && synced) return {};
  if (current == nullptr) return {Kind::kCreate, *wanted};
  if (managed(current).empty()) return {};
  if (on_start(current) && (!at_start || synced)) return {};
  if (wanted == nullptr) return {Kind::kDelete, {}};
  if (same_spec(*current, *wanted)) return {};
  Json next = *current;
  next["spec"] = base::object_at(*wanted, {"spec"});
  return {Kind::kUpdate, std::move(next)};
}

http::Headers front_proxy_headers(const UserInfo& user) {
  http::Headers out;
  out.emplace_back("X-Remote-User", user.name);
  if (!user.uid.empty()) out.emplace_back("X-Remote-Uid", user.uid);
  for (const auto& group : user.groups) out.emplace_back("X-Remote-Group", group);
  for (const auto& [key, values] : user.extra) {
    for (const auto& value : values) out.emplace_back("X-Remote-Extra-" + escape_header(key), value);
  }
  return out;
}

std::optional<std::pair<std::string_view, std::string_view>> group_version_of(std::string_view path) {
  for (std::string_view prefix : {"/apis/", "/openapi/v3/apis/"}) {
    if (path.substr(0, prefix.size()) != prefix) continue;
    path.remove_prefix(prefix.size());
    const size_t slash = path.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const std::string_view rest = path.substr(slash + 1);
    const std::string_view version = rest.substr(0, rest.find('/'));
    if (version.empty()) return std::nullopt;
    return std::make_pair(path.substr(0, slash), version);
  }
  return std::nullopt;
}

}  // namespace orch::server
