// Envelope encryption with a KMS plugin that lives in the test.
#include "datastore/kms/envelope.h"

#include "base/clock.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::datastore;

namespace {

struct State {
  std::string key = "key-1";
  bool down = false;
  int encrypts = 0, decrypts = 0;
};

class FakePlugin final : public KmsPlugin {
 public:
  explicit FakePlugin(State& state) : state_(state) {}
  base::Result<std::string> key_id() override {
    if (state_.down) return down();
    return state_.key;
  }
  base::Result<Sealed> encrypt(std::string_view plain) override {
    if (state_.down) return down();
    ++state_.encrypts;
    return Sealed{turned(plain), state_.key, {{"local.kms", "x"}}};
  }
  base::Result<std::string> decrypt(const Sealed& sealed) override {
    if (state_.down) return down();
    ++state_.decrypts;
    CHECK(sealed.annotations.at("local.kms") == "x");
    return turned(sealed.ciphertext);
  }

 private:
  static base::Status down() { return {base::Code::kServiceUnavailable, "the plugin is down"}; }
  static std::string turned(std::string_view text) { return {text.rbegin(), text.rend()}; }
  State& state_;
};

}  // namespace

TEST_CASE("the plugin is asked once per seed, not once per object") {
  State state;
  base::FakeClock clock;
  KmsEnvelope kms(std::make_unique<FakePlugin>(state), clock);
  REQUIRE(kms.start().ok());
  bool stale = true;
  const auto first = kms.seal("one", "/a");
  REQUIRE(first.ok());
  CHECK(first->find("one") == std::string::npos);
  CHECK(*kms.open(*first, "/a", stale) == "one");
  CHECK_FALSE(stale);
  CHECK_FALSE(kms.open(*first, "/b", stale).ok());
  for (int i = 0; i < 10; ++i) CHECK(kms.seal("x", "/x").ok());
  CHECK(state.encrypts == 1);
  CHECK(state.decrypts == 0);

  // Another start asks for the seed once.
  KmsEnvelope next(std::make_unique<FakePlugin>(state), clock);
  REQUIRE(next.start().ok());
  CHECK(*next.open(*first, "/a", stale) == "one");
  CHECK(*next.open(*first, "/a", stale) == "one");
  CHECK_FALSE(stale);
  CHECK(state.decrypts == 1);
}

TEST_CASE("a new key of the plugin means a new seed, within a minute") {
  State state;
  base::FakeClock clock;
  KmsEnvelope kms(std::make_unique<FakePlugin>(state), clock);
  REQUIRE(kms.start().ok());
  const std::string first = *kms.seal("one", "/a");
  state.key = "key-2";
  clock.advance(std::chrono::seconds(61));
  const std::string second = *kms.seal("two", "/a");
  CHECK(state.encrypts == 2);
  bool stale = false;
  CHECK(*kms.open(first, "/a", stale) == "one");
  CHECK(stale);
  CHECK(*kms.open(second, "/a", stale) == "two");
  CHECK_FALSE(stale);
}

TEST_CASE("without the plugin sealing goes on for three minutes, opening of known seeds always") {
  State state;
  base::FakeClock clock;
  KmsEnvelope kms(std::make_unique<FakePlugin>(state), clock);
  REQUIRE(kms.start().ok());
  const std::string sealed = *kms.seal("one", "/a");
  state.down = true;
  clock.advance(std::chrono::seconds(100));
  CHECK(kms.seal("two", "/a").ok());
  clock.advance(std::chrono::seconds(100));
  CHECK(kms.seal("three", "/a").error().message() == "the plugin is down");
  bool stale = false;
  CHECK(*kms.open(sealed, "/a", stale) == "one");
  state.down = false;
  clock.advance(std::chrono::seconds(61));
  CHECK(kms.seal("four", "/a").ok());

  State other;
  other.down = true;
  KmsEnvelope dead(std::make_unique<FakePlugin>(other), clock);
  CHECK_FALSE(dead.start().ok());
  CHECK_FALSE(dead.seal("x", "/a").ok());
}

TEST_CASE("bytes that are no encrypted object are refused") {
  State state;
  base::FakeClock clock;
  KmsEnvelope kms(std::make_unique<FakePlugin>(state), clock);
  REQUIRE(kms.start().ok());
  bool stale = false;
  CHECK_FALSE(kms.open("rubbish", "/a", stale).ok());
  std::string damaged = *kms.seal("one", "/a");
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  auto opened = kms.open(damaged, "/a", stale);
  CHECK((!opened.ok() || *opened != "one"));
}
