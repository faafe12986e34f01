// What an autoscaler has to ask for: the scale of its target, and metrics through the metrics APIs.
#include <algorithm>

#include "api/duration.h"
#include "api/meta.h"
#include "api/quantity.h"
#include "server/controllers/autoscaler_state.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// Everything but unreserved characters as %XX, for parts of paths and queries.
std::string escaped(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

struct Asker {
  const ApiCall& call;
  const KindLookup& kinds;
  const View& view;

  Result<Json> get(const std::string& target) const { return call("GET", target, nullptr); }

  /// The scale of the object a reference names, and the resource that has it.
  void find_scale(const Json& reference, std::string_view ns, AutoscalerFacts& facts) const;
  MetricAnswer metric(const Json& autoscaler, const Json& spec, const std::string& selector) const;
  MetricAnswer resource(const Json& source, std::string_view ns, const std::string& selector) const;
  MetricAnswer pods_metric(const Json& source, std::string_view ns, const std::string& selector) const;
  MetricAnswer object_metric(const Json& source, std::string_view ns) const;
  MetricAnswer external_metric(const Json& source, std::string_view ns) const;
  /// The path of the first served version of a metrics group; an error when there is none.
  Result<std::string> custom_metrics_path() const;
};

Status no_group_version(std::string_view text) {
  return {Code::kBadRequest, base::cat("unexpected GroupVersion string: ", text)};
}

void Asker::find_scale(const Json& reference, std::string_view ns, AutoscalerFacts& facts) const {
  const std::string_view version = base::string_at(reference, {"apiVersion"});
  const std::string_view kind = base::string_at(reference, {"kind"});
  const std::string_view name = base::string_at(reference, {"name"});
  if (std::count(version.begin(), version.end(), '/') > 1) {
    facts.scale = no_group_version(version);
    return;
  }
  const size_t slash = version.find('/');
  const std::string group(slash == std::string_view::npos ? std::string_view() : version.substr(0, slash));
  const auto candidates = kinds(group, kind);
  if (candidates.empty()) {
    facts.scale =
        Status(Code::kNotFound, base::cat("no matches for kind \"", kind, "\" in group \"", group, "\""));
    return;
  }
  bool first = true;
  for (const auto& r : candidates) {
    const std::string prefix = r.group.empty() ? "/api/" : base::cat("/apis/", r.group, "/");
    auto scale =
        get(base::cat(prefix, r.version, "/namespaces/", ns, "/", r.plural, "/", escaped(name), "/scale"));
    if (scale.ok() || first) {
      facts.target = r;
      facts.scale = std::move(scale);
    }
    if (facts.scale.ok()) return;
    first = false;
  }
}

base::Duration window_of(const Json& metrics) {
  auto d = api::parse_duration(base::string_at(metrics, {"window"}));
  return d.ok() ? *d : base::Duration(0);
}

base::WallTime time_of(const Json& metrics) {
  auto t = base::parse_time(base::string_at(metrics, {"timestamp"}));
  return t.ok() ? *t : base::WallTime();
}

/// Sum over a pod's containers, or the one asked for; nothing when a figure is missing.
std::optional<int64_t> usage_of(const Json& metrics, std::string_view resource, std::string_view container) {
  const Json& containers = base::array_at(metrics, {"containers"});
  int64_t sum = 0;
  bool any = false;
  for (const Json& c : containers) {
    if (!container.empty() && base::string_at(c, {"name"}) != container) continue;
    const Json* usage = base::find_path(c, {"usage", resource});
    if (usage == nullptr) return std::nullopt;
    sum += api::Quantity::of(usage).milli_value();
    any = true;
    if (!container.empty()) break;
  }
  return any ? std::optional(sum) : std::nullopt;
}

MetricAnswer failure(std::string message) {
  MetricAnswer out;
  out.error = Status(Code::kUnknown, std::move(message));
  return out;
}

MetricAnswer Asker::resource(const Json& source, std::string_view ns, const std::string& selector) const {
  auto list = get(
      base::cat("/apis/metrics.k8s.io/v1beta1/namespaces/", ns, "/pods?labelSelector=", escaped(selector)));
  if (!list.ok()) {
    return failure(base::cat("unable to fetch metrics from resource metrics API: ", list.error().message()));
  }
  const Json& items = base::array_at(*list, {"items"});
  if (items.empty()) return failure("no metrics returned from resource metrics API");
  MetricAnswer out;
  for (const Json& m : items) {
    const auto usage = usage_of(m, base::string_at(source, {"name"}), base::string_at(source, {"container"}));
    if (usage)
      out.pods[std::string(base::string_at(m, {"metadata", "name"}))] = {time_of(m), window_of(m), *usage};
  }
  return out;
}

Result<std::string> Asker::custom_metrics_path() const {
  auto group = get("/apis/custom.metrics.k8s.io");
  if (group.ok()) {
    for (const char* known : {"v1beta2", "v1beta1"}) {
      for (const Json& v : base::array_at(*group, {"versions"})) {
        if (base::string_at(v, {"version"}) == known)
          return base::cat("/apis/custom.metrics.k8s.io/", known, "/");
      }
    }
  }
  return Status(Code::kNotFound, "no custom metrics API (custom.metrics.k8s.io) registered");
}

std::string metric_selector(const Json& source) {
  const Json* selector = base::find_path(source, {"metric", "selector"});
  if (selector == nullptr) return {};
  auto parsed = api::LabelSelector::from_tree(*selector);
  return parsed.ok() ? parsed->text() : std::string();
}

MetricAnswer custom_failure(const Status& why) {
  return failure(base::cat("unable to fetch metrics from custom metrics API: ", why.message()));
}

MetricAnswer Asker::pods_metric(const Json& source, std::string_view ns, const std::string& selector) const {
  auto path = custom_metrics_path();
  if (!path.ok()) return custom_failure(path.error());
  auto list = get(base::cat(
      *path, "namespaces/", ns, "/pods/%2A/", escaped(base::string_at(source, {"metric", "name"})),
      "?labelSelector=", escaped(selector), "&metricLabelSelector=", escaped(metric_selector(source))));
  if (!list.ok()) return custom_failure(list.error());
  const Json& items = base::array_at(*list, {"items"});
  if (items.empty()) return failure("no metrics returned from custom metrics API");
  constexpr int64_t kUsualWindow = 60;
  MetricAnswer out;
  for (const Json& m : items) {
    out.pods[std::string(base::string_at(m, {"describedObject", "name"}))] = {
        time_of(m), std::chrono::seconds(base::int_at(m, {"windowSeconds"}, kUsualWindow)),
        api::Quantity::of(base::find_path(m, {"value"})).milli_value()};
  }
  return out;
}

MetricAnswer Asker::object_metric(const Json& source, std::string_view ns) const {
  auto path = custom_metrics_path();
  if (!path.ok()) return custom_failure(path.error());
  const std::string_view version = base::string_at(source, {"describedObject", "apiVersion"});
  const std::string_view kind = base::string_at(source, {"describedObject", "kind"});
  const size_t slash = version.find('/');
  const std::string group(slash == std::string_view::npos ? std::string_view() : version.substr(0, slash));
  const std::string metric = escaped(base::string_at(source, {"metric", "name"}));
  std::string target;
  if (kind == "Namespace" && group.empty()) {
    target = base::cat(*path, "namespaces/", ns, "/metrics/", metric);
  } else {
    const auto found = kinds(group, kind);
    if (found.empty())
      return custom_failure(
          Status(Code::kNotFound, base::cat("no matches for kind \"", kind, "\" in group \"", group, "\"")));
    target = base::cat(*path, "namespaces/", ns, "/", found[0].plural, group.empty() ? "" : ".", group, "/",
                       escaped(base::string_at(source, {"describedObject", "name"})), "/", metric);
  }
  auto list = get(base::cat(target, "?metricLabelSelector=", escaped(metric_selector(source))));
  if (!list.ok()) return custom_failure(list.error());
  const Json& items = base::array_at(*list, {"items"});
  if (items.size() != 1) {
    return custom_failure(
        Status(Code::kUnknown, base::cat("the custom metrics API server returned ", items.size(),
                                         " results when we asked for exactly one")));
  }
  MetricAnswer out;
  out.values.push_back(api::Quantity::of(base::find_path(items[0], {"value"})).milli_value());
  return out;
}

MetricAnswer Asker::external_metric(const Json& source, std::string_view ns) const {
  auto list = get(base::cat("/apis/external.metrics.k8s.io/v1beta1/namespaces/", ns, "/",
                            escaped(base::string_at(source, {"metric", "name"})),
                            "?labelSelector=", escaped(metric_selector(source))));
  if (!list.ok())
    return failure(base::cat("unable to fetch metrics from external metrics API: ", list.error().message()));
  MetricAnswer out;
  for (const Json& m : base::array_at(*list, {"items"}))
    out.values.push_back(api::Quantity::of(base::find_path(m, {"value"})).milli_value());
  if (out.values.empty()) return failure("no metrics returned from external metrics API");
  return out;
}

MetricAnswer Asker::metric(const Json& autoscaler, const Json& spec, const std::string& selector) const {
  const std::string_view ns = base::string_at(autoscaler, {"metadata", "namespace"});
  const std::string_view type = base::string_at(spec, {"type"});
  if (type == "Resource") return resource(base::object_at(spec, {"resource"}), ns, selector);
  if (type == "ContainerResource")
    return resource(base::object_at(spec, {"containerResource"}), ns, selector);
  if (type == "Pods") return pods_metric(base::object_at(spec, {"pods"}), ns, selector);
  if (type == "Object") return object_metric(base::object_at(spec, {"object"}), ns);
  if (type == "External") return external_metric(base::object_at(spec, {"external"}), ns);
  return {};
}

/// Histories by autoscaler, and the selectors their targets were last seen to have.
class Memory {
 public:
  /// Stays where it is until forgotten; only the loop's one run of the key uses it.
  AutoscalerHistory& history(const Key& key, std::string_view uid) {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[key];
    if (entry.uid != uid) {
      entry.uid = uid;
      entry.history = {};
      entry.selector = api::LabelSelector::nothing();
    }
    return entry.history;
  }
  void set_selector(const Key& key, api::LabelSelector selector) {
    const std::lock_guard lock(mutex_);
    entries_[key].selector = std::move(selector);
  }
  void forget(const Key& key) {
    const std::lock_guard lock(mutex_);
    entries_.erase(key);
  }
  /// Autoscalers of the namespace whose target's selector covers one of these pods.
  std::vector<std::string> selecting(std::string_view ns, const std::vector<PodView>& pods) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [key, entry] : entries_) {
      if (key.ns != ns) continue;
      const bool any = std::any_of(pods.begin(), pods.end(),
                                   [&e = entry](const PodView& p) { return e.selector.matches(*p.object); });
      if (any) out.push_back(base::cat("{", key.name, " ", key.ns, "}"));
    }
    return out;
  }

 private:
  struct Entry {
    std::string uid;
    AutoscalerHistory history;
    api::LabelSelector selector = api::LabelSelector::nothing();
  };
  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;  // under mutex_, but for the history of a key that runs
};

