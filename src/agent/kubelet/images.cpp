#include "agent/kubelet/images.h"

#include <algorithm>

#include "api/duration.h"
#include "base/json.h"
#include "base/log.h"

namespace orch::agent {
namespace {

using base::string_at;
using base::WallTime;
using std::chrono::milliseconds;

constexpr size_t kParallelPulls = 3;

std::string duration_text(base::Duration d) {
  const auto ms = std::chrono::duration_cast<milliseconds>(d);
  return api::format_duration(std::chrono::nanoseconds(ms));
}

}  // namespace

std::string runtime_message(const base::Status& status) {
  const std::string& text = status.message();
  const size_t at = text.find(" desc = ");
  if (text.rfind("rpc error: code = ", 0) != 0 || at == std::string::npos) return text;
  return text.substr(at + 8);
}

std::string_view pull_policy(const ContainerRef& container) {
  const auto policy = string_at(*container.spec, {"imagePullPolicy"});
  if (!policy.empty()) return policy;
  const auto name = parse_image_name(string_at(*container.spec, {"image"}));
  return name.ok() && name->tag == "latest" ? "Always" : "IfNotPresent";
}

ImageManager::ImageManager(Runtime& runtime, EventRecorder& events, const base::Clock& clock)
    : runtime_(runtime), events_(events), clock_(clock), pool_("pull", kParallelPulls) {}

ImageManager::~ImageManager() { pool_.drain(); }

ImageOutcome ImageManager::ensure(const Pod& pod, const ContainerRef& container,
                                  const std::vector<RegistryAuth>& auths, std::function<void()> when_done) {
  ImageOutcome out;
  const std::string image(string_at(*container.spec, {"image"}));
  const EventObject about = event_object(pod, container.field_path());
  const auto name = parse_image_name(image);
  if (!name.ok()) {
    events_.warning(about, "InspectFailed",
                    base::cat("Failed to apply default image tag \"", image, "\": ", name.error().message()));
    out.state = ImageOutcome::State::kWaiting;
    out.waiting = {"InvalidImageName",
                   base::cat("Failed to apply default image tag \"", image, "\": ", name.error().message())};
    out.retry_at = clock_.now() + kBackoffMax;
    return out;
  }
  const std::string full = name->full();
  const std::string key = base::cat(pod.uid(), "_", full);
  const auto policy = pull_policy(container);
  {
    std::lock_guard lock(mutex_);
    if (auto it = pulling_.find(key); it != pulling_.end()) {
      it->second.push_back(std::move(when_done));
      out.state = ImageOutcome::State::kPulling;
      return out;
    }
  }
  const auto present = runtime_.image_status(full);
  const bool pulled_now = [&] {
    std::lock_guard lock(mutex_);
    return said_present_.count(key) != 0;
  }();
  if (present.ok() && (policy != "Always" || pulled_now)) {
    out.image = *present;
    out.ref = present->id;
    std::lock_guard lock(mutex_);
    Usage& use = usage_[present->id];
    use.last_used = clock_.now();
    if (said_present_.erase(key) == 0) {
      events_.normal(about, "Pulled",
                     base::cat("Container image \"", image,
                               "\" already present on machine and can be accessed by "
                               "the pod"));
    }
    return out;
  }
  out.state = ImageOutcome::State::kWaiting;
  if (!present.ok() && present.error().code() != base::Code::kNotFound) {
    const std::string text = base::cat("Failed to inspect image \"", full, "\": ", present.error().message());
    events_.warning(about, "InspectFailed", text);
    out.waiting = {"ImageInspectError", text};
    out.retry_at = clock_.now() + kBackoffInitial;
    return out;
  }
  if (policy == "Never") {
    const std::string text =
        base::cat("Container image \"", image, "\" is not present with pull policy of Never");
    events_.warning(about, "ErrImageNeverPull", text);
    out.waiting = {"ErrImageNeverPull", text};
    out.retry_at = clock_.now() + kBackoffInitial;
    return out;
  }
  std::lock_guard lock(mutex_);
  if (auto it = failures_.find(key); it != failures_.end()) {
    Failure& failure = it->second;
    out.retry_at = failure.at + failure.delay;
    if (!failure.reported) {
      // The failure itself is shown once, then that it waits.
      failure.reported = true;
      out.waiting = {"ErrImagePull", failure.message};
      return out;
    }
    if (clock_.now() < out.retry_at && clock_.now() >= failure.at) {
      const std::string text = base::cat("Back-off pulling image \"", image, "\"");
      events_.normal(about, "BackOff", text);
      out.waiting = {"ImagePullBackOff", base::cat(text, ": ErrImagePull: ", failure.message)};
      return out;
    }
  }
  pulling_[key].push_back(std::move(when_done));
  events_.normal(about, "Pulling", base::cat("Pulling image \"", image, "\""));
  pool_.post([this, key, full, image, about, credentials = matching_auths(*name, auths)] {
    pull(key, full, image, about, credentials);
  });
  out.state = ImageOutcome::State::kPulling;
  return out;
}

void ImageManager::pull(const std::string& key, const std::string& full_name, const std::string& as_named,
                        const EventObject& about, const std::vector<ImageAuth>& auths) {
  const base::MonoTime began = clock_.mono();
  base::Result<std::string> pulled = base::Status(base::Code::kUnknown, {});
  if (auths.empty()) pulled = runtime_.pull_image(full_name, nullptr);
  for (const ImageAuth& auth : auths) {
    pulled = runtime_.pull_image(full_name, &auth);
    if (pulled.ok()) break;
  }
  std::vector<std::function<void()>> waiters;
  {
    std::lock_guard lock(mutex_);
    waiters = std::move(pulling_[key]);
    pulling_.erase(key);
    if (pulled.ok()) {
      failures_.erase(key);
      said_present_.insert(key);
    } else {
      Failure& failure = failures_[key];
      failure.delay = failure.delay.count() == 0 ? kBackoffInitial : std::min(failure.delay * 2, kBackoffMax);
      failure.at = clock_.now();
      failure.message = pulled.error().message();
      failure.reported = false;
    }
  }
  if (pulled.ok()) {
    const auto info = runtime_.image_status(full_name);
    const std::string took = duration_text(clock_.mono() - began);
    events_.normal(about, "Pulled",
                   base::cat("Successfully pulled image \"", as_named, "\" in ", took, " (", took,
                             " including waiting). Image size: ", info.ok() ? info->size : 0, " bytes."));
  } else {
    events_.warning(about, "Failed",
                    base::cat("Failed to pull image \"", as_named, "\": ", pulled.error().message()));
    events_.warning(about, "Failed", "Error: ErrImagePull");
  }
  for (const auto& waiter : waiters) waiter();
}

void ImageManager::forget(std::string_view pod_uid) {
  const std::string prefix = base::cat(pod_uid, "_");
  std::lock_guard lock(mutex_);
  for (auto it = failures_.lower_bound(prefix); it != failures_.end() && it->first.rfind(prefix, 0) == 0;) {
    it = failures_.erase(it);
  }
  for (auto it = said_present_.lower_bound(prefix); it != said_present_.end() && it->rfind(prefix, 0) == 0;) {
    it = said_present_.erase(it);
  }
}

uint64_t ImageManager::collect(uint64_t bytes, std::chrono::seconds min_age,
                               const std::vector<std::string>& pinned) {
  const auto images = runtime_.list_images();
  const auto containers = runtime_.list_containers();
  if (!images.ok() || !containers.ok()) return 0;
  std::set<std::string> used;
  for (const ContainerStatus& c : *containers) {
    used.insert(c.image_id);
    used.insert(c.image_ref);
    used.insert(c.image);
  }
  const WallTime now = clock_.now();
  std::vector<Usage> candidates;
  {
    std::lock_guard lock(mutex_);
    for (const ImageInfo& image : *images) {
      auto [it, fresh] = usage_.try_emplace(image.id);
      Usage& use = it->second;
      if (fresh || use.first_seen == WallTime()) use.first_seen = now;
      use.id = image.id;
      use.size = image.size;
      const auto named = [&](const std::vector<std::string>& names, const auto& in) {
        return std::any_of(names.begin(), names.end(), [&](const std::string& n) {
          return std::find(in.begin(), in.end(), n) != in.end();
        });
      };
      if (used.count(image.id) != 0 || named(image.repo_tags, used) || named(image.repo_digests, used)) {
        use.last_used = now;
        continue;
      }
      if (image.pinned || named(image.repo_tags, pinned)) continue;
      if (now - use.first_seen < min_age || now - use.last_used < min_age) continue;
      candidates.push_back(use);
    }
  }
  std::sort(candidates.begin(), candidates.end(), [](const Usage& a, const Usage& b) {
    return a.last_used != b.last_used ? a.last_used < b.last_used : a.first_seen < b.first_seen;
  });
  uint64_t freed = 0;
  for (const Usage& image : candidates) {
    if (freed >= bytes) break;
    if (!runtime_.remove_image(image.id).ok()) continue;
    base::log_info("images", "removed an unused image", {{"id", image.id}});
    freed += image.size;
    std::lock_guard lock(mutex_);
    usage_.erase(image.id);
  }
  return freed;
}

}  // namespace orch::agent
