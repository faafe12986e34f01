// The encrypted store: the contract of every store, keys that change, keys that are missing.
#include "datastore/encrypted/encrypted_store.h"

#include "tests/unit/datastore/contract.h"
#include "tests/unit/datastore/sqlite/fixture.h"

using namespace orch;
using namespace orch::datastore;
using namespace orch::testing;

namespace {

using Kind = EncryptionProvider::Kind;

EncryptionProvider provider(Kind kind, std::vector<std::pair<std::string, char>> keys = {}) {
  EncryptionProvider p;
  p.kind = kind;
  for (const auto& [name, fill] : keys) p.keys.push_back({name, std::string(32, fill)});
  return p;
}

std::shared_ptr<const Keyring> ring(std::vector<EncryptionProvider> providers,
                                    std::vector<std::string> resources = {"secrets"}) {
  return std::make_shared<const Keyring>(
      std::vector<EncryptionRule>{{std::move(resources), std::move(providers)}});
}

const std::string kSecret = "/registry/core/secrets/ns/a";
const std::string kMap = "/registry/core/configmaps/ns/a";

std::string raw(Store& store, const std::string& key) {
  const Range range = store.range(key, {}, 0, 0);
  REQUIRE(range.items.size() == 1);
  return range.items[0].value;
}

struct Seen {
  std::vector<std::string> values;
  Listener listener() {
    return [this](const std::vector<Event>& events) {
      for (const Event& e : events) values.push_back(e.kv.value);
    };
  }
};

}  // namespace

TEST_CASE("the first provider writes, all read") {
  const auto all =
      ring({provider(Kind::kAesGcm, {{"new:er", 'n'}, {"old", 'o'}}), provider(Kind::kAesCbc, {{"c", 'c'}}),
            provider(Kind::kSecretbox, {{"s", 's'}}), provider(Kind::kIdentity)});
  const auto stored = all->seal(kSecret, "hello");
  REQUIRE(stored.ok());
  CHECK(stored->rfind("k8s:enc:aesgcm:v1:new:er:", 0) == 0);
  CHECK(stored->find("hello") == std::string::npos);
  const auto open = [&](const std::string& bytes) {
    auto opened = all->open(kSecret, bytes);
    return opened.ok() ? opened->value + (opened->stale ? " stale" : "") : "!" + opened.error().message();
  };
  CHECK(open(*stored) == "hello");
  CHECK(open("plain") == "plain stale");
  CHECK(open(*ring({provider(Kind::kAesGcm, {{"old", 'o'}})})->seal(kSecret, "x")) == "x stale");
  CHECK(open(*ring({provider(Kind::kAesCbc, {{"c", 'c'}})})->seal(kSecret, "x")) == "x stale");
  CHECK(open(*ring({provider(Kind::kSecretbox, {{"s", 's'}})})->seal(kSecret, "x")) == "x stale");
  CHECK(open(*ring({provider(Kind::kAesGcm, {{"gone", 'g'}})})->seal(kSecret, "x")) ==
        "!decrypting " + kSecret + ": no matching key was found for the provided AES transformer");
  CHECK(open(*ring({provider(Kind::kAesGcm, {{"old", 'x'}})})->seal(kSecret, "x")) ==
        "!decrypting " + kSecret + ": cipher: message authentication failed");
  CHECK(open("k8s:enc:other:v1:x:y") == "!decrypting " + kSecret + ": no matching prefix found");
  // Moved to another key in the store, a value does not open.
  CHECK_FALSE(all->open("/registry/core/secrets/ns/b", *stored).ok());
  CHECK_FALSE(ring({provider(Kind::kAesGcm, {{"a", 'a'}})})->open(kSecret, "plain").ok());
  // Other resources are not touched, and never taken for plain when they are not.
  CHECK(*all->seal(kMap, "map") == "map");
  CHECK(all->open(kMap, *stored).error().message() ==
        "decrypting " + kMap + ": identity transformer tried to read encrypted data");
}

TEST_CASE("rules name resources as Kubernetes does") {
  const auto covers = [](const std::string& resource, const std::string& key) {
    return ring({provider(Kind::kIdentity)}, {resource})->covers(key);
  };
  CHECK(covers("secrets", kSecret));
  CHECK_FALSE(covers("secrets", kMap));
  CHECK_FALSE(covers("secrets", "/registry/x.io/secrets/ns/a"));
  CHECK(covers("*.", kMap));
  CHECK_FALSE(covers("*.", "/registry/apps/deployments/ns/a"));
  CHECK(covers("*.apps", "/registry/apps/deployments/ns/a"));
  CHECK(covers("deployments.apps", "/registry/apps/deployments/ns/a"));
  CHECK(covers("*.*", "/registry/apps/deployments/ns/a"));
  CHECK(covers("*.*", "/other"));
  CHECK_FALSE(covers("*.", "/other"));
}

