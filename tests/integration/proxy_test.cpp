// The service proxy with real nftables and real connections, in network namespaces of the test's own.
#include "agent/proxy/proxy.h"

#include <future>
#include <map>
#include <random>

#include "agent/network/host.h"
#include "tests/catch.h"
#include "tests/fake_api.h"
#include "tests/integration/net_space.h"

using namespace orch;
using namespace orch::agent;
using std::chrono::milliseconds;
using tests::FakeApi;
using tests::NetSpace;

namespace {

const client::ResourceRef kServices{"", "v1", "services"};
const client::ResourceRef kSlices{"discovery.k8s.io", "v1", "endpointslices"};
const client::ResourceRef kNodes{"", "v1", "nodes"};

Json service(const std::string& name, const std::string& ip, int port, const Json& more = Json::object(),
             const std::string& protocol = "TCP", int node_port = 0) {
  Json p = {{"name", "p"}, {"port", port}, {"protocol", protocol}};
  if (node_port != 0) p["nodePort"] = node_port;
  Json spec = {{"type", node_port != 0 ? "NodePort" : "ClusterIP"},
               {"clusterIP", ip},
               {"clusterIPs", {ip}},
               {"ports", {p}}};
  spec.update(more);
  return {{"kind", "Service"},
          {"apiVersion", "v1"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"spec", spec}};
}

struct Address {
  std::string ip, node;
  bool ready = true;
};

Json slice(const std::string& name, int port, const std::vector<Address>& addresses,
           const std::string& protocol = "TCP") {
  Json endpoints = Json::array();
  for (const auto& a : addresses) {
    endpoints.push_back({{"addresses", {a.ip}}, {"nodeName", a.node}, {"conditions", {{"ready", a.ready}}}});
  }
  return {
      {"kind", "EndpointSlice"},
      {"apiVersion", "discovery.k8s.io/v1"},
      {"metadata",
       {{"name", name + "-1"}, {"namespace", "default"}, {"labels", {{"kubernetes.io/service-name", name}}}}},
      {"addressType", "IPv4"},
      {"endpoints", endpoints},
      {"ports", {{{"name", "p"}, {"port", port}, {"protocol", protocol}}}}};
}

Json node(const std::string& name, const std::string& ip, const std::string& range) {
  return {{"kind", "Node"},
          {"apiVersion", "v1"},
          {"metadata", {{"name", name}}},
          {"spec", {{"podCIDR", range}, {"podCIDRs", {range}}}},
          {"status", {{"addresses", {{{"type", "InternalIP"}, {"address", ip}}}}}}};
}

/// One node with two pods on a bridge, a client outside, and a pod of another node.
struct World {
  NetSpace node, pod_a, pod_b, outside, far_pod;
  FakeApi api;
  std::unique_ptr<base::Timers> timers = base::make_timers();
  client::InformerFactory informers{api, *timers};
  std::unique_ptr<Proxy> proxy;
  bool bridge_netfilter = false;

