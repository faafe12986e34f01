#include "server/apiserver/forward.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <thread>

#include "api/schema/scalars.h"
#include "base/threads.h"
#include "http/gzip.h"
#include "http/head.h"
#include "http/tunnel.h"
#include "http/websocket.h"
#include "server/apiserver/html_links.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

/// How long a backend may take to begin its answer to an upgrade; plain requests may take their time.
constexpr std::chrono::seconds kUpgradeTimeout{60};
constexpr std::chrono::hours kPlainTimeout{24};
constexpr size_t kMostErrorText = 50U << 10;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool hop_by_hop(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kNames = {
      "connection",        "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
      "transfer-encoding", "upgrade",    "proxy-connection",   "content-length"};
  const std::string name_lower = lower(name);
  return std::find(kNames.begin(), kNames.end(), name_lower) != kNames.end();
}

/// What says who the client is stays here, and nobody impersonates through us.
bool credential(std::string_view name) {
  const std::string text = lower(name);
  return text == "authorization" || text.rfind("impersonate-", 0) == 0 || text.rfind("x-remote-", 0) == 0;
}

std::string client_address(const http::Request& request) {
  const size_t colon = request.remote_address.rfind(':');
  return request.remote_address.substr(0, colon);
}

void add_forwarded_for(const http::Request& request, http::Headers& headers) {
  std::string all;
  for (std::string_view value : request.header_values("X-Forwarded-For")) all += base::cat(value, ", ");
  headers.emplace_back("X-Forwarded-For", all + client_address(request));
}

void answer(http::Stream& client, const Status& status) {
  const std::string body = status.to_json();
  client.write(
      http::format_response_head(status.http_code(), {{"Content-Type", "application/json"},
                                                      {"Cache-Control", "no-cache, private"},
                                                      {"Content-Length", std::to_string(body.size())},
                                                      {"Connection", "close"}}) +
      body);
  client.close_write();
}

http::UpgradeBackend upgrade_backend(const http::Request& request, const ForwardTarget& target) {
  http::UpgradeBackend backend;
  backend.dial = target.dial;
  backend.target = target.path;
  backend.method = request.method;
  backend.response_timeout = kUpgradeTimeout;
  backend.drop_headers.clear();
  for (const auto& [name, value] : request.headers) {
    if (credential(name)) backend.drop_headers.push_back(name);
  }
  add_forwarded_for(request, backend.headers);
  backend.headers.insert(backend.headers.end(), target.identity.begin(), target.identity.end());
  return backend;
}

void forward_upgrade(const http::Request& request, const std::shared_ptr<http::Stream>& client,
                     const ForwardTarget& target) {
  const http::UpgradeBackend backend = upgrade_backend(request, target);
  if (target.streams && http::wants_command_translation(request))
    return http::proxy_command(request, client, backend, *target.streams);
  if (target.port_forward && http::wants_spdy_tunnel(request))
    return http::proxy_spdy_tunnel(request, client, backend);
  http::proxy_upgrade(request, client, backend);
}

http::Headers request_headers(const http::Request& request, const ForwardTarget& target) {
  http::Headers headers;
  for (const auto& [name, value] : request.headers) {
    if (hop_by_hop(name) || credential(name) || http::equal_fold(name, "Host") ||
        http::equal_fold(name, "X-Forwarded-For") || http::equal_fold(name, "Expect") ||
        lower(name).starts_with("sec-websocket-"))
      continue;
    headers.emplace_back(name, value);
  }
  add_forwarded_for(request, headers);
  if (!target.prefix.empty()) {
    const std::string_view path = std::string_view(target.path).substr(0, target.path.find('?'));
    headers.emplace_back("X-Forwarded-Uri", base::cat(target.prefix, path));
  }
  headers.insert(headers.end(), target.identity.begin(), target.identity.end());
  headers.emplace_back("Connection", "close");
  return headers;
}

/// What a kubelet answers instead of a log, as the API server says it.
Status log_error(int code, const std::string& text, const std::string& pod) {
  if (code == 500) return {Code::kInternal, base::cat("Internal error occurred: ", text)};
  if (code == 400) return {Code::kBadRequest, text};
  base::StatusDetails details;
  details.name = pod;
  details.kind = "pods/log";
  if (code == 404) {
    return {Code::kNotFound,
            base::cat("the server could not find the requested resource ( pods/log ", pod, ")"), details};
  }
  return Status::from_response(code, {});
}

std::string host_of(const http::DialOptions& dial) {
  const bool v6 = dial.host.find(':') != std::string::npos;
  return base::cat(v6 ? "[" : "", dial.host, v6 ? "]" : "", ":", dial.port);
}

