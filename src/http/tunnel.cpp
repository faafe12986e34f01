#include "http/tunnel.h"

#include <algorithm>
#include <array>
#include <thread>

#include "base/threads.h"
#include "http/spdy.h"
#include "http/upgrade.h"
#include "http/websocket.h"

namespace orch::http {
namespace {

using base::Code;
using base::Status;

constexpr std::string_view kTunnelPrefix = "SPDY/3.1+", kKubernetesSuffix = ".k8s.io";

void copy(Stream& from, Stream& to) {
  std::array<char, 32U << 10> buffer;
  while (true) {
    const long n = from.read(buffer.data(), buffer.size());
    if (n <= 0 || !to.write({buffer.data(), static_cast<size_t>(n)})) return;
  }
}

bool listed(const std::vector<std::string>& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(), [&](const auto& one) { return equal_fold(one, name); });
}

/// The client's headers without those replaced or dropped. `own`: those that the new request sets itself.
Headers forwarded_headers(const Request& request, const UpgradeBackend& backend,
                          const std::vector<std::string>& own) {
  Headers out;
  for (const auto& [name, value] : request.headers) {
    const bool replaced =
        std::any_of(backend.headers.begin(), backend.headers.end(),
                    [&, &key = name](const auto& header) { return equal_fold(header.first, key); });
    if (equal_fold(name, "Host") || equal_fold(name, "Content-Length") || replaced ||
        listed(backend.drop_headers, name) || listed(own, name)) {
      continue;
    }
    out.emplace_back(name, value);
  }
  out.insert(out.end(), backend.headers.begin(), backend.headers.end());
  return out;
}

void answer_status(Stream& client, int http_code, const Status& status) {
  const std::string body = status.to_json();
  client.write(base::cat(format_response_head(http_code, {{"Content-Type", "application/json"},
                                                          {"Content-Length", std::to_string(body.size())},
                                                          {"Connection", "close"}}),
                         body));
}

void answer_unreachable(Stream& client, const Status& error) {
  answer_status(client, 500, Status(Code::kUnknown, base::cat("error dialing backend: ", error.message())));
}

/// Passes an answer that is no upgrade on to the client.
void pass_on(ClientExchange& exchange, Stream& client) {
  if (exchange.status() < 400) {
    answer_status(
        client, 500,
        Status(Code::kInternal, base::cat("invalid upgrade response: status code ", exchange.status())));
    return;
  }
  auto body = exchange.read_all(1U << 20);
  Headers headers;
  for (const auto& [name, value] : exchange.headers()) {
    if (!equal_fold(name, "Content-Length") && !equal_fold(name, "Transfer-Encoding") &&
        !equal_fold(name, "Connection")) {
      headers.emplace_back(name, value);
    }
  }
  const std::string text = body.ok() ? *body : "";
  headers.emplace_back("Content-Length", std::to_string(text.size()));
  headers.emplace_back("Connection", "close");
  client.write(format_response_head(exchange.status(), headers) + text);
}

std::vector<std::string> tunnelled_protocols(const Request& request) {
  std::vector<std::string> out;
  for (const std::string& name : websocket_protocols(request)) {
    if (name.starts_with(kTunnelPrefix) && name.ends_with(kKubernetesSuffix)) {
      out.push_back(name.substr(kTunnelPrefix.size()));
    }
  }
  return out;
}

}  // namespace

void tunnel(Stream& a, Stream& b) {
  const auto close_both = [&] {
    a.close();
    b.close();
  };
  std::thread back = base::start_thread("tunnel", [&] {
    copy(b, a);
    close_both();
  });
  copy(a, b);
  close_both();
  back.join();
}

bool is_upgrade_request(const Request& request) {
  const auto values = request.header_values("Connection");
  return std::any_of(values.begin(), values.end(),
                     [](std::string_view value) { return has_token(value, "upgrade"); });
}

void proxy_upgrade(const Request& request, const std::shared_ptr<Stream>& client,
                   const UpgradeBackend& backend) {
  ClientRequest out;
  out.method = is_websocket_request(request) ? request.method : backend.method;
  out.target = backend.target;
  out.headers = forwarded_headers(request, backend, {});
  auto exchange = ClientExchange::start(backend.dial, out, backend.response_timeout);
  if (!exchange.ok()) return answer_unreachable(*client, exchange.error());
  if ((*exchange)->status() != 101) return pass_on(**exchange, *client);
  if (!client->write(format_response_head(101, (*exchange)->headers()))) return;
  const auto stream = (*exchange)->upgraded();
  tunnel(*client, *stream);
}

bool wants_spdy_tunnel(const Request& request) {
  return is_websocket_request(request) && !tunnelled_protocols(request).empty();
}

void proxy_spdy_tunnel(const Request& request, const std::shared_ptr<Stream>& client,
                       const UpgradeBackend& backend) {
  const std::vector<std::string> protocols = tunnelled_protocols(request);
  const std::vector<std::string_view> offered(protocols.begin(), protocols.end());
  const Headers headers = forwarded_headers(
      request, backend,
      {"Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions",
       "Upgrade", "Connection", std::string(kProtocolVersionHeader)});
  ClientRequest out;
  out.method = "POST";
  out.target = backend.target;
  out.headers = headers;
  out.headers.emplace_back("Connection", "Upgrade");
  out.headers.emplace_back("Upgrade", kSpdy31);
  for (const auto& name : protocols) out.headers.emplace_back(kProtocolVersionHeader, name);
  auto exchange = ClientExchange::start(backend.dial, out, backend.response_timeout);
  if (!exchange.ok()) return answer_unreachable(*client, exchange.error());
  if ((*exchange)->status() != 101) return pass_on(**exchange, *client);

  const std::string_view chosen = (*exchange)->header(kProtocolVersionHeader);
  auto head = websocket_accept(request, chosen.empty() ? "" : base::cat(kTunnelPrefix, chosen));
  if (!head.ok()) {
    (void)refuse_upgrade(*client, 400, head.error().message());
    return;
  }
  if (!client->write(*head)) return;
  WebSocketStream messages(std::make_shared<WebSocket>(client, WebSocket::Role::kServer));
  const auto stream = (*exchange)->upgraded();
  tunnel(messages, *stream);
}

bool wants_command_translation(const Request& request) {
  return is_websocket_request(request) && listed(websocket_protocols(request), "v5.channel.k8s.io");
}

void proxy_command(const Request& request, const std::shared_ptr<Stream>& client,
                   const UpgradeBackend& backend, const CommandStreams& streams) {
  // First the client, as kube-apiserver does: what goes wrong behind comes on the error channel.
  auto session = accept_command(request, client, streams, backend.response_timeout);
  if (!session.ok()) return;
  auto other =
      connect_command(backend.dial, backend.target, backend.headers, streams, backend.response_timeout);
  if (!other.ok()) return finish_command(**session, other.error());
  bridge_commands(**session, **other);
}

}  // namespace orch::http
