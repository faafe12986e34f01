// TLS 1.3 records with OpenSSL as the client.
#include <openssl/err.h>

#include <functional>
#include <string>

#include "fixture.h"
#include "http/tls.h"
#include "http/transport.h"
#include "records_fixture.h"

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;

namespace {

/// A client by OpenSSL, whose bytes go through our hands, and an accepted Transport.
class Client {
 public:
  explicit Client(const std::function<void(SSL_CTX*)>& tune = [](SSL_CTX*) {}) {
    const auto& certificates = Certificates::get();
    ClientTls config;
    config.insecure = true;
    config.certificate_pem = certificates.client.certificate_pem;
    config.key_pem = certificates.client.key_pem;
    client_context_ = *make_client_context(config);
    tune(client_context_.get());
    server_context_ = *make_server_context(tls_options().tls_config);
    ssl_ = SSL_new(client_context_.get());
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_connect_state(ssl_);
    server = Transport(sockets_.fd);
    sockets_.fd = -1;  // the transport closes it
    REQUIRE(server.accept_tls(server_context_));
  }
  ~Client() { SSL_free(ssl_); }
  Client(const Client&) = delete;

  /// Both sides; `behind` is data that the client sends along with the end of its handshake.
  void shake_hands(std::string_view behind = "") {
    Io ours = Io::kWantRead;
    int theirs = 0;
    for (int i = 0; i < 10 && (ours != Io::kOk || theirs != 1); ++i) {
      if (theirs != 1) {
        theirs = SSL_do_handshake(ssl_);
        if (theirs == 1 && !behind.empty()) write(behind);
      }
      deliver(drain());
      if (ours != Io::kOk) ours = server.handshake();
      fetch();
    }
    REQUIRE(ours == Io::kOk);
    REQUIRE(theirs == 1);
    const auto peer = peer_certificate(server.ssl());
    REQUIRE(peer);
    CHECK(peer->identity.common_name == "jane");
    server.release_handshake();
  }
  SSL* ssl() const { return ssl_; }
  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const int n = SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
      REQUIRE(n > 0);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  /// What the client has to send.
  std::string drain() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out_, &data);
    std::string out(data, static_cast<size_t>(size));
    (void)BIO_reset(out_);
    return out;
  }
  void deliver(std::string_view bytes) {
    if (!bytes.empty()) sockets_.deliver(bytes);
  }
  void say(std::string_view bytes) {
    write(bytes);
    deliver(drain());
  }
  /// Gives the client what the server sent.
  void fetch() {
    const std::string bytes = sockets_.sent();
    if (!bytes.empty()) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
  }
  /// All that the client can read now.
  std::string heard() {
    fetch();
    std::string out;
    std::array<char, 20000> buffer;
    int n = 0;
    while ((n = SSL_read(ssl_, buffer.data(), buffer.size())) > 0)
      out.append(buffer.data(), static_cast<size_t>(n));
    error_ = SSL_get_error(ssl_, n);
    return out;
  }
  int error() const { return error_; }
  /// All that the server can read now.
  std::string received() {
    std::string out;
    std::array<char, 1000> buffer;
    size_t got = 0;
    while ((last_ = server.read(buffer.data(), buffer.size(), got)) == Io::kOk)
      out.append(buffer.data(), got);
    return out;
  }
  Io last() const { return last_; }
  void answer(std::string_view bytes) {
    while (!bytes.empty()) {
      size_t sent = 0;
      const Io result = server.write(bytes, sent);
      REQUIRE((result == Io::kOk || result == Io::kWantWrite));
      if (result == Io::kWantWrite) fetch();
      bytes.remove_prefix(sent);
    }
  }

  Transport server;

 private:
  Sockets sockets_;
  TlsContext client_context_, server_context_;
  SSL* ssl_ = nullptr;
  BIO *in_ = nullptr, *out_ = nullptr;
  int error_ = 0;
  Io last_ = Io::kOk;
};

}  // namespace

TEST_CASE("OpenSSL's client and the record layer understand each other") {
  for (const auto* suite :
       {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    CAPTURE(suite);
    Client client([&](SSL_CTX* context) { REQUIRE(SSL_CTX_set_ciphersuites(context, suite) == 1); });
    // What comes right behind the handshake is not lost with OpenSSL's buffers.
    client.shake_hands("first");
    CHECK(client.server.ssl() == nullptr);
    CHECK(client.received() == "first");
    CHECK(client.last() == Io::kWantRead);
    CHECK_FALSE(client.server.pending());
    client.answer("hello");
    CHECK(client.heard() == "hello");

    const std::string big = noise(100'000);
    client.say(big);
    CHECK(client.received() == big);
    client.answer(big);
    CHECK(client.heard() == big);

    // Padded records.
    SSL_set_block_padding(client.ssl(), 512);
    client.say("padded");
    CHECK(client.received() == "padded");

    // New keys from the client, with and without ours in return; more than once.
    for (int i = 0; i < 3; ++i) {
      REQUIRE(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
      client.say("a");
      REQUIRE(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
      client.say("b");
      CHECK(client.received() == "ab");
      client.answer("c");
      CHECK(client.heard() == "c");
    }

    client.server.end_writing();
    CHECK(client.heard().empty());
    CHECK(client.error() == SSL_ERROR_ZERO_RETURN);
    // The other direction is still open.
    client.say("last");
    CHECK(client.received() == "last");
    SSL_shutdown(client.ssl());
    client.deliver(client.drain());
    CHECK(client.received().empty());
    CHECK(client.last() == Io::kEnd);
    CHECK(client.received().empty());
    CHECK(client.last() == Io::kEnd);
  }
}

TEST_CASE("TLS 1.2 stays with OpenSSL") {
  Client client([](SSL_CTX* context) {
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_clear_options(context, SSL_OP_NO_RENEGOTIATION);
  });
  client.shake_hands("first");
  CHECK(client.server.ssl() != nullptr);
  CHECK(client.received() == "first");
  client.answer("hello");
  CHECK(client.heard() == "hello");
  // No renegotiation: refused with a warning, and the connection goes on.
  SSL_renegotiate(client.ssl());
  SSL_do_handshake(client.ssl());
  client.deliver(client.drain());
  CHECK(client.received().empty());
  CHECK(client.last() == Io::kWantRead);
  client.heard();
  CHECK(ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_NO_RENEGOTIATION);
  ERR_clear_error();
}

TEST_CASE("a client that wants small records gets them") {
  Client client([](SSL_CTX* context) {
    SSL_CTX_set_tlsext_max_fragment_length(context, TLSEXT_max_fragment_length_512);
  });
  client.shake_hands("first");
  CHECK(client.server.ssl() != nullptr);
  CHECK(client.received() == "first");
  const std::string big = noise(5000);
  client.answer(big);
  CHECK(client.heard() == big);
}
