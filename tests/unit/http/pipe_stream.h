// Two connected Streams in memory.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "http/message.h"
#include "http/pipe.h"

namespace orch::http::testing {

class PipeStream final : public Stream {
 public:
  PipeStream(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out)
      : in_(std::move(in)), out_(std::move(out)) {}
  ~PipeStream() override { close(); }
  long read(char* buffer, size_t size) override { return in_->read(buffer, size); }
  bool write(std::string_view bytes) override { return out_->write(bytes); }
  void close() override {
    in_->close();
    out_->end();
  }
  void close_write() override { out_->end(); }

 private:
  const std::shared_ptr<Pipe> in_, out_;
};

inline std::pair<std::shared_ptr<Stream>, std::shared_ptr<Stream>> make_stream_pair() {
  auto there = std::make_shared<Pipe>(1U << 20), back = std::make_shared<Pipe>(1U << 20);
  return {std::make_shared<PipeStream>(back, there), std::make_shared<PipeStream>(there, back)};
}

inline std::string read_all(Stream& stream) {
  std::string out;
  char buffer[4096];
  long n = 0;
  while ((n = stream.read(buffer, sizeof buffer)) > 0) out.append(buffer, static_cast<size_t>(n));
  return out;
}

inline std::string read_exactly(Stream& stream, size_t size) {
  std::string out(size, '\0');
  size_t done = 0;
  while (done < size) {
    const long n = stream.read(out.data() + done, size - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  out.resize(done);
  return out;
}

}  // namespace orch::http::testing
