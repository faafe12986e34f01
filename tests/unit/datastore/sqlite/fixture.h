// SQLite stores for the tests, over the disk that can fail.
#pragma once

#include <stdlib.h>

#include <memory>
#include <random>
#include <string>

#include "base/file.h"
#include "datastore/sqlite/sqlite_store.h"
#include "tests/unit/datastore/contract.h"
#include "tests/unit/datastore/sqlite/fault_vfs.h"

namespace orch::testing {

/// A fresh folder on disk, removed at the end.
class Folder {
 public:
  Folder() {
    FaultDisk::instance();
    std::string name = "/var/tmp/orch-store-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { (void)base::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class SqliteUnderTest final : public StoreUnderTest {
 public:
  explicit SqliteUnderTest(uint64_t seed = 1) : random_(seed) {
    options_.path = folder_ / "store.db";
    options_.volatile_prefixes = {kVolatile};
    options_.revision_block = 100;
    // Small, so that the log is copied and begun anew often.
    options_.wal_limit_bytes = 400 << 10;
    open();
  }
  ~SqliteUnderTest() override {
    FaultDisk::instance().limit_growth(-1);
    FaultDisk::instance().thaw(false, random_);
  }
  Store& store() override { return *store_; }
  void reopen() override {
    store_.reset();
    open();
  }
  void crash(bool power_cut) override {
    FaultDisk::instance().freeze();
    store_.reset();
    FaultDisk::instance().thaw(power_cut, random_);
    open();
  }
  void fail_after(int steps) override { FaultDisk::instance().freeze(steps); }
  bool set_full(bool full) override {
    FaultDisk::instance().limit_growth(full ? 100000 : -1);
    return true;
  }
  std::unique_ptr<Store> open_snapshot(const std::string& path) override {
    datastore::SqliteOptions options = options_;
    options.path = path;
    auto opened = datastore::open_sqlite(options);
    INFO(opened.status().message());
    REQUIRE(opened.ok());
    return std::move(*opened);
  }
  std::string fresh_path() override { return folder_ / base::cat("snapshot-", ++files_); }
  const datastore::SqliteOptions& options() const { return options_; }

 private:
  void open() {
    auto opened = datastore::open_sqlite(options_);
    INFO(opened.status().message());
    REQUIRE(opened.ok());
    store_ = std::move(*opened);
  }

  const Folder folder_;
  std::mt19937_64 random_;
  datastore::SqliteOptions options_;
  std::unique_ptr<Store> store_;
  int files_ = 0;
};

inline StoreFactory sqlite_factory(uint64_t seed = 1) {
  return [seed] { return std::make_unique<SqliteUnderTest>(seed); };
}

}  // namespace orch::testing