TEST_CASE("values are encrypted beneath and plain above") {
  SqliteUnderTest under;
  EncryptedStore store(under.store(),
                       ring({provider(Kind::kSecretbox, {{"k", 'k'}}), provider(Kind::kIdentity)}));
  Seen seen;
  auto subscription = store.subscribe("/registry/", store.revision(), seen.listener());
  CHECK(store.write_sync(put(kSecret, "s1")).outcome == Outcome::kOk);
  CHECK(store.write_sync(put(kMap, "m1")).outcome == Outcome::kOk);
  CHECK(store.write_sync(erase(kSecret)).outcome == Outcome::kOk);
  CHECK(store.write_sync(put(kSecret, "s2")).outcome == Outcome::kOk);
  CHECK(seen.values == std::vector<std::string>{"s1", "m1", "", "s2"});
  CHECK(raw(store, kSecret) == "s2");
  CHECK(raw(under.store(), kSecret).rfind("k8s:enc:secretbox:v1:k:", 0) == 0);
  CHECK(raw(under.store(), kMap) == "m1");
  CHECK_FALSE(store.stale(kSecret));
}

TEST_CASE("keys rotate without anything lost") {
  SqliteUnderTest under;
  {
    EncryptedStore plain(under.store(), std::make_shared<const Keyring>(std::vector<EncryptionRule>()));
    CHECK(plain.write_sync(put(kSecret, "one")).outcome == Outcome::kOk);
    CHECK(plain.write_sync(put("/registry/core/secrets/ns/b", "two")).outcome == Outcome::kOk);
  }
  const auto first = ring({provider(Kind::kAesCbc, {{"k1", '1'}}), provider(Kind::kIdentity)});
  const auto both = ring({provider(Kind::kAesCbc, {{"k2", '2'}, {"k1", '1'}}), provider(Kind::kIdentity)});
  const auto last = ring({provider(Kind::kAesCbc, {{"k2", '2'}})});
  EncryptedStore store(under.store(), first);
  CHECK(raw(store, kSecret) == "one");
  CHECK(store.stale(kSecret));
  // Only what is stored anew is fresh.
  CHECK(store.write_sync(put(kSecret, "one")).outcome == Outcome::kOk);
  CHECK(raw(store, kSecret) == "one");
  CHECK_FALSE(store.stale(kSecret));
  CHECK(store.reload(both).ok());
  CHECK(store.stale_keys().size() == 2);
  // A key that something is stored under cannot go.
  CHECK_FALSE(store.reload(last).ok());
  CHECK(*store.rewrite_stale() == 2);
  CHECK(store.stale_keys().empty());
  CHECK(store.reload(last).ok());
  CHECK(raw(store, kSecret) == "one");
  CHECK(raw(store, "/registry/core/secrets/ns/b") == "two");

  // The next start knows the last key only: what the others sealed is history nobody needs.
  EncryptedStore next(under.store(), last);
  Seen seen;
  const Range old = next.range("/registry/", prefix_end("/registry/"), under.store().compacted(), 0);
  CHECK(old.outcome == Outcome::kOk);
  auto subscribed = next.subscribe("/registry/", under.store().compacted(), seen.listener());
  REQUIRE(subscribed.outcome == Outcome::kOk);
  CHECK(seen.values.back() == "two");
  CHECK(next.history_begins("/registry/core/secrets/") == under.store().revision());
  CHECK(next.history_begins("/registry/core/configmaps/") == under.store().compacted());
}

TEST_CASE("a missing key is an error, never wrong or missing data") {
  SqliteUnderTest under;
  {
    EncryptedStore store(under.store(), ring({provider(Kind::kAesGcm, {{"k1", '1'}})}));
    CHECK(store.write_sync(put(kSecret, "one")).outcome == Outcome::kOk);
  }
  for (const auto& keyring :
       {ring({provider(Kind::kAesGcm, {{"k2", '2'}})}), ring({provider(Kind::kIdentity)}),
        std::make_shared<const Keyring>(std::vector<EncryptionRule>())}) {
    EncryptedStore store(under.store(), keyring);
    const Range now = store.range("/registry/", prefix_end("/registry/"), 0, 0);
    CHECK(now.outcome == Outcome::kFailed);
    CHECK_THAT(now.message, contains("decrypting " + kSecret));
    const auto subscribed = store.subscribe("/registry/", under.store().compacted(), [](const auto&) {});
    CHECK(subscribed.outcome == Outcome::kFailed);
    CHECK_FALSE(subscribed.message.empty());
  }
}

namespace {

class EncryptedUnderTest final : public StoreUnderTest {
 public:
  EncryptedUnderTest() { wrap(); }
  Store& store() override { return *store_; }
  void reopen() override {
    store_.reset();
    under_.reopen();
    wrap();
  }
  void crash(bool power_cut) override {
    store_.reset();
    under_.crash(power_cut);
    wrap();
  }
  void fail_after(int steps) override { under_.fail_after(steps); }
  bool set_full(bool full) override { return under_.set_full(full); }
  std::unique_ptr<Store> open_snapshot(const std::string& path) override {
    snapshots_.push_back(under_.open_snapshot(path));
    return std::make_unique<EncryptedStore>(*snapshots_.back(), keys());
  }
  std::string fresh_path() override { return under_.fresh_path(); }

 private:
  void wrap() { store_ = std::make_unique<EncryptedStore>(under_.store(), keys()); }
  static std::shared_ptr<const Keyring> keys() {
    return ring({provider(Kind::kAesGcm, {{"k", 'k'}})}, {"*.*"});
  }
  SqliteUnderTest under_;
  std::vector<std::unique_ptr<Store>> snapshots_;
  std::unique_ptr<EncryptedStore> store_;
};

}  // namespace

TEST_CASE("the encrypted store keeps the contract") {
  check_contract([] { return std::make_unique<EncryptedUnderTest>(); });
}
