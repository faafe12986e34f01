#include "agent/network/dns_zone.h"

#include <algorithm>
#include <map>

#include "tests/catch.h"

using namespace orch::agent;

namespace {

class FixedView final : public DnsView {
 public:
  std::map<std::string, DnsService> services;
  std::map<std::string, std::vector<DnsEndpoint>> endpoints_of;
  std::map<std::string, std::vector<std::string>> names;

  std::optional<DnsService> service(std::string_view ns, std::string_view name) const override {
    const auto it = services.find(std::string(ns) + "/" + std::string(name));
    return it == services.end() ? std::nullopt : std::optional(it->second);
  }
  std::vector<DnsEndpoint> endpoints(std::string_view ns, std::string_view name) const override {
    const auto it = endpoints_of.find(std::string(ns) + "/" + std::string(name));
    return it == endpoints_of.end() ? std::vector<DnsEndpoint>() : it->second;
  }
  bool has_namespace(std::string_view ns) const override { return ns == "default"; }
  std::vector<std::string> names_of(const IpRange& ip) const override {
    const auto it = names.find(ip.address());
    return it == names.end() ? std::vector<std::string>() : it->second;
  }
};

FixedView world() {
  FixedView v;
  const auto ip = [](const char* text) { return *parse_ip(text); };
  v.services["default/web"] = {
      {ip("10.43.0.5"), ip("fd00::5")}, false, "", {{"http", "tcp", 80}, {"dns", "udp", 53}}};
  v.services["default/db"] = {{}, true, "", {}};
  v.endpoints_of["default/db"] = {{ip("10.42.0.2"), "db-0", {{"sql", "tcp", 5432}}},
                                  {ip("10.42.1.2"), "10-42-1-2", {{"sql", "tcp", 5432}}},
                                  {ip("fd01::2"), "db-0", {{"sql", "tcp", 5432}}}};
  v.services["default/idle"] = {{}, true, "", {}};
  v.services["default/out"] = {{}, false, "www.example.org", {}};
  v.names["10.43.0.5"] = {"web.default"};
  v.names["10.42.0.2"] = {"db-0.db.default"};
  v.names["fd00::5"] = {"web.default"};
  return v;
}

/// "code: values" of an answer; "elsewhere" when it is not ours.
std::string ask(const std::string& name, uint16_t type) {
  const FixedView view = world();
  const DnsAnswer a = answer_question(name, type, view, {"cluster.local", {*parse_ip("10.43.0.10")}, 5});
  if (!a.ours) return "elsewhere";
  std::vector<std::string> values;
  for (const auto& r : a.answers) values.push_back(r.value);
  std::sort(values.begin(), values.end());
  std::string out = std::to_string(a.code) + ":";
  for (const auto& value : values) out += " " + value;
  if (!a.follow.empty()) out += " -> " + a.follow;
  // What has no answer says for how long by the SOA record.
  if (a.answers.empty() && (a.authority.size() != 1 || a.authority[0].type != dns::kSoa))
    out += " without SOA";
  return out;
}

}  // namespace

