// DNS messages on the wire (RFC 1035, EDNS RFC 6891), by ldns. Pure; nothing that comes in makes it fail
// other than by an error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/network/dns_zone.h"

namespace orch::agent {

struct DnsQuestion {
  uint16_t id = 0;
  std::string name;  // lower case, without the last dot; "" is the root
  uint16_t type = 0, klass = 1;
  uint8_t opcode = 0;
  bool recursion = false;
  bool edns = false;
  size_t payload = 512;  // largest answer the client takes over UDP
};

constexpr size_t kDnsUdpPayload = 1232;  // what fits every path unfragmented
constexpr size_t kDnsTcpPayload = 65535;

/// None when these bytes are no query with one question: see error_answer().
std::optional<DnsQuestion> read_question(std::string_view wire);

/// The answer to the query in `wire`, at most `limit` bytes: what does not fit is left out and, unless it is
/// additional, the message is marked as truncated. Records that ldns cannot parse are left out.
std::string write_answer(std::string_view wire, const DnsAnswer& answer, uint32_t ttl, size_t limit);

/// An answer that carries only a code, for what could not be parsed or answered; "" when not even the header
/// is there or when it is itself an answer.
std::string error_answer(std::string_view wire, uint8_t code);

/// Query for addresses of `name`, with EDNS. "" when the name is malformed.
std::string write_query(uint16_t id, const std::string& name, uint16_t type);

/// What an answer from elsewhere says about how long it may be kept: the least TTL of its records, or, when
/// it has none, that of the SOA record (RFC 2308). None when it must not be kept.
std::optional<uint32_t> cache_seconds(std::string_view wire);
/// The answer with every TTL less `age` seconds and the given id; "" when malformed.
std::string aged_answer(std::string_view wire, uint32_t age, uint16_t id);
/// `reply` answers `query`: same question, and it is an answer. The id is not compared.
bool is_answer_to(std::string_view query, std::string_view reply);
bool is_truncated(std::string_view wire);
uint16_t message_id(std::string_view wire);
void set_message_id(std::string& wire, uint16_t id);
/// The address and alias records of an answer from elsewhere, for those who asked for an alias into it.
std::vector<DnsRecord> address_records(std::string_view wire);

}  // namespace orch::agent
