#include "agent/kubelet/resources.h"

#include <algorithm>
#include <limits>

#include "api/quantity.h"
#include "base/json.h"
#include "base/status.h"

namespace orch::agent {
namespace {

using base::find_path;
using base::int_at;

constexpr int64_t kMinShares = 2, kMaxShares = 262144, kMinQuota = 1000;
constexpr int64_t kSystemCriticalPriority = 2000000000;

api::Quantity quantity(const Json& resources, const char* list, const char* name) {
  return api::Quantity::of(find_path(resources, {list, name}));
}

/// Request, or the limit where only that is given.
int64_t request_of(const Json& container, const char* name, bool milli) {
  const Json& resources = base::object_at(container, {"resources"});
  api::Quantity q = quantity(resources, "requests", name);
  if (q.is_zero() && find_path(resources, {"requests", name}) == nullptr)
    q = quantity(resources, "limits", name);
  return milli ? q.milli_value() : q.value();
}

int64_t limit_of(const Json& container, const char* name, bool milli) {
  const api::Quantity q = quantity(base::object_at(container, {"resources"}), "limits", name);
  return milli ? q.milli_value() : q.value();
}

/// One amount over all containers of a pod, by the rule of effective requests. `of` gives a container's;
/// for limits (`all_or_none`) one container without makes the sum none.
template <typename Of>
int64_t effective(const Pod& pod, const Of& of, bool all_or_none) {
  int64_t sum = 0, sidecars = 0, greatest = 0;
  bool missing = false;
  for (const ContainerRef& c : pod.init_containers()) {
    const int64_t amount = of(*c.spec);
    missing = missing || amount == 0;
    if (c.sidecar()) {
      sidecars += amount;
      greatest = std::max(greatest, sidecars);
    } else {
      greatest = std::max(greatest, sidecars + amount);
    }
  }
  for (const ContainerRef& c : pod.containers()) {
    const int64_t amount = of(*c.spec);
    missing = missing || amount == 0;
    sum += amount;
  }
  if (all_or_none && missing) return 0;
  return std::max(sum + sidecars, greatest);
}

}  // namespace

int64_t cpu_shares(int64_t milli) {
  if (milli <= 0) return kMinShares;
  return std::clamp(milli * 1024 / 1000, kMinShares, kMaxShares);
}

int64_t cpu_quota(int64_t milli) {
  if (milli <= 0) return 0;
  return std::max(milli * kCpuPeriod / 1000, kMinQuota);
}

int64_t cpu_weight(int64_t shares) {
  const int64_t s = std::clamp(shares, kMinShares, kMaxShares);
  return 1 + (s - 2) * 9999 / 262142;
}

int64_t oom_score(const Pod& pod, const ContainerRef& container, int64_t memory_capacity) {
  constexpr int64_t kGuaranteed = -997, kBestEffort = 1000;
  if (int_at(pod.tree(), {"spec", "priority"}) >= kSystemCriticalPriority) return kGuaranteed;
  const QosClass qos = qos_class(pod);
  if (qos == QosClass::kGuaranteed) return kGuaranteed;
  if (qos == QosClass::kBestEffort) return kBestEffort;
  const auto by_request = [&](const Json& spec) {
    if (memory_capacity <= 0) return kBestEffort - 1;
    const int64_t request = request_of(spec, "memory", false);
    const auto share =
        static_cast<int64_t>(1000.0 * static_cast<double>(request) / static_cast<double>(memory_capacity));
    return std::clamp(1000 - share, 1000 + kGuaranteed, kBestEffort - 1);
  };
  int64_t score = by_request(*container.spec);
  if (container.sidecar()) {
    for (const ContainerRef& c : pod.containers()) score = std::min(score, by_request(*c.spec));
  }
  return score;
}

Amounts amounts_of(const Json& resources) {
  return {quantity(resources, "requests", "cpu").milli_value(),
          quantity(resources, "limits", "cpu").milli_value(),
          quantity(resources, "requests", "memory").value(), quantity(resources, "limits", "memory").value()};
}

ContainerResources container_resources(const Json& container) {
  Amounts amounts = amounts_of(base::object_at(container, {"resources"}));
  amounts.cpu_request = request_of(container, "cpu", true);
  return container_resources(amounts);
}

ContainerResources container_resources(const Amounts& amounts) {
  return {cpu_shares(amounts.cpu_request), cpu_quota(amounts.cpu_limit), amounts.memory_limit};
}

PodResources pod_resources(const Pod& pod) {
  PodResources out;
  out.milli_cpu_request = effective(
      pod, [](const Json& c) { return request_of(c, "cpu", true); }, false);
  out.memory_request = effective(
      pod, [](const Json& c) { return request_of(c, "memory", false); }, false);
  out.milli_cpu_limit = effective(
      pod, [](const Json& c) { return limit_of(c, "cpu", true); }, true);
  out.memory_limit = effective(
      pod, [](const Json& c) { return limit_of(c, "memory", false); }, true);
  const Json& own = base::object_at(pod.tree(), {"spec", "resources"});
  const auto take = [&](const char* list, const char* name, bool milli, int64_t& into) {
    if (find_path(own, {list, name}) == nullptr) return;
    const api::Quantity q = quantity(own, list, name);
    into = milli ? q.milli_value() : q.value();
  };
  take("requests", "cpu", true, out.milli_cpu_request);
  take("limits", "cpu", true, out.milli_cpu_limit);
  take("requests", "memory", false, out.memory_request);
  take("limits", "memory", false, out.memory_limit);
  const api::Quantity cpu = api::Quantity::of(find_path(pod.tree(), {"spec", "overhead", "cpu"}));
  const api::Quantity memory = api::Quantity::of(find_path(pod.tree(), {"spec", "overhead", "memory"}));
  out.milli_cpu_request += cpu.milli_value();
  out.memory_request += memory.value();
  if (out.milli_cpu_limit != 0) out.milli_cpu_limit += cpu.milli_value();
  if (out.memory_limit != 0) out.memory_limit += memory.value();
  return out;
}

PodLimits pod_limits(const PodResources& resources, bool unified) {
  const int64_t shares = cpu_shares(resources.milli_cpu_request);
  return {unified ? cpu_weight(shares) : shares, cpu_quota(resources.milli_cpu_limit),
          resources.memory_limit};
}

std::string pod_cgroup(const Pod& pod, QosClass qos, const std::string& root, bool systemd) {
  const std::string_view middle = qos == QosClass::kBurstable    ? "burstable"
                                  : qos == QosClass::kBestEffort ? "besteffort"
                                                                 : "";
  if (!systemd) {
    std::string path = root + "/kubepods";
    if (!middle.empty()) path += base::cat("/", middle);
    return base::cat(path, "/pod", pod.uid());
  }
  // Dashes mean nesting in slice names.
  std::string uid(pod.uid());
  std::replace(uid.begin(), uid.end(), '-', '_');
  std::string name = "kubepods";
  if (!middle.empty()) name += base::cat("-", middle);
  return base::cat(name, "-pod", uid, ".slice");
}

}  // namespace orch::agent
