#include "agent/network/dns_message.h"

#include <random>

#include "agent/network/dns_cache.h"
#include "agent/network/dns_forwarder.h"
#include "base/clock.h"
#include "tests/catch.h"

using namespace orch::agent;

namespace {

DnsAnswer addresses(size_t count, const std::string& name) {
  DnsAnswer out;
  for (size_t i = 0; i < count; ++i) {
    out.answers.push_back({name, dns::kA, "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)});
  }
  return out;
}

}  // namespace

TEST_CASE("A query is read and answered in the client's spelling") {
  const std::string query = write_query(4711, "WeB.Default.svc.cluster.local", dns::kA);
  const auto q = read_question(query);
  REQUIRE(q);
  CHECK(q->id == 4711);
  CHECK(q->name == "web.default.svc.cluster.local");
  CHECK(q->type == dns::kA);
  CHECK(q->edns);
  CHECK(q->payload == kDnsUdpPayload);
  const std::string reply = write_answer(query, addresses(2, q->name), 5, 512);
  CHECK(message_id(reply) == 4711);
  CHECK(is_answer_to(query, reply));
  CHECK(reply.find("\x03WeB\x07"
                   "Default") != std::string::npos);
  const auto records = address_records(reply);
  REQUIRE(records.size() == 2);
  CHECK(records[1] == DnsRecord{"web.default.svc.cluster.local", dns::kA, "10.0.0.1"});
  CHECK(cache_seconds(reply) == 5U);
}

TEST_CASE("What does not fit is truncated") {
  const std::string query = write_query(1, "big.default.svc.cluster.local", dns::kA);
  const std::string reply = write_answer(query, addresses(200, "big.default.svc.cluster.local"), 5, 512);
  CHECK(reply.size() <= 512);
  CHECK(is_truncated(reply));
  CHECK_FALSE(cache_seconds(reply));
  const std::string whole =
      write_answer(query, addresses(200, "big.default.svc.cluster.local"), 5, kDnsTcpPayload);
  CHECK_FALSE(is_truncated(whole));
  CHECK(address_records(whole).size() == 200);
  // Additional records are dropped first, which truncates nothing.
  DnsAnswer with_more = addresses(1, "big.default.svc.cluster.local");
  with_more.additional = addresses(200, "other.svc.cluster.local").answers;
  const std::string less = write_answer(query, with_more, 5, 512);
  CHECK_FALSE(is_truncated(less));
  CHECK(address_records(less).size() == 1);
}

TEST_CASE("Negative answers are kept as long as the SOA record says") {
  const std::string query = write_query(1, "no.cluster.local", dns::kA);
  DnsAnswer answer;
  answer.code = dns::kNxDomain;
  CHECK_FALSE(cache_seconds(write_answer(query, answer, 30, 512)));
  answer.authority.push_back(
      {"cluster.local", dns::kSoa, "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"});
  CHECK(cache_seconds(write_answer(query, answer, 30, 512)) == 5U);
  CHECK_FALSE(cache_seconds(error_answer(query, dns::kServFail)));
}

TEST_CASE("The cache counts down and forgets") {
  orch::base::FakeClock clock;
  DnsCache cache(2);
  const std::string query = write_query(1, "www.example.org", dns::kA);
  const std::string key = DnsCache::key(query);
  cache.put(key, write_answer(query, addresses(1, "www.example.org"), 20, 512), clock.mono());
  clock.advance(std::chrono::seconds(15));
  const auto kept = cache.get(key, 99, clock.mono());
  REQUIRE(kept);
  CHECK(message_id(*kept) == 99);
  CHECK(cache_seconds(*kept) == 5U);
  clock.advance(std::chrono::seconds(5));
  CHECK_FALSE(cache.get(key, 99, clock.mono()));
  for (int i = 0; i < 5; ++i) {
    const std::string other = write_query(1, std::to_string(i) + ".example.org", dns::kA);
    cache.put(DnsCache::key(other), write_answer(other, addresses(1, "x"), 20, 512), clock.mono());
  }
  CHECK(cache.size() == 2);
}

TEST_CASE("Malformed messages get an error or nothing, never a crash") {
  CHECK(error_answer("", dns::kFormErr).empty());
  CHECK(error_answer("short", dns::kFormErr).empty());
  const std::string query = write_query(7, "web.default.svc.cluster.local", dns::kA);
  std::string reply = query;
  reply[2] = static_cast<char>(reply[2] | 0x80);
  CHECK_FALSE(read_question(reply));
  CHECK(error_answer(reply, dns::kFormErr).empty());

  std::mt19937 random(4711);
  for (int i = 0; i < 20000; ++i) {
    std::string wire =
        i % 3 == 0 ? query : write_answer(query, addresses(3, "web.default.svc.cluster.local"), 5, 512);
    if (i % 7 == 0) wire.resize(random() % (wire.size() + 1));
    if (i % 11 == 0) wire += std::string(random() % 40, static_cast<char>(random()));
    for (size_t n = random() % 4; n > 0 && !wire.empty(); --n)
      wire[random() % wire.size()] = static_cast<char>(random());
    // Also as a query, whatever its bits say.
    if (i % 2 == 0 && wire.size() > 2) wire[2] = static_cast<char>(wire[2] & 0x7f);
    const auto q = read_question(wire);
    if (q) {
      const std::string answer = write_answer(wire, addresses(2, q->name), 5, q->payload);
      CHECK(answer.size() <= q->payload);
    }
    (void)error_answer(wire, dns::kFormErr);
    (void)cache_seconds(wire);
    (void)aged_answer(wire, 3, 1);
    (void)is_answer_to(query, wire);
    (void)address_records(wire);
  }
}

TEST_CASE("Name servers of a resolv.conf") {
  const std::vector<IpRange> except = {*parse_ip("10.43.0.10")};
  const auto read = [&](const char* text) {
    std::string out;
    for (const auto& ip : read_name_servers(text, except)) out += ip.address() + ",";
    return out;
  };
  CHECK(read("nameserver 1.1.1.1\nsearch a b\nnameserver\t9.9.9.9 # more\n") == "1.1.1.1,9.9.9.9,");
  CHECK(read("nameserver 10.43.0.10\nnameserver fd00::1") == "fd00::1,");
  CHECK(read("# nameserver 1.1.1.1\nnameserver\nnameserverx 1.1.1.1\nnameserver no\n").empty());
  // Needs an interface, which only that line knows.
  CHECK(read("nameserver fe80::1%eth0\n").empty());
  CHECK(read("").empty());
}
