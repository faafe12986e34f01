// What /debug/api_priority_and_fairness shows: tables of levels, queues and requests.
#include <algorithm>

#include "api/duration.h"
#include "base/clock.h"
#include "server/flowcontrol/flow_level.h"

namespace orch::server {
namespace {

using Row = std::vector<std::string>;

/// Cells in columns of at least eight, "," after each but the last.
std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows[0].size(), 8);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size() + 2);
  }
  std::string out;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 == row.size()) break;
      out += ',';
      out.append(widths[i] - row[i].size() - 1, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string flag(bool value) { return value ? "true" : "false"; }

}  // namespace

std::string FlowControl::dump_priority_levels() const {
  std::vector<Row> rows = {{"PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests",
                            "ExecutingRequests", "DispatchedRequests", "RejectedRequests", "TimedoutRequests",
                            "CancelledRequests"}};
  for (const auto& [name, level] : rep_->levels()) {
    const std::lock_guard lock(level->mutex);
    const auto& queues = level->queues.queues();
    const auto active = std::count_if(queues.begin(), queues.end(),
                                      [](const FairQueues::Queue& q) { return !q.waiting.empty(); });
    rows.push_back({name, std::to_string(active), flag(level->waiting == 0 && level->executing == 0),
                    flag(level->quiescing), std::to_string(level->waiting), std::to_string(level->executing),
                    std::to_string(level->dispatched), std::to_string(level->rejected),
                    std::to_string(level->timed_out), std::to_string(level->cancelled)});
  }
  return table(rows);
}

std::string FlowControl::dump_queues() const {
  std::vector<Row> rows = {{"PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests",
                            "SeatsInUse", "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum"}};
  for (const auto& [name, level] : rep_->levels()) {
    const std::lock_guard lock(level->mutex);
    size_t index = 0;
    for (const FairQueues::Queue& q : level->queues.queues()) {
      rows.push_back({name, std::to_string(index++), std::to_string(q.waiting.size()),
                      std::to_string(q.running), std::to_string(q.seats), seat_seconds_text(q.next),
                      std::to_string(q.initial_waiting), std::to_string(q.seats_waiting),
                      seat_seconds_text(q.work)});
    }
  }
  return table(rows);
}

std::string FlowControl::dump_requests(bool with_details) const {
  Row head = {"PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher",
              "ArriveTime",        "InitialSeats",   "FinalSeats", "AdditionalLatency",   "StartTime"};
  if (with_details)
    head.insert(head.end(), {"UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource",
                             "SubResource"});
  std::vector<Row> rows = {std::move(head)};
  const auto add = [&](const std::string& level, const Ticket& t, int64_t index) {
    const bool runs = t.state() == FlowTicket::State::kRunning;
    Row row = {level,
               t.at_->schema.name,
               std::to_string(t.queue),
               std::to_string(index),
               t.flow_,
               base::format_micro_time(t.arrived_),
               std::to_string(t.work.seats),
               std::to_string(t.work.final_seats),
               api::format_duration(t.work.afterwards),
               runs ? base::format_micro_time(t.run_) : "0001-01-01T00:00:00Z"};
    const Details& d = t.details_;
    if (with_details)
      row.insert(row.end(), {d.user, d.verb, d.path, d.ns, d.name, d.api_version, d.resource, d.subresource});
    rows.push_back(std::move(row));
  };
  for (const auto& [name, level] : rep_->levels()) {
    const std::lock_guard lock(level->mutex);
    for (const FairQueues::Queue& queue : level->queues.queues()) {
      int64_t index = 0;
      for (const FairQueues::Entry* entry : queue.waiting)
        add(name, static_cast<const Ticket&>(*entry), index++);
    }
    for (const Ticket* ticket : level->known) {
      if (ticket->state() == FlowTicket::State::kRunning) add(name, *ticket, -1);
    }
  }
  return table(rows);
}

}  // namespace orch::server
