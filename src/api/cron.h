// Schedules of CronJobs: the five fields of crontab, the descriptors (@daily, @every 1h) and a leading TZ=,
// as github.com/robfig/cron's standard parser reads them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "base/time_zone.h"

namespace orch::api {

struct CronSchedule {
  /// Bit N is set when the schedule names N. Months and days of the month count from 1, Sunday is 0.
  uint64_t minutes = 0, hours = 0, days = 0, months = 0, weekdays = 0;
  /// The field was '*' or '?'. When both are, or neither is starred, either day rule is enough; cron's rule.
  bool any_day = false, any_weekday = false;
  /// "@every": this long after the last time, and the fields mean nothing.
  std::optional<base::Duration> every;
  /// Of a leading TZ= or CRON_TZ=; "" if there is none.
  std::string time_zone;

  /// The first time after `after` that the schedule names on the clocks of `zone` (`time_zone` is not looked
  /// at); nothing if there is none for five years. An hour that is skipped when clocks are set forward is not
  /// made up for, one that is repeated when they are set back counts twice.
  std::optional<base::WallTime> next(base::WallTime after, const base::TimeZone& zone) const;

  /// kBadRequest with the message of that parser.
  static base::Result<CronSchedule> parse(std::string_view text);
};

/// Whether this machine, or Orch by itself, knows the zone ("Europe/Berlin"), with the message of Go's
/// time.LoadLocation if not.
base::Status check_time_zone(std::string_view name);

}  // namespace orch::api
