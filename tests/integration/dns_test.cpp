// The cluster DNS over real sockets, asked by the node and by a pod, with a resolver of the test's own
// behind.
#include "agent/network/dns.h"

#include "agent/network/dns_message.h"
#include "agent/network/dns_socket.h"
#include "base/file.h"
#include "tests/catch.h"
#include "tests/fake_api.h"
#include "tests/integration/net_space.h"

using namespace orch;
using namespace orch::agent;
using tests::FakeApi;
using tests::NetSpace;

namespace {

const client::ResourceRef kServices{"", "v1", "services"};
const client::ResourceRef kSlices{"discovery.k8s.io", "v1", "endpointslices"};

Json service(const std::string& name, const Json& spec) {
  return {{"kind", "Service"},
          {"apiVersion", "v1"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"spec", spec}};
}

/// Answers every question with one address; over UDP with a truncated answer when the name begins with "big".
class Resolver {
 public:
  explicit Resolver(const NetSpace& space) {
    space.run([this] {
      udp_ = open(SOCK_DGRAM);
      tcp_ = open(SOCK_STREAM);
      ::listen(tcp_, 8);
    });
    thread_ = std::thread([this] { run(); });
  }
  ~Resolver() {
    stop_ = true;
    thread_.join();
    ::close(udp_);
    ::close(tcp_);
  }
  int asked() const { return asked_; }

 private:
  static int open(int type) {
    const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
    const SocketAddress at(*parse_ip("127.0.0.1"), 5300);
    REQUIRE(::bind(fd, at.get(), at.size()) == 0);
    return fd;
  }
  std::string reply(const std::string& query, size_t limit) {
    ++asked_;
    const auto q = read_question(query);
    if (!q) return {};
    DnsAnswer answer;
    const size_t count = q->name.rfind("big", 0) == 0 ? 300 : 1;
    for (size_t i = 0; i < count; ++i)
      answer.answers.push_back({q->name, dns::kA, "192.0.2." + std::to_string(i % 250 + 1)});
    return write_answer(query, answer, 60, limit);
  }
  void run() {
    char buffer[4096];
    while (!stop_) {
      pollfd fds[2] = {{udp_, POLLIN, 0}, {tcp_, POLLIN, 0}};
      if (::poll(fds, 2, 20) <= 0) continue;
      if (fds[0].revents != 0) {
        SocketAddress from;
        const ssize_t n = ::recvfrom(udp_, buffer, sizeof(buffer), 0, from.out(), from.out_size());
        const std::string out = reply(std::string(buffer, static_cast<size_t>(n)), 1232);
        ::sendto(udp_, out.data(), out.size(), 0, from.get(), from.size());
      }
      if (fds[1].revents != 0) {
        const int c = ::accept4(tcp_, nullptr, nullptr, SOCK_CLOEXEC);
        std::string in;
        std::string query;
        while (!take_prefixed(in, query)) {
          const ssize_t n = ::recv(c, buffer, sizeof(buffer), 0);
          if (n <= 0) break;
          in.append(buffer, static_cast<size_t>(n));
        }
        const std::string out = with_length_prefix(reply(query, kDnsTcpPayload));
        (void)!::write(c, out.data(), out.size());
        ::close(c);
      }
    }
  }
  int udp_ = -1, tcp_ = -1;
  std::atomic<bool> stop_{false};
  std::atomic<int> asked_{0};
  std::thread thread_;
};

struct World {
  NetSpace node, pod;
  FakeApi api;
  base::SystemClock clock;
  std::unique_ptr<base::Timers> timers = base::make_timers();
  client::InformerFactory informers{api, *timers};
  std::unique_ptr<DnsServer> server;
  const std::string resolv_conf = "/tmp/orch-dns-test-" + std::to_string(::getpid());

