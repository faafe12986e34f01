// A store against a model of it that could not be simpler, under random operations: writes in groups, reads
// of the present and the past, subscriptions, compaction, snapshots, a full disk, restarts, crashes in the
// middle of writing and power cuts.
#pragma once

#include <map>
#include <random>

#include "tests/unit/datastore/contract.h"

namespace orch::testing {

class ModelCheck {
 public:
  ModelCheck(std::unique_ptr<StoreUnderTest> test, uint64_t seed) : test_(std::move(test)), random_(seed) {
    opened_at_ = last_ = store().revision();
  }

  void run(int operations) {
    while (operations_ < operations) {
      step();
      ++operations_;
    }
    check_all();
  }

 private:
  struct Watch {
    Watch(std::string p, Revision a) : prefix(std::move(p)), after(a) {}
    std::string prefix;
    Revision after;
    std::unique_ptr<Ledger> ledger = std::make_unique<Ledger>();
    std::unique_ptr<Subscription> subscription;
  };

  Store& store() { return test_->store(); }
  uint64_t pick(uint64_t n) { return random_() % n; }

  void step() {
    const uint64_t dice = pick(2000);
    if (dice < 1200) {
      write_group(1 + pick(8));
    } else if (dice < 1500) {
      check_range();
    } else if (dice < 1600) {
      watch();
    } else if (dice < 1700) {
      if (!watches_.empty()) end_watch(pick(watches_.size()));
    } else if (dice < 1730) {
      compact();
    } else if (dice < 1740) {
      restart([&] { test_->reopen(); });
    } else if (dice < 1755) {
      restart([&] { test_->crash(pick(2) == 0); });
    } else if (dice < 1775) {
      crash_while_writing();
    } else if (dice < 1780) {
      write_on_full_disk();
    } else if (dice < 1783) {
      check_snapshot();
    } else if (dice < 1790) {
      check_all();
    }
  }

  std::string some_prefix() {
    static const Strings prefixes = {"/a/", "/b/", "/b", "/", "", kVolatile, "/none/"};
    return prefixes[pick(prefixes.size())];
  }
  std::string some_key() {
    static const Strings prefixes = {"/a/", "/b/", "/b/c/", "/bb/", kVolatile};
    return prefixes[pick(prefixes.size())] + std::to_string(pick(12));
  }
  std::string some_value() {
    // Unique, and now and then longer than a page.
    std::string value = base::cat("v", ++values_, "-");
    value.append(pick(20) == 0 ? pick(20000) : pick(300), 'x');
    return value;
  }

  const Event* latest(const std::string& key) const {
    const auto it = latest_.find(key);
    return it == latest_.end() || it->second.type == Event::Type::kDelete ? nullptr : &it->second;
  }

  Write some_write() {
    Write write;
    write.key = some_key();
    if (pick(5) == 0) {
      write.type = Write::Type::kDelete;
    } else {
      write.value = some_value();
    }
    const Event* now = latest(write.key);
    const Revision current = now ? now->kv.mod_revision : 0;
    switch (pick(4)) {
      case 0:
        write.expected = current;
        break;
      case 1:
        write.expected = pick(static_cast<uint64_t>(last_) + 2);
        break;
      default:
        break;
    }
    return write;
  }

  // Queues them all before waiting for any, so that some share a transaction.
  std::vector<std::pair<Write, WriteResult>> write_all(size_t count) {
    std::vector<std::pair<Write, WriteResult>> group(count);
    const auto all = std::make_shared<std::promise<void>>();
    std::atomic<size_t> left{count};
    for (auto& [write, result] : group) write = some_write();
    for (size_t i = 0; i < count; ++i) {
      store().write(group[i].first, [&, i, all](const WriteResult& r) {
        group[i].second = r;
        if (r.outcome == Outcome::kOk) {
          for (const Watch& w : watches_) {
            if (group[i].first.key.starts_with(w.prefix) && w.ledger->last() < r.revision) unseen_ = true;
          }
        }
        if (--left == 0) all->set_value();
      });
    }
    all->get_future().wait();
    operations_ += static_cast<int>(count);
    return group;
  }

  void write_group(size_t count) {
    for (const auto& [write, result] : write_all(count)) expect(write, result);
    if (unseen_) FAIL("a write was answered before a listener had its event");
  }

  // Does `result` follow from the state before? Then it becomes the state.
  void expect(const Write& write, const WriteResult& result) {
    const Event* now = latest(write.key);
    const Revision current = now ? now->kv.mod_revision : 0;
    const bool deletes = write.type == Write::Type::kDelete;
    const bool conflict =
        (write.expected != Write::kAny && write.expected != current) || (deletes && current == 0);
    if (conflict) {
      if (result.outcome != Outcome::kConflict || result.current != current) {
        FAIL("conflict expected for " << write.key << ": " << int(result.outcome) << " " << result.current);
      }
      return;
    }
    if (result.outcome != Outcome::kOk) FAIL("refused: " << int(result.outcome) << " " << result.message);
    apply(write, result.revision);
  }

