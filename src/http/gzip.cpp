#include "http/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>

namespace orch::http {
namespace {

constexpr size_t kBuffer = 64U << 10;

}  // namespace

struct Recoder::State {
  z_stream z{};
  std::array<char, kBuffer> buffer{};
};

Recoder::Recoder(Way way, std::string_view encoding) : way_(way), state_(std::make_unique<State>()) {
  constexpr int kMemory = 8;
  const int window = encoding == "gzip" ? 15 + 16 : -15;
  z_stream* z = &state_->z;
  good_ = (way == Way::kPack ? deflateInit2(z, Z_BEST_SPEED, Z_DEFLATED, window, kMemory, Z_DEFAULT_STRATEGY)
                             : inflateInit2(z, window)) == Z_OK;
}

Recoder::~Recoder() { way_ == Way::kPack ? deflateEnd(&state_->z) : inflateEnd(&state_->z); }

std::string Recoder::add(std::string_view piece, bool last) {
  std::string out;
  z_stream& z = state_->z;
  // zlib takes the input by a pointer that is not const, and counts in unsigned int; pieces are shorter.
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
  z.avail_in = static_cast<uInt>(piece.size());
  bool more = good_;
  while (more) {
    z.next_out = reinterpret_cast<Bytef*>(state_->buffer.data());
    z.avail_out = static_cast<uInt>(state_->buffer.size());
    const int result =
        way_ == Way::kPack ? deflate(&z, last ? Z_FINISH : Z_NO_FLUSH) : inflate(&z, Z_NO_FLUSH);
    good_ = result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR;
    out.append(state_->buffer.data(), state_->buffer.size() - z.avail_out);
    more = good_ && result != Z_STREAM_END && z.avail_out == 0;
  }
  return out;
}

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
  // Piece by piece, so that a shared body is never copied whole.
  Recoder packer(Recoder::Way::kPack, "gzip");
  std::string packed = packer.add(response.body, false);
  for (const auto& piece : response.pieces) packed += packer.add(piece.bytes, false);
  packed += packer.add({}, true);
  if (!packer.good()) return;
  response.body = std::move(packed);
  response.pieces.clear();
  response.headers.emplace_back("Content-Encoding", "gzip");
  response.headers.emplace_back("Vary", "Accept-Encoding");
}

}  // namespace orch::http