  World() {
    node.sh("ip link add dev pod type veth peer name eth0 netns " + pod.path() +
            " && ip addr add 10.42.0.1/24 dev pod && ip link set dev pod up");
    pod.sh("ip addr add 10.42.0.2/24 dev eth0 && ip link set eth0 up && ip route add default via 10.42.0.1");
    REQUIRE(base::write_file_atomic(resolv_conf, "nameserver 127.0.0.1\n").ok());
    api.put(kServices, service("web", {{"clusterIP", "10.43.0.5"},
                                       {"clusterIPs", {"10.43.0.5"}},
                                       {"ports", {{{"name", "http"}, {"port", 80}}}}}));
    api.put(kServices, service("many", {{"clusterIP", "None"}}));
    api.put(kServices, service("alias", {{"type", "ExternalName"}, {"externalName", "www.example.org"}}));
    Json endpoints = Json::array();
    for (int i = 2; i < 252; ++i) endpoints.push_back({{"addresses", {"10.42.1." + std::to_string(i)}}});
    api.put(kSlices, {{"kind", "EndpointSlice"},
                      {"apiVersion", "discovery.k8s.io/v1"},
                      {"metadata",
                       {{"name", "many-1"},
                        {"namespace", "default"},
                        {"labels", {{"kubernetes.io/service-name", "many"}}}}},
                      {"addressType", "IPv4"},
                      {"endpoints", endpoints}});
  }
  ~World() { (void)base::remove_all(resolv_conf); }
  DnsConfig config() const {
    DnsConfig out;
    out.addresses = {*parse_ip("10.43.0.10")};
    out.resolv_conf = resolv_conf;
    out.upstream_port = 5300;
    return out;
  }
  void start() {
    server = std::make_unique<DnsServer>(informers, clock, config());
    informers.start();
    REQUIRE(informers.wait_synced(std::chrono::seconds(5)));
    node.run([this] {
      const auto started = server->start();
      INFO(started.message());
      REQUIRE(started.ok());
    });
  }
  static std::string ask_udp(const NetSpace& from, const std::string& query) {
    const int s = from.udp_socket("10.43.0.10", 53, 0);
    (void)::send(s, query.data(), query.size(), 0);
    pollfd p{s, POLLIN, 0};
    char buffer[8192];
    const ssize_t n = ::poll(&p, 1, 3000) > 0 ? ::recv(s, buffer, sizeof(buffer), 0) : 0;
    ::close(s);
    return {buffer, static_cast<size_t>(std::max<ssize_t>(n, 0))};
  }
  /// All queries over one connection; the answers in the order they came.
  static std::vector<std::string> ask_tcp(const NetSpace& from, const std::vector<std::string>& queries) {
    std::vector<std::string> out;
    from.run([&] {
      const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const SocketAddress to(*parse_ip("10.43.0.10"), 53);
      if (::connect(s, to.get(), to.size()) == 0) {
        std::string all;
        for (const auto& q : queries) all += with_length_prefix(q);
        // Byte-wise at first: a message may come in any pieces.
        for (size_t i = 0; i < 5; ++i) (void)!::write(s, all.data() + i, 1);
        (void)!::write(s, all.data() + 5, all.size() - 5);
        std::string in;
        std::string message;
        char buffer[8192];
        pollfd p{s, POLLIN, 0};
        while (out.size() < queries.size() && ::poll(&p, 1, 3000) > 0) {
          const ssize_t n = ::recv(s, buffer, sizeof(buffer), 0);
          if (n <= 0) break;
          in.append(buffer, static_cast<size_t>(n));
          while (take_prefixed(in, message)) out.push_back(message);
        }
      }
      ::close(s);
    });
    return out;
  }
};

}  // namespace

TEST_CASE("Node and pods are answered at the service address") {
  NEEDS_ROOT();
  World w;
  const Resolver resolver(w.node);
  w.start();
  for (const NetSpace* from : {&w.node, &w.pod}) {
    const std::string query = write_query(77, "web.default.svc.cluster.local", dns::kA);
    const std::string reply = World::ask_udp(*from, query);
    REQUIRE(is_answer_to(query, reply));
    CHECK(message_id(reply) == 77);
    CHECK(address_records(reply) ==
          std::vector<DnsRecord>{{"web.default.svc.cluster.local", dns::kA, "10.43.0.5"}});

    const std::string big = write_query(78, "many.default.svc.cluster.local", dns::kA);
    CHECK(is_truncated(World::ask_udp(*from, big)));
    const auto both = World::ask_tcp(*from, {big, query});
    REQUIRE(both.size() == 2);
    CHECK(address_records(both[0]).size() == 250);
    CHECK(address_records(both[1]).size() == 1);
  }

  SECTION("other names are asked of the host's resolver, and kept") {
    const std::string query = write_query(79, "www.example.org", dns::kA);
    CHECK(address_records(World::ask_udp(w.pod, query)).size() == 1);
    CHECK(address_records(World::ask_udp(w.pod, query)).size() == 1);
    CHECK(resolver.asked() == 1);
    const std::string big = write_query(80, "big.example.org", dns::kA);
    CHECK(is_truncated(World::ask_udp(w.pod, big)));
    const auto whole = World::ask_tcp(w.pod, {big});
    REQUIRE(whole.size() == 1);
    CHECK(address_records(whole[0]).size() == 300);
    // The long answer is in the cache now; a client that cannot take it is told so.
    CHECK(is_truncated(World::ask_udp(w.pod, big)));
  }
  SECTION("an alias brings the addresses of its target") {
    const auto records =
        address_records(World::ask_udp(w.pod, write_query(81, "alias.default.svc.cluster.local", dns::kA)));
    REQUIRE(records.size() == 2);
    CHECK(records[0].value == "www.example.org.");
    CHECK(records[1].value == "192.0.2.1");
  }
  SECTION("rubbish is answered with an error and harms nobody") {
    const std::string reply =
        World::ask_udp(w.pod, std::string("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff\xff", 14));
    REQUIRE(reply.size() >= 12);
    CHECK((reply[3] & 0x0f) == dns::kFormErr);
    CHECK(World::ask_tcp(w.pod, {"", "x"}).empty());
    const std::string query = write_query(82, "web.default.svc.cluster.local", dns::kA);
    CHECK(address_records(World::ask_udp(w.pod, query)).size() == 1);
  }
  SECTION("a second server for the same address is told") {
    w.node.run([&w] {
      DnsServer second(w.informers, w.clock, w.config());
      const auto started = second.start();
      CHECK(started.code() == base::Code::kConflict);
      CHECK(started.message().find("10.43.0.10 port 53") != std::string::npos);
    });
  }
}

TEST_CASE("Without a resolver other names fail, those of the cluster do not") {
  if (!tests::can_make_namespaces()) return;
  World w;
  w.start();
  // Nobody listens there: refused at once, so no time-out is waited for.
  const std::string reply = World::ask_udp(w.pod, write_query(1, "www.example.org", dns::kA));
  REQUIRE(reply.size() >= 12);
  CHECK((reply[3] & 0x0f) == dns::kServFail);
  CHECK(address_records(World::ask_udp(w.pod, write_query(2, "web.default.svc.cluster.local", dns::kA)))
            .size() == 1);
}
