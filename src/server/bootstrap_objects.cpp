#include "server/bootstrap_objects.h"

#include "base/json.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

const client::ResourceRef kNamespaces{"", "v1", "namespaces"};
const client::ResourceRef kServices{"", "v1", "services"};
const client::ResourceRef kEndpoints{"", "v1", "endpoints"};
const client::ResourceRef kSlices{"discovery.k8s.io", "v1", "endpointslices"};
const client::ResourceRef kConfigMaps{"", "v1", "configmaps"};
const client::ResourceRef kClusterRoles{"rbac.authorization.k8s.io", "v1", "clusterroles"};
const client::ResourceRef kPriorityClasses{"scheduling.k8s.io", "v1", "priorityclasses"};

/// Creates the object, or merges `wanted` into an existing one when that changes it.
Status ensure(client::Client& client, const client::ResourceRef& r, const std::string& ns, const Json& wanted,
              bool correct) {
  const std::string name(base::string_at(wanted, {"metadata", "name"}));
  auto have = client.get(r, ns, name);
  if (!have.ok()) {
    if (have.error().code() != Code::kNotFound) return have.error();
    Status made = client.create(r, ns, wanted).status();
    return made.code() == Code::kAlreadyExists ? Status() : made;
  }
  if (!correct) return {};
  Json patch = wanted;
  patch.erase("kind");
  patch.erase("apiVersion");
  return client.patch(r, ns, name, client::PatchType::kMerge, patch).status();
}

Json service(const char* name, const std::string& ip, const char* component, Json ports, Json selector) {
  Json s = {
      {"kind", "Service"},
      {"apiVersion", "v1"},
      {"metadata", {{"name", name}, {"labels", {{"kubernetes.io/cluster-service", "true"}}}}},
      {"spec",
       {{"type", "ClusterIP"}, {"clusterIP", ip}, {"ports", std::move(ports)}, {"sessionAffinity", "None"}}}};
  s["metadata"]["labels"][component[0] == 'a' ? "component" : "k8s-app"] = component;
  if (component[0] == 'a') {
    s["metadata"]["labels"] = {{"component", "apiserver"}, {"provider", "kubernetes"}};
  }
  if (!selector.is_null()) s["spec"]["selector"] = std::move(selector);
  return s;
}

bool is_loopback(const std::string& address) { return address.rfind("127.", 0) == 0 || address == "::1"; }

Status ensure_kubernetes_service(client::Client& client, const BootstrapOptions& o) {
  Json port = {{"name", "https"}, {"port", 443}, {"protocol", "TCP"}, {"targetPort", o.port}};
  ORCH_RETURN_IF_ERROR(ensure(client, kServices, "default",
                              service("kubernetes", o.service_ip, "apiserver", Json::array({port}), nullptr),
                              false));
  // A server without an address that others can reach (no network yet, bound to loopback) has no endpoint.
  if (is_loopback(o.advertise_address)) return {};
  Json address_port = {{"name", "https"}, {"port", o.port}, {"protocol", "TCP"}};
  Json endpoints = {
      {"kind", "Endpoints"},
      {"apiVersion", "v1"},
      {"metadata",
       {{"name", "kubernetes"}, {"labels", {{"endpointslice.kubernetes.io/skip-mirror", "true"}}}}},
      {"subsets", Json::array({{{"addresses", Json::array({{{"ip", o.advertise_address}}})},
                                {"ports", Json::array({address_port})}}})}};
  ORCH_RETURN_IF_ERROR(ensure(client, kEndpoints, "default", endpoints, true));
  Json slice = {
      {"kind", "EndpointSlice"},
      {"apiVersion", "discovery.k8s.io/v1"},
      {"metadata", {{"name", "kubernetes"}, {"labels", {{"kubernetes.io/service-name", "kubernetes"}}}}},
      {"addressType", o.advertise_address.find(':') == std::string::npos ? "IPv4" : "IPv6"},
      {"endpoints",
       Json::array({{{"addresses", Json::array({o.advertise_address})}, {"conditions", {{"ready", true}}}}})},
      {"ports", Json::array({address_port})}};
  return ensure(client, kSlices, "default", slice, true);
}

