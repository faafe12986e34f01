// How many replicas a metric asks for.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <variant>

#include "api/meta.h"
#include "api/quantity.h"
#include "server/controllers/autoscaler_state.h"

namespace orch::server {

namespace {

constexpr int64_t kMostReplicas = std::numeric_limits<int32_t>::max();

int64_t round_up(double replicas) {
  if (std::isnan(replicas)) return 0;
  return replicas >= static_cast<double>(kMostReplicas) ? kMostReplicas
                                                        : static_cast<int64_t>(std::ceil(replicas));
}

/// Replicas and the usage to show, or why not.
struct Wish {
  std::string error;
  int64_t replicas = 0, usage = 0;
  int64_t utilization = 0;
};

Wish failed(std::string why) {
  Wish w;
  w.error = std::move(why);
  return w;
}

std::string_view phase_of(const PodView& pod) { return base::string_at(pod.tree, {"status", "phase"}); }

using Samples = std::map<std::string, PodMetric>;

/// Pods by what their samples are worth.
struct Groups {
  int64_t ready = 0;
  std::set<std::string> unready, missing, ignored;
};

/// A pod that starts burns processor for itself: its figures say nothing of the load yet.
bool starting(const Calculation& c, const PodView& pod, const PodMetric& sample) {
  const Json* ready = api::find_condition(pod.tree, "Ready");
  auto started = base::parse_time(base::string_at(pod.tree, {"status", "startTime"}));
  if (ready == nullptr || !started.ok()) return true;
  const auto micros = [](base::Duration d) {
    return std::chrono::duration_cast<std::chrono::microseconds>(d);
  };
  const bool not_ready = base::string_at(*ready, {"status"}) == "False";
  auto changed = base::parse_time(base::string_at(*ready, {"lastTransitionTime"}));
  const base::WallTime since = changed.ok() ? *changed : base::WallTime();
  if (*started + micros(c.options.cpu_initialization_period) > c.now)
    return not_ready || sample.time < since + micros(sample.window);
  return not_ready && *started + micros(c.options.initial_readiness_delay) > since;
}

Groups group(const Calculation& c, const Samples& samples, std::string_view resource) {
  Groups g;
  for (const PodView& pod : c.facts.pods) {
    const std::string name(pod.object->name());
    const auto sample = samples.find(name);
    if (pod.object->deleting() || phase_of(pod) == "Failed") {
      g.ignored.insert(name);
    } else if (phase_of(pod) == "Pending") {
      g.unready.insert(name);
    } else if (sample == samples.end()) {
      g.missing.insert(name);
    } else if (resource == "cpu" && starting(c, pod, sample->second)) {
      g.unready.insert(name);
    } else {
      ++g.ready;
    }
  }
  return g;
}

void drop(Samples& samples, const std::set<std::string>& names) {
  for (const auto& n : names) samples.erase(n);
}

void fill(Samples& samples, const std::set<std::string>& names,
          const std::function<int64_t(const std::string&)>& value) {
  for (const auto& n : names) samples[n] = {{}, {}, value(n)};
}

/// The shared rule of metrics per pod. `ratio` gives usage over target of samples, or nothing; `assumed` is
/// what a pod without a sample is taken for when the set would shrink.
template <typename Ratio>
Wish by_pods(const Calculation& c, Samples samples, std::string_view resource, const Ratio& ratio,
             const std::function<int64_t(const std::string&)>& assumed) {
  if (c.facts.pods.empty()) return failed("no pods returned by selector while calculating replica count");
  const Groups g = group(c, samples, resource);
  drop(samples, g.ignored);
  drop(samples, g.unready);
  if (samples.empty()) return failed("did not receive metrics for targeted pods (pods might be unready)");
  Wish out;
  const std::optional<double> first = ratio(samples, out);
  if (!first) return out;
  const double used = *first;
  out.replicas = c.spec_replicas;
  const bool grows_with_unready = !g.unready.empty() && used > 1.0;
  if (!grows_with_unready && g.missing.empty()) {
    if (!c.tolerances.within(used)) out.replicas = round_up(used * static_cast<double>(g.ready));
    return out;
  }
  // Pods without figures hold back: they count as idle when the set would grow, as busy when it would shrink.
  if (used < 1.0) {
    fill(samples, g.missing, assumed);
  } else if (used > 1.0) {
    fill(samples, g.missing, [](const std::string&) { return int64_t{0}; });
  }
  if (grows_with_unready) fill(samples, g.unready, [](const std::string&) { return int64_t{0}; });
  Wish again;
  const std::optional<double> second = ratio(samples, again);
  if (!second) return again;
  const double then = *second;
  if (c.tolerances.within(then) || (used < 1.0 && then > 1.0) || (used > 1.0 && then < 1.0)) return out;
  const int64_t wanted = round_up(then * static_cast<double>(samples.size()));
  if ((then < 1.0 && wanted > c.spec_replicas) || (then > 1.0 && wanted < c.spec_replicas)) return out;
  out.replicas = wanted;
  return out;
}

Wish by_average(const Calculation& c, const MetricAnswer& answer, int64_t target, std::string_view resource) {
  return by_pods(
      c, answer.pods, resource,
      [target](const Samples& samples, Wish& out) -> std::optional<double> {
        int64_t total = 0;
        for (const auto& [name, s] : samples) total += s.value;
        out.usage = total / static_cast<int64_t>(samples.size());
        return static_cast<double>(out.usage) / static_cast<double>(target);
      },
      [target](const std::string&) { return target; });
}

// --- Requests of pods -----------------------------------------------------------------------------------

std::optional<int64_t> request_in(const Json& resources, std::string_view resource) {
  const Json* q = base::find_path(resources, {"requests", resource});
  if (q == nullptr) return std::nullopt;
  return api::Quantity::of(q).milli_value();
}

/// Resources a pod can ask for as a whole (KEP-2837).
bool pod_level_resource(std::string_view name) {
  return name == "cpu" || name == "memory" || name.rfind("hugepages-", 0) == 0;
}

bool restarts_always(const Json& container) {
  return base::string_at(container, {"restartPolicy"}) == "Always";
}

/// What all containers of a pod ask for together at most: side cars beside those that run, or one starting
/// container at a time.
std::optional<int64_t> whole_request(const Json& pod, std::string_view resource) {
  bool any = false;
  auto of = [&](const Json& container) {
    const auto r = request_in(base::object_at(container, {"resources"}), resource);
    any = any || r.has_value();
    return r.value_or(0);
  };
  int64_t running = 0, side = 0, starting = 0;
  for (const Json& c : base::array_at(pod, {"spec", "containers"})) running += of(c);
  for (const Json& c : base::array_at(pod, {"spec", "initContainers"})) {
    const int64_t r = of(c);
    if (restarts_always(c)) {
      side += r;
      running += r;
      starting = std::max(starting, side);
    } else {
      starting = std::max(starting, side + r);
    }
  }
  const Json* overhead = base::find_path(pod, {"spec", "overhead", resource});
  if (!any && overhead == nullptr) return std::nullopt;
  return std::max(running, starting) + (overhead == nullptr ? 0 : api::Quantity::of(overhead).milli_value());
}

std::variant<int64_t, std::string> request_of(const Json& pod, std::string_view container,
                                              std::string_view resource) {
  const std::string_view name = base::string_at(pod, {"metadata", "name"});
  const Json& own = base::object_at(pod, {"spec", "resources", "requests"});
  const bool whole =
      container.empty() && std::any_of(own.items().begin(), own.items().end(),
                                       [](const auto& r) { return pod_level_resource(r.key()); });
  if (whole) {
    if (pod_level_resource(resource)) {
      if (auto it = own.find(std::string(resource)); it != own.end()) {
        const Json* overhead = base::find_path(pod, {"spec", "overhead", resource});
        return api::Quantity::of(&*it).milli_value() +
               (overhead == nullptr ? 0 : api::Quantity::of(overhead).milli_value());
      }
    }
    if (auto r = whole_request(pod, resource)) return *r;
    return base::cat("missing pod-level request for ", resource, " in Pod ", name);
  }
  int64_t sum = 0;
  bool found = false;
  const auto add = [&](const Json& c) -> std::string {
    const std::string_view called = base::string_at(c, {"name"});
    if (found || (!container.empty() && container != called)) return {};
    const auto r = request_in(base::object_at(c, {"resources"}), resource);
    if (!r) return base::cat("missing request for ", resource, " in container ", called, " of Pod ", name);
    sum += *r;
    found = container == called;
    return {};
  };
  for (const Json& c : base::array_at(pod, {"spec", "containers"})) {
    if (std::string why = add(c); !why.empty()) return why;
  }
  for (const Json& c : base::array_at(pod, {"spec", "initContainers"})) {
    if (!restarts_always(c)) continue;
    if (std::string why = add(c); !why.empty()) return why;
  }
  if (!container.empty() && !found) return base::cat("container ", container, " not found in Pod ", name);
  return sum;
}

Wish by_utilization(const Calculation& c, const MetricAnswer& answer, int64_t target,
                    std::string_view resource, std::string_view container) {
  std::map<std::string, int64_t> requests;
  std::string missing;
  for (const PodView& pod : c.facts.pods) {
    auto r = request_of(pod.tree, container, resource);
    if (auto* why = std::get_if<std::string>(&r)) {
      if (missing.empty()) missing = *why;
    } else {
      requests[std::string(pod.object->name())] = std::get<int64_t>(r);
    }
  }
  const auto ratio = [&](const Samples& samples, Wish& out) -> std::optional<double> {
    if (!missing.empty()) {
      out.error = missing;
      return std::nullopt;
    }
    int64_t used = 0, asked = 0, entries = 0;
    for (const auto& [name, s] : samples) {
      const auto request = requests.find(name);
      if (request == requests.end()) continue;
      used += s.value;
      asked += request->second;
      ++entries;
    }
    if (asked == 0) {
      out.error = "no metrics returned matched known pods";
      return std::nullopt;
    }
    out.utilization = used * 100 / asked;
    out.usage = used / entries;
    return static_cast<double>(out.utilization) / static_cast<double>(target);
  };
  return by_pods(c, answer.pods, resource, ratio, [&](const std::string& pod) {
    const auto request = requests.find(pod);
    return request == requests.end() ? 0 : request->second * std::max<int64_t>(100, target) / 100;
  });
}

// --- Metrics of one value -------------------------------------------------------------------------------

Wish by_value(const Calculation& c, int64_t usage, int64_t target) {
  Wish out;
  out.usage = usage;
  const double ratio = static_cast<double>(usage) / static_cast<double>(target);
  out.replicas = c.spec_replicas;
  if (c.spec_replicas == 0) {
    out.replicas = round_up(ratio);
    return out;
  }
  if (c.tolerances.within(ratio)) return out;
  if (c.facts.pods.empty()) {
    return failed(
        "unable to calculate ready pods: no pods returned by selector while calculating replica count");
  }
  const auto ready = std::count_if(c.facts.pods.begin(), c.facts.pods.end(), [](const PodView& p) {
    return phase_of(p) == "Running" && pod_ready(p.tree);
  });
  out.replicas = round_up(ratio * static_cast<double>(ready));
  return out;
}

Wish by_value_per_pod(const Calculation& c, int64_t usage, int64_t target) {
  Wish out;
  out.replicas = c.status_replicas;
  const double all = static_cast<double>(usage), one = static_cast<double>(target);
  if (!c.tolerances.within(all / (one * static_cast<double>(c.status_replicas))))
    out.replicas = round_up(all / one);
  const double share = std::ceil(all / static_cast<double>(c.status_replicas));
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  out.usage =
      std::isfinite(share) && share < static_cast<double>(kMost) ? static_cast<int64_t>(share) : kMost;
  return out;
}

int64_t sum_of(const std::vector<int64_t>& values) {
  int64_t sum = 0;
  for (const int64_t v : values) {
    if (__builtin_add_overflow(sum, v, &sum)) return std::numeric_limits<int64_t>::max();
  }
  return sum;
}

// --- One metric -----------------------------------------------------------------------------------------

std::optional<int64_t> milli_at(const Json& target, const char* name) {
  const auto it = target.find(name);
  if (it == target.end() || it->is_null()) return std::nullopt;
  return api::Quantity::of(&*it).milli_value();
}

std::string decimal(int64_t milli) { return api::Quantity::of_milli(milli).text(); }

using Outcome = std::variant<Proposal, ProposalError>;

ProposalError error_of(const char* reason, std::string inner, std::string_view prefix) {
  std::string message = base::cat(prefix, inner);
  return {reason, std::move(inner), std::move(message)};
}

/// A resource of pods, or of one container of each.
Outcome propose_resource(const Calculation& c, const Json& metric, const MetricAnswer& answer, bool one) {
  const Json& source = base::object_at(metric, {one ? "containerResource" : "resource"});
  const Json& target = base::object_at(source, {"target"});
  const std::string name(base::string_at(source, {"name"}));
  const std::string_view container = base::string_at(source, {"container"});
  const char* reason = one ? "FailedGetContainerResourceMetric" : "FailedGetResourceMetric";
  const std::string prefix = one ? base::cat("failed to get ", container, " container metric value: ")
                                 : base::cat("failed to get ", name, " resource metric value: ");
  const auto average = milli_at(target, "averageValue");
  const bool percent = !average && target.contains("averageUtilization");
  if (!average && !percent) {
    return error_of(reason,
                    "invalid resource metric source: neither an average utilization target nor an average "
                    "value (usage) target was set",
                    prefix);
  }
  Wish wish;
  if (!answer.error.ok()) {
    wish.error = base::cat("unable to get metrics for resource ", name, ": ", answer.error.message());
  } else if (average) {
    wish = by_average(c, answer, *average, name);
  } else {
    wish = by_utilization(c, answer, base::int_at(target, {"averageUtilization"}), name, container);
  }
  if (!wish.error.empty()) {
    return error_of(reason,
                    base::cat("failed to get ", name, average ? " usage: " : " utilization: ", wish.error),
                    prefix);
  }
  const auto format = name == "memory" ? api::Quantity::Format::kBinary : api::Quantity::Format::kDecimal;
  Json current = {{"averageValue", api::Quantity::of_milli(wish.usage, format).text()}};
  if (percent) current["averageUtilization"] = wish.utilization;
  Json status = {{"name", name}, {"current", std::move(current)}};
  if (one) status["container"] = std::string(container);
  Proposal p;
  p.replicas = wish.replicas;
  p.metric = average
                 ? base::cat(name, " resource")
                 : base::cat(name, one ? " container" : "", " resource utilization (percentage of request)");
  p.status = {{"type", one ? "ContainerResource" : "Resource"},
              {one ? "containerResource" : "resource", std::move(status)}};
  return p;
}

Json identifier(const Json& source) {
  const Json& metric = base::object_at(source, {"metric"});
  Json out = {{"name", std::string(base::string_at(metric, {"name"}))}};
  if (metric.contains("selector")) out["selector"] = metric["selector"];
  return out;
}

Outcome propose_pods(const Calculation& c, const Json& metric, const MetricAnswer& answer) {
  const Json& source = base::object_at(metric, {"pods"});
  const std::string name(base::string_at(source, {"metric", "name"}));
  Wish wish;
  if (!answer.error.ok()) {
    wish.error = base::cat("unable to get metric ", name, ": ", answer.error.message());
  } else {
    wish =
        by_average(c, answer, milli_at(base::object_at(source, {"target"}), "averageValue").value_or(0), {});
  }
  if (!wish.error.empty())
    return error_of("FailedGetPodsMetric", wish.error, "failed to get pods metric value: ");
  Proposal p;
  p.replicas = wish.replicas;
  p.metric = "pods metric " + name;
  p.status = {
      {"type", "Pods"},
      {"pods", {{"metric", identifier(source)}, {"current", {{"averageValue", decimal(wish.usage)}}}}}};
  return p;
}

std::string external_name(const Json& source) {
  return base::cat("external metric ", base::string_at(source, {"metric", "name"}), "(",
                   go_selector_text(base::find_path(source, {"metric", "selector"})), ")");
}

Outcome propose_object(const Calculation& c, const Json& metric, const MetricAnswer& answer) {
  const Json& source = base::object_at(metric, {"object"});
  const Json& target = base::object_at(source, {"target"});
  const Json& described = base::object_at(source, {"describedObject"});
  const std::string name(base::string_at(source, {"metric", "name"}));
  const std::string_view type = base::string_at(target, {"type"});
  const char* reason = "FailedGetObjectMetric";
  const char* prefix = "failed to get object metric value: ";
  const auto value = type == "Value" ? milli_at(target, "value") : std::nullopt;
  const auto average = type == "AverageValue" ? milli_at(target, "averageValue") : std::nullopt;
  if (!value && !average) {
    return error_of(
        reason, "invalid object metric source: neither a value target nor an average value target was set",
        prefix);
  }
  Wish wish;
  if (!answer.error.ok() || answer.values.empty()) {
    wish.error = base::cat("unable to get metric ", name, ": ", answer.error.message(), " on ",
                           base::string_at(described, {"kind"}), " ", c.facts.object->ns(), "/",
                           base::string_at(described, {"name"}));
  } else if (value) {
    wish = by_value(c, answer.values[0], *value);
  } else {
    wish = by_value_per_pod(c, answer.values[0], *average);
  }
  if (!wish.error.empty()) {
    ProposalError e = error_of(reason, wish.error, prefix);
    if (average) e.message = base::cat(prefix, "failed to get ", name, " object metric: ", wish.error);
    return e;
  }
  Proposal p;
  p.replicas = wish.replicas;
  p.metric =
      value ? base::cat(base::string_at(described, {"kind"}), " metric ", name) : external_name(source);
  p.status = {{"type", "Object"},
              {"object",
               {{"describedObject", described},
                {"metric", identifier(source)},
                {"current", {{value ? "value" : "averageValue", decimal(wish.usage)}}}}}};
  return p;
}

Outcome propose_external(const Calculation& c, const Json& metric, const MetricAnswer& answer) {
  const Json& source = base::object_at(metric, {"external"});
  const Json& target = base::object_at(source, {"target"});
  const std::string name(base::string_at(source, {"metric", "name"}));
  const char* reason = "FailedGetExternalMetric";
  const std::string prefix = base::cat("failed to get ", name, " external metric value: ");
  const auto average = milli_at(target, "averageValue");
  const auto value = average ? std::nullopt : milli_at(target, "value");
  if (!value && !average) {
    return error_of(
        reason, "invalid external metric source: neither a value target nor an average value target was set",
        prefix);
  }
  Wish wish;
  if (!answer.error.ok()) {
    wish.error = base::cat("unable to get external metric ", c.facts.object->ns(), "/", name, "/",
                           go_selector_text(base::find_path(source, {"metric", "selector"})), ": ",
                           answer.error.message());
  } else if (average) {
    wish = by_value_per_pod(c, sum_of(answer.values), *average);
  } else {
    wish = by_value(c, sum_of(answer.values), *value);
  }
  if (!wish.error.empty()) {
    ProposalError e = error_of(reason, wish.error, prefix);
    e.message = average ? base::cat(prefix, "failed to get ", name, " external metric: ", wish.error)
                        : base::cat(prefix, "failed to get external metric ", name, ": ", wish.error);
    return e;
  }
  Proposal p;
  p.replicas = wish.replicas;
  p.metric = external_name(source);
  p.status = {{"type", "External"},
              {"external",
               {{"metric", identifier(source)},
                {"current", {{average ? "averageValue" : "value", decimal(wish.usage)}}}}}};
  return p;
}

}  // namespace

std::string go_selector_text(const Json* selector) {
  if (selector == nullptr || !selector->is_object()) return "nil";
  std::string labels, expressions;
  for (const auto& [key, value] : base::object_at(*selector, {"matchLabels"}).items())
    labels += base::cat(key, ": ", value.is_string() ? value.get<std::string>() : std::string(), ",");
  for (const Json& e : base::array_at(*selector, {"matchExpressions"})) {
    std::string values;
    for (const Json& v : base::array_at(e, {"values"}))
      values += base::cat(values.empty() ? "" : " ", v.is_string() ? v.get<std::string>() : std::string());
    expressions += base::cat("LabelSelectorRequirement{Key:", base::string_at(e, {"key"}),
                             ",Operator:", base::string_at(e, {"operator"}), ",Values:[", values, "],},");
  }
  return base::cat("&LabelSelector{MatchLabels:map[string]string{", labels,
                   "},MatchExpressions:[]LabelSelectorRequirement{", expressions, "},}");
}

Outcome propose(const Calculation& c, const Json& metric, const MetricAnswer& answer) {
  const std::string_view type = base::string_at(metric, {"type"});
  if (type == "Resource") return propose_resource(c, metric, answer, false);
  if (type == "ContainerResource") return propose_resource(c, metric, answer, true);
  if (type == "Pods") return propose_pods(c, metric, answer);
  if (type == "Object") return propose_object(c, metric, answer);
  if (type == "External") return propose_external(c, metric, answer);
  return error_of("InvalidMetricSourceType", base::cat("unknown metric source type \"", type, "\""), {});
}

}  // namespace orch::server
