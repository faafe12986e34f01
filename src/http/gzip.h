// Compressed bodies (RFC 1952, RFC 1951).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/message.h"

namespace orch::http {

/// The client takes gzip: "Accept-Encoding: deflate, gzip;q=1.0".
bool accepts_gzip(const Request& request);

/// Replaces body and pieces by their gzip form at the quickest level, and says so in the headers
/// (Content-Encoding, Vary). Nothing happens to streams, takeovers, bodies of at most `threshold` bytes and
/// what is encoded already.
void compress(Response& response, size_t threshold);

/// A body that is compressed or unpacked piece by piece. "gzip", and "deflate" as Go's servers write it:
/// without the header of zlib.
class Recoder {
 public:
  enum class Way : uint8_t { kPack, kUnpack };
  Recoder(Way way, std::string_view encoding);
  ~Recoder();
  Recoder(const Recoder&) = delete;
  static bool knows(std::string_view encoding) { return encoding == "gzip" || encoding == "deflate"; }

  /// What this piece gives; `last` ends the body. Check good() afterwards: false once the input is broken.
  std::string add(std::string_view piece, bool last);
  bool good() const { return good_; }

 private:
  struct State;
  const Way way_;
  std::unique_ptr<State> state_;
  bool good_ = true;
};

}  // namespace orch::http
