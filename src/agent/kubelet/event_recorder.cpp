#include "agent/kubelet/event_recorder.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>

#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using base::WallTime;
using std::chrono::minutes;

const client::ResourceRef kEvents{"", "v1", "events"};
constexpr size_t kMaxSimilar = 10;
constexpr minutes kSimilarWindow{10};
constexpr double kBurst = 25, kTokensPerSecond = 1.0 / 300;
constexpr size_t kMaxKeys = 4096;
constexpr size_t kMaxMessage = 1024;

double seconds_between(WallTime from, WallTime to) {
  return std::chrono::duration<double>(to - from).count();
}

Json reference(const EventObject& object) {
  Json out{
      {"kind", object.kind}, {"name", object.name}, {"uid", object.uid}, {"apiVersion", object.api_version}};
  if (!object.ns.empty()) out["namespace"] = object.ns;
  if (!object.resource_version.empty()) out["resourceVersion"] = object.resource_version;
  if (!object.field_path.empty()) out["fieldPath"] = object.field_path;
  return out;
}

/// Events of things without a namespace lie in "default".
std::string event_namespace(const EventObject& object) { return object.ns.empty() ? "default" : object.ns; }

}  // namespace

EventObject event_object(const Pod& pod, std::string field_path) {
  EventObject out;
  out.kind = "Pod";
  out.ns = pod.ns();
  out.name = pod.name();
  out.uid = pod.uid();
  out.resource_version = base::string_at(pod.tree(), {"metadata", "resourceVersion"});
  out.field_path = std::move(field_path);
  return out;
}

EventRecorder::EventRecorder(client::Client& client, std::string component, std::string host,
                             const base::Clock& clock)
    : client_(client),
      component_(std::move(component)),
      host_(std::move(host)),
      clock_(clock),
      writer_("events", 1) {}

EventRecorder::~EventRecorder() { writer_.drain(); }

void EventRecorder::record(const EventObject& object, std::string_view type, std::string_view reason,
                           std::string message) {
  if (message.size() > kMaxMessage) message.resize(kMaxMessage);
  writer_.post([this, object, type = std::string(type), reason = std::string(reason),
                message = std::move(message),
                now = clock_.now()] { write(object, type, reason, message, now); });
}

bool EventRecorder::admit(const std::string& key, WallTime now) {
  auto [it, fresh] = buckets_.try_emplace(key, Bucket{kBurst, now});
  Bucket& bucket = it->second;
  if (!fresh) {
    const double gained = std::max(seconds_between(bucket.at, now), 0.0) * kTokensPerSecond;
    bucket.tokens = std::min(kBurst, bucket.tokens + gained);
    bucket.at = now;
  }
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

void EventRecorder::forget_old(WallTime now) {
  const auto prune = [&](auto& map, auto last_of) {
    if (map.size() <= kMaxKeys) return;
    for (auto it = map.begin(); it != map.end();) {
      it = now - last_of(it->second) > minutes(30) ? map.erase(it) : std::next(it);
    }
    if (map.size() > kMaxKeys) map.clear();
  };
  prune(written_, [](const Written& w) { return w.last; });
  prune(similar_, [](const Similar& s) { return s.last; });
  prune(buckets_, [](const Bucket& b) { return b.at; });
}

void EventRecorder::write(const EventObject& object, const std::string& type, const std::string& reason,
                          std::string message, WallTime now) {
  forget_old(now);
  const std::string about = base::cat(object.kind, "/", object.ns, "/", object.name, "/", object.uid, "/");
  const std::string alike = base::cat(about, object.field_path, "/", type, "/", reason);
  Similar& similar = similar_[alike];
  if (now - similar.last > kSimilarWindow) similar.messages.clear();
  similar.last = now;
  if (std::find(similar.messages.begin(), similar.messages.end(), message) == similar.messages.end()) {
    similar.messages.push_back(message);
    if (similar.messages.size() > kMaxSimilar) similar.messages.pop_front();
  }
  std::string key = alike + "/" + message;
  if (similar.messages.size() >= kMaxSimilar && written_.count(key) == 0) {
    key = alike;
    message = "(combined from similar events): " + message;
  }
  if (!admit(about, now)) return;

  const std::string ns = event_namespace(object);
  Written& written = written_[key];
  if (!written.name.empty() && now - written.last < minutes(60)) {
    ++written.count;
    written.last = now;
    const Json patch{
        {"count", written.count}, {"lastTimestamp", base::format_time(now)}, {"message", message}};
    const auto patched = client_.patch(kEvents, ns, written.name, client::PatchType::kMerge, patch);
    if (patched.ok() || patched.error().code() != base::Code::kNotFound) return;
  }
  std::array<char, 24> suffix{};
  std::snprintf(suffix.data(), suffix.size(), "%" PRIx64,
                static_cast<uint64_t>(now.time_since_epoch().count()) * 1000 + written_.size() % 1000);
  written = {object.name + "." + suffix.data(), 1, now, now};
  const Json event{{"kind", "Event"},
                   {"apiVersion", "v1"},
                   {"metadata", {{"name", written.name}, {"namespace", ns}}},
                   {"involvedObject", reference(object)},
                   {"reason", reason},
                   {"message", message},
                   {"source", {{"component", component_}, {"host", host_}}},
                   {"firstTimestamp", base::format_time(now)},
                   {"lastTimestamp", base::format_time(now)},
                   {"count", 1},
                   {"type", type},
                   {"eventTime", nullptr},
                   {"reportingComponent", component_},
                   {"reportingInstance", host_}};
  const auto created = client_.create(kEvents, ns, event);
  if (!created.ok()) {
    written.name.clear();
    base::log_debug("events", "not written", {{"reason", reason}, {"error", created.error().message()}});
  }
}

}  // namespace orch::agent
