#include <algorithm>

#include "api/cel/ast.h"

namespace orch::api::cel {

namespace {

constexpr size_t kMaxIssues = 100;
constexpr size_t kMaxSnippet = 16384;

bool wide(char32_t rune) { return rune >= 0x80; }

}  // namespace

Source::Source(std::string_view text) : runes_(runes_of(text)), line_starts_{0} {
  for (size_t i = 0; i < runes_.size(); ++i) {
    if (runes_[i] == U'\n') line_starts_.push_back(static_cast<int32_t>(i) + 1);
  }
}

void Source::location(int32_t offset, int32_t& line, int32_t& column) const {
  const auto after = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  line = static_cast<int32_t>(after - line_starts_.begin());
  column = offset - *(after - 1);
}

std::string Source::describe(std::vector<Issue> issues) const {
  std::stable_sort(issues.begin(), issues.end(), [](const Issue& a, const Issue& b) {
    return a.line != b.line ? a.line < b.line : a.column < b.column;
  });
  std::string out;
  for (size_t i = 0; i < issues.size() && i < kMaxIssues; ++i) {
    const Issue& issue = issues[i];
    if (i > 0) out += '\n';
    // Where there is no text there is no first column either, and nothing to show.
    const int column_shown = runes_.empty() ? 0 : static_cast<int>(issue.column) + 1;
    out += "ERROR: <input>:" + std::to_string(issue.line) + ":" + std::to_string(column_shown) + ": " +
           issue.message;
    if (issue.line < 1 || runes_.empty()) continue;
    const auto start = static_cast<size_t>(line_starts_[static_cast<size_t>(issue.line - 1)]);
    const size_t end = runes_.find(U'\n', start);
    std::u32string snippet = runes_.substr(start, end == std::u32string::npos ? end : end - start);
    std::replace(snippet.begin(), snippet.end(), U'\t', U' ');
    const std::string text = utf8_of(snippet);
    if (text.size() > kMaxSnippet) continue;
    out += "\n | " + text + "\n | ";
    const auto column = static_cast<size_t>(issue.column);
    for (size_t k = 0; k < column && k < snippet.size(); ++k) out += wide(snippet[k]) ? "．" : ".";
    out += column < snippet.size() && wide(snippet[column]) ? "＾" : "^";
  }
  if (issues.size() > kMaxIssues) {
    out += "\n" + std::to_string(issues.size() - kMaxIssues) + " more errors were truncated";
  }
  return out;
}

}  // namespace orch::api::cel
