#include "tests/simulation/memory_store.h"

#include <utility>

namespace orch::simulation {

using datastore::Event;
using datastore::Outcome;
using datastore::Range;
using datastore::WriteResult;

class MemoryStore::Follower final : public datastore::Subscription {
 public:
  Follower(MemoryStore& store, std::string_view prefix, datastore::Listener listener)
      : store_(store), prefix_(prefix), listener_(std::move(listener)) {
    store_.followers_.push_back(this);
  }
  ~Follower() override { store_.followers_.remove(this); }
  void tell(const Event& event) {
    if (event.kv.key.compare(0, prefix_.size(), prefix_) == 0) listener_({event});
  }

 private:
  MemoryStore& store_;
  const std::string prefix_;
  const datastore::Listener listener_;
};

Range MemoryStore::range(std::string_view start, std::string_view end, datastore::Revision /*at*/,
                         int64_t limit) const {
  Range out;
  out.revision = revision_;
  for (auto it = values_.lower_bound(start); it != values_.end(); ++it) {
    const bool inside = end.empty() ? it->first == start : end[0] == '\0' || it->first < end;
    if (!inside) break;
    if (limit > 0 && static_cast<int64_t>(out.items.size()) == limit) {
      out.more = true;
      ++out.remaining;
      continue;
    }
    out.items.push_back(it->second);
  }
  return out;
}

void MemoryStore::write(datastore::Write write, std::function<void(const WriteResult&)> done) {
  const WriteResult result = carry_out(write);
  done(result);
}

WriteResult MemoryStore::carry_out(datastore::Write& write) {
  const auto it = values_.find(write.key);
  const datastore::Revision have = it == values_.end() ? 0 : it->second.mod_revision;
  const bool put = write.type == datastore::Write::Type::kPut;
  if ((write.expected != datastore::Write::kAny && write.expected != have) || (!put && have == 0))
    return {Outcome::kConflict, {}, 0, have};
  Event event;
  event.prev_revision = have;
  event.kv.key = write.key;
  event.kv.mod_revision = ++revision_;
  if (put) {
    auto& slot = values_[write.key];
    slot = {write.key, std::move(write.value), have == 0 ? revision_ : slot.create_revision, revision_,
            slot.version + 1};
    event.kv = slot;
  } else {
    event.type = Event::Type::kDelete;
    values_.erase(it);
  }
  for (Follower* f : std::list<Follower*>(followers_)) f->tell(event);
  return {Outcome::kOk, {}, event.kv.mod_revision, 0};
}

datastore::SubscribeResult MemoryStore::subscribe(std::string_view prefix, datastore::Revision /*after*/,
                                                  datastore::Listener listener) {
  datastore::SubscribeResult out;
  out.subscription = std::make_unique<Follower>(*this, prefix, std::move(listener));
  return out;
}

base::Status MemoryStore::snapshot(const std::string& /*path*/) {
  return {base::Code::kInternal, "a store in memory has no snapshots"};
}

}  // namespace orch::simulation
