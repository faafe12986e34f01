#include "http/head.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "http/message.h"

namespace orch::http {
namespace {

constexpr size_t kMaxOverhead = 16U << 10;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The next line without its end; `rest` moves behind it.
std::string_view next_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

bool parse_number(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 18) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

/// "HTTP/1.0" or "HTTP/1.1".
bool parse_version(std::string_view text, int& minor) {
  if (text != "HTTP/1.1" && text != "HTTP/1.0") return false;
  minor = text.back() - '0';
  return true;
}

/// Whether it is a token of RFC 9110, 5.6.2, as methods are.
bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

/// One header line into `out`; false when it is not one.
bool parse_header_line(std::string_view line, Head& out) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view name = line.substr(0, colon);
  if (name.find_first_of(" \t") != std::string_view::npos) return false;
  out.headers.emplace_back(name, trim(line.substr(colon + 1)));
  return true;
}

std::optional<HeadError> read_framing(Head& head) {
  bool close = false, keep = false;
  for (const auto& [name, value] : head.headers) {
    if (equal_fold(name, "Content-Length")) {
      uint64_t length = 0;
      if (!parse_number(value, length) || (head.content_length && *head.content_length != length)) {
        return HeadError{400, "400 Bad Request"};
      }
      head.content_length = length;
    } else if (equal_fold(name, "Transfer-Encoding")) {
      // Chunked twice, or anything else: nobody sends it, and guessing a length invites smuggling.
      if (head.chunked || !equal_fold(value, "chunked")) {
        return HeadError{501, "501 Not Implemented: unsupported transfer encoding"};
      }
      head.chunked = true;
    } else if (equal_fold(name, "Expect")) {
      head.expect_continue = has_token(value, "100-continue");
    } else if (equal_fold(name, "Connection")) {
      close = close || has_token(value, "close");
      keep = keep || has_token(value, "keep-alive");
    }
  }
  if (head.chunked && (head.content_length || head.minor_version == 0))
    return HeadError{400, "400 Bad Request"};
  head.keep_alive = !close && (head.minor_version == 1 || keep);
  return std::nullopt;
}

}  // namespace

size_t find_head_end(std::string_view bytes, size_t from) {
  // An end is LF LF or LF CR LF: step back so that one split between calls is seen.
  size_t at = from > 3 ? from - 3 : 0;
  while ((at = bytes.find('\n', at)) != std::string_view::npos) {
    ++at;
    if (at < bytes.size() && bytes[at] == '\n') return at + 1;
    if (at + 1 < bytes.size() && bytes[at] == '\r' && bytes[at + 1] == '\n') return at + 2;
  }
  return 0;
}

std::string_view Head::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equal_fold(key, name)) return value;
  }
  return {};
}

std::optional<HeadError> parse_request_head(std::string_view block, Head& out) {
  const std::string_view line = next_line(block);
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || first == 0) return HeadError{};
  out.method = line.substr(0, first);
  if (!is_token(out.method)) return HeadError{};
  out.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!parse_version(version, out.minor_version)) {
    if (version.substr(0, 5) == "HTTP/") return HeadError{505, "505 HTTP Version Not Supported"};
    return HeadError{400, "400 Bad Request: malformed HTTP version"};
  }
  if (out.target.empty() || out.target.find_first_of(" \t") != std::string::npos) return HeadError{};
  size_t hosts = 0;
  while (!block.empty()) {
    const std::string_view header = next_line(block);
    if (header.empty()) break;
    if (!parse_header_line(header, out)) return HeadError{};
    if (equal_fold(out.headers.back().first, "Host")) ++hosts;
  }
  if (out.minor_version == 1 && hosts == 0) {
    return HeadError{400, "400 Bad Request: missing required Host header"};
  }
  if (hosts > 1) return HeadError{400, "400 Bad Request: too many Host headers"};
  return read_framing(out);
}

