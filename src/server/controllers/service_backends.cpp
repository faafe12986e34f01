#include "server/controllers/service_backends.h"

#include <algorithm>

#include "api/scan.h"
#include "api/selector.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

std::string address_of(const Json& pod, const std::string& family) {
  auto is_family = [&](std::string_view ip) {
    return !ip.empty() && (ip.find(':') != std::string_view::npos) == (family == "IPv6");
  };
  for (const auto& entry : base::array_at(pod, {"status", "podIPs"})) {
    std::string_view ip = base::string_at(entry, {"ip"});
    if (is_family(ip)) return std::string(ip);
  }
  std::string_view ip = base::string_at(pod, {"status", "podIP"});
  return is_family(ip) ? std::string(ip) : std::string();
}

/// Number of a target port: itself, or the container port of that name and protocol.
int64_t resolve_port(const Json& target, const Json& pod, std::string_view protocol) {
  if (target.is_number_integer()) return target.get<int64_t>();
  if (!target.is_string()) return 0;
  for (const char* list : {"containers", "initContainers"}) {
    for (const auto& c : base::array_at(pod, {"spec", list})) {
      if (list[0] == 'i' && base::string_at(c, {"restartPolicy"}) != "Always") continue;
      for (const auto& p : base::array_at(c, {"ports"})) {
        if (base::string_at(p, {"name"}) == target.get<std::string>() &&
            base::string_at(p, {"protocol"}, "TCP") == protocol) {
          return base::int_at(p, {"containerPort"});
        }
      }
    }
  }
  return 0;
}

Json ports_of(const Json& service, const Json& pod) {
  Json ports = Json::array();
  for (const auto& p : base::array_at(service, {"spec", "ports"})) {
    std::string protocol(base::string_at(p, {"protocol"}, "TCP"));
    const Json* target = base::find_path(p, {"targetPort"});
    int64_t number = target != nullptr ? resolve_port(*target, pod, protocol) : base::int_at(p, {"port"});
    if (number == 0) continue;
    Json port = {
        {"name", std::string(base::string_at(p, {"name"}))}, {"port", number}, {"protocol", protocol}};
    if (p.contains("appProtocol")) port["appProtocol"] = p["appProtocol"];
    ports.push_back(std::move(port));
  }
  return ports;
}

}  // namespace

std::vector<Backend> backends_of(const View& view, const Json& service, const std::string& ns,
                                 const std::string& family) {
  std::vector<Backend> out;
  const Json& selector_tree = base::object_at(service, {"spec", "selector"});
  if (selector_tree.empty()) return out;
  const auto selector = api::LabelSelector::from_map(selector_tree);
  const bool publish_all = base::bool_at(service, {"spec", "publishNotReadyAddresses"});
  std::string_view service_name = base::string_at(service, {"metadata", "name"});
  for (const auto& object : view.list(kPods, ns)) {
    if (!selector.matches(*object)) continue;
    const Json pod = object->tree();
    std::string_view phase = base::string_at(pod, {"status", "phase"});
    if (phase == "Succeeded" || phase == "Failed") continue;
    Backend b;
    b.ip = address_of(pod, family);
    if (b.ip.empty()) continue;
    b.pod = object;
    b.node = base::string_at(pod, {"spec", "nodeName"});
    if (api::ObjectPtr node = view.get(kNodes, "", b.node))
      b.zone = node->label("topology.kubernetes.io/zone");
    if (base::string_at(pod, {"spec", "subdomain"}) == service_name)
      b.hostname = base::string_at(pod, {"spec", "hostname"});
    b.terminating = object->deleting();
    b.serving = pod_ready(pod);
    b.ready = publish_all || (b.serving && !b.terminating);
    b.ports = ports_of(service, pod);
    out.push_back(std::move(b));
  }
  return out;
}

std::vector<Source> backend_sources(const client::ResourceRef& owned, const char* service_label) {
  auto pod_keys = [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
    Keys keys;
    const api::Object& any = after ? *after : *before;
    for (const auto& service : view.list(kServices, any.ns())) {
      // Every change of a pod comes by here for every service: only what is asked for is parsed.
      const auto selector_tree = base::parse_json(api::raw_value(service->bytes(), {"spec", "selector"}));
      if (!selector_tree.ok() || selector_tree->empty()) continue;
      const auto selector = api::LabelSelector::from_map(*selector_tree);
      if ((before && selector.matches(*before)) || (after && selector.matches(*after))) {
        keys.push_back({std::string(service->ns()), std::string(service->name())});
      }
    }
    return keys;
  };
  auto owned_keys = [label = std::string(service_label)](const api::ObjectPtr& before,
                                                         const api::ObjectPtr& after, const View&) {
    Keys keys;
    for (const auto& o : {before, after}) {
      if (!o) continue;
      std::string_view name = label.empty() ? o->name() : o->label(label);
      Key key{std::string(o->ns()), std::string(name)};
      if (!key.name.empty() && (keys.empty() || !(keys[0] == key))) keys.push_back(key);
    }
    return keys;
  };
  return {{kServices, own_key, {}}, {kPods, pod_keys, {}}, {owned, owned_keys, {}}, {kNodes, nullptr, {}}};
}

}  // namespace orch::server
