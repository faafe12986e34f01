#include "agent/api/tunnel.h"

#include <array>
#include <charconv>
#include <thread>

#include "base/threads.h"
#include "http/dial.h"

namespace orch::agent {
namespace {

using base::Code;
using base::Result;
using base::Status;

/// Until the end of `from`; then `to` is told that no more comes.
void pump(http::Stream& from, http::Stream& to) {
  std::array<char, 32 * 1024> buffer{};
  while (true) {
    const long n = from.read(buffer.data(), buffer.size());
    if (n <= 0) break;
    if (!to.write({buffer.data(), static_cast<size_t>(n)})) break;
  }
}

}  // namespace

Result<StreamUrl> parse_stream_url(std::string_view url) {
  StreamUrl out;
  const auto bad = [&] {
    return Status(Code::kInternal, base::cat("the runtime gave no usable URL: ", url));
  };
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return bad();
  const auto name = url.substr(0, scheme);
  if (name != "http" && name != "https") return bad();
  out.tls = name == "https";
  const auto rest = url.substr(scheme + 3);
  const size_t slash = rest.find('/');
  auto authority = rest.substr(0, slash);
  out.target = slash == std::string_view::npos ? "/" : std::string(rest.substr(slash));
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos) return bad();
  const auto port = authority.substr(colon + 1);
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size()) return bad();
  authority = authority.substr(0, colon);
  if (authority.size() > 2 && authority.front() == '[') authority = authority.substr(1, authority.size() - 2);
  out.host = authority;
  return out;
}

void tunnel(const http::Request& request, const std::string& url, std::shared_ptr<http::Stream> client) {
  const auto target = parse_stream_url(url);
  Result<std::shared_ptr<http::Stream>> runtime = target.status();
  if (target.ok()) {
    http::DialOptions options;
    options.host = target->host;
    options.port = target->port;
    options.tls = target->tls;
    options.tls_config.insecure = true;  // the URL came from the runtime itself, over its own socket
    runtime = http::dial(options);
  }
  if (!runtime.ok()) {
    const std::string& text = runtime.error().message();
    client->write(base::cat("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n",
                            "Content-Length: ", text.size(), "\r\n\r\n", text));
    return;
  }
  std::string head = base::cat(request.method, " ", target->target, " HTTP/1.1\r\nHost: ", target->host, ":",
                               target->port, "\r\n");
  for (const auto& [name, value] : request.headers) {
    if (http::equal_fold(name, "Host") || http::equal_fold(name, "Authorization")) continue;
    head += base::cat(name, ": ", value, "\r\n");
  }
  head += "\r\n";
  head += request.body;
  http::Stream& to = **runtime;
  if (!to.write(head)) return;
  std::thread back = base::start_thread("tunnel", [&] {
    pump(to, *client);
    client->close();
  });
  pump(*client, to);
  to.close();
  back.join();
}

}  // namespace orch::agent