base::Status parse_response_head(std::string_view block, Head& out) {
  const auto bad = [](std::string_view what) {
    return base::Status(base::Code::kInternal, base::cat("malformed HTTP response: ", what));
  };
  const std::string_view line = next_line(block);
  uint64_t status = 0;
  if (!parse_version(line.substr(0, 8), out.minor_version) || line.size() < 12 || line[8] != ' ' ||
      !parse_number(line.substr(9, 3), status) || status < 100 || status > 999 ||
      (line.size() > 12 && line[12] != ' ')) {
    return bad("status line");
  }
  out.status = static_cast<int>(status);
  while (!block.empty()) {
    const std::string_view header = next_line(block);
    if (header.empty()) break;
    if (!parse_header_line(header, out)) return bad("header line");
  }
  if (read_framing(out)) return bad("framing");
  return {};
}

BodyDecoder::BodyDecoder(const Head& head, size_t limit)
    : limit_(limit), chunked_(head.chunked), left_(head.content_length.value_or(0)) {}

BodyDecoder::State BodyDecoder::feed(std::string_view& in, std::string& out) {
  if (chunked_) return feed_chunked(in, out);
  if (left_ > limit_ - std::min(limit_, total_)) return State::kTooLarge;
  const size_t n = std::min<uint64_t>(left_, in.size());
  out.append(in.substr(0, n));
  in.remove_prefix(n);
  left_ -= n;
  total_ += n;
  return left_ == 0 ? State::kDone : State::kMore;
}

bool BodyDecoder::size_digit(char c) {
  const char low = static_cast<char>(c | 0x20);
  int value = -1;
  if (c >= '0' && c <= '9') value = c - '0';
  if (low >= 'a' && low <= 'f') value = low - 'a' + 10;
  if (value < 0 || ++digits_ > 15) return false;
  left_ = left_ * 16 + static_cast<uint64_t>(value);
  return true;
}

BodyDecoder::State BodyDecoder::feed_chunked(std::string_view& in, std::string& out) {
  while (!in.empty() && part_ != Part::kDone) {
    const char c = in.front();
    if (part_ != Part::kData && ++overhead_ > kMaxOverhead + 16 * chunks_ + 2 * total_)
      return State::kMalformed;
    switch (part_) {
      case Part::kSize:
        in.remove_prefix(1);
        if (c == '\n' || c == '\r' || c == ';' || c == ' ' || c == '\t') {
          if (digits_ == 0) return State::kMalformed;
          if (left_ > limit_ - std::min(limit_, total_)) return State::kTooLarge;
          ++chunks_;
          part_ = Part::kExtension;
          if (c == '\n') part_ = left_ == 0 ? Part::kTrailer : Part::kData;
        } else if (!size_digit(c)) {
          return State::kMalformed;
        }
        line_ = 0;
        break;
      case Part::kExtension:
        in.remove_prefix(1);
        if (c == '\n') part_ = left_ == 0 ? Part::kTrailer : Part::kData;
        break;
      case Part::kData: {
        const size_t n = std::min<uint64_t>(left_, in.size());
        out.append(in.substr(0, n));
        in.remove_prefix(n);
        left_ -= n;
        total_ += n;
        if (left_ == 0) part_ = Part::kDataEnd;
        break;
      }
      case Part::kDataEnd:
        in.remove_prefix(1);
        if (c == '\n') {
          part_ = Part::kSize;
          digits_ = 0;
        } else if (c != '\r') {
          return State::kMalformed;
        }
        break;
      case Part::kTrailer:
        in.remove_prefix(1);
        if (c == '\n') {
          if (line_ == 0) part_ = Part::kDone;
          line_ = 0;
        } else if (c != '\r') {
          ++line_;
        }
        break;
      case Part::kDone:
        break;
    }
  }
  return part_ == Part::kDone ? State::kDone : State::kMore;
}

}  // namespace orch::http
