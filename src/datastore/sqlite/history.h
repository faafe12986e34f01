// Decides what automatic compaction may end: remembers when which revision was current. A pure value.
#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"
#include "datastore/store.h"

namespace orch::datastore::sqlite {

class History {
 public:
  /// `keep`: what is younger stays. `min_rows`: superseded rows worth a compaction.
  History(base::Duration keep, int64_t min_rows) : keep_(keep), min_rows_(min_rows) {}

  /// At `now` the store is at `revision`, and `superseded` rows in all have lost their use for the present
  /// state since the store was opened. All three ascend.
  void note(base::MonoTime now, Revision revision, int64_t superseded);

  /// The revision to compact to at `now`, or 0 if it is not worth it. Assumes that it will be done.
  Revision due(base::MonoTime now);

 private:
  struct Mark {
    base::MonoTime when;
    Revision revision;
    int64_t superseded;
  };
  const base::Duration keep_;
  const int64_t min_rows_;
  std::deque<Mark> marks_;  // ascending; about 64 of them span `keep`
  int64_t compacted_rows_ = 0;
};

}  // namespace orch::datastore::sqlite