TEST_CASE("Names of the cluster") {
  struct Case {
    const char* name;
    uint16_t type;
    const char* expected;
  };
  const std::vector<Case> cases = {
      {"web.default.svc.cluster.local", dns::kA, "0: 10.43.0.5"},
      {"web.default.svc.cluster.local", dns::kAaaa, "0: fd00::5"},
      {"web.default.svc.cluster.local", dns::kTxt, "0:"},
      {"web.default.svc.cluster.local", dns::kSrv,
       "0: 0 50 53 web.default.svc.cluster.local. 0 50 80 web.default.svc.cluster.local."},
      {"web.other.svc.cluster.local", dns::kA, "3:"},
      {"no.default.svc.cluster.local", dns::kA, "3:"},
      {"default.svc.cluster.local", dns::kA, "0:"},
      {"other.svc.cluster.local", dns::kA, "3:"},
      {"svc.cluster.local", dns::kA, "0:"},
      {"cluster.local", dns::kA, "0:"},
      {"cluster.local", dns::kNs, "0: ns.dns.cluster.local."},
      {"ns.dns.cluster.local", dns::kA, "0: 10.43.0.10"},
      {"dns.cluster.local", dns::kA, "0:"},
      {"else.cluster.local", dns::kA, "3:"},
      {"dns-version.cluster.local", dns::kTxt, "0: \"1.1.0\""},
      {"dns-version.cluster.local", dns::kA, "0:"},
      {"db.default.svc.cluster.local", dns::kA, "0: 10.42.0.2 10.42.1.2"},
      {"db.default.svc.cluster.local", dns::kAaaa, "0: fd01::2"},
      {"db-0.db.default.svc.cluster.local", dns::kA, "0: 10.42.0.2"},
      {"db-0.db.default.svc.cluster.local", dns::kAaaa, "0: fd01::2"},
      {"10-42-1-2.db.default.svc.cluster.local", dns::kA, "0: 10.42.1.2"},
      {"db-9.db.default.svc.cluster.local", dns::kA, "3:"},
      {"db-0.web.default.svc.cluster.local", dns::kA, "3:"},
      {"idle.default.svc.cluster.local", dns::kA, "0:"},
      {"_http._tcp.web.default.svc.cluster.local", dns::kSrv, "0: 0 100 80 web.default.svc.cluster.local."},
      {"_http._tcp.web.default.svc.cluster.local", dns::kA, "0:"},
      {"_http._udp.web.default.svc.cluster.local", dns::kSrv, "3:"},
      {"_tcp.web.default.svc.cluster.local", dns::kSrv, "0:"},
      {"_no._tcp.web.default.svc.cluster.local", dns::kSrv, "3:"},
      {"http.tcp.web.default.svc.cluster.local", dns::kSrv, "3:"},
      {"_sql._tcp.db.default.svc.cluster.local", dns::kSrv,
       "0: 0 33 5432 10-42-1-2.db.default.svc.cluster.local. 0 33 5432 db-0.db.default.svc.cluster.local. 0 "
       "33 5432 "
       "db-0.db.default.svc.cluster.local."},
      {"a._http._tcp.web.default.svc.cluster.local", dns::kSrv, "3:"},
      {"out.default.svc.cluster.local", dns::kA, "0: www.example.org. -> www.example.org"},
      {"out.default.svc.cluster.local", dns::kCname, "0: www.example.org."},
      {"10-42-0-9.default.pod.cluster.local", dns::kA, "0: 10.42.0.9"},
      {"10-42-0-9.default.pod.cluster.local", dns::kAaaa, "0:"},
      {"fd00--9.default.pod.cluster.local", dns::kAaaa, "0: fd00::9"},
      {"what.default.pod.cluster.local", dns::kA, "3:"},
      {"5.0.43.10.in-addr.arpa", dns::kPtr, "0: web.default.svc.cluster.local."},
      {"2.0.42.10.in-addr.arpa", dns::kPtr, "0: db-0.db.default.svc.cluster.local."},
      {"5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", dns::kPtr,
       "0: web.default.svc.cluster.local."},
      {"9.9.9.9.in-addr.arpa", dns::kPtr, "elsewhere"},
      {"43.10.in-addr.arpa", dns::kPtr, "elsewhere"},
      {"www.example.org", dns::kA, "elsewhere"},
      {"xcluster.local", dns::kA, "elsewhere"},
      {"", dns::kNs, "elsewhere"},
      {"..svc.cluster.local", dns::kA, "3:"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.name, c.type);
    CHECK(ask(c.name, c.type) == c.expected);
  }
}

TEST_CASE("Service records bring the addresses of their targets") {
  const FixedView view = world();
  const DnsAnswer a = answer_question("_sql._tcp.db.default.svc.cluster.local", dns::kSrv, view, {});
  REQUIRE(a.additional.size() == 3);
  CHECK(a.additional[0] == DnsRecord{"db-0.db.default.svc.cluster.local", dns::kA, "10.42.0.2"});
}
