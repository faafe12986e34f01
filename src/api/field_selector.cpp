#include <algorithm>

#include "api/go_text.h"
#include "api/selector.h"

namespace orch::api {
namespace {

base::Status bad(std::string message) { return {base::Code::kBadRequest, std::move(message)}; }

/// Splits at commas that no backslash precedes; the backslashes stay.
std::vector<std::string_view> split_terms(std::string_view text) {
  std::vector<std::string_view> terms;
  size_t start = 0;
  bool escaped = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (escaped) {
      escaped = false;
    } else if (text[i] == '\\') {
      escaped = true;
    } else if (text[i] == ',') {
      terms.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  if (start < text.size()) terms.push_back(text.substr(start));
  return terms;
}

/// The bytes of the UTF-8 character at `i`.
std::string_view character(std::string_view text, size_t i) {
  size_t length = 1;
  while (i + length < text.size() && (static_cast<unsigned char>(text[i + length]) & 0xC0) == 0x80) ++length;
  return text.substr(i, length);
}

base::Result<std::string> unescape(std::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == ',' || c == '=') {
      return bad(base::cat("invalid field selector: unescaped character in value: ", static_cast<int>(c)));
    }
    if (c != '\\') {
      out += c;
      continue;
    }
    ++i;
    if (i == value.size() || std::string_view("\\,=").find(value[i]) == std::string_view::npos) {
      const std::string_view what = i == value.size() ? std::string_view() : character(value, i);
      return bad(base::cat("invalid field selector: invalid escape sequence: \\", what));
    }
    out += value[i];
  }
  return out;
}

}  // namespace

base::Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector selector;
  std::vector<std::string_view> terms = split_terms(text);
  std::sort(terms.begin(), terms.end());
  for (const std::string_view term : terms) {
    if (term.empty()) continue;
    size_t at = 0;
    while (at < term.size() && term[at] != '=' && !term.substr(at).starts_with("!=")) ++at;
    if (at == term.size())
      return bad(base::cat("invalid selector: '", text, "'; can't understand '", term, "'"));
    const bool equal = term[at] == '=';
    const size_t length = !equal || term.substr(at).starts_with("==") ? 2 : 1;
    auto value = unescape(term.substr(at + length));
    if (!value.ok()) return value.error();
    // Without field and value a term says nothing.
    if (at == 0 && value->empty()) continue;
    selector.requirements_.push_back({std::string(term.substr(0, at)), equal, std::move(value.value())});
  }
  return selector;
}

bool FieldSelector::matches(const Object& object, const IndexedFields& fields) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const FieldRequirement& requirement) {
    std::string_view value;
    if (requirement.path == "metadata.name") {
      value = object.name();
    } else if (requirement.path == "metadata.namespace") {
      value = object.ns();
    } else {
      const auto known = std::find_if(fields.begin(), fields.end(), [&](const IndexedField& field) {
        return field.name == requirement.path;
      });
      if (known == fields.end()) return false;
      value = object.field(static_cast<size_t>(known - fields.begin()));
    }
    return (value == requirement.value) == requirement.equal;
  });
}

void FieldSelector::rename(const IndexedFields& from, const IndexedFields& to) {
  for (FieldRequirement& requirement : requirements_) {
    const auto said = std::find_if(from.begin(), from.end(),
                                   [&](const IndexedField& field) { return field.name == requirement.path; });
    if (said == from.end()) continue;
    const auto meant = std::find_if(to.begin(), to.end(),
                                    [&](const IndexedField& field) { return field.path == said->path; });
    if (meant != to.end()) requirement.path = meant->name;
  }
}

std::string FieldSelector::unknown_path(const IndexedFields& fields) const {
  for (const FieldRequirement& requirement : requirements_) {
    if (requirement.path == "metadata.name" || requirement.path == "metadata.namespace") continue;
    const bool known = std::any_of(fields.begin(), fields.end(),
                                   [&](const IndexedField& field) { return field.name == requirement.path; });
    if (!known || requirement.path.empty()) return requirement.path;
  }
  return {};
}

std::string_view FieldSelector::exact(std::string_view path) const {
  for (const FieldRequirement& requirement : requirements_) {
    if (requirement.path == path && requirement.equal) return requirement.value;
  }
  return {};
}

}  // namespace orch::api