  World() {
    node.sh("ip link add orch0 type bridge && ip addr add 10.42.0.1/24 dev orch0 && ip link set orch0 up");
    plug(pod_a, "pod-a", "10.42.0.2/24", "10.42.0.1", "master orch0");
    plug(pod_b, "pod-b", "10.42.0.3/24", "10.42.0.1", "master orch0");
    plug(outside, "out", "192.168.9.2/24", "", "up");
    node.sh("ip addr add 192.168.9.1/24 dev out && ip route add default via 192.168.9.2");
    outside.sh("ip route add 10.43.0.0/16 via 192.168.9.1; ip route add 10.99.0.0/16 via 192.168.9.1");
    plug(far_pod, "far", "10.42.1.2/24", "10.42.1.1", "up");
    node.sh("ip addr add 10.42.1.1/24 dev far");
    node.run([this] {
      const auto prepared = prepare_host(false);
      REQUIRE(prepared.ok());
      bridge_netfilter = prepared->bridge_netfilter;
    });
    pod_a.serve(SOCK_STREAM, 8080, "a");
    pod_b.serve(SOCK_STREAM, 8080, "b");
    far_pod.serve(SOCK_STREAM, 8080, "far");
    pod_a.serve(SOCK_DGRAM, 5353, "a");
    pod_b.serve(SOCK_DGRAM, 5353, "b");
    api.put(kNodes, ::node("n1", "192.168.9.1", "10.42.0.0/24"));
    api.put(kNodes, ::node("n2", "192.168.9.9", "10.42.1.0/24"));
  }
  void plug(NetSpace& space, const std::string& name, const std::string& ip, const std::string& gateway,
            const std::string& settings) {
    node.sh("ip link add dev " + name + " type veth peer name eth0 netns " + space.path() +
            " && ip link set dev " + name + " " + settings);
    if (settings != "up") node.sh("ip link set dev " + name + " type bridge_slave hairpin on");
    node.sh("ip link set dev " + name + " up");
    space.sh("ip addr add " + ip + " dev eth0 && ip link set eth0 up");
    if (!gateway.empty()) space.sh("ip route add default via " + gateway);
  }
  void start(ProxyConfig config = {}) {
    config.node_name = "n1";
    config.masquerade_local = config.masquerade_local || !bridge_netfilter;
    proxy = std::make_unique<Proxy>(informers, config);
    informers.start();
    node.run([this] { proxy->start(); });
    REQUIRE(proxy->wait_first(milliseconds(10000)));
  }
  /// Calls until the answer starts with `wanted`; how long that took, or 10 s.
  milliseconds until(const NetSpace& from, const std::string& ip, uint16_t port, const std::string& wanted) {
    const auto began = std::chrono::steady_clock::now();
    milliseconds took{0};
    while (took < milliseconds(10000)) {
      const bool there = from.call(ip, port).find(wanted) == 0;
      took = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began);
      if (there) return took;
    }
    return took;
  }
  std::map<std::string, int> spread(const NetSpace& from, const std::string& ip, uint16_t port, int calls) {
    std::map<std::string, int> out;
    for (int i = 0; i < calls; ++i) ++out[from.call(ip, port)];
    return out;
  }
};

}  // namespace

TEST_CASE("Cluster IPs lead pods, host and outside clients to endpoints") {
  NEEDS_ROOT();
  World w;
  w.api.put(kServices, service("web", "10.43.0.5", 80));
  w.api.put(kSlices, slice("web", 8080, {{"10.42.0.2", "n1"}, {"10.42.0.3", "n1"}}));
  w.start();
  INFO(w.proxy->status().message());
  REQUIRE(w.proxy->status().ok());

  auto from_host = w.spread(w.node, "10.43.0.5", 80, 40);
  CHECK(from_host.size() == 2);
  CHECK(from_host["a 10.42.0.1"] > 5);
  CHECK(from_host["b 10.42.0.1"] > 5);

  // A pod reaches the other under its own address, and itself by way of the node's.
  auto from_pod = w.spread(w.pod_a, "10.43.0.5", 80, 40);
  CHECK(from_pod.size() == 2);
  CHECK(from_pod[w.bridge_netfilter ? "b 10.42.0.2" : "b 10.42.0.1"] > 5);
  CHECK(from_pod["a 10.42.0.1"] > 5);

  // From outside of the cluster the source is rewritten, so that answers come back this way.
  auto from_outside = w.spread(w.outside, "10.43.0.5", 80, 20);
  CHECK(from_outside["a 10.42.0.1"] + from_outside["b 10.42.0.1"] == 20);

  // Other ports of a cluster IP are refused at once.
  CHECK(w.pod_a.call("10.43.0.5", 81) == "refused");
  CHECK(w.node.call("10.43.0.5", 81) == "refused");
}

