// A server on a free loopback port with certificates of its own, and raw clients for it.
#pragma once

#include <future>
#include <memory>
#include <stdexcept>
#include <string>

#include "base/clock.h"
#include "http/dial.h"
#include "http/server.h"
#include "pki/pki.h"
#include "tests/catch.h"

namespace orch::http::testing {

/// Made once: keys cost time.
struct Certificates {
  pki::KeyPair ca, server, client, stranger_ca, stranger;
  static const Certificates& get() {
    static const Certificates kOnce = [] {
      const auto now = base::SystemClock().now();
      Certificates c;
      c.ca = *pki::make_ca("test-ca", now);
      c.stranger_ca = *pki::make_ca("stranger-ca", now);
      pki::CertificateRequest request;
      request.common_name = "server";
      request.dns_names = {"localhost"};
      request.ip_addresses = {"127.0.0.1"};
      request.server = true;
      c.server = *pki::issue(c.ca, request, now);
      pki::CertificateRequest client;
      client.common_name = "jane";
      client.organizations = {"developers", "system:masters"};
      client.client = true;
      c.client = *pki::issue(c.ca, client, now);
      c.stranger = *pki::issue(c.stranger_ca, client, now);
      return c;
    }();
    return kOnce;
  }
};

inline ServerOptions tls_options() {
  const auto& certificates = Certificates::get();
  ServerOptions options;
  options.bind_address = "127.0.0.1";
  options.tls_config = {certificates.server.certificate_pem, certificates.server.key_pem,
                        certificates.ca.certificate_pem};
  return options;
}

inline ServerOptions plain_options() {
  ServerOptions options;
  options.bind_address = "127.0.0.1";
  options.tls = false;
  return options;
}

inline std::unique_ptr<Server> start(ServerOptions options, Handler handler) {
  auto server = Server::listen(std::move(options), std::move(handler));
  REQUIRE(server.ok());
  return std::move(*server);
}

inline DialOptions to(const Server& server, bool tls = true) {
  DialOptions options;
  options.host = "127.0.0.1";
  options.port = server.port();
  options.tls = tls;
  options.tls_config.ca_pem = Certificates::get().ca.certificate_pem;
  return options;
}

inline std::shared_ptr<Stream> connect(const DialOptions& options) {
  auto stream = dial(options);
  // Threads of tests connect too: none of Catch2's macros.
  if (!stream.ok()) throw std::runtime_error(stream.status().message());
  return *stream;
}

/// Everything until the server closes.
inline std::string read_to_end(Stream& stream) {
  std::string out;
  char buffer[4096];
  long n = 0;
  while ((n = stream.read(buffer, sizeof buffer)) > 0) out.append(buffer, static_cast<size_t>(n));
  return out;
}

/// Reads until what came ends with `text`; what came.
inline std::string read_until(Stream& stream, const std::string& text) {
  std::string out;
  char byte = 0;
  while (!out.ends_with(text) && stream.read(&byte, 1) == 1) out += byte;
  return out;
}

/// One response with a length: head and body.
inline std::string read_response(Stream& stream) {
  std::string head = read_until(stream, "\r\n\r\n");
  const size_t at = head.find("Content-Length: ");
  size_t left = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
  std::string body(left, '\0');
  size_t done = 0;
  while (done < left) {
    const long n = stream.read(body.data() + done, left - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  body.resize(done);
  return head + body;
}

/// Sends raw bytes, half-closes nothing, reads until the server closes.
inline std::string talk(const Server& server, const std::string& bytes, bool tls = false) {
  const auto stream = connect(to(server, tls));
  stream->write(bytes);
  return read_to_end(*stream);
}

}  // namespace orch::http::testing
