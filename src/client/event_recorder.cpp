#include "client/event_recorder.h"

#include <cstdio>

#include "base/json.h"
#include "base/log.h"

namespace orch::client {

namespace {

const ResourceRef kEvents{"", "v1", "events"};
constexpr size_t kMaxSeen = 4096;
constexpr std::chrono::hours kSameFor{1};

}  // namespace

void EventRecorder::record(std::string_view source, const api::Object& o, std::string_view type,
                           std::string_view reason, std::string_view message, std::string_view field_path,
                           std::optional<base::WallTime> at) {
  const base::WallTime now = at.value_or(clock_.now());
  const std::string time = base::format_time(now);
  const std::string ns = o.ns().empty() ? "default" : std::string(o.ns());
  const std::string object = base::cat(source, "|", o.uid());
  const std::string group = base::cat(object, "|", type, "|", reason, "|", field_path);
  std::string text(message);
  std::string key = base::cat(group, "|", message);
  Seen again;
  bool repeated = false;
  std::string name;
  {
    std::lock_guard lock(mutex_);
    switch (flow_.pass(object, group, text, now)) {
      case EventFlow::Answer::kDrop:
        return;
      case EventFlow::Answer::kCombined:
        text = "(combined from similar events): " + text;
        key = group;
        break;
      case EventFlow::Answer::kAsItIs:
        break;
    }
    if (seen_.size() >= kMaxSeen) seen_.clear();
    auto [it, fresh] = seen_.emplace(key, Seen());
    if (fresh || now - it->second.last > kSameFor) {
      char suffix[32];
      std::snprintf(
          suffix, sizeof suffix, ".%llx",
          static_cast<unsigned long long>(now.time_since_epoch().count()) * 1000 + seen_.size() % 1000);
      it->second = {std::string(o.name()) + suffix, 1, time, now};
    } else {
      repeated = true;
      it->second.count++;
      it->second.last = now;
    }
    again = it->second;
  }
  if (repeated) {
    Json patch = {{"count", again.count}, {"lastTimestamp", time}, {"message", text}};
    auto patched = client_.patch(kEvents, ns, again.name, PatchType::kStrategic, patch);
    if (patched.ok() || patched.error().code() != base::Code::kNotFound) return;
  }
  Json event = {{"kind", "Event"},
                {"apiVersion", "v1"},
                {"metadata", {{"name", again.name}, {"namespace", ns}}},
                {"involvedObject",
                 {{"kind", std::string(o.kind())},
                  {"apiVersion", std::string(o.api_version())},
                  {"name", std::string(o.name())},
                  {"uid", std::string(o.uid())},
                  {"resourceVersion", std::to_string(o.revision())}}},
                {"type", std::string(type)},
                {"reason", std::string(reason)},
                {"message", text},
                {"source", {{"component", std::string(source)}}},
                {"reportingComponent", std::string(source)},
                {"reportingInstance", host_},
                {"firstTimestamp", again.first},
                {"lastTimestamp", time},
                {"count", again.count},
                {"eventTime", nullptr}};
  if (!host_.empty()) event["source"]["host"] = host_;
  if (!field_path.empty()) event["involvedObject"]["fieldPath"] = std::string(field_path);
  if (!o.ns().empty()) event["involvedObject"]["namespace"] = ns;
  auto made = client_.create(kEvents, ns, event);
  if (!made.ok()) {
    base::log_debug("events", "event not recorded",
                    {{"reason", std::string(reason)}, {"error", made.error().message()}});
  }
}

}  // namespace orch::client