TEST_CASE("Endpoint changes reach connections within 50 ms") {
  NEEDS_ROOT();
  World w;
  w.api.put(kServices, service("web", "10.43.0.5", 80));
  for (int i = 0; i < 200; ++i) {
    const std::string name = "other-" + std::to_string(i);
    w.api.put(kServices, service(name, "10.43.1." + std::to_string(i), 80));
    w.api.put(kSlices, slice(name, 8080, {{"10.42.0.2", "n1"}, {"10.42.1.2", "n2"}}));
  }
  w.start();
  CHECK(w.pod_a.call("10.43.0.5", 80) == "refused");
  std::vector<milliseconds> took;
  for (int round = 0; round < 5; ++round) {
    w.api.put(kSlices, slice("web", 8080, {{"10.42.0.3", "n1"}}));
    took.push_back(w.until(w.node, "10.43.0.5", 80, "b"));
    w.api.put(kSlices, slice("web", 8080, {{"10.42.1.2", "n2"}}));
    took.push_back(w.until(w.node, "10.43.0.5", 80, "far"));
  }
  std::sort(took.begin(), took.end());
  INFO("median " << took[took.size() / 2].count() << " ms, longest " << took.back().count() << " ms");
  CHECK(took[took.size() / 2] < milliseconds(50));
  w.api.put(kSlices, slice("web", 8080, {{"10.42.1.2", "n2", false}}));
  CHECK(w.until(w.pod_a, "10.43.0.5", 80, "refused") < milliseconds(1000));
  w.api.erase(kServices, "default", "web");
  CHECK(w.until(w.pod_a, "10.43.1.7", 80, "far") < milliseconds(1000));
}

TEST_CASE("Node ports, external addresses and traffic policies") {
  NEEDS_ROOT();
  World w;
  w.api.put(kServices, service("any", "10.43.0.6", 80, {{"externalIPs", {"10.99.0.1"}}}, "TCP", 30080));
  w.api.put(kSlices, slice("any", 8080, {{"10.42.0.2", "n1"}}));
  w.api.put(kServices, service("near", "10.43.0.7", 80, {{"externalTrafficPolicy", "Local"}}, "TCP", 30081));
  w.api.put(kSlices, slice("near", 8080, {{"10.42.0.3", "n1"}, {"10.42.1.2", "n2"}}));
  w.api.put(kServices, service("gone", "10.43.0.8", 80, {{"externalTrafficPolicy", "Local"}}, "TCP", 30082));
  w.api.put(kSlices, slice("gone", 8080, {{"10.42.1.2", "n2"}}));
  w.api.put(kServices, service("none", "10.43.0.9", 80, Json::object(), "TCP", 30083));
  w.api.put(kServices, service("inner", "10.43.0.10", 80, {{"internalTrafficPolicy", "Local"}}));
  w.api.put(kSlices, slice("inner", 8080, {{"10.42.0.3", "n1"}, {"10.42.1.2", "n2"}}));
  w.api.put(kServices, service("headless", "None", 80));
  w.start();
  INFO(w.proxy->status().message());
  CHECK(w.outside.call("192.168.9.1", 30080) == "a 10.42.0.1");
  CHECK(w.outside.call("10.99.0.1", 80) == "a 10.42.0.1");
  CHECK(w.pod_b.call("10.42.0.1", 30080).substr(0, 2) == "a ");
  CHECK(w.node.call("192.168.9.1", 30080).substr(0, 2) == "a ");
  // Policy Local keeps the client's address and stays on the node.
  CHECK(w.spread(w.outside, "192.168.9.1", 30081, 10)["b 192.168.9.2"] == 10);
  // A pod of the cluster goes anywhere.
  CHECK(w.spread(w.pod_a, "192.168.9.1", 30081, 30).size() == 2);
  CHECK(w.outside.call("192.168.9.1", 30082, 300) == "timeout");
  CHECK(w.pod_a.call("192.168.9.1", 30082).substr(0, 3) == "far");
  CHECK(w.node.call("192.168.9.1", 30082).substr(0, 3) == "far");
  CHECK(w.outside.call("192.168.9.1", 30083) == "refused");
  CHECK(w.pod_a.call("10.43.0.9", 80) == "refused");
  CHECK(w.spread(w.pod_a, "10.43.0.10", 80, 20).size() == 1);
}

