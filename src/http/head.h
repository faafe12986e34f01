// The first part of an HTTP/1.1 message, and how its body is framed (RFC 9112): what a connection must know
// before a worker is bothered. Pure functions of bytes; syntax beyond framing is cpp-httplib's to judge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace orch::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// Length of the head at the start of `bytes`, with its empty line; 0 while that has not come. Lines may end
/// with LF alone, as Go accepts. `from`: bytes known to hold no end yet (what an earlier call looked at).
size_t find_head_end(std::string_view bytes, size_t from = 0);

struct Head {
  // Of a request:
  std::string method, target;
  // Of a response:
  int status = 0;
  // Of both:
  int minor_version = 1;  // HTTP/1.x
  Headers headers;        // in order, values without surrounding space, not decoded
  bool chunked = false;
  std::optional<uint64_t> content_length;
  bool expect_continue = false;
  bool keep_alive = true;

  std::string_view header(std::string_view name) const;
};

/// What is wrong with a head: the status to answer and Go's text after it.
struct HeadError {
  int status = 400;
  std::string text = "400 Bad Request";
};

/// Parses a whole head. An error, or none and `out` filled.
std::optional<HeadError> parse_request_head(std::string_view block, Head& out);
/// Status line, headers and empty line of a response, for those who write one themselves (takeovers). Headers
/// with line breaks in them are left out.
std::string format_response_head(int status, const Headers& headers);
/// The same for a status line. Errors are kInternal: the server misbehaves.
base::Status parse_response_head(std::string_view block, Head& out);

/// Takes the framing off a body: fed with raw bytes, gives the content.
class BodyDecoder {
 public:
  enum class State { kMore, kDone, kTooLarge, kMalformed };
  /// For a request, or a response with a length: no framing header means no body.
  explicit BodyDecoder(const Head& head, size_t limit);
  /// Consumes from the front of `in` what belongs to the body; content goes to the end of `out`. Once it
  /// returned anything but kMore, it is not called again. Decoding is resumable at any byte.
  State feed(std::string_view& in, std::string& out);

 private:
  enum class Part { kSize, kExtension, kData, kDataEnd, kTrailer, kDone };
  State feed_chunked(std::string_view& in, std::string& out);
  bool size_digit(char c);

  size_t limit_;
  bool chunked_;
  uint64_t left_ = 0;  // of the body, or of the chunk
  size_t total_ = 0;
  Part part_ = Part::kSize;
  int digits_ = 0;
  size_t chunks_ = 0;
  size_t overhead_ = 0;  // bytes that are not content: bounded too
  size_t line_ = 0;      // bytes on the current trailer line
};

}  // namespace orch::http
