// CronJob controller (batch/v1): makes Jobs at the times a schedule names.
//
// A Job's name says the time it was made for, so that none is made twice, whatever happens between making it
// and writing the status: a Job of such a name that is not in status.active yet is put there. The next time
// is one timer of the loop; nothing is polled, and when the machine's clock is set the times are reckoned
// anew.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "api/cron.h"
#include "base/time_zone.h"
#include "server/controllers/controller.h"

namespace orch::server {

/// Zones by name; "" is the machine's own, which schedules without a zone follow.
using ZoneSource = std::function<base::Result<base::TimeZonePtr>(std::string_view name)>;

/// The schedules CronJobs were last planned by: a new one counts from its next time on, what it would have
/// named before is not made up for. Thread-safe.
class SeenSchedules {
 public:
  /// True if another one was seen before.
  bool changed(const Key& key, const std::string& schedule);
  void forget(const Key& key);

 private:
  std::mutex mutex_;
  std::map<Key, std::string> seen_;  // under mutex_
};

/// Where a schedule stands.
struct ScheduleState {
  std::optional<base::WallTime> due;   // the latest time it named, if no Job was made for it yet
  std::optional<base::WallTime> next;  // the one after
  int64_t missed = 0;                  // times without a Job, roughly; at most one of them is made up for
  std::string error;                   // the schedule names no times
};
/// `last`: the time of the last Job, or of the CronJob's creation. `oldest`: what was due before is not of
/// interest (startingDeadlineSeconds).
ScheduleState schedule_state(const api::CronSchedule& schedule, const base::TimeZone& zone,
                             base::WallTime last, const std::optional<base::WallTime>& oldest,
                             base::WallTime now);

Controller make_cronjob_controller();
/// The pure part, for tests.
Plan plan_cronjob(const View& view, const Key& key, base::WallTime now, const ZoneSource& zones,
                  SeenSchedules& seen);

}  // namespace orch::server