TEST_CASE("Load balancer addresses admit only their source ranges") {
  NEEDS_ROOT();
  World w;
  Json balanced = service("lb", "10.43.0.6", 80,
                          {{"type", "LoadBalancer"}, {"loadBalancerSourceRanges", {"192.168.9.2/32"}}});
  balanced["status"] = {{"loadBalancer", {{"ingress", {{{"ip", "10.99.0.7"}}}}}}};
  w.api.put(kServices, balanced);
  w.api.put(kSlices, slice("lb", 8080, {{"10.42.0.2", "n1"}}));
  w.start();
  INFO(w.proxy->status().message());
  CHECK(w.outside.call("10.99.0.7", 80).substr(0, 2) == "a ");
  CHECK(w.pod_b.call("10.99.0.7", 80, 300) == "timeout");
  balanced["spec"]["loadBalancerSourceRanges"] = {"172.16.0.0/12", "10.42.0.3/32"};
  w.api.put(kServices, balanced);
  CHECK(w.until(w.pod_b, "10.99.0.7", 80, "a ") < milliseconds(5000));
  CHECK(w.outside.call("10.99.0.7", 80, 300) == "timeout");
}

TEST_CASE("Client affinity holds while the endpoint does") {
  NEEDS_ROOT();
  World w;
  w.api.put(kServices, service("sticky", "10.43.0.6", 80, {{"sessionAffinity", "ClientIP"}}));
  w.api.put(kSlices, slice("sticky", 8080, {{"10.42.0.2", "n1"}, {"10.42.0.3", "n1"}, {"10.42.1.2", "n2"}}));
  w.start();
  INFO(w.proxy->status().message());
  const auto first = w.spread(w.outside, "10.43.0.6", 80, 20);
  REQUIRE(first.size() == 1);
  const std::string who = first.begin()->first.substr(0, first.begin()->first.find(' '));
  // The others come and go without moving the client.
  std::vector<Address> left;
  for (const auto& a : std::vector<std::pair<std::string, Address>>{
           {"a", {"10.42.0.2", "n1"}}, {"b", {"10.42.0.3", "n1"}}, {"far", {"10.42.1.2", "n2"}}}) {
    if (a.first == who || left.empty()) left.push_back(a.second);
  }
  w.api.put(kSlices, slice("sticky", 8080, left));
  std::this_thread::sleep_for(milliseconds(100));
  CHECK(w.spread(w.outside, "10.43.0.6", 80, 10).begin()->first == first.begin()->first);
  const Address other = who == "a" ? Address{"10.42.0.3", "n1"} : Address{"10.42.0.2", "n1"};
  w.api.put(kSlices, slice("sticky", 8080, {other}));
  CHECK(w.until(w.outside, "10.43.0.6", 80, who == "a" ? "b" : "a") < milliseconds(1000));
}

TEST_CASE("A UDP client is moved from an endpoint that went away") {
  NEEDS_ROOT();
  World w;
  w.api.put(kServices, service("dns", "10.43.0.6", 53, Json::object(), "UDP"));
  w.start();
  // One that began before there was an endpoint, too.
  const int early = w.outside.udp_socket("10.43.0.6", 53, 4001);
  (void)NetSpace::ask(early, 50);
  w.api.put(kSlices, slice("dns", 5353, {{"10.42.0.2", "n1"}}, "UDP"));
  const auto until = [](int s, const std::string& wanted) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (std::chrono::steady_clock::now() < end) {
      if (NetSpace::ask(s, 50).find(wanted) == 0) return true;
    }
    return false;
  };
  const int s = w.outside.udp_socket("10.43.0.6", 53, 4000);
  CHECK(until(s, "a "));
  CHECK(until(early, "a "));
  w.api.put(kSlices, slice("dns", 5353, {{"10.42.0.3", "n1"}}, "UDP"));
  CHECK(until(s, "b "));
  ::close(s);
  ::close(early);
}

TEST_CASE("Pods leave the cluster with the node's address") {
  NEEDS_ROOT();
  World w;
  w.start();
  w.outside.serve(SOCK_STREAM, 9000, "out");
  CHECK(w.pod_a.call("192.168.9.2", 9000) == "out 192.168.9.1");
  CHECK(w.pod_a.call("10.42.1.2", 8080) == "far 10.42.0.2");
}

