#include "http/codec.h"

#include <httplib.h>
#include <algorithm>
#include <array>

#include <ctime>

#include "base/log.h"
#include "http/stream_body.h"

namespace orch::http {
namespace {

/// What one call of process_request works on. The library hands its callbacks only its own request and
/// response, so the exchange travels beside it on the thread that makes the call.
struct Exchange {
  const Handler* handler;
  Request request;
  Response response;
  bool handled = false;  // the library accepted the head, the handler ran
  bool keep_alive;
};
thread_local Exchange* exchange_of_thread = nullptr;
/// What the handler or answer that runs deferred to.
thread_local std::shared_ptr<Deferred> deferred_on_thread;

/// The received head to read from, the answer's head to write to.
class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view in) : in_(in) {}
  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, size_t size) override {
    const size_t n = std::min(size, in_.size());
    std::memcpy(to, in_.data(), n);
    in_.remove_prefix(n);
    return static_cast<ssize_t>(n);
  }
  ssize_t write(const char* from, size_t size) override {
    out.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }

  std::string out;

 private:
  std::string_view in_;
};

/// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second and thread.
const std::string& http_date() {
  thread_local std::time_t made = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made) {
    std::tm tm{};
    gmtime_r(&now, &tm);
    char buffer[40];
    text.assign(buffer, std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &tm));
    made = now;
  }
  return text;
}

bool bodiless(int status) { return status < 200 || status == 204 || status == 304; }

size_t body_size(const Response& response) {
  size_t size = response.body.size();
  for (const auto& piece : response.pieces) size += piece.bytes.size();
  return size;
}

/// Headers the engine decides on, whatever a handler set.
bool is_engine_header(std::string_view name) {
  return equal_fold(name, "Content-Length") || equal_fold(name, "Transfer-Encoding") ||
         equal_fold(name, "Connection");
}

Headers response_headers(const Response& response, int minor_version, bool keep_alive) {
  Headers out;
  out.reserve(response.headers.size() + 4);
  bool has_type = false;
  for (const auto& [name, value] : response.headers) {
    if (is_engine_header(name)) continue;
    has_type = has_type || equal_fold(name, "Content-Type");
    out.emplace_back(name, value);
  }
  out.emplace_back("Date", http_date());
  if (response.stream) {
    if (minor_version == 1) out.emplace_back("Transfer-Encoding", "chunked");
  } else if (!bodiless(response.status)) {
    out.emplace_back("Content-Length", std::to_string(body_size(response)));
  }
  if (!has_type && !response.content_type.empty() && (response.stream || body_size(response) > 0)) {
    out.emplace_back("Content-Type", response.content_type);
  }
  if (!keep_alive) {
    out.emplace_back("Connection", "close");
  } else if (minor_version == 0) {
    out.emplace_back("Connection", "keep-alive");
  }
  return out;
}

/// The library keeps headers in a hash map, which gives several of one name back in an order of its own:
/// where some stand side by side, as warnings do, all of that name are put in the wanted order afterwards.
void set_headers(const Headers& wanted, httplib::Response& out) {
  for (const auto& [name, value] : wanted) out.set_header(name, value);
  for (size_t i = 1; i < wanted.size(); ++i) {
    const std::string& repeated = wanted[i].first;
    if (repeated != wanted[i - 1].first) continue;
    auto [at, last] = out.headers.equal_range(repeated);
    for (const auto& [name, value] : wanted) {
      if (at != last && equal_fold(name, repeated)) (at++)->second = value;
    }
    while (i + 1 < wanted.size() && wanted[i + 1].first == repeated) ++i;
  }
}

void call_handler(Exchange& exchange) {
  exchange.handled = true;
  try {
    exchange.response = (*exchange.handler)(exchange.request);
  } catch (const std::exception& e) {
    base::log_error("http", "a handler threw", {{"path", exchange.request.path}, {"error", e.what()}});
    exchange.response = Response::from_status(base::Status(base::Code::kInternal, "internal error"));
  }
  // Without chunks, only the end of the connection ends a stream.
  if (exchange.response.stream && exchange.request.minor_version == 0) exchange.keep_alive = false;
}

/// Takes off what has no place behind this head.
void strip_body(Reply& reply) {
  if (reply.response.takeover || (!reply.bodiless && !bodiless(reply.response.status))) return;
  reply.response.body.clear();
  reply.response.pieces.clear();
  if (reply.response.stream) std::exchange(reply.response.stream, nullptr)->rep().close();
}

