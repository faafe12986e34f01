#include "http/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>

namespace orch::http {
namespace {

/// Feeds pieces to zlib one by one, so that a shared body is never copied whole.
class Deflater {
 public:
  Deflater() {
    constexpr int kGzipWindow = 15 + 16, kMemory = 8;
    good_ = deflateInit2(&z_, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~Deflater() { deflateEnd(&z_); }
  Deflater(const Deflater&) = delete;

  void add(std::string_view bytes, int flush) {
    // zlib takes the input by a pointer that is not const, and counts in unsigned int; pieces are shorter.
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    z_.avail_in = static_cast<uInt>(bytes.size());
    do {
      z_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      z_.avail_out = static_cast<uInt>(buffer_.size());
      good_ = good_ && deflate(&z_, flush) != Z_STREAM_ERROR;
      out_.append(buffer_.data(), buffer_.size() - z_.avail_out);
    } while (good_ && z_.avail_out == 0);
  }
  bool good() const { return good_; }
  std::string take() { return std::move(out_); }

 private:
  z_stream z_{};
  bool good_ = false;
  std::string out_;
  std::array<char, 64U << 10> buffer_{};
};

}  // namespace

bool accepts_gzip(const Request& request) {
  const auto values = request.header_values("Accept-Encoding");
  return std::any_of(values.begin(), values.end(), [](std::string_view value) {
    while (!value.empty()) {
      std::string_view one = value.substr(0, value.find(','));
      value.remove_prefix(std::min(one.size() + 1, value.size()));
      one = one.substr(0, one.find(';'));
      if (has_token(one, "gzip")) return true;
    }
    return false;
  });
}

void compress(Response& response, size_t threshold) {
  if (response.stream || response.takeover) return;
  size_t size = response.body.size();
  for (const auto& piece : response.pieces) size += piece.bytes.size();
  if (size <= threshold) return;
  for (const auto& [name, value] : response.headers) {
    if (equal_fold(name, "Content-Encoding")) return;
  }
  Deflater deflater;
  deflater.add(response.body, Z_NO_FLUSH);
  for (const auto& piece : response.pieces) deflater.add(piece.bytes, Z_NO_FLUSH);
  deflater.add({}, Z_FINISH);
  if (!deflater.good()) return;
  response.body = deflater.take();
  response.pieces.clear();
  response.headers.emplace_back("Content-Encoding", "gzip");
  response.headers.emplace_back("Vary", "Accept-Encoding");
}

}  // namespace orch::http
