#pragma once
// What gzip made of some text, the other way round, with zlib.

#include <zlib.h>

#include <string>

#include "tests/catch.h"

namespace orch::testing {

/// The text in `bytes`, a whole gzip member, of at most `limit` bytes.
inline std::string gunzip(std::string bytes, size_t limit = 4 << 20) {
  std::string out(limit, 0);
  z_stream z{};
  REQUIRE(inflateInit2(&z, 15 + 16) == Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(bytes.data());
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  inflateEnd(&z);
  return out;
}

}  // namespace orch::testing
