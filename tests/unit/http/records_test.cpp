// TLS 1.3 records after the handshake: against RFC 8448's trace, against OpenSSL as the client, and against
// peers that break the rules.
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fixture.h"
#include "http/record_layer.h"
#include "http/tls.h"
#include "http/transport.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;

namespace {

std::string hex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  }
  return out;
}

/// Two connected sockets; the first is ours and does not block.
struct Sockets {
  int fd = -1, other = -1;
  Sockets() {
    int both[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, both) == 0);
    fd = both[0];
    other = both[1];
  }
  ~Sockets() {
    if (fd >= 0) ::close(fd);
    if (other >= 0) ::close(other);
  }
  Sockets(const Sockets&) = delete;
  void deliver(std::string_view bytes) const {
    REQUIRE(::send(other, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  std::string sent() const {
    std::string out;
    std::array<char, 65536> buffer;
    ssize_t n = 0;
    while ((n = recv(other, buffer.data(), buffer.size(), 0)) > 0)
      out.append(buffer.data(), static_cast<size_t>(n));
    return out;
  }
};

/// A layer, and the keys that its peer has: records of any kind can be made for it.
struct Bare {
  Sockets sockets;
  RecordSecrets secrets;
  std::unique_ptr<RecordLayer> layer;
  RecordKeys seals, opens;

  explicit Bare(uint64_t records_per_key = RecordLayer::kRecordsPerKey) {
    secrets.suite = RecordSuite::kAes256GcmSha384;
    secrets.read = std::string(48, 'r');
    secrets.write = std::string(48, 'w');
    layer = RecordLayer::make(secrets, records_per_key);
    REQUIRE(layer);
    REQUIRE(seals.set(secrets.suite, secrets.read));
    REQUIRE(opens.set(secrets.suite, secrets.write));
  }
  std::string record(RecordType type, std::string_view content) {
    std::string out(content.size() + kRecordOverhead, '\0');
    REQUIRE(seals.seal(type, content, out.data()) == out.size());
    return out;
  }
  std::string data(std::string_view content) { return record(RecordType::kApplicationData, content); }
  std::string handshake(std::string_view content) { return record(RecordType::kHandshake, content); }
  /// What one read gives: bytes, or "want", "end", "error".
  std::string read(size_t size = 20000) const {
    std::string buffer(size, '\0');
    size_t got = 0;
    switch (layer->read(sockets.fd, buffer.data(), size, got)) {
      case Io::kOk:
        return buffer.substr(0, got);
      case Io::kWantRead:
      case Io::kWantWrite:
        return "want";
      case Io::kEnd:
        return "end";
      default:
        return "error";
    }
  }
  /// The records that the layer sent: type and content of each; goes on to new keys at a KeyUpdate.
  std::vector<std::pair<RecordType, std::string>> answers() {
    std::vector<std::pair<RecordType, std::string>> out;
    std::string bytes = sockets.sent();
    while (!bytes.empty()) {
      const size_t size = kRecordHeader + (static_cast<size_t>(static_cast<unsigned char>(bytes[3])) << 8U) +
                          static_cast<unsigned char>(bytes[4]);
      REQUIRE(size <= bytes.size());
      const auto opened = opens.open(bytes.data(), size);
      REQUIRE(opened.alert == 0);
      out.emplace_back(opened.type, opened.content);
      if (opened.type == RecordType::kHandshake) opens.update();
      bytes.erase(0, size);
    }
    return out;
  }
  /// The alert that was sent last, or -1.
  int alert() {
    const auto all = answers();
    if (all.empty() || all.back().first != RecordType::kAlert) return -1;
    return static_cast<unsigned char>(all.back().second.at(1));
  }
};

/// In this order: operands of + have none.
std::string join(std::initializer_list<std::string> parts) {
  std::string out;
  for (const auto& part : parts) out += part;
  return out;
}

constexpr std::string_view kUpdate("\x18\0\0\1\0", 5), kUpdateRequest("\x18\0\0\1\1", 5);

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

std::string noise(size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (auto& c : out) c = static_cast<char>(random());
  return out;
}

}  // namespace

TEST_CASE("records are those of RFC 8448's trace") {
  std::string payload;
  for (int i = 0; i < 50; ++i) payload += static_cast<char>(i);
  const std::string client_secret = hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
  const std::string server_secret = hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
  const std::string from_client =
      hex("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62"
          "974e1f"
          "5a6292a2977014bd1e3deae63aeebb21694915e4");
  const std::string close_of_client = hex("1703030013c9872760655666b74d7ff1153efd6db6d0b0e3");

  RecordKeys keys;
  REQUIRE(keys.set(RecordSuite::kAes128GcmSha256, client_secret));
  std::string record(payload.size() + kRecordOverhead, '\0');
  CHECK(keys.seal(RecordType::kApplicationData, payload, record.data()) == record.size());
  CHECK(record == from_client);
  std::string close(2 + kRecordOverhead, '\0');
  CHECK(keys.seal(RecordType::kAlert, std::string_view("\1\0", 2), close.data()) == close.size());
  CHECK(close == close_of_client);

  RecordKeys reader;
  REQUIRE(reader.set(RecordSuite::kAes128GcmSha256, client_secret));
  auto opened = reader.open(record.data(), record.size());
  CHECK(opened.alert == 0);
  CHECK(opened.type == RecordType::kApplicationData);
  CHECK(opened.content == payload);
  opened = reader.open(close.data(), close.size());
  CHECK(opened.alert == 0);
  CHECK(opened.type == RecordType::kAlert);

  // Another key, another number in the row, a changed bit: none opens.
  RecordKeys other;
  REQUIRE(other.set(RecordSuite::kAes128GcmSha256, server_secret));
  std::string copy = from_client;
  CHECK(other.open(copy.data(), copy.size()).alert == 20);
  copy = from_client;
  CHECK(reader.open(copy.data(), copy.size()).alert == 20);
}

TEST_CASE("a secret of the wrong length is refused") {
  RecordSecrets secrets;
  secrets.suite = RecordSuite::kAes256GcmSha384;
  secrets.read = secrets.write = std::string(32, 'x');
  CHECK(RecordLayer::make(secrets) == nullptr);
  CHECK(!record_suite(0x1304));
}

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

TEST_CASE("records may come in any pieces") {
  Bare bare;
  const std::string big = noise(kMaxRecordContent);
  std::string wire = join({bare.data("one"), bare.data(""), bare.handshake(kUpdate)});
  bare.seals.update();
  wire += join({bare.data("two"), bare.data(big), bare.data("three")});
  const std::string all = "onetwo" + big + "three";
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{1000}, wire.size()}) {
    Bare fresh;
    std::string got;
    for (size_t at = 0; at < wire.size(); at += piece) {
      fresh.sockets.deliver(std::string_view(wire).substr(at, piece));
      while (true) {
        const bool pending = fresh.layer->pending();
        const std::string part = fresh.read(500);
        // What pending() promises comes, unless it is a record without data.
        if (pending && part == "want") CHECK(got.size() <= 3);
        if (part == "want") break;
        REQUIRE(part != "error");
        got += part;
      }
    }
    CHECK(got == all);
    CHECK_FALSE(fresh.layer->pending());
  }
}