/// A page of the backend's, whose links lead back through the proxy.
class HtmlPage {
 public:
  /// Null when the answer is none, or is in an encoding that nobody knows.
  static std::unique_ptr<HtmlPage> of(const http::Request& request, const http::ClientExchange& exchange,
                                      const ForwardTarget& target) {
    if (target.prefix.empty() || !exchange.header("Location").empty()) return nullptr;
    std::string_view type = exchange.header("Content-Type");
    type = type.substr(0, type.find(';'));
    while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
    const std::string_view encoding = exchange.header("Content-Encoding");
    if (type != "text/html" || !(encoding.empty() || http::Recoder::knows(encoding))) return nullptr;
    return std::make_unique<HtmlPage>(request, target, encoding);
  }
  HtmlPage(const http::Request& request, const ForwardTarget& target, std::string_view encoding)
      : links_([backend = host_of(target.dial), own = std::string(request.header("Host")), &target](
                   std::string_view url) { return proxied_location(url, backend, own, target.prefix); }) {
    if (encoding.empty()) return;
    unpacker_ = std::make_unique<http::Recoder>(http::Recoder::Way::kUnpack, encoding);
    packer_ = std::make_unique<http::Recoder>(http::Recoder::Way::kPack, encoding);
  }
  /// What goes to the client for a piece; an empty piece is the end. Nothing when the page is broken.
  std::optional<std::string> convert(std::string_view piece) {
    const bool last = piece.empty();
    std::string text = unpacker_ != nullptr ? unpacker_->add(piece, last) : std::string(piece);
    text = links_.feed(text);
    if (last) text += links_.finish();
    if (packer_ != nullptr) text = packer_->add(text, last);
    if (unpacker_ != nullptr && !(unpacker_->good() && packer_->good())) return std::nullopt;
    return text;
  }

 private:
  HtmlLinks links_;
  std::unique_ptr<http::Recoder> unpacker_, packer_;
};

bool write_piece(http::Stream& client, std::string_view piece, bool chunked) {
  if (piece.empty()) return true;
  if (!chunked) return client.write(piece);
  std::array<char, 20> size{};
  const int length = std::snprintf(size.data(), size.size(), "%zx\r\n", piece.size());
  return client.write(base::cat(std::string_view(size.data(), static_cast<size_t>(length)), piece, "\r\n"));
}

/// The backend's answer, in our own framing. False when it broke off.
bool copy_answer(const http::Request& request, http::Stream& client, http::ClientExchange& exchange,
                 const ForwardTarget& target) {
  http::Headers headers;
  bool sized = false;
  const std::unique_ptr<HtmlPage> page = HtmlPage::of(request, exchange, target);
  for (const auto& [name, value] : exchange.headers()) {
    if (http::equal_fold(name, "Content-Length")) {
      if (page != nullptr) continue;
      sized = true;
    } else if (hop_by_hop(name)) {
      continue;
    }
    if (!target.prefix.empty() && http::equal_fold(name, "Location")) {
      headers.emplace_back(
          name, proxied_location(value, host_of(target.dial), request.header("Host"), target.prefix));
    } else {
      headers.emplace_back(name, value);
    }
  }
  const int status = exchange.status();
  const bool bodiless = request.method == "HEAD" || status == 204 || status == 304;
  const bool chunked = !sized && !bodiless && request.minor_version >= 1;
  if (chunked) headers.emplace_back("Transfer-Encoding", "chunked");
  headers.emplace_back("Connection", "close");
  if (!client.write(http::format_response_head(status, headers))) return false;
  std::array<char, 32U << 10> buffer;
  while (!bodiless) {
    const long n = exchange.read(buffer.data(), buffer.size());
    if (n < 0) return false;
    const std::string_view piece(buffer.data(), static_cast<size_t>(n));
    const auto converted = page != nullptr ? page->convert(piece) : std::optional<std::string>();
    if (page != nullptr && !converted) return false;
    if (!write_piece(client, converted ? std::string_view(*converted) : piece, chunked)) return false;
    if (n == 0) return !chunked || client.write("0\r\n\r\n");
  }
  return true;
}

http::ClientRequest backend_request(const http::Request& request, const ForwardTarget& target) {
  http::ClientRequest out;
  out.method = request.method;
  out.target = target.path;
  out.headers = request_headers(request, target);
  out.body = request.body;
  return out;
}

