// Formats that Go's libraries define: addresses, URIs, dates. For format.cpp and the validation of
// definitions.
#pragma once

#include <string_view>

namespace orch::api::structural {

/// url.ParseRequestURI takes it; `has_host`: and it has a scheme and a host.
bool is_request_uri(std::string_view text, bool has_host = false);
/// net/mail.ParseAddress takes it.
bool is_email(std::string_view text);
/// An address as the sloppy net.ParseIP takes it, leading zeros and all.
bool is_ip(std::string_view text);
bool is_cidr(std::string_view text);
/// net.ParseMAC takes it: 6, 8 or 20 bytes with colons, dashes, or dots after every second.
bool is_mac(std::string_view text);
/// "2006-01-02"
bool is_date(std::string_view text);
/// A date, "T" and a time with or without fraction, in UTC or with an offset.
bool is_date_time(std::string_view text);
/// What Go's time.ParseDuration takes, or "3 days".
bool is_duration(std::string_view text);

}  // namespace orch::api::structural