TEST_CASE("bad records end the connection, and the peer is told why") {
  struct Row {
    const char* what;
    std::function<std::string(Bare&)> bytes;
    int alert;
  };
  const std::string request(kUpdateRequest);
  const std::vector<Row> rows = {
      {"a changed bit",
       [](Bare& b) {
         std::string r = b.data("x");
         r[6] ^= 1;
         return r;
       },
       20},
      {"a changed header",
       [](Bare& b) {
         std::string r = b.data("x");
         r[1] = 4;
         return r;
       },
       20},
      {"too short for a tag", [](Bare&) { return hex("1703030003010203"); }, 20},
      {"an empty body", [](Bare&) { return hex("1703030000"); }, 20},
      {"a record twice",
       [](Bare& b) {
         const std::string r = b.data("");
         return r + r;
       },
       20},
      {"longer than allowed, before its end came", [](Bare&) { return hex("17030341010102030405"); }, 22},
      {"plain alert", [](Bare&) { return hex("15030300020100"); }, 10},
      {"plain data of another type", [](Bare&) { return hex("16030300020100"); }, 10},
      {"change of cipher after the handshake", [](Bare&) { return hex("140303000101"); }, 10},
      {"an unknown type", [](Bare& b) { return b.record(static_cast<RecordType>(99), "x"); }, 10},
      {"no type at all", [](Bare& b) { return b.record(static_cast<RecordType>(0), ""); }, 10},
      {"an alert of one byte", [](Bare& b) { return b.record(RecordType::kAlert, "\1"); }, 50},
      {"an alert of three bytes", [](Bare& b) { return b.record(RecordType::kAlert, "\1\1\1"); }, 50},
      {"another handshake message", [](Bare& b) { return b.handshake("\1"); }, 10},
      {"an empty handshake message", [](Bare& b) { return b.handshake(""); }, 10},
      {"a KeyUpdate with another length",
       [](Bare& b) { return b.handshake(std::string_view("\x18\0\0\2\0\0", 6)); }, 50},
      {"a KeyUpdate that asks for something else",
       [](Bare& b) { return b.handshake(std::string_view("\x18\0\0\1\2", 5)); }, 47},
      {"a KeyUpdate with something behind it", [=](Bare& b) { return b.handshake(request + request); }, 10},
      {"data within a KeyUpdate",
       [](Bare& b) {
         return join({b.handshake(kUpdate.substr(0, 3)), b.data("x")});
       },
       10},
      {"an alert within a KeyUpdate",
       [](Bare& b) {
         return join({b.handshake(kUpdate.substr(0, 3)), b.record(RecordType::kAlert, "\1\x5a")});
       },
       10},
      {"old keys after a KeyUpdate",
       [](Bare& b) {
         return join({b.handshake(kUpdate), b.data("x")});
       },
       20},
      {"nothing but empty records",
       [](Bare& b) {
         std::string all;
         for (int i = 0; i < 33; ++i) all += b.data("");
         return all;
       },
       10},
      {"nothing but warnings",
       [](Bare& b) {
         std::string all;
         for (int i = 0; i < 33; ++i) all += b.record(RecordType::kAlert, "\1\x5a");
         return all;
       },
       10},
      {"nothing but KeyUpdates",
       [](Bare& b) {
         std::string all;
         for (int i = 0; i < 33; ++i) {
           all += b.handshake(kUpdate);
           b.seals.update();
         }
         return all;
       },
       10},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    Bare bare;
    bare.sockets.deliver(row.bytes(bare));
    CHECK(bare.read() == "error");
    CHECK(bare.alert() == row.alert);
    // It stays broken, whatever comes.
    bare.sockets.deliver("more");
    CHECK(bare.read() == "error");
    size_t sent = 0;
    CHECK(bare.layer->write(bare.sockets.fd, "x", sent) == Io::kError);
    CHECK(bare.answers().empty());
  }
}

