// Schedules of CronJobs: the five fields of crontab, the descriptors (@daily, @every 1h) and a leading TZ=,
// as github.com/robfig/cron's standard parser reads them. Times of a schedule are the CronJob controller's
// work.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

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

  /// kBadRequest with the message of that parser.
  static base::Result<CronSchedule> parse(std::string_view text);
};

/// Whether this machine knows the zone ("Europe/Berlin"), with the message of Go's time.LoadLocation if not.
base::Status check_time_zone(std::string_view name);

}  // namespace orch::api
