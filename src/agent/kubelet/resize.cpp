#include "agent/kubelet/resize.h"

#include <algorithm>
#include <cstdio>

#include "agent/kubelet/admit.h"
#include "api/quantity.h"
#include "base/json.h"

namespace orch::agent {
namespace {

using base::find_path;
using base::object_at;
using base::string_at;

constexpr const char* kPendingType = "PodResizePending";
constexpr const char* kInProgressType = "PodResizeInProgress";
// Below these the kernel's least value stands for any amount.
constexpr int64_t kLeastCpuLimit = 10, kLeastShares = 2;

bool resizable(const ContainerRef& c) { return c.kind == ContainerKind::kRegular || c.sidecar(); }

/// Sets one amount, keeping the text that is there where it says the same.
void put_amount(Json& resources, const char* list, const char* name, int64_t amount) {
  const bool cpu = std::string_view(name) == "cpu";
  const Json* there = find_path(resources, {list, name});
  const auto before = api::Quantity::of(there);
  if (amount == (cpu ? before.milli_value() : before.value())) return;
  if (amount == 0) {
    resources[list].erase(name);
    if (resources[list].empty()) resources.erase(list);
    return;
  }
  using Format = api::Quantity::Format;
  const Format format = there != nullptr ? before.format() : cpu ? Format::kDecimal : Format::kBinary;
  resources[list][name] =
      (cpu ? api::Quantity::of_milli(amount, format) : api::Quantity::of(amount, format)).text();
}

}  // namespace

// --- What is set aside ------------------------------------------------------------------------------

Allocation allocation_of(const Pod& pod) {
  Allocation out;
  for (const ContainerRef& c : pod.all_containers()) {
    if (resizable(c)) out[std::string(c.name())] = amounts_of(object_at(*c.spec, {"resources"}));
  }
  return out;
}

bool apply_allocation(Json& pod_tree, const Allocation& allocated) {
  bool changed = false;
  for (const char* list : {"containers", "initContainers"}) {
    if (find_path(pod_tree, {"spec", list}) == nullptr) continue;
    for (Json& container : pod_tree["spec"][list]) {
      const auto it = allocated.find(std::string(string_at(container, {"name"})));
      if (it == allocated.end() || it->second == amounts_of(object_at(container, {"resources"}))) continue;
      Json& resources = container["resources"];
      put_amount(resources, "requests", "cpu", it->second.cpu_request);
      put_amount(resources, "limits", "cpu", it->second.cpu_limit);
      put_amount(resources, "requests", "memory", it->second.memory_request);
      put_amount(resources, "limits", "memory", it->second.memory_limit);
      changed = true;
    }
  }
  return changed;
}

ResizeVerdict judge_resize(const Pod& desired, const api::PodInfo& wants, const api::NodeInfo& beside) {
  constexpr const char* kInfeasible = "Infeasible";
  if (desired.is_static()) return {kInfeasible, "In-place resize of static-pods is not supported"};
  const auto too_much = [](const char* name, int64_t requested, int64_t capacity) {
    return ResizeVerdict{kInfeasible, base::cat("Node didn't have enough capacity: ", name,
                                                ", requested: ", requested, ", capacity: ", capacity)};
  };
  const api::Resources& asked = wants.requests;
  const api::Resources& all = beside.allocatable;
  if (asked.memory > all.memory) return too_much("memory", asked.memory, all.memory);
  if (asked.milli_cpu > all.milli_cpu) return too_much("cpu", asked.milli_cpu, all.milli_cpu);
  if (const auto why = rejection(desired, wants, beside)) return {"Deferred", why->message};
  return {};
}

bool tried_before(const WaitingResize& a, const WaitingResize& b) {
  if (a.grows != b.grows) return b.grows;
  if (a.priority != b.priority) return a.priority > b.priority;
  const bool a_first = a.qos == QosClass::kGuaranteed, b_first = b.qos == QosClass::kGuaranteed;
  if (a_first != b_first) return a_first;
  return a.since < b.since;
}

// --- Conditions and events --------------------------------------------------------------------------

bool ResizeState::set_pending(const ResizeVerdict& why, int64_t generation, base::WallTime now) {
  const bool same_reason = pending && pending->reason == why.reason;
  const bool changed = !same_reason || pending->generation != generation;
  pending = ResizeCondition{why.reason, why.message, generation, same_reason ? pending->since : now};
  return changed;
}

bool ResizeState::set_in_progress(std::string_view reason, std::string_view message, int64_t generation,
                                  base::WallTime now) {
  if (!in_progress) {
    in_progress = ResizeCondition{std::string(reason), std::string(message), generation, now};
    return true;
  }
  if (reason.empty() || (in_progress->reason == reason && in_progress->message == message)) return false;
  if (in_progress->reason != reason) in_progress->since = now;
  in_progress->reason = reason;
  in_progress->message = message;
  return true;
}

ResizeState resize_state_of(const Json& pod_status) {
  ResizeState out;
  for (const Json& c : base::array_at(pod_status, {"conditions"})) {
    const auto type = string_at(c, {"type"});
    if (type != kPendingType && type != kInProgressType) continue;
    const auto since = base::parse_time(string_at(c, {"lastTransitionTime"}));
    (type == kPendingType ? out.pending : out.in_progress) =
        ResizeCondition{std::string(string_at(c, {"reason"})), std::string(string_at(c, {"message"})),
                        base::int_at(c, {"observedGeneration"}), since.ok() ? *since : base::WallTime()};
  }
  return out;
}

std::vector<Json> resize_conditions(const ResizeState& state) {
  std::vector<Json> out;
  const auto add = [&](const char* type, const std::optional<ResizeCondition>& c) {
    if (!c) return;
    Json made{{"type", type},
              {"status", "True"},
              {"lastProbeTime", nullptr},
              {"lastTransitionTime", base::format_time(c->since)}};
    if (!c->reason.empty()) made["reason"] = c->reason;
    if (!c->message.empty()) made["message"] = c->message;
    if (c->generation != 0) made["observedGeneration"] = c->generation;
    out.push_back(std::move(made));
  };
  add(kPendingType, state.pending);
  add(kInProgressType, state.in_progress);
  return out;
}

std::string resize_message(std::string_view what, const Pod& pod, int64_t generation,
                           std::string_view error) {
  const auto list = [](const char* name, const std::vector<ContainerRef>& containers) {
    std::string out;
    for (const ContainerRef& c : containers) {
      const Json entry{{"name", c.name()}, {"resources", object_at(*c.spec, {"resources"})}};
      out += base::cat(out.empty() ? "" : ",", base::dump_json(entry));
    }
    return out.empty() ? out : base::cat("\"", name, "\":[", out, "],");
  };
  std::string out = base::cat("Pod resize ", what, ": {", list("initContainers", pod.init_containers()),
                              list("containers", pod.containers()), "\"generation\":", generation);
  if (!error.empty()) out += base::cat(",\"error\":", base::dump_json(Json(std::string(error))));
  return out + "}";
}

// --- Carrying it out --------------------------------------------------------------------------------

std::string amounts_text(const Amounts& a) {
  return base::cat(a.cpu_request, " ", a.cpu_limit, " ", a.memory_request, " ", a.memory_limit);
}

std::optional<Amounts> parse_amounts(std::string_view text) {
  Amounts a;
  const std::string copy(text);
  long long request = 0, limit = 0, memory_request = 0, memory_limit = 0;
  if (std::sscanf(copy.c_str(), "%lld %lld %lld %lld", &request, &limit, &memory_request, &memory_limit) != 4)
    return std::nullopt;
  a = {request, limit, memory_request, memory_limit};
  return a;
}

Json actual_resources(const Json& allocated, const ContainerStatus& status, const Amounts* actuated) {
  Json out = allocated;
  Amounts now = actuated != nullptr ? *actuated : amounts_of(allocated);
  const ContainerStatus::Resources& told = status.resources;
  const bool says =
      (told.cpu_period > 0 && told.cpu_quota > 0) || told.cpu_shares >= kLeastShares || told.memory_limit > 0;
  if (says) {
    // The runtime's word counts, but it knows of no memory requests.
    if (told.cpu_period > 0 && told.cpu_quota > 0) now.cpu_limit = told.cpu_quota * 1000 / told.cpu_period;
    if (told.cpu_shares >= kLeastShares) now.cpu_request = (told.cpu_shares * 1000 + 1023) / 1024;
    if (told.memory_limit > 0) now.memory_limit = told.memory_limit;
  }
  const Amounts wanted = amounts_of(allocated);
  const auto visible = [](int64_t amount, int64_t other, int64_t least) {
    return amount != 0 && (amount > least || other > least);
  };
  if (allocated.contains("limits")) {
    if (visible(now.cpu_limit, wanted.cpu_limit, kLeastCpuLimit))
      put_amount(out, "limits", "cpu", now.cpu_limit);
    if (now.memory_limit != 0) put_amount(out, "limits", "memory", now.memory_limit);
  }
  if (allocated.contains("requests")) {
    if (visible(now.cpu_request, wanted.cpu_request, kLeastShares))
      put_amount(out, "requests", "cpu", now.cpu_request);
    if (now.memory_request != 0) put_amount(out, "requests", "memory", now.memory_request);
  }
  return out;
}

std::vector<ResizeStep> resize_steps(const std::vector<ResizeContainer>& containers, const PodLimits& now,
                                     const PodLimits& wanted) {
  using What = ResizeStep::What;
  std::vector<ResizeStep> out;
  const auto pod = [&](What what, int64_t value) { out.push_back({what, value, {}, {}, {}}); };
  // No limit at all is more than any.
  const auto grows = [](int64_t from, int64_t to) { return to != 0 && from != 0 && to > from; };
  const auto shrinks = [](int64_t from, int64_t to) { return to != 0 && (from == 0 || to < from); };
  std::map<std::string, Amounts> have;
  for (const ResizeContainer& c : containers) have[c.id] = c.from;

  const auto update = [&](int64_t Amounts::*request, int64_t Amounts::*limit) {
    for (const bool shrinking : {true, false}) {
      for (const ResizeContainer& c : containers) {
        // Judged by the limit, or by the request where only that differs.
        const auto by = c.from.*limit != c.to.*limit ? limit : request;
        if (c.from.*by == c.to.*by || (c.to.*by < c.from.*by) != shrinking) continue;
        Amounts& amounts = have[c.id];
        amounts.*request = c.to.*request;
        amounts.*limit = c.to.*limit;
        out.push_back({What::kContainer, 0, c.id, c.name, amounts});
      }
    }
  };
  if (grows(now.memory, wanted.memory)) pod(What::kPodMemory, wanted.memory);
  update(&Amounts::memory_request, &Amounts::memory_limit);
  if (shrinks(now.memory, wanted.memory)) pod(What::kPodMemory, wanted.memory);

  if (grows(now.quota, wanted.quota)) pod(What::kPodQuota, wanted.quota);
  if (grows(now.shares, wanted.shares)) pod(What::kPodShares, wanted.shares);
  update(&Amounts::cpu_request, &Amounts::cpu_limit);
  if (shrinks(now.shares, wanted.shares)) pod(What::kPodShares, wanted.shares);
  if (shrinks(now.quota, wanted.quota)) pod(What::kPodQuota, wanted.quota);
  return out;
}

namespace {

bool pod_memory_falls(const PodLimits& now, const PodLimits& wanted) {
  return wanted.memory != 0 && (now.memory == 0 || wanted.memory < now.memory);
}

bool container_memory_falls(const ResizeContainer& c) {
  return c.to.memory_limit != 0 && (c.from.memory_limit == 0 || c.to.memory_limit < c.from.memory_limit);
}

}  // namespace

bool memory_falls(const std::vector<ResizeContainer>& containers, const PodLimits& now,
                  const PodLimits& wanted) {
  return pod_memory_falls(now, wanted) ||
         std::any_of(containers.begin(), containers.end(), container_memory_falls);
}

std::string memory_problem(const std::vector<ResizeContainer>& containers, const PodLimits& now,
                           const PodLimits& wanted, const MemoryUse& use) {
  std::vector<std::string> problems;
  if (pod_memory_falls(now, wanted) && use.pod >= static_cast<uint64_t>(wanted.memory)) {
    problems.push_back(base::cat("attempting to set pod memory limit (", wanted.memory,
                                 ") below current usage (", use.pod, ")"));
  }
  for (const ResizeContainer& c : containers) {
    if (!container_memory_falls(c)) continue;
    const auto it = use.containers.find(c.id);
    if (it == use.containers.end()) {
      problems.push_back(base::cat("missing container \"", c.name, "\" memory usage"));
    } else if (it->second >= static_cast<uint64_t>(c.to.memory_limit)) {
      problems.push_back(base::cat("attempting to set container \"", c.name, "\" memory limit (",
                                   c.to.memory_limit, ") below current usage (", it->second, ")"));
    }
  }
  if (problems.empty()) return {};
  std::string out = "cannot decrease memory limits: ";
  if (problems.size() == 1) return out + problems.front();
  out += "[";
  for (size_t i = 0; i < problems.size(); ++i) out += (i == 0 ? "" : ", ") + problems[i];
  return out + "]";
}

}  // namespace orch::agent