AutoscalerFacts observe(const Asker& asker, const Key& key, const api::ObjectPtr& object, Memory& memory) {
  AutoscalerFacts facts;
  facts.object = object;
  const Json tree = object->tree();
  asker.find_scale(base::object_at(tree, {"spec", "scaleTargetRef"}), key.ns, facts);
  if (!facts.scale.ok() || !needs_metrics(tree, *facts.scale)) return facts;
  const std::string text(base::string_at(*facts.scale, {"status", "selector"}));
  auto selector = api::LabelSelector::parse(text);
  if (text.empty() || !selector.ok()) return facts;
  for (const auto& pod : asker.view.list(kPods, key.ns)) {
    if (selector->matches(*pod)) facts.pods.push_back({pod, pod->tree()});
  }
  memory.set_selector(key, std::move(*selector));
  facts.others = memory.selecting(key.ns, facts.pods);
  if (facts.others.size() > 1) return facts;
  for (const Json& spec : base::array_at(tree, {"spec", "metrics"}))
    facts.metrics.push_back(asker.metric(tree, spec, text));
  return facts;
}

/// An autoscaler's own status is no news to it.
Keys changed_spec(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  if (before && after && before->uid() == after->uid()) {
    const Json a = before->tree(), b = after->tree();
    if (base::object_at(a, {"spec"}) == base::object_at(b, {"spec"})) return {};
  }
  return own_key(before, after, view);
}

}  // namespace

Controller make_autoscaler_controller(AutoscalerOptions options, ApiCall call, KindLookup kinds) {
  Controller c;
  c.name = "horizontal-pod-autoscaler";
  c.queue = "horizontalpodautoscaler";
  c.sources = {{kAutoscalers, changed_spec, {}}, {kPods, nullptr, {}}};
  c.observe_and_plan =
      [options, call = std::move(call), kinds = std::move(kinds), memory = std::make_shared<Memory>()](
          client::Client&, const View& view, const Key& key, base::WallTime now) -> Result<Plan> {
    const api::ObjectPtr object = view.get(kAutoscalers, key.ns, key.name);
    if (object == nullptr) {
      memory->forget(key);
      return Plan();
    }
    AutoscalerHistory& history = memory->history(key, object->uid());
    const AutoscalerFacts facts = observe({call, kinds, view}, key, object, *memory);
    Plan plan = plan_autoscaler(facts, options, history, now);
    plan.again_after(options.sync_period);
    return plan;
  };
  return c;
}

}  // namespace orch::server
