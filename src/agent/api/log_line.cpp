#include "agent/api/log_line.h"

#include <algorithm>
#include <charconv>

#include "http/message.h"

namespace orch::agent {
namespace {

bool parse_number(std::string_view text, int64_t& out) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

bool truthy(std::string_view text) { return text == "true" || text == "1" || text == "True" || text == "t"; }

}  // namespace

bool parse_log_line(std::string_view line, LogLine& out) {
  const size_t first = line.find(' ');
  if (first == std::string_view::npos) return false;
  const size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return false;
  const size_t third = line.find(' ', second + 1);
  const std::string_view stream = line.substr(first + 1, second - first - 1);
  if (stream != "stdout" && stream != "stderr") return false;
  out.time = line.substr(0, first);
  const auto at = base::parse_time(out.time);
  if (!at.ok()) return false;
  out.at = *at;
  out.err = stream == "stderr";
  const std::string_view tags =
      line.substr(second + 1, third == std::string_view::npos ? third : third - second - 1);
  out.partial = tags == "P" || tags.substr(0, 2) == "P:";
  out.text = third == std::string_view::npos ? std::string_view() : line.substr(third + 1);
  return true;
}

std::string log_options(std::string_view query, base::WallTime now, LogOptions& out) {
  const http::Query q = http::Query::parse(query);
  out.follow = truthy(q.get("follow"));
  out.timestamps = truthy(q.get("timestamps"));
  if (const auto tail = q.get("tailLines"); !tail.empty()) {
    if (!parse_number(tail, out.tail) || out.tail < 0) {
      return base::cat("invalid tailLines \"", tail, "\"");
    }
  }
  if (const auto limit = q.get("limitBytes"); !limit.empty()) {
    if (!parse_number(limit, out.limit) || out.limit < 1)
      return base::cat("invalid limitBytes \"", limit, "\"");
  }
  if (const auto since = q.get("sinceSeconds"); !since.empty()) {
    int64_t seconds = 0;
    if (!parse_number(since, seconds) || seconds < 1)
      return base::cat("invalid sinceSeconds \"", since, "\"");
    out.since = now - std::chrono::seconds(seconds);
  } else if (const auto time = q.get("sinceTime"); !time.empty()) {
    const auto at = base::parse_time(time);
    if (!at.ok()) return base::cat("invalid sinceTime \"", time, "\"");
    out.since = *at;
  }
  return {};
}

bool LogFilter::add(std::string_view line, std::string& out) {
  LogLine parsed;
  if (!parse_log_line(line, parsed)) return true;
  if (!within_ && parsed.at < options_.since) return true;
  std::string text;
  if (options_.timestamps && !within_) text = base::cat(parsed.time, " ");
  text += parsed.text;
  if (!parsed.partial) text += '\n';
  within_ = parsed.partial;
  if (left_ >= 0 && static_cast<int64_t>(text.size()) >= left_) {
    out.append(text, 0, static_cast<size_t>(left_));
    left_ = 0;
    return false;
  }
  if (left_ >= 0) left_ -= static_cast<int64_t>(text.size());
  out += text;
  return true;
}

}  // namespace orch::agent