  void apply(const Write& write, Revision revision) {
    if (revision <= last_) FAIL("revision " << revision << " after " << last_);
    last_ = revision;
    const Event* now = latest(write.key);
    Event event;
    event.prev_revision = now ? now->kv.mod_revision : 0;
    event.kv.key = write.key;
    event.kv.mod_revision = revision;
    if (write.type == Write::Type::kDelete) {
      event.type = Event::Type::kDelete;
    } else {
      event.kv.value = write.value;
      event.kv.create_revision = now ? now->kv.create_revision : revision;
      event.kv.version = now ? now->kv.version + 1 : 1;
    }
    if (is_volatile(event.kv.key)) volatile_revisions_.push_back(revision);
    events_.push_back(event);
    latest_[write.key] = event;
  }

  static bool is_volatile(std::string_view key) { return key.starts_with(kVolatile); }

  // What a bounded memory may have forgotten of the volatile keys.
  bool forgotten(Revision at) const {
    return volatile_revisions_.size() > 500 && at < volatile_revisions_[volatile_revisions_.size() - 500];
  }

  void check_range() {
    const std::string prefix = some_prefix();
    const bool point = pick(5) == 0;
    const std::string start = point ? some_key() : prefix;
    const Revision at = pick(2) == 0 ? 0 : static_cast<Revision>(pick(static_cast<uint64_t>(last_) + 10));
    const auto limit = static_cast<int64_t>(pick(3) == 0 ? 1 + pick(10) : 0);
    compare_range(start, point ? "" : datastore::prefix_end(prefix), at, limit);
  }

  void compare_range(const std::string& start, const std::string& end, Revision at, int64_t limit) {
    const Revision gone = store().compacted();
    const Revision now = store().revision();
    const Range range = store().range(start, end, at, limit);
    INFO("range " << start << " .. " << end << " at " << at << " limit " << limit);
    if (at > now) {
      CHECK(range.outcome == Outcome::kFuture);
      return;
    }
    if (at != 0 && at < gone) {
      CHECK(range.outcome == Outcome::kCompacted);
      return;
    }
    if (range.outcome == Outcome::kCompacted) {
      if (at == 0 || (at >= store().compacted() && !forgotten(at))) FAIL("history is missing");
      return;
    }
    if (range.outcome != Outcome::kOk) FAIL(range.message);
    std::map<std::string, const Event*> state;
    for (const Event& e : events_) {
      if (at != 0 && e.kv.mod_revision > at) break;
      const bool inside = end.empty()                   ? e.kv.key == start
                          : end == std::string(1, '\0') ? e.kv.key >= start
                                                        : e.kv.key >= start && e.kv.key < end;
      if (inside) state[e.kv.key] = &e;
    }
    std::erase_if(state, [](const auto& entry) { return entry.second->type == Event::Type::kDelete; });
    Strings want;
    for (const auto& [key, event] : state) {
      if (limit == 0 || static_cast<int64_t>(want.size()) < limit) want.push_back(text_of(event->kv));
    }
    if (texts_of(range.items) != want) CHECK(texts_of(range.items) == want);
    CHECK(range.remaining == static_cast<int64_t>(state.size() - want.size()));
    CHECK(range.more == (state.size() > want.size()));
    CHECK(range.revision == (at == 0 ? now : at));
  }

  void watch() {
    if (watches_.size() >= 4) return;
    Watch w{some_prefix(),
            static_cast<Revision>(pick(2) == 0 ? last_ : pick(static_cast<uint64_t>(last_) + 1))};
    const Revision gone = store().compacted();
    auto result = store().subscribe(w.prefix, w.after, w.ledger->listener());
    if (w.after < gone || (is_volatile(w.prefix) && w.after < opened_at_)) {
      if (result.outcome != Outcome::kCompacted) FAIL("watch from " << w.after << " is a gap");
      return;
    }
    if (result.outcome == Outcome::kCompacted && (w.after < store().compacted() || forgotten(w.after)))
      return;
    if (result.outcome != Outcome::kOk) FAIL("watch: " << result.message);
    w.subscription = std::move(result.subscription);
    watches_.push_back(std::move(w));
  }

