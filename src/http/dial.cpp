#include "http/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "http/blocking_stream.h"

namespace orch::http {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr size_t kMaxHead = 256U << 10;

struct Target {
  sockaddr_storage address{};
  socklen_t size = 0;
  std::string text;  // for messages: "tcp 10.0.0.1:80", "unix /run/x.sock"
};

Result<Target> resolve(const DialOptions& options) {
  Target out;
  if (!options.unix_path.empty()) {
    auto* un = reinterpret_cast<sockaddr_un*>(&out.address);
    out.text = base::cat("unix ", options.unix_path);
    if (options.unix_path.size() >= sizeof un->sun_path) {
      return Status(Code::kBadRequest, base::cat("dial ", out.text, ": path too long"));
    }
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, options.unix_path.c_str(), options.unix_path.size() + 1);
    out.size = sizeof *un;
    return out;
  }
  const std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.address);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(options.port);
    out.size = sizeof *v4;
    out.text = base::cat("tcp ", host, ":", options.port);
  } else if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(options.port);
    out.size = sizeof *v6;
    out.text = base::cat("tcp [", host, "]:", options.port);
  } else {
    return Status(Code::kBadRequest, base::cat("dial tcp: lookup ", options.host, ": no such host"));
  }
  return out;
}

Status connect_error(const Target& target, int error) {
  const Code code = error == ETIMEDOUT ? Code::kTimeout : Code::kServiceUnavailable;
  std::string text = std::strerror(error);
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return {code, base::cat("dial ", target.text, ": connect: ", text)};
}

/// Waits for a non-blocking connect.
int finish_connect(int fd, std::chrono::milliseconds timeout) {
  pollfd entry{fd, POLLOUT, 0};
  int n = 0;
  do {
    n = poll(&entry, 1, static_cast<int>(timeout.count()));
  } while (n < 0 && errno == EINTR);
  if (n == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

}  // namespace

Result<std::shared_ptr<Stream>> dial(const DialOptions& options) {
  auto target = resolve(options);
  if (!target.ok()) return target.error();
  const auto deadline = base::SystemClock().mono() + options.connect_timeout;
  const auto* address = reinterpret_cast<const sockaddr*>(&target->address);
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return connect_error(*target, errno);
  Transport transport(fd);
  if (connect(fd, address, target->size) != 0) {
    const int error = errno == EINPROGRESS ? finish_connect(fd, options.connect_timeout) : errno;
    if (error != 0) return connect_error(*target, error);
  }
  const int on = 1;
  if (address->sa_family != AF_UNIX) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  if (!options.tls)
    return std::shared_ptr<Stream>(std::make_shared<BlockingStream>(std::move(transport), ""));

  auto context = make_client_context(options.tls_config);
  if (!context.ok()) return context.error();
  const std::string& name =
      options.tls_config.server_name.empty() ? options.host : options.tls_config.server_name;
  if (!transport.connect_tls(*context, name)) return tls_error(Code::kInternal, "starting TLS");
  auto stream = std::make_shared<BlockingStream>(std::move(transport), "");
  stream->set_deadline(deadline);
  const Status status = stream->handshake();
  if (!status.ok()) return status;
  stream->set_deadline(base::MonoTime::max());
  return std::shared_ptr<Stream>(std::move(stream));
}

Result<std::unique_ptr<ClientExchange>> ClientExchange::start(const DialOptions& options,
                                                              const ClientRequest& request,
                                                              std::chrono::milliseconds response_timeout) {
  auto stream = dial(options);
  if (!stream.ok()) return stream.error();
  const bool v6 = options.host.find(':') != std::string::npos;
  const std::string host = options.unix_path.empty()
                               ? base::cat(v6 ? "[" : "", options.host, v6 ? "]" : "", ":", options.port)
                               : "localhost";
  return start_on(std::move(*stream), host, request, response_timeout);
}

Result<std::unique_ptr<ClientExchange>> ClientExchange::start_on(std::shared_ptr<Stream> stream,
                                                                 const std::string& host,
                                                                 const ClientRequest& request,
                                                                 std::chrono::milliseconds response_timeout) {
  auto* blocking = dynamic_cast<BlockingStream*>(stream.get());
  if (blocking != nullptr) blocking->set_deadline(base::SystemClock().mono() + response_timeout);
  std::unique_ptr<ClientExchange> exchange(new ClientExchange(std::move(stream)));
  ORCH_RETURN_IF_ERROR(exchange->run(host, request));
  if (blocking != nullptr) blocking->set_deadline(base::MonoTime::max());
  return exchange;
}

ClientExchange::~ClientExchange() { close(); }

void ClientExchange::close() {
  if (stream_) stream_->close();
}

Status ClientExchange::run(const std::string& host, const ClientRequest& request) {
  std::string out = base::cat(request.method, " ", request.target, " HTTP/1.1\r\nHost: ", host, "\r\n");
  for (const auto& [name, value] : request.headers) {
    if (!equal_fold(name, "Host") && !equal_fold(name, "Content-Length"))
      out += base::cat(name, ": ", value, "\r\n");
  }
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT" ||
      request.method == "PATCH") {
    out += base::cat("Content-Length: ", request.body.size(), "\r\n");
  }
  out += "\r\n";
  out += request.body;
  if (!stream_->write(out)) return {Code::kServiceUnavailable, "sending the request: connection lost"};

  size_t end = 0;
  do {
    // Interim answers, but for the one that ends HTTP here, are skipped.
    raw_.erase(0, end);
    head_ = {};
    size_t scanned = 0;
    while ((end = find_head_end(raw_, scanned)) == 0) {
      scanned = raw_.size();
      if (scanned > kMaxHead) return {Code::kInternal, "malformed HTTP response: head too long"};
      if (!fill()) return {Code::kServiceUnavailable, "waiting for the response: EOF"};
    }
    ORCH_RETURN_IF_ERROR(parse_response_head(std::string_view(raw_).substr(0, end), head_));
  } while (head_.status < 200 && head_.status != 101);
  raw_.erase(0, end);

  done_ = head_.status == 101 || head_.status == 204 || head_.status == 304 || request.method == "HEAD";
  until_close_ = !head_.chunked && !head_.content_length;
  if (head_.content_length == 0 && !head_.chunked) done_ = true;
  decoder_ = std::make_unique<BodyDecoder>(head_, SIZE_MAX / 2);
  return {};
}

