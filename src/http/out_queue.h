// Bytes that wait to be sent on one connection, as shared pieces: a body or an event that many connections
// send is held once, however many queues it is in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace orch::http {

/// Not thread-safe.
class OutQueue {
 public:
  void push(BodyPiece piece);
  void push(std::string text);
  /// One HTTP chunk: size line, pieces, line end. A frame without bytes is left out (it would end the body).
  void push_chunk(std::vector<BodyPiece> frame);
  void push_final_chunk();

  bool empty() const { return first_ == pieces_.size(); }
  /// Bytes on the wire still to be sent.
  size_t bytes() const { return bytes_; }
  /// The next bytes to send, at most `size`: small pieces are put together in `scratch` (of `size` bytes), a
  /// large one is pointed at where it lies. Without a consume() between, a later call returns the same bytes
  /// and maybe more: what SSL_write demands of a retry.
  std::string_view front(char* scratch, size_t size) const;
  /// Drops bytes that were sent.
  void consume(size_t n);
  /// Moves everything of `other`, of which nothing was consumed yet, behind what is here.
  void append(OutQueue& other);
  void clear();

 private:
  struct Piece {
    std::string_view bytes;
    std::shared_ptr<const void> owner;
    uint8_t prefix_size = 0;  // chunk size line before the bytes
    bool line_end = false;    // CRLF after them
    char prefix[14];
    size_t size() const { return prefix_size + bytes.size() + (line_end ? 2 : 0); }
  };
  template <typename F>
  static void each_part(const Piece& piece, F visit);

  std::vector<Piece> pieces_;
  size_t first_ = 0;   // pieces before it are sent
  size_t offset_ = 0;  // bytes of pieces_[first_] that are sent
  size_t bytes_ = 0;
};

}  // namespace orch::http
