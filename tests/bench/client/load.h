// HTTP/1.1 clients of any Kubernetes API server, many on one epoll thread, so that they cost the machine they
// share with the server as little as possible: bodies are received and not read.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/options.h"
#include "http/codec.h"
#include "http/dial.h"
#include "http/transport.h"

namespace orch::bench {

using Clock = std::chrono::steady_clock;

/// Which server, and as whom.
struct Target {
  std::string host;  // an IPv4 address
  uint16_t port = 0;
  bool tls = true;
  std::string certificate_pem, key_pem, token;
  std::string accept = "application/json";

  /// --server ADDRESS:PORT, --certificate FILE --key FILE or --token TEXT, --plain, --accept TYPE. Dies of
  /// bad ones.
  static Target from(const Options& options);
  http::DialOptions dial() const;
  /// A whole request with its headers.
  std::string request(const std::string& method, const std::string& path, const std::string& body = "",
                      const std::string& content_type = "application/json") const;
};

/// Text with a number wherever it has a {}: what it holds must not need empty JSON objects.
class Template {
 public:
  explicit Template(std::string_view text);
  bool numbered() const { return pieces_.size() > 1; }
  std::string with(size_t number) const;

 private:
  std::vector<std::string> pieces_;
};

/// One kept connection. Whatever goes wrong ends the process: a bench without its server has no figures.
class Connection {
 public:
  /// Connects and shakes hands, waiting for both.
  void open(const Target& target, const http::TlsContext& context);
  int fd() const { return transport_.fd(); }
  /// Sends now what the socket takes, the rest with the next on_ready().
  void send(std::string bytes);
  /// Socket events: goes on sending and receives. True when a response came as a whole: status() and body().
  bool on_ready();
  /// The same for a response without an end: whatever has come of it so far, framing removed.
  void on_ready(std::string& into);
  int status() const { return head_.status; }
  const std::string& body() const { return body_; }

 private:
  void flush();
  bool receive();
  bool decode(std::string& into);

  http::Transport transport_;
  std::string out_, in_, body_;
  size_t sent_ = 0;
  http::Head head_;
  bool in_body_ = false;
  std::unique_ptr<http::BodyDecoder> decoder_;
};

http::TlsContext client_context(const Target& target);

/// Requests in a row on each of some connections.
struct LoadPlan {
  size_t connections = 64;
  double seconds = 10;
  size_t requests = 0;                    // instead of seconds
  std::chrono::milliseconds interval{0};  // from one request's begin to the next's, of each connection
  std::function<std::string()> next;
};

struct Figures {
  size_t connections = 0, errors = 0;
  double seconds = 0;
  std::vector<uint32_t> micros;  // of each request, ascending
  double per_second() const { return static_cast<double>(micros.size()) / seconds; }
  /// Milliseconds within which `part` of the requests were answered.
  double percentile(double part) const;
};

Figures run_load(const Target& target, const LoadPlan& plan);

/// Milliseconds within which `part` of the ascending microseconds lie.
double percentile_ms(const std::vector<uint32_t>& micros, double part);
double cpu_seconds();

}  // namespace orch::bench
