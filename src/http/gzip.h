// Compressing whole response bodies (RFC 1952).
#pragma once

#include <string>

#include "http/message.h"

namespace orch::http {

/// The client takes gzip: "Accept-Encoding: deflate, gzip;q=1.0".
bool accepts_gzip(const Request& request);

/// Replaces body and pieces by their gzip form at the quickest level, and says so in the headers
/// (Content-Encoding, Vary). Nothing happens to streams, takeovers, bodies of at most `threshold` bytes and
/// what is encoded already.
void compress(Response& response, size_t threshold);

}  // namespace orch::http
