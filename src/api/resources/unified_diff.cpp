#include "api/resources/unified_diff.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kContext = 3;
/// Beyond this the changed middle is shown as one block rather than matched line by line.
constexpr size_t kMaxMatched = 1000;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text = text.substr(end + 1);
  }
  return lines;
}

struct Edit {
  char mark;  // ' ', '-', '+'
  size_t a, b;
  std::string_view line;
};

using Lines = std::vector<std::string_view>;

/// The edits of a[from_a, to_a) to b[from_b, to_b) along a longest common subsequence.
void match_middle(const Lines& a, const Lines& b, size_t from, size_t to_a, size_t to_b,
                  std::vector<Edit>& edits) {
  const size_t n = to_a - from;
  const size_t m = to_b - from;
  std::vector<std::vector<uint32_t>> common;
  if (n <= kMaxMatched && m <= kMaxMatched) {
    common.assign(n + 1, std::vector<uint32_t>(m + 1, 0));
    for (size_t i = n; i-- > 0;) {
      for (size_t j = m; j-- > 0;) {
        common[i][j] = a[from + i] == b[from + j] ? common[i + 1][j + 1] + 1
                                                  : std::max(common[i + 1][j], common[i][j + 1]);
      }
    }
  }
  size_t i = 0;
  size_t j = 0;
  while (i < n || j < m) {
    const bool both = i < n && j < m && !common.empty();
    if (both && a[from + i] == b[from + j]) {
      edits.push_back({' ', from + i, from + j, a[from + i]});
      ++i;
      ++j;
    } else if (i < n && (j >= m || common.empty() || common[i + 1][j] >= common[i][j + 1])) {
      edits.push_back({'-', from + i, from + j, a[from + i]});
      ++i;
    } else {
      edits.push_back({'+', from + i, from + j, b[from + j]});
      ++j;
    }
  }
}

std::vector<Edit> edits_of(const Lines& a, const Lines& b) {
  size_t head = 0;
  while (head < a.size() && head < b.size() && a[head] == b[head]) ++head;
  size_t tail = 0;
  while (tail < a.size() - head && tail < b.size() - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail])
    ++tail;
  std::vector<Edit> edits;
  for (size_t i = 0; i < head; ++i) edits.push_back({' ', i, i, a[i]});
  match_middle(a, b, head, a.size() - tail, b.size() - tail, edits);
  for (size_t i = 0; i < tail; ++i) {
    edits.push_back({' ', a.size() - tail + i, b.size() - tail + i, a[a.size() - tail + i]});
  }
  return edits;
}

std::string range_text(size_t begin, size_t count) {
  // An empty range is named by the line before it.
  if (count == 1) return std::to_string(begin + 1);
  return std::to_string(count == 0 ? begin : begin + 1) + "," + std::to_string(count);
}

void write_hunk(const std::vector<Edit>& edits, size_t begin, size_t end, std::string& out) {
  size_t old_count = 0;
  size_t new_count = 0;
  std::string body;
  for (size_t i = begin; i < end; ++i) {
    if (edits[i].mark != '+') ++old_count;
    if (edits[i].mark != '-') ++new_count;
    body += edits[i].mark;
    body += edits[i].line;
    body += '\n';
  }
  out +=
      "@@ -" + range_text(edits[begin].a, old_count) + " +" + range_text(edits[begin].b, new_count) + " @@\n";
  out += body;
}

}  // namespace

std::string json_diff(const Json& before, const Json& after) {
  const std::string old_text = before.dump(1, ' ', false, Json::error_handler_t::replace);
  const std::string new_text = after.dump(1, ' ', false, Json::error_handler_t::replace);
  const std::vector<Edit> edits = edits_of(lines_of(old_text), lines_of(new_text));
  std::string out;
  size_t i = 0;
  while (i < edits.size()) {
    if (edits[i].mark == ' ') {
      ++i;
      continue;
    }
    const size_t begin = i > kContext ? i - kContext : 0;
    size_t last = i;
    for (size_t j = i; j < edits.size() && j <= last + 2 * kContext + 1; ++j) {
      if (edits[j].mark != ' ') last = j;
    }
    const size_t end = std::min(edits.size(), last + kContext + 1);
    write_hunk(edits, begin, end, out);
    i = end;
  }
  return out;
}

}  // namespace orch::api
