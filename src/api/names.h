// Rules for names, label keys and values, ports and the like, with the messages of
// k8s.io/apimachinery/pkg/util/validation. Each check returns what is wrong, empty if nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace orch::api {

using Problems = std::vector<std::string>;

constexpr size_t kMaxLabelLength = 63;
constexpr size_t kMaxSubdomainLength = 253;

Problems check_dns1123_label(std::string_view value);
Problems check_dns1123_subdomain(std::string_view value);
Problems check_dns1123_subdomain_with_underscore(std::string_view value);
Problems check_wildcard_dns1123_subdomain(std::string_view value);
Problems check_dns1035_label(std::string_view value);
/// Label keys, annotation keys (lower-cased by the caller), finalizers: [DNS subdomain "/"] name.
Problems check_qualified_name(std::string_view value);
Problems check_label_value(std::string_view value);
Problems check_c_identifier(std::string_view value);
Problems check_port_number(int64_t port);
Problems check_range(int64_t value, int64_t low, int64_t high);
Problems check_user_id(int64_t id);
Problems check_group_id(int64_t id);
/// Names of ports: 15 characters of [-a-z0-9] with a letter.
Problems check_port_name(std::string_view name);
Problems check_percent(std::string_view text);
Problems check_http_header_name(std::string_view name);
Problems check_env_var_name(std::string_view name);
/// What v1.35 demands of environment variables: printable ASCII but for '='.
Problems check_relaxed_env_var_name(std::string_view name);
/// Keys of ConfigMap and Secret data.
Problems check_config_map_key(std::string_view key);
/// What may stand in a URL path; RBAC kinds demand no more of their names.
Problems check_path_segment_name(std::string_view name);

// Name rules of kinds; `prefix`: the name is a generateName, so it may end in a dash.
Problems check_name_is_subdomain(std::string_view name, bool prefix);
Problems check_name_is_label(std::string_view name, bool prefix);
Problems check_name_is_dns1035_label(std::string_view name, bool prefix);
Problems check_name_is_path_segment(std::string_view name, bool prefix);

/// "must be no more than N characters"
std::string max_length_problem(size_t length);
/// "must be between LOW and HIGH, inclusive"
std::string range_problem(int64_t low, int64_t high);
/// `message (e.g. 'a', or 'b', regex used for validation is '…')`
std::string regex_problem(std::string_view message, std::string_view regex,
                          const std::vector<std::string>& examples = {});

/// Five characters of the alphabet that makes no words; all of `entropy`'s values are equally good.
std::string random_suffix(uint64_t entropy);
/// generateName + suffix; the prefix is cut so that the whole has at most 63 characters.
std::string generate_name(std::string_view prefix, uint64_t entropy);
/// Maps each byte of `text` to that alphabet.
std::string safe_encode(std::string_view text);

}  // namespace orch::api