bool library_knows(std::string_view method) {
  static constexpr std::array<std::string_view, 9> kMethods = {
      "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  return std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
}

/// The head as the library should see it: ranges and expectations are lines it would act upon by itself,
/// unlike kube-apiserver, its request line must end with CRLF, and methods it does not know are the handler's
/// to refuse.
std::string head_for_library(std::string_view head) {
  std::string out;
  out.reserve(head.size());
  if (const size_t space = head.find(' '); space < head.find('\n') && !library_knows(head.substr(0, space))) {
    out = "OPTIONS";
    head.remove_prefix(space);
  }
  while (!head.empty()) {
    const size_t end = head.find('\n');
    std::string_view line = head.substr(0, end);
    head.remove_prefix(end == std::string_view::npos ? head.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const std::string_view name = line.substr(0, line.find(':'));
    if (equal_fold(name, "Range") || equal_fold(name, "Expect")) continue;
    out += line;
    out += "\r\n";
  }
  return out;
}

}  // namespace

/// The library's server without its sockets and threads: only process_request is used.
class Codec::Library : public httplib::Server {
 public:
  explicit Library(http::Handler handler) : handler_(std::move(handler)) {
    set_pre_routing_handler([](const httplib::Request&, httplib::Response& out) {
      call_handler(*exchange_of_thread);
      out.status = exchange_of_thread->response.status;
      return HandlerResponse::Handled;
    });
    set_post_routing_handler([](const httplib::Request&, httplib::Response& out) {
      Exchange& exchange = *exchange_of_thread;
      if (!exchange.handled) {
        exchange.keep_alive = false;
        exchange.response =
            Response::text(base::cat(out.status, " ", httplib::status_message(out.status)), out.status);
      }
      out.body.clear();
      out.headers.clear();
      set_headers(response_headers(exchange.response, exchange.request.minor_version, exchange.keep_alive),
                  out);
    });
  }

  void run(std::string_view head, Exchange& exchange, std::string& out) {
    exchange.handler = &handler_;
    MemoryStream stream(head);
    bool closed = false;
    exchange_of_thread = &exchange;
    process_request(stream, exchange.request.remote_address, 0, {}, 0, false, closed,
                    // Routing is ours: the library gets one short path, so no pattern is ever matched.
                    [](httplib::Request& request) { request.path = "/"; });
    exchange_of_thread = nullptr;
    out = std::move(stream.out);
  }

 private:
  const http::Handler handler_;
};

Codec::Codec(Handler handler) : library_(std::make_unique<Library>(std::move(handler))) {}
Codec::~Codec() = default;

Reply Codec::run(const std::string& head, Head parsed, Request request, bool keep_alive) const {
  request.method = std::move(parsed.method);
  request.target = std::move(parsed.target);
  const size_t question = request.target.find('?');
  request.path = request.target.substr(0, question);
  if (question != std::string::npos) request.query = request.target.substr(question + 1);
  request.headers = std::move(parsed.headers);
  request.minor_version = parsed.minor_version;

  const bool is_head = request.method == "HEAD";
  const bool filtered = !library_knows(request.method) || request.has_header("Range") ||
                        request.has_header("Expect") || head[head.find('\n') - 1] != '\r';
  Exchange exchange{nullptr, std::move(request), {}, false, keep_alive && parsed.keep_alive};
  Reply reply;
  reply.bodiless = is_head;
  library_->run(filtered ? head_for_library(head) : head, exchange, reply.head);
  reply.keep_alive = exchange.keep_alive;
  reply.chunked = parsed.minor_version == 1;
  reply.response = std::move(exchange.response);
  reply.deferred = std::exchange(deferred_on_thread, nullptr);
  reply.patient = reply.deferred ? reply.deferred->patient : exchange.request.patient;
  if (reply.response.takeover || reply.deferred) reply.head.clear();
  strip_body(reply);
  return reply;
}

void Codec::complete(Reply& reply) const {
  const std::shared_ptr<Deferred> deferred = std::exchange(reply.deferred, nullptr);
  deferred_on_thread = nullptr;
  try {
    reply.response = deferred->answer();
  } catch (const std::exception& e) {
    base::log_error("http", "a deferred answer threw", {{"error", e.what()}});
    reply.response = Response::from_status(base::Status(base::Code::kInternal, "internal error"));
    deferred_on_thread = nullptr;
  }
  reply.deferred = std::exchange(deferred_on_thread, nullptr);
  if (reply.deferred) reply.patient = reply.deferred->patient;
  if (reply.response.takeover || reply.deferred) return;
  const int minor_version = reply.chunked ? 1 : 0;
  if (reply.response.stream && minor_version == 0) reply.keep_alive = false;
  const Headers headers = response_headers(reply.response, minor_version, reply.keep_alive);
  reply.head = format_response_head(reply.response.status, headers);
  strip_body(reply);
}

void defer(std::shared_ptr<Deferred> deferred) { deferred_on_thread = std::move(deferred); }

Reply Codec::refuse(Response response) const {
  Reply reply;
  Headers headers = response_headers(response, 1, false);
  reply.head = format_response_head(response.status, headers);
  reply.response = std::move(response);
  return reply;
}

Reply Codec::refuse(const HeadError& error) const { return refuse(Response::text(error.text, error.status)); }

std::string format_response_head(int status, const Headers& headers) {
  const char* text = status == 101 ? "Switching Protocols" : httplib::status_message(status);
  std::string out = base::cat("HTTP/1.1 ", status, " ", text, "\r\n");
  for (const auto& [name, value] : headers) {
    if (name.find_first_of("\r\n:") != std::string::npos ||
        value.find_first_of("\r\n") != std::string::npos) {
      continue;
    }
    out += name;
    out += ": ";
    out += value;
    out += "\r\n";
  }
  out += "\r\n";
  return out;
}

}  // namespace orch::http
