// What must hold of what pods share: namespaces, quotas, services.
#include <algorithm>

#include "api/meta.h"
#include "api/quantity.h"
#include "tests/simulation/truth.h"
#include "tests/simulation/world.h"

namespace orch::simulation {

using base::string_at;

namespace {

int64_t count_at(const Json& tree, std::initializer_list<std::string_view> path) {
  const auto q = api::Quantity::parse(string_at(tree, path, "-1"));
  return q.ok() ? q->value() : -1;
}

bool selects(const Json& selector, const std::string& app, const std::string& tier) {
  for (const auto& [key, value] : selector.items()) {
    if (value != (key == "app" ? app : key == "tier" ? tier : "")) return false;
  }
  return !selector.empty();
}

std::string controller_uid(const Json& tree) {
  for (const Json& o : base::array_at(tree, {"metadata", "ownerReferences"})) {
    if (o.value("controller", false)) return std::string(string_at(o, {"uid"}));
  }
  return {};
}

std::string text_of(const std::map<std::string, bool>& pods) {
  std::string out;
  for (const auto& [name, ready] : pods) out += base::cat(" ", name, ready ? "" : " (not ready)");
  return out.empty() ? " nothing" : out;
}

}  // namespace

bool Truth::open(std::string_view ns) const {
  const Json* object = find("namespaces", ns);
  return object != nullptr && !base::object_at(*object, {"metadata"}).contains("deletionTimestamp");
}

// --- Namespaces ------------------------------------------------------------------------------------------

void Truth::check_made(const std::string& plural, const std::string& ns, const std::string& name) const {
  if (ns.empty() || open(ns)) return;
  world_.violated("closed", base::cat(world_.actor, " makes ", plural, " ", name, " in namespace ", ns,
                                      ", which is ", find("namespaces", ns) ? "going away" : "not there"));
}

void Truth::check_emptied(const std::string& ns) const {
  for (const auto& [plural, kind] : all_) {
    for (const auto& [name, tree] : kind) {
      if (string_at(tree, {"metadata", "namespace"}) == ns)
        world_.violated("emptied",
                        base::cat("namespace ", ns, " is gone, and ", plural, " ", name, " is not"));
    }
  }
}

// --- Quotas ----------------------------------------------------------------------------------------------

void Truth::put_quota(const Json& tree) {
  quotas_[std::string(string_at(tree, {"metadata", "name"}))] = {
      std::string(string_at(tree, {"metadata", "namespace"})), count_at(tree, {"spec", "hard", "pods"})};
}

void Truth::check_quota(const Pod& pod) const {
  for (const auto& [name, quota] : quotas_) {
    if (quota.ns != pod.ns) continue;
    // Pods that are being deleted count too, for a while. To leave them out allows more, never less.
    const int64_t have = count([&](const Pod& p) { return p.ns == quota.ns && p.active(); });
    if (have > quota.pods) {
      world_.violated("quota", base::cat("namespace ", quota.ns, " has ", have, " pods, last ", pod.name,
                                         "; its quota ", name, " allows ", quota.pods));
    }
  }
}

int64_t Truth::counted_pods(std::string_view ns) const {
  return count([&](const Pod& p) { return p.ns == ns && !p.finished(); });
}

bool Truth::hindered() const {
  const auto quotas = all_.find("resourcequotas");
  return quotas != all_.end() && std::any_of(quotas->second.begin(), quotas->second.end(), [](const auto& q) {
           return count_at(q.second, {"status", "used", "pods"}) >=
                  count_at(q.second, {"spec", "hard", "pods"});
         });
}

void Truth::rest_of_quotas() {
  for (const auto& [name, tree] : all_["resourcequotas"]) {
    const int64_t pods = counted_pods(string_at(tree, {"metadata", "namespace"}));
    if (count_at(tree, {"status", "used", "pods"}) == pods &&
        count_at(tree, {"status", "hard", "pods"}) == count_at(tree, {"spec", "hard", "pods"}))
      continue;
    world_.violated("used", base::cat("quota ", name, " counts ", base::object_at(tree, {"status"}).dump(),
                                      ", there are ", pods, " pods"));
  }
}

// --- Services --------------------------------------------------------------------------------------------

void Truth::put_service(const Json& tree) {
  Service& service = services_[std::string(string_at(tree, {"metadata", "uid"}))];
  service.ns = string_at(tree, {"metadata", "namespace"});
  const Json& selector = base::object_at(tree, {"spec", "selector"});
  if (service.selectors.empty() || service.selectors.back() != selector)
    service.selectors.push_back(selector);
}

void Truth::note_backend(const Pod& pod) {
  Backend& backend = backends_[pod.uid];
  backend.ns = pod.ns;
  backend.app = pod.app;
  backend.tier = pod.tier;
  if (!pod.ip.empty()) backend.ips.insert(pod.ip);
}

void Truth::check_slice(const Json& tree) const {
  const auto service = services_.find(controller_uid(tree));
  if (service == services_.end()) return;  // users may let slices go on without their service
  const std::string_view name = string_at(tree, {"metadata", "name"});
  for (const Json& endpoint : base::array_at(tree, {"endpoints"})) {
    const auto pod = backends_.find(std::string(string_at(endpoint, {"targetRef", "uid"})));
    const std::string what = base::cat("slice ", name, " names ", string_at(endpoint, {"targetRef", "name"}));
    if (pod == backends_.end()) {
      world_.violated("strangers", base::cat(what, ", a pod that never was"));
      continue;
    }
    const Backend& backend = pod->second;
    const auto& selectors = service->second.selectors;
    if (backend.ns != service->second.ns ||
        std::none_of(selectors.begin(), selectors.end(),
                     [&](const Json& s) { return selects(s, backend.app, backend.tier); }))
      world_.violated("strangers", base::cat(what, ", which its service does not select"));
    for (const Json& address : base::array_at(endpoint, {"addresses"})) {
      if (backend.ips.count(address.get<std::string>()) == 0)
        world_.violated("strangers",
                        base::cat(what, " at ", address.dump(), ", which was never its address"));
    }
  }
}

void Truth::rest_of_services() {
  for (const auto& [name, tree] : all_["services"]) rest_of_service(name, tree);
  for (const auto& [name, tree] : all_["endpoints"]) {
    if (find("services", name) == nullptr)
      world_.violated("slices", base::cat("endpoints ", name, " have no service any more"));
  }
}

void Truth::rest_of_service(const std::string& name, const Json& service) {
  const std::string_view ns = string_at(service, {"metadata", "namespace"});
  const bool all = base::bool_at(service, {"spec", "publishNotReadyAddresses"});
  std::map<std::string, bool> wanted, named;  // whether they are ready, by name and address
  for (const auto& [pod_name, pod] : pods_) {
    if (pod.ns == ns && !pod.finished() && !pod.ip.empty() &&
        selects(base::object_at(service, {"spec", "selector"}), pod.app, pod.tier))
      wanted[base::cat(pod_name, " at ", pod.ip)] = all || pod.ready;
  }
  for (const auto& [slice_name, slice] : all_["endpointslices"]) {
    if (controller_uid(slice) != string_at(service, {"metadata", "uid"})) continue;
    for (const Json& e : base::array_at(slice, {"endpoints"})) {
      const Json& addresses = base::array_at(e, {"addresses"});
      const std::string which = base::cat(string_at(e, {"targetRef", "name"}), " at ",
                                          addresses.empty() ? "" : addresses[0].get<std::string>());
      if (!named.emplace(which, base::bool_at(e, {"conditions", "ready"})).second)
        world_.violated("slices", base::cat("service ", name, " has ", which, " twice"));
    }
  }
  if (named != wanted) {
    world_.violated("slices", base::cat("slices of service ", name, " name", text_of(named), "; it should be",
                                        text_of(wanted)));
  }
  rest_of_endpoints(name, wanted);
}

void Truth::rest_of_endpoints(const std::string& name, const std::map<std::string, bool>& wanted) {
  std::map<std::string, bool> named;
  static const Json nothing;
  const Json* endpoints = find("endpoints", name);
  for (const Json& subset : base::array_at(endpoints != nullptr ? *endpoints : nothing, {"subsets"})) {
    for (const char* list : {"addresses", "notReadyAddresses"}) {
      for (const Json& a : base::array_at(subset, {list}))
        named[base::cat(string_at(a, {"targetRef", "name"}), " at ", string_at(a, {"ip"}))] = list[0] == 'a';
    }
  }
  if (endpoints == nullptr || named != wanted) {
    world_.violated("slices", base::cat("endpoints of service ", name, " name", text_of(named),
                                        "; it should be", text_of(wanted)));
  }
}

}  // namespace orch::simulation