bool ClientExchange::fill() {
  std::array<char, 16U << 10> buffer;
  const long n = stream_->read(buffer.data(), buffer.size());
  if (n <= 0) return false;
  raw_.append(buffer.data(), static_cast<size_t>(n));
  return true;
}

long ClientExchange::read(char* buffer, size_t size) {
  while (content_.empty() && !done_) {
    if (raw_.empty() && !fill()) {
      if (!until_close_) return -1;
      done_ = true;
      break;
    }
    if (until_close_) {
      content_.swap(raw_);
      continue;
    }
    std::string_view view = raw_;
    const auto state = decoder_->feed(view, content_);
    raw_.erase(0, raw_.size() - view.size());
    if (state == BodyDecoder::State::kDone) done_ = true;
    if (state == BodyDecoder::State::kMalformed || state == BodyDecoder::State::kTooLarge) return -1;
  }
  const size_t n = std::min(size, content_.size());
  std::memcpy(buffer, content_.data(), n);
  content_.erase(0, n);
  return static_cast<long>(n);
}

Result<std::string> ClientExchange::read_all(size_t limit) {
  std::string out;
  std::array<char, 16U << 10> buffer;
  while (true) {
    const long n = read(buffer.data(), buffer.size());
    if (n == 0) return out;
    if (n < 0) return Status(Code::kServiceUnavailable, "unexpected EOF");
    out.append(buffer.data(), static_cast<size_t>(n));
    if (out.size() > limit) return Status(Code::kRequestEntityTooLarge, "the response is too large");
  }
}

std::shared_ptr<Stream> ClientExchange::upgraded() {
  auto* blocking = dynamic_cast<BlockingStream*>(stream_.get());
  if (head_.status != 101 || blocking == nullptr) return nullptr;
  blocking->unread(std::exchange(raw_, {}));
  return std::exchange(stream_, nullptr);
}

}  // namespace orch::http
