#include "api/resources/windows_validation.h"

#include <algorithm>
#include <string_view>

#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxSpec = 64 * 1024;
constexpr size_t kMaxDomain = 256;
constexpr size_t kMaxUser = 104;
constexpr size_t kMaxNetBios = 15;

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_netbios(std::string_view domain) {
  if (domain.empty() || domain.size() > kMaxNetBios || domain[0] == '.') return false;
  return domain.find_first_of("\\/:*?\"<>|") == std::string_view::npos;
}

bool is_dns(std::string_view domain) {
  while (true) {
    const size_t dot = domain.find('.');
    const std::string_view label = domain.substr(0, dot);
    if (label.empty() || label.size() > kMaxLabelLength || !is_alnum(label.front()) ||
        !is_alnum(label.back())) {
      return false;
    }
    if (!std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; }))
      return false;
    if (dot == std::string_view::npos) return true;
    domain = domain.substr(dot + 1);
  }
}

void validate_user(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  const auto refuse = [&](std::string_view detail) { add_invalid(errors, path, name, detail); };
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (name.empty()) return refuse("runAsUserName cannot be an empty string");
  if (std::any_of(name.begin(), name.end(), is_control)) {
    return refuse("runAsUserName cannot contain control characters");
  }
  if (std::count(name.begin(), name.end(), '\\') > 1) {
    return refuse("runAsUserName cannot contain more than one backslash");
  }
  const size_t slash = name.find('\\');
  const bool has_domain = slash != std::string_view::npos;
  const std::string_view domain = has_domain ? name.substr(0, slash) : std::string_view();
  const std::string_view user = has_domain ? name.substr(slash + 1) : name;
  if (domain.size() >= kMaxDomain) refuse("runAsUserName's Domain length must be under 256 characters");
  if (has_domain && !is_netbios(domain) && !is_dns(domain)) {
    refuse("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  if (user.empty()) {
    refuse("runAsUserName's User cannot be empty");
  } else if (user.size() > kMaxUser) {
    refuse("runAsUserName's User length must not be longer than 104 characters");
  }
  if (!user.empty() && user.find_first_not_of(". ") == std::string_view::npos) {
    refuse("runAsUserName's User cannot contain only periods or spaces");
  }
  if (user.find_first_of("\"/\\:;|=,+*?<>@[]") != std::string_view::npos) {
    refuse("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
  }
}

}  // namespace

void validate_windows_options(const Json& options, const FieldPath& path, FieldErrors& errors) {
  if (!options.is_object()) return;
  if (has(options, "gmsaCredentialSpecName")) {
    validate_dns1123_subdomain(text_of(options, "gmsaCredentialSpecName"),
                               path.child("gmsaCredentialSpecName"), errors);
  }
  if (has(options, "gmsaCredentialSpec")) {
    const std::string_view spec = text_of(options, "gmsaCredentialSpec");
    const FieldPath at = path.child("gmsaCredentialSpec");
    if (spec.empty()) {
      add_invalid(errors, at, spec, "gmsaCredentialSpec cannot be an empty string");
    } else if (spec.size() > kMaxSpec) {
      add_invalid(errors, at, spec, "gmsaCredentialSpec size must be under 64 KiB");
    }
  }
  if (has(options, "runAsUserName")) {
    validate_user(text_of(options, "runAsUserName"), path.child("runAsUserName"), errors);
  }
}

}  // namespace orch::api