TEST_CASE("A flushed ruleset is written again with the next change; no nft is a clear error") {
  NEEDS_ROOT();
  World w;
  w.api.put(kServices, service("web", "10.43.0.5", 80));
  w.api.put(kSlices, slice("web", 8080, {{"10.42.0.2", "n1"}}));
  SECTION("flushed") {
    w.start();
    w.node.sh("nft flush ruleset");
    w.api.put(kSlices, slice("web", 8080, {{"10.42.0.3", "n1"}}));
    CHECK(w.until(w.node, "10.43.0.5", 80, "b") < milliseconds(5000));
    CHECK(w.proxy->status().ok());
  }
  SECTION("missing") {
    ProxyConfig config;
    config.nft = "nft-that-is-not-there";
    std::promise<std::string> told;
    config.on_status = [&told](const base::Status& status) { told.set_value(status.message()); };
    w.start(config);
    CHECK(told.get_future().get().find("install the package nftables") != std::string::npos);
    CHECK(w.proxy->status().code() == base::Code::kNotFound);
    CHECK(w.proxy->status().message().find("nft-that-is-not-there") != std::string::npos);
  }
}

namespace {

NftPiece random_piece(std::mt19937& random, int owner) {
  ProxyService s;
  s.key = "default/s" + std::to_string(owner);
  // Few addresses, so that services contend for the same ones.
  s.cluster_ips.push_back(*parse_ip("10.43.0." + std::to_string(random() % 6)));
  if (random() % 3 == 0) s.external_ips.push_back(*parse_ip("10.99.0." + std::to_string(random() % 3)));
  s.affinity = random() % 4 == 0;
  s.internal_local = random() % 4 == 0;
  s.external_local = random() % 3 == 0;
  const size_t ports = random() % 3;
  std::vector<std::vector<ProxyEndpoint>> endpoints;
  for (size_t i = 0; i < ports; ++i) {
    s.ports.push_back({"p" + std::to_string(i), random() % 2 == 0 ? "tcp" : "udp",
                       static_cast<uint16_t>(80 + i),
                       static_cast<uint16_t>(random() % 2 == 0 ? 0 : 30000 + random() % 4)});
    std::map<int, ProxyEndpoint> set;
    for (size_t n = random() % 5; n > 0; --n) {
      ProxyEndpoint e;
      const int host = static_cast<int>(random() % 8) + 2;
      e.ip = *parse_ip("10.42.0." + std::to_string(host));
      e.port = 8080;
      e.node = host % 2 == 0 ? "n1" : "n2";
      e.ready = random() % 4 != 0;
      e.terminating = !e.ready;
      set[host] = e;
    }
    endpoints.emplace_back();
    for (auto& [host, e] : set) endpoints.back().push_back(e);
  }
  return service_rules(s, endpoints, {"n1", ""}, {}, nullptr);
}

}  // namespace

TEST_CASE("Changing the table step by step gives what writing it anew gives") {
  NEEDS_ROOT();
  NetSpace space;
  std::mt19937 random(4711);
  NftTable table("ip", "orch-proxy", proxy_skeleton({}));
  const auto run = [&](const std::string& text) {
    if (text.empty()) return;
    space.run([&] {
      base::ProcessOptions options;
      options.input = text;
      const auto done = base::run_process({"nft", "-f", "-"}, options);
      INFO(text);
      REQUIRE(done.ok());
      INFO(done->err);
      REQUIRE(done->exit_code == 0);
    });
  };
  // Order within sets and of chains is of no matter.
  const auto listing = [&] {
    return space.sh(
        "nft list table ip orch-proxy | tr -d '\\t' | tr ',' '\\n' | sed 's/elements = {//;s/}//g;s/^ *//;s/ "
        "*$//' | sort");
  };
  run(table.full());
  for (int step = 0; step < 60; ++step) {
    for (int changes = static_cast<int>(random() % 3); changes >= 0; --changes) {
      const int owner = static_cast<int>(random() % 8);
      table.set("service " + std::to_string(owner),
                random() % 5 == 0 ? NftPiece() : random_piece(random, owner));
    }
    const NftChange change = table.take();
    run(change.apply);
    run(change.cleanup);
    if (step % 10 != 9) continue;
    const std::string stepwise = listing();
    run(table.full());
    CHECK(stepwise == listing());
  }
}