/// Logs as WebSocket messages, for browsers: the protocols of apimachinery's wsstream reader. What the client
/// sends is ignored.
void forward_log_socket(const http::Request& request, const std::shared_ptr<http::Stream>& client,
                        const ForwardTarget& target) {
  const auto offered = http::websocket_protocols(request);
  const auto known = std::find_if(offered.begin(), offered.end(), [](const std::string& protocol) {
    return protocol == "binary.k8s.io" || protocol == "base64.binary.k8s.io";
  });
  const std::string protocol = known == offered.end() ? std::string() : *known;
  auto accepted = http::websocket_accept(request, protocol);
  if (!accepted.ok()) return answer(*client, accepted.error());
  if (protocol.empty() && !offered.empty()) {
    client->write("HTTP/1.1 403 Forbidden\r\n\r\n");
    return client->close_write();
  }
  auto exchange = http::ClientExchange::start(target.dial, backend_request(request, target), kPlainTimeout);
  if (!exchange.ok()) {
    return answer(*client,
                  Status(Code::kUnknown, base::cat("Get \"https://", host_of(target.dial), target.path,
                                                   "\": ", exchange.error().message())));
  }
  if ((*exchange)->status() >= 400) {
    auto text = (*exchange)->read_all(kMostErrorText);
    return answer(*client, log_error((*exchange)->status(), text.ok() ? *text : std::string(), *target.pod));
  }
  if (!client->write(*accepted)) return;
  http::WebSocket socket(client, http::WebSocket::Role::kServer);
  std::thread listening = base::start_thread("forward", [&] {
    while (socket.read()) {
    }
    (*exchange)->close();
  });
  const bool text = protocol.starts_with("base64");
  bool good = socket.write({}, !text);
  std::array<char, 2048> buffer;
  while (good) {
    const long n = (*exchange)->read(buffer.data(), buffer.size());
    if (n <= 0) break;
    const std::string_view piece(buffer.data(), static_cast<size_t>(n));
    good = text ? socket.write(api::schema::encode_base64(piece), false) : socket.write(piece);
  }
  socket.close();
  listening.join();
}

void forward_plain(const http::Request& request, const std::shared_ptr<http::Stream>& client,
                   const ForwardTarget& target) {
  const auto unreachable = [&](const Status& error) {
    if (!target.identity.empty()) {
      const std::string text = base::cat("error trying to reach service: ", error.message(), "\n");
      client->write(http::format_response_head(503, {{"Content-Type", "text/plain; charset=utf-8"},
                                                     {"X-Content-Type-Options", "nosniff"},
                                                     {"Content-Length", std::to_string(text.size())},
                                                     {"Connection", "close"}}) +
                    text);
      client->close_write();
    } else if (target.prefix.empty()) {
      // As Go's HTTP client words it.
      answer(*client, Status(Code::kUnknown, base::cat("Get \"https://", host_of(target.dial), target.path,
                                                       "\": ", error.message())));
    } else {
      answer(*client, Status(Code::kServiceUnavailable,
                             base::cat("error trying to reach service: ", error.message())));
    }
  };
  auto backend = http::dial(target.dial);
  if (!backend.ok()) return unreachable(backend.error());
  // A client that goes away ends what it asked for; anything it still sends is nobody's.
  std::thread watching = base::start_thread("forward", [&client, stream = *backend] {
    std::array<char, 512> ignored;
    while (client->read(ignored.data(), ignored.size()) > 0) {
    }
    stream->close();
  });
  // Pods and services see the name the client asked for; a kubelet its own.
  const std::string host = target.prefix.empty() ? host_of(target.dial) : std::string(request.header("Host"));
  auto exchange =
      http::ClientExchange::start_on(*backend, host, backend_request(request, target), kPlainTimeout);
  if (!exchange.ok()) {
    unreachable(exchange.error());
  } else if (target.pod && (*exchange)->status() >= 400) {
    auto text = (*exchange)->read_all(kMostErrorText);
    answer(*client, log_error((*exchange)->status(), text.ok() ? *text : std::string(), *target.pod));
  } else if (copy_answer(request, *client, **exchange, target)) {
    client->close_write();
  }
  client->close();
  watching.join();
}

}  // namespace

std::string proxied_location(std::string_view location, std::string_view backend_host,
                             std::string_view client_host, std::string_view prefix) {
  std::string_view rest = location;
  const size_t scheme = location.find("://");
  const bool with_scheme =
      scheme != std::string_view::npos && location.substr(0, scheme).find('/') == std::string_view::npos;
  if (with_scheme || location.substr(0, 2) == "//") {
    rest.remove_prefix(with_scheme ? scheme + 3 : 2);
    const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
    const std::string_view host = rest.substr(0, end);
    if (host != backend_host && host != client_host) return std::string(location);
    rest.remove_prefix(end);
  }
  if (rest.empty() || rest.front() != '/') return std::string(location);
  if (rest.substr(0, prefix.size()) == prefix) return std::string(rest);
  return base::cat(prefix, rest);
}

http::Response forward(const http::Request& request, ForwardTarget target) {
  http::Response response;
  response.takeover = [request, target = std::move(target)](const std::shared_ptr<http::Stream>& client) {
    if (target.pod && http::is_websocket_request(request)) {
      forward_log_socket(request, client, target);
      client->close();
    } else if (http::is_upgrade_request(request)) {
      forward_upgrade(request, client, target);
    } else {
      forward_plain(request, client, target);
    }
  };
  return response;
}

}  // namespace orch::server
