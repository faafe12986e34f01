// TLS 1.3 records after the handshake: against RFC 8448's trace, and against peers that break the rules.
#include <functional>
#include <string>
#include <vector>

#include "records_fixture.h"

using namespace orch;
using namespace orch::http;
using namespace orch::http::testing;

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
  CHECK_FALSE(opened.alert);
  CHECK(opened.type == RecordType::kApplicationData);
  CHECK(opened.content == payload);
  opened = reader.open(close.data(), close.size());
  CHECK_FALSE(opened.alert);
  CHECK(opened.type == RecordType::kAlert);

  // Another key, another number in the row, a changed bit: none opens.
  RecordKeys other;
  REQUIRE(other.set(RecordSuite::kAes128GcmSha256, server_secret));
  std::string copy = from_client;
  CHECK(other.open(copy.data(), copy.size()).alert == Alert::kBadRecordMac);
  copy = from_client;
  CHECK(reader.open(copy.data(), copy.size()).alert == Alert::kBadRecordMac);
}

TEST_CASE("a secret of the wrong length is refused") {
  RecordSecrets secrets;
  secrets.suite = RecordSuite::kAes256GcmSha384;
  secrets.read = secrets.write = std::string(32, 'x');
  CHECK(RecordLayer::make(secrets) == nullptr);
  CHECK(!record_suite(0x1304));
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
    REQUIRE_FALSE(opened.alert);
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
