// MemoryStore: datastore::Store in memory, on the caller's thread. It keeps the present only: who subscribes
// does so from now on, and who reads reads what is there.
#pragma once

#include <list>
#include <map>
#include <string>

#include "datastore/store.h"

namespace orch::simulation {

class MemoryStore final : public datastore::Store {
 public:
  datastore::Revision revision() const override { return revision_; }
  datastore::Revision compacted() const override { return revision_; }
  datastore::Revision history_begins(std::string_view /*prefix*/) const override { return 0; }
  datastore::Range range(std::string_view start, std::string_view end, datastore::Revision at,
                         int64_t limit) const override;
  /// The listeners have had the event and `done` has been called when this returns.
  void write(datastore::Write write, std::function<void(const datastore::WriteResult&)> done) override;
  datastore::SubscribeResult subscribe(std::string_view prefix, datastore::Revision after,
                                       datastore::Listener listener) override;
  datastore::Outcome compact(datastore::Revision /*at*/) override { return datastore::Outcome::kOk; }
  base::Status snapshot(const std::string& /*path*/) override;
  int64_t size() const override { return 0; }
  base::Status health() const override { return {}; }

 private:
  class Follower;
  datastore::WriteResult carry_out(datastore::Write& write);

  std::map<std::string, datastore::KeyValue, std::less<>> values_;
  std::list<Follower*> followers_;
  datastore::Revision revision_ = 1;
};

}  // namespace orch::simulation
