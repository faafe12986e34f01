#include "server/apiserver/html_links.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace orch::server {
namespace {

/// A tag longer than this is none.
constexpr size_t kLongestTag = 1U << 20;

constexpr std::array<std::pair<std::string_view, std::string_view>, 35> kLinks{{
    {"a", "href"},          {"applet", "codebase"}, {"area", "href"},       {"audio", "src"},
    {"base", "href"},       {"blockquote", "cite"}, {"body", "background"}, {"button", "formaction"},
    {"command", "icon"},    {"del", "cite"},        {"embed", "src"},       {"form", "action"},
    {"frame", "longdesc"},  {"frame", "src"},       {"head", "profile"},    {"html", "manifest"},
    {"iframe", "longdesc"}, {"iframe", "src"},      {"img", "longdesc"},    {"img", "src"},
    {"img", "usemap"},      {"input", "src"},       {"input", "usemap"},    {"input", "formaction"},
    {"ins", "cite"},        {"link", "href"},       {"object", "classid"},  {"object", "codebase"},
    {"object", "data"},     {"object", "usemap"},   {"q", "cite"},          {"script", "src"},
    {"source", "src"},      {"video", "poster"},    {"video", "src"},
}};

/// Elements whose content is text up to their end tag.
constexpr std::array<std::string_view, 9> kRawText{"iframe", "noembed",  "noframes", "noscript", "script",
                                                   "style",  "textarea", "title",    "xmp"};

bool is_link(std::string_view tag, std::string_view attribute) {
  const std::pair wanted{tag, attribute};
  return std::find(kLinks.begin(), kLinks.end(), wanted) != kLinks.end();
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f'; }
bool letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

/// Where `wanted` (lower case) begins in text of any case; npos.
size_t find_folded(std::string_view text, std::string_view wanted) {
  const auto it = std::search(text.begin(), text.end(), wanted.begin(), wanted.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  });
  return it == text.end() ? std::string_view::npos : static_cast<size_t>(it - text.begin());
}

/// The end of a tag: behind its '>', those in quoted values aside. npos when it is not there yet.
size_t tag_end(std::string_view tag) {
  char quote = 0;
  bool value = false;  // a quote opens a value only behind '='
  for (size_t i = 0; i < tag.size(); ++i) {
    const char c = tag[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '>') {
      return i + 1;
    } else if ((c == '"' || c == '\'') && value) {
      quote = c;
      value = false;
    } else if (c == '=') {
      value = true;
    } else if (!space(c)) {
      value = false;
    }
  }
  return std::string_view::npos;
}

/// Reads one attribute at `at`; false at the end of the tag. The value's place is empty when it has none.
struct Attribute {
  std::string name;
  size_t begin = 0, end = 0;
};
bool next_attribute(std::string_view tag, size_t& at, Attribute& out) {
  const auto skip_space = [&] {
    while (at < tag.size() && space(tag[at])) ++at;
  };
  while (at < tag.size() && (space(tag[at]) || tag[at] == '/')) ++at;
  if (at >= tag.size() || tag[at] == '>') return false;
  const size_t name = at++;
  while (at < tag.size() && !space(tag[at]) && tag[at] != '/' && tag[at] != '>' && tag[at] != '=') ++at;
  out = {lower(tag.substr(name, at - name)), 0, 0};
  skip_space();
  if (at >= tag.size() || tag[at] != '=') return true;
  ++at;
  skip_space();
  if (at < tag.size() && (tag[at] == '"' || tag[at] == '\'')) {
    out.begin = at + 1;
    out.end = std::min(tag.find(tag[at], out.begin), tag.size());
    at = std::min(out.end + 1, tag.size());
    return true;
  }
  out.begin = at;
  while (at < tag.size() && !space(tag[at]) && tag[at] != '>') ++at;
  out.end = at;
  return true;
}

}  // namespace

std::string HtmlLinks::feed(std::string_view piece) {
  held_ += piece;
  std::string out;
  while (!held_.empty() && step(out)) {
  }
  return out;
}

std::string HtmlLinks::finish() { return std::exchange(held_, {}); }

/// Moves what it can from `held_` to `out`; false when it needs more.
bool HtmlLinks::step(std::string& out) {
  return raw_end_.empty() && held_.front() == '<' ? tag(out) : text(out);
}

bool HtmlLinks::text(std::string& out) {
  size_t end = std::string::npos;
  if (raw_end_.empty()) {
    end = std::min(held_.find('<'), held_.size());
  } else if (end = find_folded(held_, raw_end_); end != std::string::npos) {
    if (raw_end_ == "-->") end += raw_end_.size();
    raw_end_.clear();
  } else {
    // All but what may be the beginning of the end.
    if (held_.size() < raw_end_.size()) return false;
    end = held_.size() - raw_end_.size() + 1;
  }
  out.append(held_, 0, end);
  held_.erase(0, end);
  return end != 0 || raw_end_.empty();
}

bool HtmlLinks::tag(std::string& out) {
  constexpr std::string_view kComment = "<!--";
  const auto give = [&](size_t count) {
    out.append(held_, 0, count);
    held_.erase(0, count);
    return true;
  };
  if (held_.size() < kComment.size() && held_ == kComment.substr(0, held_.size())) return false;
  if (held_.compare(0, kComment.size(), kComment) == 0) {
    raw_end_ = "-->";
    return give(2);  // "<!-->" is a whole comment, too
  }
  if (held_.size() < 2) return false;
  if (!letter(held_[1])) return give(1);
  const size_t end = tag_end(held_);
  if (end == std::string_view::npos) return held_.size() > kLongestTag && give(1);
  const std::string tag = held_.substr(0, end);
  held_.erase(0, end);
  start_tag(tag, out);
  return true;
}

void HtmlLinks::start_tag(std::string_view tag, std::string& out) {
  size_t at = 1;
  while (at < tag.size() && !space(tag[at]) && tag[at] != '/' && tag[at] != '>') ++at;
  const std::string name = lower(tag.substr(1, at - 1));
  size_t said = 0;
  Attribute attribute;
  while (next_attribute(tag, at, attribute)) {
    if (attribute.end == attribute.begin || !is_link(name, attribute.name)) continue;
    out += tag.substr(said, attribute.begin - said);
    out += replace_(tag.substr(attribute.begin, attribute.end - attribute.begin));
    said = attribute.end;
  }
  out += tag.substr(said);
  if (std::find(kRawText.begin(), kRawText.end(), name) != kRawText.end()) raw_end_ = "</" + name;
}

}  // namespace orch::server
