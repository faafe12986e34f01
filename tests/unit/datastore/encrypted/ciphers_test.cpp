// The ciphers against vectors of Go's own implementations, and against every kind of damage.
#include "datastore/encrypted/ciphers.h"

#include <functional>

#include "tests/catch.h"

using namespace orch;
using namespace orch::datastore;

namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (const unsigned char c : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    out += kDigits[c >> 4];
    out += kDigits[c & 15];
  }
  return out;
}

std::string counting(size_t size, int from, int step) {
  std::string out;
  for (size_t i = 0; i < size; ++i) out += static_cast<char>(from + static_cast<int>(i) * step);
  return out;
}

const std::string kKey = counting(32, 0, 7);

}  // namespace

TEST_CASE("secretbox is NaCl's") {
  const auto boxed =
      box(kKey, counting(24, 200, -1),
          "what is kept in the store, longer than one block of sixty-four bytes so that the counter moves");
  REQUIRE(boxed.ok());
  CHECK(hex(*boxed) ==
        "47f33465b515efc0e9169da074522ce41079a78668a409e6033e3afb02c3d61765b1d1000e71393574f7ddc7984b7ba9f0bb"
        "3be7"
        "9c136d066d93863f339a453da6287fc1be0ec9ccfbc8ece25a290a8e67e02ca2cc6e52466b544a16aa11b26091bade3075b5"
        "da7c"
        "1a2f612f2f12");
}

TEST_CASE("keys are expanded as RFC 5869 has it") {
  CHECK(hex(*expand_key(kKey, "info", 32)) ==
        "63eb180c2c977a1f1740cd973ba4c414baf7e4f2a12e14aa729f9b1c2a722ee7");
}

TEST_CASE("what was sealed opens, and nothing else does") {
  struct Cipher {
    const char* name;
    std::function<base::Result<std::string>(std::string_view key, std::string_view plain)> seal, open;
    bool authentic;
  };
  const Cipher ciphers[] = {
      {"gcm", [](auto k, auto p) { return seal_aes_gcm(k, p, "/a"); },
       [](auto k, auto s) { return open_aes_gcm(k, s, "/a"); }, true},
      {"cbc", [](auto k, auto p) { return seal_aes_cbc(k, p); },
       [](auto k, auto s) { return open_aes_cbc(k, s); }, false},
      {"box", [](auto k, auto p) { return seal_secretbox(k, p); },
       [](auto k, auto s) { return open_secretbox(k, s); }, true},
  };
  for (const Cipher& c : ciphers) {
    for (const size_t size : {0U, 1U, 15U, 16U, 17U, 63U, 64U, 65U, 5000U}) {
      INFO(c.name << " " << size);
      const std::string plain = counting(size, 3, 5);
      const auto sealed = c.seal(kKey, plain);
      REQUIRE(sealed.ok());
      CHECK(*c.seal(kKey, plain) != *sealed);
      const auto opened = c.open(kKey, *sealed);
      REQUIRE(opened.ok());
      CHECK(*opened == plain);
      if (size > 100) continue;
      for (size_t i = 0; c.authentic && i < sealed->size(); ++i) {
        std::string damaged = *sealed;
        damaged[i] = static_cast<char>(damaged[i] ^ 1);
        CHECK_FALSE(c.open(kKey, damaged).ok());
      }
      if (c.authentic) CHECK_FALSE(c.open(counting(32, 1, 7), *sealed).ok());
      for (size_t n = 0; n < sealed->size(); ++n) {
        const auto cut = c.open(kKey, std::string_view(*sealed).substr(0, n));
        if (cut.ok()) CHECK_FALSE(c.authentic);
      }
    }
  }
  CHECK_FALSE(open_aes_gcm(kKey, *seal_aes_gcm(kKey, "x", "/a"), "/b").ok());
  CHECK_FALSE(seal_aes_gcm("short", "x", "").ok());
  CHECK(seal_aes_gcm(counting(16, 0, 1), "x", "").ok());
  CHECK(seal_aes_gcm(counting(24, 0, 1), "x", "").ok());
}