Status ensure_dns_service(client::Client& client, const BootstrapOptions& o) {
  Json ports = Json::array({{{"name", "dns"}, {"port", 53}, {"protocol", "UDP"}, {"targetPort", 53}},
                            {{"name", "dns-tcp"}, {"port", 53}, {"protocol", "TCP"}, {"targetPort", 53}}});
  Json s = service("kube-dns", o.dns_ip, "kube-dns", ports, nullptr);
  s["metadata"]["labels"]["kubernetes.io/name"] = "CoreDNS";
  return ensure(client, kServices, "kube-system", s, false);
}

Status ensure_priority_classes(client::Client& client) {
  const std::pair<const char*, int64_t> classes[] = {{"system-node-critical", 2000001000},
                                                     {"system-cluster-critical", 2000000000}};
  for (const auto& [name, value] : classes) {
    Json c = {{"kind", "PriorityClass"},
              {"apiVersion", "scheduling.k8s.io/v1"},
              {"metadata", {{"name", name}}},
              {"value", value},
              {"preemptionPolicy", "PreemptLowerPriority"},
              {"description", "For pods that the cluster itself depends on."}};
    ORCH_RETURN_IF_ERROR(ensure(client, kPriorityClasses, "", c, false));
  }
  return {};
}

/// What extension API servers read to trust front-proxy requests and client certificates.
Status ensure_authentication_config(client::Client& client, const BootstrapOptions& o) {
  Json config = {{"kind", "ConfigMap"},
                 {"apiVersion", "v1"},
                 {"metadata", {{"name", "extension-apiserver-authentication"}}},
                 {"data",
                  {{"client-ca-file", o.client_ca_pem},
                   {"requestheader-allowed-names", "[\"system:auth-proxy\"]"},
                   {"requestheader-client-ca-file", o.request_header_ca_pem},
                   {"requestheader-extra-headers-prefix", "[\"X-Remote-Extra-\"]"},
                   {"requestheader-group-headers", "[\"X-Remote-Group\"]"},
                   {"requestheader-uid-headers", "[\"X-Remote-Uid\"]"},
                   {"requestheader-username-headers", "[\"X-Remote-User\"]"}}}};
  return ensure(client, kConfigMaps, "kube-system", config, true);
}

/// Who may view, may see what is used: the role that metrics-server brings along.
Status ensure_metrics_reader(client::Client& client) {
  Json role = {{"kind", "ClusterRole"},
               {"apiVersion", "rbac.authorization.k8s.io/v1"},
               {"metadata", {{"name", "system:aggregated-metrics-reader"}}},
               {"rules", Json::array({{{"apiGroups", Json::array({"metrics.k8s.io"})},
                                       {"resources", Json::array({"pods", "nodes"})},
                                       {"verbs", Json::array({"get", "list", "watch"})}}})}};
  for (const char* role_name : {"admin", "edit", "view"}) {
    role["metadata"]["labels"][base::cat("rbac.authorization.k8s.io/aggregate-to-", role_name)] = "true";
  }
  return ensure(client, kClusterRoles, "", role, false);
}

}  // namespace

Status ensure_bootstrap_objects(client::Client& client, const BootstrapOptions& options) {
  for (const char* name : {"kube-system", "kube-public", "kube-node-lease", "default"}) {
    Json ns = {{"kind", "Namespace"}, {"apiVersion", "v1"}, {"metadata", {{"name", name}}}};
    ORCH_RETURN_IF_ERROR(
        ensure(client, kNamespaces, "", ns, false).with_context(base::cat("namespace ", name)));
  }
  ORCH_RETURN_IF_ERROR(ensure_priority_classes(client).with_context("priority classes"));
  ORCH_RETURN_IF_ERROR(ensure_kubernetes_service(client, options).with_context("service kubernetes"));
  ORCH_RETURN_IF_ERROR(ensure_dns_service(client, options).with_context("service kube-dns"));
  ORCH_RETURN_IF_ERROR(ensure_metrics_reader(client).with_context("role of metrics readers"));
  return ensure_authentication_config(client, options).with_context("authentication config map");
}

}  // namespace orch::server
