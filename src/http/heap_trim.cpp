#include "http/heap_trim.h"

#include <malloc.h>

#include <utility>

#include "http/engine.h"

namespace orch::http {

int64_t TrimPolicy::note(int64_t now) {
  ++recent_;
  if (++events_ < kWorthwhile || since_ != 0) return 0;
  since_ = now;
  return now + kPeriod;
}

TrimPolicy::Look TrimPolicy::look(int64_t now) {
  const bool busy = std::exchange(recent_, 0) >= kWorthwhile;
  if (busy && now - since_ < kAtLatest) return {false, now + kPeriod};
  events_ = 0;
  since_ = 0;
  return {true, 0};
}

void HeapTrim::note() {
  const int64_t due = policy_.note(engine_.loop.now());
  if (due != 0) engine_.loop.set_deadline(this, 0, due);
}

void HeapTrim::on_deadline() {
  if (engine_.stopping) return;  // the workers may be gone
  const auto look = policy_.look(engine_.loop.now());
  if (look.again != 0) engine_.loop.set_deadline(this, 0, look.again);
  if (look.trim) engine_.workers.post([] { malloc_trim(0); });
}

}  // namespace orch::http