TEST_CASE("a record of padding beyond the limit is refused") {
  Bare bare;
  // The type is hidden in the content, so that the seal's own zero type reads as padding.
  std::string content(kMaxRecordContent, '\0');
  content[0] = static_cast<char>(RecordType::kApplicationData);
  bare.sockets.deliver(bare.record(RecordType::kInvalid, content));
  CHECK(bare.read() == "want");  // 16 KiB and one byte: just allowed, and empty
  bare.sockets.deliver(bare.record(RecordType::kInvalid, content + '\0'));
  CHECK(bare.read() == "error");
  CHECK(bare.alert() == 22);
}

TEST_CASE("data between records without any starts their count again") {
  Bare bare;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 30; ++i) bare.sockets.deliver(bare.data(""));
    bare.sockets.deliver(bare.data("x"));
    CHECK(bare.read() == "x");
  }
}

TEST_CASE("the ends of a connection are told apart") {
  struct Row {
    const char* what;
    std::function<std::string(Bare&)> bytes;
    std::string read;
  };
  const std::vector<Row> rows = {
      {"close_notify", [](Bare& b) { return b.record(RecordType::kAlert, std::string_view("\1\0", 2)); },
       "end"},
      {"user_canceled, then close_notify",
       [](Bare& b) {
         return join({b.record(RecordType::kAlert, "\1\x5a"),
                      b.record(RecordType::kAlert, std::string_view("\1\0", 2))});
       },
       "end"},
      {"a fatal alert", [](Bare& b) { return b.record(RecordType::kAlert, "\2\x50"); }, "error"},
      {"nothing", [](Bare&) { return std::string(); }, "error"},
      {"half a record", [](Bare& b) { return b.data("x").substr(0, 10); }, "error"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    Bare bare;
    const std::string bytes = row.bytes(bare);
    if (!bytes.empty()) bare.sockets.deliver(bytes);
    shutdown(bare.sockets.other, SHUT_WR);
    CHECK(bare.read() == row.read);
    CHECK(bare.read() == row.read);
    CHECK(bare.answers().empty());  // an alert is not answered by one
  }
}

TEST_CASE("a full socket takes a record later, and a KeyUpdate waits behind it") {
  Bare bare;
  const int small = 4096;
  setsockopt(bare.sockets.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  const std::string big = noise(400'000);
  std::string_view left = big;
  std::string got;
  bool asked = false;
  int blocked = 0;
  while (!left.empty()) {
    size_t sent = 0;
    const Io result = bare.layer->write(bare.sockets.fd, left, sent);
    if (result == Io::kWantWrite) {
      CHECK(sent == 0);
      ++blocked;
      if (!std::exchange(asked, true)) {
        // Asked twice while it cannot answer: it answers once.
        bare.sockets.deliver(bare.handshake(kUpdateRequest));
        bare.seals.update();
        bare.sockets.deliver(bare.handshake(kUpdateRequest));
        bare.seals.update();
        CHECK(bare.read() == "want");
      }
      got += bare.sockets.sent();
    } else {
      REQUIRE(result == Io::kOk);
      left.remove_prefix(sent);
    }
  }
  CHECK(blocked > 3);
  got += bare.sockets.sent();
  std::string content;
  int updates = 0;
  while (!got.empty()) {
    const size_t size = kRecordHeader + (static_cast<size_t>(static_cast<unsigned char>(got[3])) << 8U) +
                        static_cast<unsigned char>(got[4]);
    REQUIRE(size <= got.size());
    const auto opened = bare.opens.open(got.data(), size);
    REQUIRE(opened.alert == 0);
    if (opened.type == RecordType::kHandshake) {
      CHECK(opened.content == kUpdate);
      ++updates;
      bare.opens.update();
    } else {
      content += opened.content;
    }
    got.erase(0, size);
  }
  CHECK(content == big);
  CHECK(updates == 1);
  // Having answered, it answers again.
  bare.sockets.deliver(bare.handshake(kUpdateRequest));
  bare.seals.update();
  CHECK(bare.read() == "want");
  CHECK(bare.answers().size() == 1);
}

TEST_CASE("a key that has protected enough is exchanged") {
  Bare bare(10);
  size_t updates = 0;
  std::string content;
  for (int i = 0; i < 35; ++i) {
    size_t sent = 0;
    REQUIRE(bare.layer->write(bare.sockets.fd, std::to_string(i), sent) == Io::kOk);
    for (const auto& [type, text] : bare.answers()) {
      if (type == RecordType::kHandshake) {
        CHECK(text == kUpdate);
        ++updates;
      } else {
        CHECK(text == std::to_string(i));
      }
    }
  }
  CHECK(updates == 3);
}

TEST_CASE("good-bye is said once, and nothing after it") {
  Bare bare;
  bare.layer->end_writing(bare.sockets.fd);
  bare.layer->end_writing(bare.sockets.fd);
  const auto all = bare.answers();
  REQUIRE(all.size() == 1);
  CHECK(all[0].first == RecordType::kAlert);
  CHECK(all[0].second == std::string_view("\1\0", 2));
  size_t sent = 0;
  CHECK(bare.layer->write(bare.sockets.fd, "x", sent) == Io::kError);
  bare.sockets.deliver(bare.handshake(kUpdateRequest));
  bare.seals.update();
  bare.sockets.deliver(bare.data("x"));
  CHECK(bare.read() == "x");
  CHECK(bare.answers().empty());
}

TEST_CASE("random damage never gets through") {
  std::mt19937 random(42);
  for (int round = 0; round < 2000; ++round) {
    Bare bare;
    std::string wire = join({bare.data("some text"), bare.handshake(kUpdate)});
    bare.seals.update();
    wire += bare.data(std::string(random() % 300, 'y'));
    const size_t at = random() % wire.size();
    wire[at] = static_cast<char>(wire[at] ^ static_cast<char>(1 + random() % 255));
    bare.sockets.deliver(wire);
    shutdown(bare.sockets.other, SHUT_WR);
    std::string got;
    std::string part;
    while ((part = bare.read()) != "error") {
      REQUIRE(part != "end");
      got += part;
      REQUIRE(got.size() < 1000);
    }
    CHECK((got.empty() || got == "some text"));
  }
}
