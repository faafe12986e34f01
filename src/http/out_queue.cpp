#include "http/out_queue.h"

#include <charconv>
#include <cstring>

namespace orch::http {
namespace {

/// The owner of bytes that live as long as the program.
std::shared_ptr<const void> no_owner() { return {}; }

}  // namespace

void OutQueue::push(BodyPiece piece) {
  if (piece.bytes.empty()) return;
  bytes_ += piece.bytes.size();
  Piece& added = pieces_.emplace_back();
  added.bytes = piece.bytes;
  added.owner = std::move(piece.owner);
}

void OutQueue::push(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  const std::string_view bytes = *owner;
  push(BodyPiece{bytes, std::move(owner)});
}

void OutQueue::push_chunk(std::vector<BodyPiece> frame) {
  size_t total = 0;
  for (const auto& piece : frame) total += piece.bytes.size();
  if (total == 0) return;
  const size_t begin = pieces_.size();
  const size_t before = bytes_;
  for (auto& piece : frame) push(std::move(piece));
  Piece& head = pieces_[begin];
  char* end = std::to_chars(head.prefix, head.prefix + sizeof head.prefix - 2, total, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  head.prefix_size = static_cast<uint8_t>(end - head.prefix);
  pieces_.back().line_end = true;
  bytes_ = before + head.prefix_size + total + 2;
}

void OutQueue::push_final_chunk() { push(BodyPiece{"0\r\n\r\n", no_owner()}); }

template <typename F>
void OutQueue::each_part(const Piece& piece, F visit) {
  visit(std::string_view(piece.prefix, piece.prefix_size));
  visit(piece.bytes);
  if (piece.line_end) visit(std::string_view("\r\n"));
}

std::string_view OutQueue::front(char* scratch, size_t size) const {
  if (empty()) return {};
  // A large body: sent from where it lies.
  const Piece& head = pieces_[first_];
  if (offset_ >= head.prefix_size && offset_ - head.prefix_size + size <= head.bytes.size()) {
    return head.bytes.substr(offset_ - head.prefix_size, size);
  }
  size_t used = 0;
  size_t skip = offset_;
  for (size_t i = first_; i < pieces_.size() && used < size; ++i) {
    each_part(pieces_[i], [&](std::string_view part) {
      if (skip >= part.size()) {
        skip -= part.size();
        return;
      }
      part.remove_prefix(skip);
      skip = 0;
      const size_t n = std::min(part.size(), size - used);
      std::memcpy(scratch + used, part.data(), n);
      used += n;
    });
  }
  return {scratch, used};
}

void OutQueue::consume(size_t n) {
  bytes_ -= n;
  n += offset_;
  while (first_ < pieces_.size() && n >= pieces_[first_].size()) {
    n -= pieces_[first_].size();
    pieces_[first_++].owner.reset();
  }
  offset_ = n;
  if (first_ < pieces_.size()) {
    // A queue that never runs empty must not grow at its dead end.
    if (first_ >= 64 && first_ * 2 >= pieces_.size()) {
      pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_));
      first_ = 0;
    }
    return;
  }
  // Thousands of connections have nothing queued most of the time: they keep no memory for it.
  first_ = 0;
  if (pieces_.capacity() > 4) {
    std::vector<Piece>().swap(pieces_);
  } else {
    pieces_.clear();
  }
}

void OutQueue::append(OutQueue& other) {
  if (empty()) {
    std::swap(*this, other);
  } else {
    for (size_t i = other.first_; i < other.pieces_.size(); ++i)
      pieces_.push_back(std::move(other.pieces_[i]));
    bytes_ += other.bytes_;
  }
  other.clear();
}

void OutQueue::clear() {
  std::vector<Piece>().swap(pieces_);
  first_ = offset_ = bytes_ = 0;
}

}  // namespace orch::http
