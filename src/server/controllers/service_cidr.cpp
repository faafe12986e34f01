#include "server/controllers/service_cidr.h"

#include <algorithm>
#include <set>

#include "api/meta.h"
#include "api/resources/ip.h"
#include "base/json.h"
#include "server/controllers/pods.h"

namespace orch::server {
namespace {

using std::chrono::seconds;

const client::ResourceRef kRanges{"networking.k8s.io", "v1", "servicecidrs"};
const client::ResourceRef kAddresses{"networking.k8s.io", "v1", "ipaddresses"};
constexpr const char* kFinalizer = "networking.k8s.io/service-cidr-finalizer";
constexpr const char* kFamilyLabel = "ipaddress.kubernetes.io/ip-family";
constexpr const char* kManagedLabel = "ipaddress.kubernetes.io/managed-by";
constexpr const char* kManager = "ipallocator.k8s.io";
/// After its deletion a range may still be given addresses from for a moment.
constexpr seconds kGrace{10};

std::vector<api::Cidr> cidrs_of(const api::Object& range) {
  std::vector<api::Cidr> out;
  const Json tree = range.tree();
  for (const Json& text : base::array_at(tree, {"spec", "cidrs"})) {
    if (!text.is_string()) continue;
    if (const auto cidr = api::Cidr::parse(text.get_ref<const std::string&>())) out.push_back(*cidr);
  }
  return out;
}

/// `outer` has all addresses of `inner`.
bool within(const api::Cidr& inner, const api::Cidr& outer) {
  return inner.v4 == outer.v4 && outer.prefix <= inner.prefix && outer.contains(inner.network());
}

bool managed(const api::Object& address) { return address.label(kManagedLabel) == kManager; }

/// Ranges under deletion wait for their addresses, and for others that take them over.
Keys range_keys(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  Keys keys = own_key(before, after, view);
  if (before != nullptr && after != nullptr && before->deleting() == after->deleting()) return keys;
  for (const api::ObjectPtr& other : view.list(kRanges, "")) {
    if (other->deleting()) keys.push_back({"", std::string(other->name())});
  }
  return keys;
}

Keys address_keys(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  Keys keys;
  if (after != nullptr || !managed(*before)) return keys;
  for (const api::ObjectPtr& range : view.list(kRanges, "")) {
    if (range->deleting()) keys.push_back({"", std::string(range->name())});
  }
  return keys;
}

/// Whether every address of services is in some range when this one is gone.
bool dispensable(const api::Object& range, const View& view) {
  const auto own = cidrs_of(range);
  std::vector<api::Cidr> others;
  for (const api::ObjectPtr& other : view.list(kRanges, "")) {
    if (other->uid() == range.uid()) continue;
    for (const api::Cidr& cidr : cidrs_of(*other)) others.push_back(cidr);
  }
  const bool covered = std::all_of(own.begin(), own.end(), [&](const api::Cidr& cidr) {
    return std::any_of(others.begin(), others.end(), [&](const api::Cidr& o) { return within(cidr, o); });
  });
  if (covered) return true;
  const auto in = [](const std::vector<api::Cidr>& list, const api::Ip& ip) {
    return std::any_of(list.begin(), list.end(), [&](const api::Cidr& c) { return c.contains(ip); });
  };
  const auto addresses = view.list(kAddresses, "");
  return std::none_of(addresses.begin(), addresses.end(), [&](const api::ObjectPtr& address) {
    if (!managed(*address)) return false;
    const auto ip = api::Ip::parse(address->name());
    return ip && in(own, *ip) && !in(others, *ip);
  });
}

Json default_range(const std::string& cidr) {
  return {{"kind", "ServiceCIDR"},
          {"apiVersion", "networking.k8s.io/v1"},
          {"metadata", {{"name", kDefaultServiceCidr}}},
          {"spec", {{"cidrs", Json::array({cidr})}}}};
}

Plan plan_range(const std::string& default_cidr, const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  const api::ObjectPtr range = view.get(kRanges, "", key.name);
  if (range == nullptr) {
    if (key.name == kDefaultServiceCidr) plan.create(kRanges, "", default_range(default_cidr));
    return plan;
  }
  Json tree = range->tree();
  const auto set_ready = [&](const char* status, const char* reason, const char* message) {
    if (api::set_condition(tree, {"Ready", status, reason, message}, now))
      plan.update(kRanges, tree, "status");
  };
  if (!range->deleting()) {
    if (api::add_finalizer(tree, kFinalizer)) {
      plan.update(kRanges, std::move(tree));  // its event brings the rest
    } else {
      set_ready("True", "", "Kubernetes Service CIDR is ready");
    }
    return plan;
  }
  if (!api::has_finalizer(tree, kFinalizer)) return plan;
  if (!dispensable(*range, view)) {
    set_ready("False", "Terminating",
              "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new "
              "ServiceCIDR");
    return plan;
  }
  const auto since = base::parse_time(base::string_at(tree, {"metadata", "deletionTimestamp"}));
  if (since.ok() && now < *since + kGrace && *since <= now) return plan.again_after(*since + kGrace - now);
  api::remove_finalizer(tree, kFinalizer);
  return plan.update(kRanges, std::move(tree));
}

// --- Addresses --------------------------------------------------------------------------------------

std::vector<std::string> addresses_of(const api::Object& service) {
  std::vector<std::string> out;
  const Json tree = service.tree();
  if (base::string_at(tree, {"spec", "type"}) == "ExternalName") return out;
  for (const Json& ip : base::array_at(tree, {"spec", "clusterIPs"})) {
    if (!ip.is_string() || ip == "None") continue;
    if (const auto parsed = api::Ip::parse(ip.get_ref<const std::string&>())) out.push_back(parsed->text());
  }
  return out;
}

Keys keys_of_service(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  std::set<std::string> names;
  for (const api::ObjectPtr& service : {before, after}) {
    if (service == nullptr) continue;
    for (std::string& ip : addresses_of(*service)) names.insert(std::move(ip));
  }
  Keys keys;
  for (const std::string& name : names) keys.push_back({"", name});
  return keys;
}

Json address_object(const std::string& ip, const api::Object& service) {
  const auto parsed = api::Ip::parse(ip);
  return {
      {"kind", "IPAddress"},
      {"apiVersion", "networking.k8s.io/v1"},
      {"metadata",
       {{"name", ip},
        {"labels", {{kFamilyLabel, parsed && parsed->v4() ? "IPv4" : "IPv6"}, {kManagedLabel, kManager}}}}},
      {"spec",
       {{"parentRef", {{"resource", "services"}, {"namespace", service.ns()}, {"name", service.name()}}}}}};
}

Plan plan_address(const View& view, const Key& key, base::WallTime) {
  Plan plan;
  const auto services = view.by_index(kServices, "addresses", key.name);
  const api::ObjectPtr address = view.get(kAddresses, "", key.name);
  const bool ours = address != nullptr && managed(*address);
  if (services.empty()) {
    if (ours && !address->deleting()) plan.remove(kAddresses, *address);
    return plan;
  }
  const Json wanted = address_object(key.name, *services.front());
  if (address == nullptr) return plan.create(kAddresses, "", wanted);
  // To whom it belongs cannot be changed: what is wrong makes way for what is right.
  if (ours && !address->deleting() && address->tree()["spec"]["parentRef"] != wanted["spec"]["parentRef"])
    plan.remove(kAddresses, *address);
  return plan;
}

}  // namespace

Controller make_service_cidr_controller(std::string default_cidr) {
  if (const auto cidr = api::Cidr::parse(default_cidr)) default_cidr = cidr->text();
  Controller c;
  c.name = "service-cidr-controller";
  c.queue = "servicecidrs";
  c.sources = {{kRanges, range_keys, {}},
               {kAddresses, address_keys, {}},
               // The first service is there from the start: with it comes the range that it is of.
               {kServices,
                [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
                  if (before != nullptr || after->name() != "kubernetes" || after->ns() != "default")
                    return Keys();
                  return view.get(kRanges, "", kDefaultServiceCidr) == nullptr
                             ? Keys{{"", kDefaultServiceCidr}}
                             : Keys();
                },
                {}}};
  c.plan = [cidr = std::move(default_cidr)](const View& view, const Key& key, base::WallTime now) {
    return plan_range(cidr, view, key, now);
  };
  return c;
}

Controller make_ip_address_controller() {
  Controller c;
  c.name = "ipaddress-controller";
  c.queue = "ipaddresses";
  c.sources = {{kAddresses, own_key, {}}, {kServices, keys_of_service, {{"addresses", addresses_of}}}};
  c.plan = plan_address;
  return c;
}

}  // namespace orch::server
