#include "http/pipe.h"

#include <algorithm>
#include <cstring>

namespace orch::http {

bool Pipe::write(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  while (!bytes.empty()) {
    changed_.wait(lock, [this] { return closed_ || ended_ || bytes_.size() - read_ < limit_; });
    if (closed_ || ended_) return false;
    const size_t n = std::min(bytes.size(), limit_ - (bytes_.size() - read_));
    bytes_.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    changed_.notify_all();
  }
  return !closed_ && !ended_;
}

long Pipe::read(char* buffer, size_t size) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closed_ || ended_ || bytes_.size() > read_; });
  if (closed_) return 0;
  const size_t n = std::min(size, bytes_.size() - read_);
  std::memcpy(buffer, bytes_.data() + read_, n);
  read_ += n;
  if (read_ == bytes_.size()) {
    bytes_.clear();
    read_ = 0;
  } else if (read_ >= limit_ / 2) {
    bytes_.erase(0, read_);
    read_ = 0;
  }
  changed_.notify_all();
  return static_cast<long>(n);
}

void Pipe::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void Pipe::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  std::string().swap(bytes_);
  read_ = 0;
  changed_.notify_all();
}

}  // namespace orch::http
