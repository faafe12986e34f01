#include "api/resources/signer_names.h"

#include <string>
#include <vector>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxName = 253 + 1 + (253 + 63 + 1);

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text = text.substr(at + 1);
  }
}

/// The first part with problems speaks for all.
void validate_parts(std::string_view whole, bool labels, const FieldPath& path, FieldErrors& errors) {
  for (const std::string_view part : split(whole, '.')) {
    const Problems problems = labels ? check_dns1123_label(part) : check_dns1123_subdomain(part);
    for (const std::string& problem : problems) {
      add_invalid(errors, path, whole, "validating label " + go_quote(part) + ": " + problem);
    }
    if (!problems.empty()) return;
  }
}

}  // namespace

void validate_signer_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.empty()) return errors.required(path);
  const auto segments = split(name, '/');
  if (segments.size() != 2) {
    return add_invalid(errors, path, name,
                       "must be a fully qualified domain and path of the form 'example.com/signer-name'");
  }
  if (segments[0].size() > kMaxSubdomainLength) errors.too_long(path, static_cast<int>(kMaxSubdomainLength));
  validate_parts(segments[0], true, path, errors);
  if (segments[0].find('.') == std::string_view::npos) {
    add_invalid(errors, path, segments[0], "should be a domain with at least two segments separated by dots");
  }
  validate_parts(segments[1], false, path, errors);
  if (name.size() > kMaxName) errors.too_long(path, static_cast<int>(kMaxName));
}

}  // namespace orch::api
