#include "agent/network/dns_message.h"

#include <ldns/ldns.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/status.h"

namespace orch::agent {
namespace {

using base::cat;

struct PacketFree {
  void operator()(ldns_pkt* p) const { ::ldns_pkt_free(p); }
};
using Packet = std::unique_ptr<ldns_pkt, PacketFree>;

Packet parse(std::string_view wire) {
  ldns_pkt* packet = nullptr;
  const auto* bytes = reinterpret_cast<const uint8_t*>(wire.data());
  if (::ldns_wire2pkt(&packet, bytes, wire.size()) != LDNS_STATUS_OK) return nullptr;
  return Packet(packet);
}

std::string to_wire(const ldns_pkt* packet) {
  uint8_t* bytes = nullptr;
  size_t size = 0;
  if (::ldns_pkt2wire(&bytes, packet, &size) != LDNS_STATUS_OK) return {};
  std::string out(reinterpret_cast<char*>(bytes), size);
  ::free(bytes);
  return out;
}

std::string text_of(const ldns_rdf* data) {
  char* text = ::ldns_rdf2str(data);
  std::string out = text == nullptr ? "" : text;
  ::free(text);
  return out;
}

std::string lower_name(const ldns_rdf* name) {
  std::string out = name == nullptr ? "" : text_of(name);
  if (!out.empty() && out.back() == '.') out.pop_back();
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

const ldns_rr* question_of(const ldns_pkt* packet) {
  const ldns_rr_list* list = ::ldns_pkt_question(packet);
  return list == nullptr || ::ldns_rr_list_rr_count(list) != 1 ? nullptr : ::ldns_rr_list_rr(list, 0);
}

/// The text form is parsed by ldns; the owner is the client's spelling where it is the name asked for.
ldns_rr* make_record(const DnsRecord& record, uint32_t ttl, const ldns_rr* question,
                     const std::string& asked) {
  char* type = ::ldns_rr_type2str(static_cast<ldns_rr_type>(record.type));
  const bool same = record.name == asked;
  const std::string text = cat(same ? std::string("x") : record.name, ". ", ttl, " IN ",
                               type == nullptr ? "" : type, " ", record.value);
  ::free(type);
  ldns_rr* out = nullptr;
  if (::ldns_rr_new_frm_str(&out, text.c_str(), ttl, nullptr, nullptr) != LDNS_STATUS_OK) return nullptr;
  if (same) {
    ::ldns_rdf_deep_free(::ldns_rr_owner(out));
    ::ldns_rr_set_owner(out, ::ldns_rdf_clone(::ldns_rr_owner(question)));
  }
  return out;
}

Packet reply_to(const ldns_pkt* query, uint8_t code) {
  Packet out(::ldns_pkt_new());
  if (!out) return out;
  ::ldns_pkt_set_id(out.get(), ::ldns_pkt_id(query));
  ::ldns_pkt_set_qr(out.get(), true);
  ::ldns_pkt_set_opcode(out.get(), ::ldns_pkt_get_opcode(query));
  ::ldns_pkt_set_rd(out.get(), ::ldns_pkt_rd(query));
  ::ldns_pkt_set_cd(out.get(), ::ldns_pkt_cd(query));
  ::ldns_pkt_set_ra(out.get(), true);
  ::ldns_pkt_set_rcode(out.get(), static_cast<ldns_pkt_rcode>(code));
  if (::ldns_pkt_edns(query)) ::ldns_pkt_set_edns_udp_size(out.get(), kDnsUdpPayload);
  if (const ldns_rr* question = question_of(query)) {
    ::ldns_pkt_push_rr(out.get(), LDNS_SECTION_QUESTION, ::ldns_rr_clone(question));
  }
  return out;
}

/// Parts of an answer that a message shall hold.
struct Parts {
  bool answers = true, additional = true;
};

std::string encode(const ldns_pkt* query, const DnsAnswer& answer, uint32_t ttl, Parts parts) {
  const Packet out = reply_to(query, answer.code);
  const ldns_rr* question = question_of(query);
  if (!out || question == nullptr) return {};
  ::ldns_pkt_set_aa(out.get(), true);
  ::ldns_pkt_set_tc(out.get(), !parts.answers);
  const std::string asked = lower_name(::ldns_rr_owner(question));
  const auto push = [&](ldns_pkt_section section, const std::vector<DnsRecord>& records) {
    for (const auto& record : records) {
      ldns_rr* rr = make_record(record, ttl, question, asked);
      if (rr != nullptr && !::ldns_pkt_push_rr(out.get(), section, rr)) ::ldns_rr_free(rr);
    }
  };
  if (parts.answers) push(LDNS_SECTION_ANSWER, answer.answers);
  if (parts.answers) push(LDNS_SECTION_AUTHORITY, answer.authority);
  if (parts.additional) push(LDNS_SECTION_ADDITIONAL, answer.additional);
  return to_wire(out.get());
}

/// Calls with every record that has a TTL.
template <typename F>
void each_record(const ldns_pkt* packet, F&& call) {
  for (const ldns_rr_list* list :
       {::ldns_pkt_answer(packet), ::ldns_pkt_authority(packet), ::ldns_pkt_additional(packet)}) {
    for (size_t i = 0; list != nullptr && i < ::ldns_rr_list_rr_count(list); ++i) {
      ldns_rr* rr = ::ldns_rr_list_rr(list, i);
      if (::ldns_rr_get_type(rr) != LDNS_RR_TYPE_OPT) call(rr);
    }
  }
}

}  // namespace

std::optional<DnsQuestion> read_question(std::string_view wire) {
  if (wire.size() < 12 || (wire[2] & 0x80) != 0) return std::nullopt;
  const Packet packet = parse(wire);
  const ldns_rr* question = packet ? question_of(packet.get()) : nullptr;
  if (question == nullptr || ::ldns_rr_owner(question) == nullptr) return std::nullopt;
  DnsQuestion out;
  out.id = ::ldns_pkt_id(packet.get());
  out.opcode = static_cast<uint8_t>(::ldns_pkt_get_opcode(packet.get()));
  out.recursion = ::ldns_pkt_rd(packet.get());
  out.name = lower_name(::ldns_rr_owner(question));
  out.type = static_cast<uint16_t>(::ldns_rr_get_type(question));
  out.klass = static_cast<uint16_t>(::ldns_rr_get_class(question));
  out.edns = ::ldns_pkt_edns(packet.get());
  if (out.edns) out.payload = std::clamp<size_t>(::ldns_pkt_edns_udp_size(packet.get()), 512, kDnsUdpPayload);
  return out;
}

std::string write_answer(std::string_view wire, const DnsAnswer& answer, uint32_t ttl, size_t limit) {
  const Packet query = parse(wire);
  if (!query) return error_answer(wire, dns::kFormErr);
  std::string out = encode(query.get(), answer, ttl, {});
  if (out.size() > limit) out = encode(query.get(), answer, ttl, {true, false});
  if (out.size() > limit) out = encode(query.get(), answer, ttl, {false, false});
  return out.empty() ? error_answer(wire, dns::kServFail) : out;
}

std::string error_answer(std::string_view wire, uint8_t code) {
  if (wire.size() < 12 || (wire[2] & 0x80) != 0) return {};
  if (const Packet query = parse(wire)) {
    const Packet out = reply_to(query.get(), code);
    std::string bytes = out ? to_wire(out.get()) : std::string();
    if (!bytes.empty()) return bytes;
  }
  // Id, opcode and recursion bit of the query, no question.
  std::string out(wire.substr(0, 12));
  out[2] = static_cast<char>((out[2] & 0x79) | 0x80);
  out[3] = static_cast<char>(0x80 | code);
  std::fill(out.begin() + 4, out.end(), '\0');
  return out;
}

std::string write_query(uint16_t id, const std::string& name, uint16_t type) {
  ldns_rdf* owner = ::ldns_dname_new_frm_str(name.c_str());
  if (owner == nullptr) return {};
  const Packet out(::ldns_pkt_query_new(owner, static_cast<ldns_rr_type>(type), LDNS_RR_CLASS_IN, LDNS_RD));
  if (!out) return {};
  ::ldns_pkt_set_id(out.get(), id);
  ::ldns_pkt_set_edns_udp_size(out.get(), kDnsUdpPayload);
  return to_wire(out.get());
}

std::optional<uint32_t> cache_seconds(std::string_view wire) {
  const Packet packet = parse(wire);
  if (!packet || ::ldns_pkt_tc(packet.get())) return std::nullopt;
  const ldns_pkt_rcode code = ::ldns_pkt_get_rcode(packet.get());
  if (code != LDNS_RCODE_NOERROR && code != LDNS_RCODE_NXDOMAIN) return std::nullopt;
  std::optional<uint32_t> least;
  each_record(packet.get(), [&least](const ldns_rr* rr) {
    least = std::min(least.value_or(UINT32_MAX), ::ldns_rr_ttl(rr));
  });
  if (::ldns_rr_list_rr_count(::ldns_pkt_answer(packet.get())) != 0) return least;
  std::optional<uint32_t> negative;
  each_record(packet.get(), [&negative](const ldns_rr* rr) {
    if (::ldns_rr_get_type(rr) != LDNS_RR_TYPE_SOA || ::ldns_rr_rd_count(rr) < 7) return;
    negative = std::min(::ldns_rr_ttl(rr), ::ldns_rdf2native_int32(::ldns_rr_rdf(rr, 6)));
  });
  return negative;
}

std::string aged_answer(std::string_view wire, uint32_t age, uint16_t id) {
  const Packet packet = parse(wire);
  if (!packet) return {};
  ::ldns_pkt_set_id(packet.get(), id);
  each_record(packet.get(), [age](ldns_rr* rr) {
    ::ldns_rr_set_ttl(rr, ::ldns_rr_ttl(rr) - std::min(::ldns_rr_ttl(rr), age));
  });
  return to_wire(packet.get());
}

bool is_answer_to(std::string_view query, std::string_view reply) {
  if (reply.size() < 12 || (reply[2] & 0x80) == 0) return false;
  const Packet asked = parse(query);
  const Packet got = parse(reply);
  const ldns_rr* a = asked ? question_of(asked.get()) : nullptr;
  const ldns_rr* b = got ? question_of(got.get()) : nullptr;
  return a != nullptr && b != nullptr && ::ldns_rr_get_type(a) == ::ldns_rr_get_type(b) &&
         ::ldns_rr_get_class(a) == ::ldns_rr_get_class(b) &&
         lower_name(::ldns_rr_owner(a)) == lower_name(::ldns_rr_owner(b));
}

bool is_truncated(std::string_view wire) { return wire.size() > 2 && (wire[2] & 0x02) != 0; }

uint16_t message_id(std::string_view wire) {
  if (wire.size() < 2) return 0;
  return static_cast<uint16_t>(static_cast<uint8_t>(wire[0]) << 8 | static_cast<uint8_t>(wire[1]));
}

void set_message_id(std::string& wire, uint16_t id) {
  if (wire.size() < 2) return;
  wire[0] = static_cast<char>(id >> 8);
  wire[1] = static_cast<char>(id);
}

std::vector<DnsRecord> address_records(std::string_view wire) {
  std::vector<DnsRecord> out;
  const Packet packet = parse(wire);
  const ldns_rr_list* list = packet ? ::ldns_pkt_answer(packet.get()) : nullptr;
  for (size_t i = 0; list != nullptr && i < ::ldns_rr_list_rr_count(list); ++i) {
    const ldns_rr* rr = ::ldns_rr_list_rr(list, i);
    const auto type = static_cast<uint16_t>(::ldns_rr_get_type(rr));
    if ((type != dns::kA && type != dns::kAaaa && type != dns::kCname) || ::ldns_rr_rd_count(rr) != 1)
      continue;
    out.push_back({lower_name(::ldns_rr_owner(rr)), type, text_of(::ldns_rr_rdf(rr, 0))});
  }
  return out;
}

}  // namespace orch::agent