  void end_watch(size_t index) {
    Watch& w = watches_[index];
    Strings want;
    for (const Event& e : events_) {
      if (e.kv.mod_revision > w.after && e.kv.key.starts_with(w.prefix)) want.push_back(text_of(e));
    }
    const Strings got = texts_of(w.ledger->events());
    if (got != want) {
      INFO("watch of " << w.prefix << " from " << w.after);
      CHECK(got == want);
    }
    watches_.erase(watches_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  void compact() {
    const auto at = static_cast<Revision>(pick(static_cast<uint64_t>(last_) + 5));
    const Revision before = store().compacted();
    const Outcome outcome = store().compact(at);
    if (at > store().revision()) {
      CHECK(outcome == Outcome::kFuture);
    } else if (at < before) {
      CHECK(outcome == Outcome::kCompacted);
    } else if (outcome == Outcome::kOk) {
      CHECK(store().compacted() >= at);
    } else {
      CHECK(at < store().compacted());
    }
  }

  void restart(const std::function<void()>& how) {
    while (!watches_.empty()) end_watch(0);
    how();
    forget_volatile();
    check_all();
  }

  void forget_volatile() {
    opened_at_ = store().revision();
    if (opened_at_ < last_) FAIL("revision " << opened_at_ << " after " << last_);
    last_ = opened_at_;
    std::erase_if(events_, [](const Event& e) { return is_volatile(e.kv.key); });
    std::erase_if(latest_, [](const auto& entry) { return is_volatile(entry.first); });
    volatile_revisions_.clear();
  }

  void crash_while_writing() {
    while (!watches_.empty()) end_watch(0);
    test_->fail_after(static_cast<int>(1 + pick(40)));
    std::vector<Write> uncertain;
    Revision known = last_;
    for (int group = 0; group < 40 && uncertain.empty(); ++group) {
      for (const auto& [write, result] : write_all(1 + pick(8))) {
        if (result.outcome == Outcome::kReadOnly) {
          uncertain.push_back(write);
        } else if (is_volatile(write.key) || result.outcome == Outcome::kOk) {
          expect(write, result);
          if (!is_volatile(write.key)) known = result.revision;
        }
      }
    }
    test_->crash(pick(2) == 0);
    const Revision issued = last_;
    // Of what was refused some may be there after all, in order; no other event is.
    Ledger ledger;
    const Revision after = std::max(known, store().compacted());
    const auto subscribed = store().subscribe("", after, ledger.listener());
    if (subscribed.outcome != Outcome::kOk) FAIL("after a crash: " << subscribed.message);
    size_t next = 0;
    last_ = known;
    std::erase_if(events_,
                  [&](const Event& e) { return is_volatile(e.kv.key) && e.kv.mod_revision > known; });
    for (const Event& e : ledger.events()) {
      while (next < uncertain.size() &&
             (uncertain[next].key != e.kv.key || uncertain[next].value != e.kv.value)) {
        ++next;
      }
      if (next == uncertain.size()) FAIL("out of nowhere: " << text_of(e));
      apply(uncertain[next++], e.kv.mod_revision);
    }
    last_ = std::max(last_, issued);
    forget_volatile();
    check_all();
  }

  void write_on_full_disk() {
    if (!test_->set_full(true)) return;
    for (int group = 0; group < 30; ++group) {
      for (const auto& [write, result] : write_all(1 + pick(8))) {
        if (result.outcome != Outcome::kReadOnly) expect(write, result);
      }
    }
    test_->set_full(false);
    write_group(8);
  }

  void check_snapshot() {
    const std::string path = test_->fresh_path();
    const base::Status status = store().snapshot(path);
    if (!status.ok()) FAIL(status.message());
    const auto copy = test_->open_snapshot(path);
    Strings want;
    for (const auto& [key, event] : latest_) {
      if (latest(key) != nullptr && !is_volatile(key)) want.push_back(text_of(event.kv));
    }
    const Strings got = texts_of(copy->range("", datastore::prefix_end(""), 0, 0).items);
    if (got != want) CHECK(got == want);
    CHECK(copy->revision() >= last_);
  }

  void check_all() {
    compare_range("", datastore::prefix_end(""), 0, 0);
    Watch w("", store().compacted());
    auto result = store().subscribe(w.prefix, w.after, w.ledger->listener());
    if (result.outcome == Outcome::kCompacted && (w.after < store().compacted() || forgotten(w.after)))
      return;
    if (result.outcome != Outcome::kOk) FAIL("watch: " << result.message);
    watches_.push_back(std::move(w));
    end_watch(watches_.size() - 1);
  }

  const std::unique_ptr<StoreUnderTest> test_;
  std::mt19937_64 random_;
  int operations_ = 0;
  uint64_t values_ = 0;
  Revision last_ = 0;                    // highest revision issued
  Revision opened_at_ = 0;               // revision when the store was last opened
  std::vector<Event> events_;            // every event, ascending; of volatile keys: since opened_at_
  std::map<std::string, Event> latest_;  // by key
  std::vector<Revision> volatile_revisions_;
  std::vector<Watch> watches_;
  std::atomic<bool> unseen_{false};
};

inline void check_model(std::unique_ptr<StoreUnderTest> test, uint64_t seed, int operations) {
  INFO("seed " << seed);
  ModelCheck(std::move(test), seed).run(operations);
}

}  // namespace orch::testing
