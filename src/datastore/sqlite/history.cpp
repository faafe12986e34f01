#include "datastore/sqlite/history.h"

namespace orch::datastore::sqlite {

void History::note(base::MonoTime now, Revision revision, int64_t superseded) {
  if (!marks_.empty() && now - marks_.back().when < keep_ / 64) return;
  marks_.push_back({now, revision, superseded});
}

Revision History::due(base::MonoTime now) {
  // The newest mark that is old enough stands for all before it.
  while (marks_.size() > 1 && now - marks_[1].when >= keep_) marks_.pop_front();
  if (marks_.empty()) return 0;
  const Mark& mark = marks_.front();
  if (now - mark.when < keep_ || mark.superseded - compacted_rows_ < min_rows_) return 0;
  compacted_rows_ = mark.superseded;
  return mark.revision;
}

}  // namespace orch::datastore::sqlite
