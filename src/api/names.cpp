#include "api/names.h"

#include <algorithm>
#include <limits>

#include "base/status.h"

namespace orch::api {
namespace {

constexpr std::string_view kLabelRegex = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr std::string_view kSubdomainRegex =
    "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
constexpr std::string_view kQualifiedRegex = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
constexpr std::string_view kSafeAlphabet = "bcdfghjklmnpqrstvwxz2456789";

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower_alnum(char c) { return is_lower(c) || is_digit(c); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

template <typename Predicate>
bool all_of(std::string_view text, Predicate predicate) {
  return std::all_of(text.begin(), text.end(), predicate);
}

bool is_label(std::string_view text) {
  return !text.empty() && is_lower_alnum(text.front()) && is_lower_alnum(text.back()) &&
         all_of(text, [](char c) { return is_lower_alnum(c) || c == '-'; });
}

bool is_underscore_label(std::string_view text) {
  if (!text.empty() && text.front() == '_') text.remove_prefix(1);
  return !text.empty() && is_lower_alnum(text.front()) && is_lower_alnum(text.back()) &&
         all_of(text, [](char c) { return is_lower_alnum(c) || c == '-' || c == '_'; });
}

/// Every part between dots passes.
template <typename Predicate>
bool is_dotted(std::string_view text, Predicate predicate) {
  for (;;) {
    const size_t dot = text.find('.');
    if (!predicate(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_subdomain(std::string_view text) { return is_dotted(text, is_label); }

bool is_qualified_part(std::string_view text) {
  return !text.empty() && is_alnum(text.front()) && is_alnum(text.back()) &&
         all_of(text, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

void add_dot_problems(std::string_view value, Problems& problems) {
  if (value == ".") {
    problems.emplace_back("must not be '.'");
  } else if (value == "..") {
    problems.emplace_back("must not be '..'");
  } else if (value.starts_with("..")) {
    problems.emplace_back("must not start with '..'");
  }
}

std::string qualified_name_problem() {
  return regex_problem(
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
      "character",
      kQualifiedRegex, {"MyName", "my.name", "123-abc"});
}

/// A generateName is checked as if its trailing dash were already followed by something.
std::string mask_dash(std::string_view name, bool prefix) {
  if (prefix && name.size() > 1 && name.back() == '-') {
    return base::cat(name.substr(0, name.size() - 2), "a");
  }
  return std::string(name);
}

}  // namespace

std::string max_length_problem(size_t length) {
  return base::cat("must be no more than ", length, " characters");
}

std::string range_problem(int64_t low, int64_t high) {
  return base::cat("must be between ", low, " and ", high, ", inclusive");
}

std::string regex_problem(std::string_view message, std::string_view regex,
                          const std::vector<std::string>& examples) {
  if (examples.empty()) return base::cat(message, " (regex used for validation is '", regex, "')");
  std::string out = base::cat(message, " (e.g. ");
  for (const std::string& example : examples) {
    if (&example != &examples.front()) out += " or ";
    out += base::cat("'", example, "', ");
  }
  return out + base::cat("regex used for validation is '", regex, "')");
}

Problems check_dns1123_label(std::string_view value) {
  Problems problems;
  if (value.size() > kMaxLabelLength) problems.push_back(max_length_problem(kMaxLabelLength));
  if (!is_label(value)) {
    problems.push_back(
        is_subdomain(value)
            ? "must not contain dots"
            : regex_problem("a lowercase RFC 1123 label must consist of lower case alphanumeric "
                            "characters or '-', and must start and end with an alphanumeric "
                            "character",
                            kLabelRegex, {"my-name", "123-abc"}));
  }
  return problems;
}

Problems check_dns1123_subdomain(std::string_view value) {
  Problems problems;
  if (value.size() > kMaxSubdomainLength) problems.push_back(max_length_problem(kMaxSubdomainLength));
  if (!is_subdomain(value)) {
    problems.push_back(regex_problem(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
        "must start and end with an alphanumeric character",
        kSubdomainRegex, {"example.com"}));
  }
  return problems;
}

Problems check_dns1123_subdomain_with_underscore(std::string_view value) {
  Problems problems;
  if (value.size() > kMaxSubdomainLength) problems.push_back(max_length_problem(kMaxSubdomainLength));
  if (!is_dotted(value, is_underscore_label)) {
    problems.push_back(regex_problem(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
        "and must start and end with an alphanumeric character",
        "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*", {"example.com"}));
  }
  return problems;
}

Problems check_wildcard_dns1123_subdomain(std::string_view value) {
  Problems problems;
  if (value.size() > kMaxSubdomainLength) problems.push_back(max_length_problem(kMaxSubdomainLength));
  if (!value.starts_with("*.") || !is_subdomain(value.substr(2))) {
    problems.push_back(regex_problem(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
        "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        base::cat("\\*\\.", kSubdomainRegex), {"*.example.com"}));
  }
  return problems;
}

Problems check_dns1035_label(std::string_view value) {
  Problems problems;
  if (value.size() > kMaxLabelLength) problems.push_back(max_length_problem(kMaxLabelLength));
  if (!is_label(value) || !is_lower(value.front())) {
    problems.push_back(
        regex_problem("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
                      "with an alphabetic "
                      "character, and end with an alphanumeric character",
                      "[a-z]([-a-z0-9]*[a-z0-9])?", {"my-name", "abc-123"}));
  }
  return problems;
}

Problems check_qualified_name(std::string_view value) {
  Problems problems;
  std::string_view name = value;
  const size_t slash = value.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view prefix = value.substr(0, slash);
    name = value.substr(slash + 1);
    if (name.find('/') != std::string_view::npos) {
      return {base::cat("a valid label key ", qualified_name_problem(),
                        " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")};
    }
    if (prefix.empty()) {
      problems.emplace_back("prefix part must be non-empty");
    } else {
      // This one rule counts bytes where the others say characters.
      if (prefix.size() > kMaxSubdomainLength) {
        problems.push_back(base::cat("prefix part must be no more than ", kMaxSubdomainLength, " bytes"));
      }
      if (!is_subdomain(prefix)) {
        problems.push_back(base::cat("prefix part ", check_dns1123_subdomain(prefix).back()));
      }
    }
  }
  if (name.empty()) {
    problems.emplace_back("name part must be non-empty");
  } else if (name.size() > kMaxLabelLength) {
    problems.push_back(base::cat("name part must be no more than ", kMaxLabelLength, " bytes"));
  }
  if (!is_qualified_part(name)) problems.push_back(base::cat("name part ", qualified_name_problem()));
  return problems;
}

Problems check_label_value(std::string_view value) {
  Problems problems;
  if (value.size() > kMaxLabelLength) {
    problems.push_back(base::cat("must be no more than ", kMaxLabelLength, " bytes"));
  }
  if (!value.empty() && !is_qualified_part(value)) {
    problems.push_back(regex_problem(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
        "must start and end with an alphanumeric character",
        base::cat("(", kQualifiedRegex, ")?"), {"MyValue", "my_value", "12345"}));
  }
  return problems;
}

Problems check_c_identifier(std::string_view value) {
  const bool valid = !value.empty() && !is_digit(value.front()) &&
                     all_of(value, [](char c) { return is_alnum(c) || c == '_'; });
  if (valid) return {};
  return {
      regex_problem("a valid C identifier must start with alphabetic character or '_', followed by a string "
                    "of alphanumeric "
                    "characters or '_'",
                    "[A-Za-z_][A-Za-z0-9_]*", {"my_name", "MY_NAME", "MyName"})};
}

Problems check_range(int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return {range_problem(low, high)};
}

Problems check_port_number(int64_t port) { return check_range(port, 1, 65535); }
Problems check_user_id(int64_t id) { return check_range(id, 0, std::numeric_limits<int32_t>::max()); }
Problems check_group_id(int64_t id) { return check_range(id, 0, std::numeric_limits<int32_t>::max()); }

Problems check_port_name(std::string_view name) {
  constexpr size_t kMaxPortName = 15;
  Problems problems;
  if (name.size() > kMaxPortName) problems.push_back(max_length_problem(kMaxPortName));
  if (name.empty() || !all_of(name, [](char c) { return is_lower_alnum(c) || c == '-'; })) {
    problems.emplace_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (std::none_of(name.begin(), name.end(), is_lower)) {
    problems.emplace_back("must contain at least one letter (a-z)");
  }
  if (name.find("--") != std::string_view::npos)
    problems.emplace_back("must not contain consecutive hyphens");
  if (!name.empty() && (name.front() == '-' || name.back() == '-')) {
    problems.emplace_back("must not begin or end with a hyphen");
  }
  return problems;
}

Problems check_percent(std::string_view text) {
  if (text.size() > 1 && text.back() == '%' && all_of(text.substr(0, text.size() - 1), is_digit)) return {};
  return {regex_problem("a valid percent string must be a numeric string followed by an ending '%'",
                        "[0-9]+%", {"1%", "93%"})};
}

Problems check_http_header_name(std::string_view name) {
  if (!name.empty() && all_of(name, [](char c) { return is_alnum(c) || c == '-'; })) return {};
  return {regex_problem("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+",
                        {"X-Header-Name"})};
}

Problems check_env_var_name(std::string_view name) {
  Problems problems;
  const auto allowed = [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_'; };
  if (name.empty() || is_digit(name.front()) || !all_of(name, allowed)) {
    problems.push_back(regex_problem(
        "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', "
        "and must not start with a digit",
        "[-._a-zA-Z][-._a-zA-Z0-9]*", {"my.env-name", "MY_ENV.NAME", "MyEnvName1"}));
  }
  add_dot_problems(name, problems);
  return problems;
}

Problems check_relaxed_env_var_name(std::string_view name) {
  Problems problems;
  if (name.empty()) problems.emplace_back("environment variable name must be non-empty");
  if (!all_of(name, [](char c) { return c >= 0x20 && c < 0x7F && c != '='; })) {
    problems.emplace_back(
        "a valid environment variable name must consist only of printable ASCII characters other than '='");
  }
  return problems;
}

Problems check_config_map_key(std::string_view key) {
  Problems problems;
  if (key.size() > kMaxSubdomainLength) problems.push_back(max_length_problem(kMaxSubdomainLength));
  const auto allowed = [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_'; };
  if (key.empty() || !all_of(key, allowed)) {
    problems.push_back(
        regex_problem("a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                      "[-._a-zA-Z0-9]+", {"key.name", "KEY_NAME", "key-name"}));
  }
  add_dot_problems(key, problems);
  return problems;
}

Problems check_name_is_path_segment(std::string_view name, bool prefix) {
  Problems problems;
  if (!prefix && (name == "." || name == "..")) return {base::cat("may not be '", name, "'")};
  for (const char c : {'/', '%'}) {
    if (name.find(c) != std::string_view::npos) problems.push_back(base::cat("may not contain '", c, "'"));
  }
  return problems;
}

Problems check_path_segment_name(std::string_view name) { return check_name_is_path_segment(name, false); }

Problems check_name_is_subdomain(std::string_view name, bool prefix) {
  return check_dns1123_subdomain(mask_dash(name, prefix));
}

Problems check_name_is_label(std::string_view name, bool prefix) {
  return check_dns1123_label(mask_dash(name, prefix));
}

Problems check_name_is_dns1035_label(std::string_view name, bool prefix) {
  return check_dns1035_label(mask_dash(name, prefix));
}

std::string random_suffix(uint64_t entropy) {
  constexpr size_t kSuffixLength = 5;
  // Mixed, so that counters and clocks serve as entropy too.
  entropy = (entropy ^ (entropy >> 30)) * 0xBF58476D1CE4E5B9ULL;
  entropy = (entropy ^ (entropy >> 27)) * 0x94D049BB133111EBULL;
  entropy ^= entropy >> 31;
  std::string out;
  for (size_t i = 0; i < kSuffixLength; ++i) {
    out += kSafeAlphabet[entropy % kSafeAlphabet.size()];
    entropy /= kSafeAlphabet.size();
  }
  return out;
}

std::string generate_name(std::string_view prefix, uint64_t entropy) {
  const std::string suffix = random_suffix(entropy);
  return base::cat(prefix.substr(0, kMaxLabelLength - suffix.size()), suffix);
}

std::string safe_encode(std::string_view text) {
  std::string out;
  for (const char c : text) out += kSafeAlphabet[static_cast<unsigned char>(c) % kSafeAlphabet.size()];
  return out;
}

}  // namespace orch::api
