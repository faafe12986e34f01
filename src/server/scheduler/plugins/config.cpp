#include "server/scheduler/plugins/config.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/duration.h"
#include "api/field_error.h"
#include "api/names.h"
#include "api/yaml.h"
#include "base/json.h"
#include "server/scheduler/plugins/config_args.h"

namespace orch::server::scheduler {

namespace {

using api::FieldErrors;
using api::FieldPath;
using base::Code;
using base::Status;

constexpr const char* kVersion = "kubescheduler.config.k8s.io/v1";

enum Point : uint32_t {
  kPreEnqueue = 1U << 0,
  kQueueSort = 1U << 1,
  kPreFilter = 1U << 2,
  kFilter = 1U << 3,
  kPostFilter = 1U << 4,
  kPreScore = 1U << 5,
  kScore = 1U << 6,
  kReserve = 1U << 7,
  kPermit = 1U << 8,
  kPreBind = 1U << 9,
  kBind = 1U << 10,
  kPostBind = 1U << 11,
};
struct PointName {
  const char* name;
  Point point;
};
constexpr PointName kPoints[] = {{"preEnqueue", kPreEnqueue},
                                 {"queueSort", kQueueSort},
                                 {"preFilter", kPreFilter},
                                 {"filter", kFilter},
                                 {"postFilter", kPostFilter},
                                 {"preScore", kPreScore},
                                 {"score", kScore},
                                 {"reserve", kReserve},
                                 {"permit", kPermit},
                                 {"preBind", kPreBind},
                                 {"bind", kBind},
                                 {"postBind", kPostBind}};

/// Kubernetes' plugins, in the order of the default profile, and where each of them takes part.
struct Known {
  const char* name;
  int64_t weight;
  uint32_t points;
};
constexpr uint32_t kPreAndFilter = kPreFilter | kFilter;
constexpr Known kKnown[] = {
    {"SchedulingGates", 0, kPreEnqueue},
    {"PrioritySort", 0, kQueueSort},
    {"NodeUnschedulable", 0, kFilter},
    {"NodeName", 0, kFilter},
    {"TaintToleration", 3, kFilter | kPreScore | kScore},
    {"NodeAffinity", 2, kPreAndFilter | kPreScore | kScore},
    {"NodePorts", 0, kPreAndFilter},
    {"NodeResourcesFit", 1, kPreAndFilter | kPreScore | kScore},
    {"VolumeRestrictions", 0, kPreAndFilter},
    {"NodeVolumeLimits", 0, kPreAndFilter},
    {"VolumeBinding", 0, kPreAndFilter | kReserve | kPreBind},
    {"VolumeZone", 0, kPreAndFilter},
    {"PodTopologySpread", 2, kPreAndFilter | kPreScore | kScore},
    {"InterPodAffinity", 2, kPreAndFilter | kPreScore | kScore},
    {"DynamicResources", 2, kPreEnqueue | kPreAndFilter | kPostFilter | kScore | kReserve | kPreBind},
    {"DefaultPreemption", 0, kPostFilter},
    {"NodeResourcesBalancedAllocation", 1, kPreScore | kScore},
    {"ImageLocality", 1, kScore},
    {"DefaultBinder", 0, kBind},
};

const Known* find_known(std::string_view name) {
  auto it =
      std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& k) { return k.name == name; });
  return it == std::end(kKnown) ? nullptr : it;
}

struct Enabled {
  std::string name;
  int64_t weight = 0;
};
struct PluginSet {
  std::vector<Enabled> enabled;
  std::set<std::string> disabled;
  bool has(std::string_view name) const {
    return std::any_of(enabled.begin(), enabled.end(), [&](const Enabled& e) { return e.name == name; });
  }
};

PluginSet read_set(const Json& plugins, const char* name, const FieldPath& path, StrictReader& strict) {
  PluginSet out;
  const Json& set = base::object_at(plugins, {name});
  strict.check(set, path.child(name), {"enabled", "disabled"});
  for (const char* list : {"enabled", "disabled"}) {
    const Json& items = base::array_at(set, {list});
    for (size_t i = 0; i < items.size(); ++i) {
      strict.check(items[i], path.child(name).child(list).index(i), {"name", "weight"});
      std::string plugin(base::string_at(items[i], {"name"}));
      if (list[0] == 'd') {
        out.disabled.insert(std::move(plugin));
      } else {
        out.enabled.push_back({std::move(plugin), base::int_at(items[i], {"weight"})});
      }
    }
  }
  return out;
}

/// The default plugins, changed by what the profile says of multiPoint.
std::vector<Enabled> merged(const PluginSet& custom) {
  std::vector<Enabled> out;
  std::set<std::string> replaced;
  if (custom.disabled.count("*") == 0) {
    for (const Known& k : kKnown) {
      if (custom.disabled.count(k.name) != 0) continue;
      Enabled e{k.name, k.weight};
      for (const Enabled& c : custom.enabled) {
        if (c.name != k.name) continue;
        e = c;
        replaced.insert(c.name);
      }
      out.push_back(std::move(e));
    }
  }
  for (const Enabled& c : custom.enabled) {
    if (replaced.count(c.name) == 0) out.push_back(c);
  }
  return out;
}

/// Names of the plugins that take part at one point: first those whose place the profile changed, then those
/// of multiPoint, then what is enabled at this point alone.
std::vector<std::string> expand(Point point, const PluginSet& own, const std::vector<Enabled>& multi) {
  std::vector<std::string> first, second, third;
  auto takes_part = [&](const std::string& name) {
    const Known* k = find_known(name);
    return k != nullptr && (k->points & point) != 0;
  };
  const bool all_off = own.disabled.count("*") != 0;
  for (const Enabled& e : own.enabled) {
    const bool in_multi =
        std::any_of(multi.begin(), multi.end(), [&](const Enabled& m) { return m.name == e.name; });
    const bool override_it = !all_off && in_multi && own.disabled.count(e.name) == 0;
    (override_it ? first : third).push_back(e.name);
  }
  for (const Enabled& m : multi) {
    if (all_off || !takes_part(m.name) || own.disabled.count(m.name) != 0 || own.has(m.name)) continue;
    second.push_back(m.name);
  }
  first.insert(first.end(), second.begin(), second.end());
  first.insert(first.end(), third.begin(), third.end());
  return first;
}

bool holds(const std::vector<std::string>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// Builds profiles and collects what is wrong with them.
class Builder {
 public:
  StrictReader strict;
  FieldErrors errors;
  std::vector<std::string> failures;  // found when plugins are put together
  int64_t bind_timeout_seconds = 600;

  Profile profile(const Json& tree, const FieldPath& path, bool only_one) {
    strict.check(tree, path, {"schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"});
    Profile out;
    out.scheduler_name = base::string_at(tree, {"schedulerName"}, only_one ? "default-scheduler" : "");
    if (out.scheduler_name.empty()) errors.required(path.child("schedulerName"));
    out.percentage_of_nodes = base::int_at(tree, {"percentageOfNodesToScore"}, -1);
    if (out.percentage_of_nodes != -1) check_percentage(out.percentage_of_nodes, path);
    ProfileArgs args = read_args(base::array_at(tree, {"pluginConfig"}), path.child("pluginConfig"));
    out.candidates_percent = args.candidates_percent;
    out.candidates_at_least = args.candidates_at_least;
    bind_timeout_seconds = args.bind_timeout_seconds;
    add_plugins(base::object_at(tree, {"plugins"}), path.child("plugins"), args.plugins, out);
    return out;
  }

  void check_percentage(int64_t value, const FieldPath& path) {
    if (value < 0 || value > 100)
      errors.invalid(path.child("percentageOfNodesToScore"), value, "not in valid range [0-100]");
  }

 private:
  ProfileArgs read_args(const Json& list, const FieldPath& path) {
    ProfileArgs out;
    std::set<std::string> seen;
    for (size_t i = 0; i < list.size(); ++i) {
      strict.check(list[i], path.index(i), {"name", "args"});
      const std::string name(base::string_at(list[i], {"name"}));
      if (!seen.insert(name).second) errors.duplicate(path.index(i), name);
      const Json& args = base::object_at(list[i], {"args"});
      const std::string kind = name + "Args";
      if (base::string_at(args, {"kind"}, kind) != kind ||
          base::string_at(args, {"apiVersion"}, kVersion) != kVersion) {
        failures.push_back(base::cat("decoding .profiles[].pluginConfig[", i, "]: args for plugin ", name,
                                     " were not of type ", kind, ".kubescheduler.config.k8s.io"));
        continue;
      }
      read_plugin_args(name, args, path.index(i).child("args"), out, strict, errors);
    }
    return out;
  }

  void add_plugins(const Json& plugins, const FieldPath& path, const PluginArgs& args, Profile& out) {
    strict.check(plugins, path,
                 {"multiPoint", "preEnqueue", "queueSort", "preFilter", "filter", "postFilter", "preScore",
                  "score", "reserve", "permit", "preBind", "bind", "postBind"});
    const std::vector<Enabled> multi = merged(read_set(plugins, "multiPoint", path, strict));
    std::map<Point, PluginSet> sets;
    std::map<Point, std::vector<std::string>> names;
    check_exist(multi);
    for (const PointName& p : kPoints) {
      sets[p.point] = read_set(plugins, p.name, path, strict);
      check_exist(sets[p.point].enabled);
      names[p.point] = expand(p.point, sets[p.point], multi);
    }
    if (names[kQueueSort] != std::vector<std::string>{"PrioritySort"}) {
      failures.push_back(base::cat("only one queue sort plugin required for profile with scheduler name \"",
                                   out.scheduler_name, "\", but got ", names[kQueueSort].size()));
    }
    if (names[kBind].empty()) {
      failures.push_back(base::cat("at least one bind plugin is needed for profile with scheduler name \"",
                                   out.scheduler_name, "\""));
    }
    out.preempts = holds(names[kPostFilter], "DefaultPreemption");
    out.deallocates = holds(names[kPostFilter], "DynamicResources");
    fill(names, sets[kScore], multi, args, out);
  }

  void check_exist(const std::vector<Enabled>& enabled) {
    for (const Enabled& e : enabled) {
      if (find_known(e.name) == nullptr)
        failures.push_back(base::cat("plugin \"", e.name, "\" does not exist"));
    }
  }

  static void fill(std::map<Point, std::vector<std::string>>& names, const PluginSet& scores,
                   const std::vector<Enabled>& multi, const PluginArgs& args, Profile& out) {
    std::map<std::string, const Plugin*> made;
    auto plugin = [&](const std::string& name) -> const Plugin* {
      auto [it, fresh] = made.try_emplace(name, nullptr);
      if (!fresh) return it->second;
      if (PluginPtr p = make_plugin(name, args)) it->second = out.plugins.emplace_back(std::move(p)).get();
      return it->second;
    };
    const auto& pre = names[kPreFilter];
    for (const auto& name : names[kFilter]) {
      const Known* known = find_known(name);
      const bool only_filters = known != nullptr && (known->points & kPreFilter) == 0;
      if (const Plugin* p = plugin(name)) out.filters.push_back({p, only_filters || holds(pre, name), true});
    }
    for (const auto& name : pre) {
      if (holds(names[kFilter], name)) continue;
      if (const Plugin* p = plugin(name)) out.filters.push_back({p, true, false});
    }
    for (const auto& name : names[kScore]) {
      int64_t weight = 0;
      for (const auto* list : {&multi, &scores.enabled}) {
        for (const Enabled& e : *list) {
          if (e.name == name) weight = e.weight;
        }
      }
      if (const Plugin* p = plugin(name)) out.scorers.emplace_back(p, weight == 0 ? 1 : weight);
    }
    for (const auto& name : names[kPreEnqueue]) {
      if (const Plugin* p = plugin(name)) out.gates.push_back(p);
    }
  }
};

std::vector<ExtenderConfig> read_extenders(const Json& list, StrictReader& strict, FieldErrors& errors) {
  std::vector<ExtenderConfig> out;
  const FieldPath path("extenders");
  size_t binders = 0;
  std::set<std::string> managed;
  for (size_t i = 0; i < list.size(); ++i) {
    const Json& e = list[i];
    const FieldPath p = path.index(i);
    auto text = [&](const char* key) { return std::string(base::string_at(e, {key})); };
    strict.check(
        e, p,
        {"urlPrefix", "filterVerb", "preemptVerb", "prioritizeVerb", "weight", "bindVerb", "enableHTTPS",
         "tlsConfig", "httpTimeout", "nodeCacheCapable", "managedResources", "ignorable"});
    ExtenderConfig c;
    c.url = text("urlPrefix");
    c.filter_verb = text("filterVerb");
    c.preempt_verb = text("preemptVerb");
    c.prioritize_verb = text("prioritizeVerb");
    c.bind_verb = text("bindVerb");
    c.weight = base::int_at(e, {"weight"});
    c.https = base::bool_at(e, {"enableHTTPS"});
    c.node_cache_capable = base::bool_at(e, {"nodeCacheCapable"});
    c.ignorable = base::bool_at(e, {"ignorable"});
    if (auto timeout = api::parse_duration(text("httpTimeout")); timeout.ok() && timeout->count() > 0)
      c.timeout = *timeout;
    const Json& tls = base::object_at(e, {"tlsConfig"});
    strict.check(
        tls, p.child("tlsConfig"),
        {"insecure", "serverName", "certFile", "keyFile", "caFile", "certData", "keyData", "caData"});
    c.insecure = base::bool_at(tls, {"insecure"});
    c.cert_file = base::string_at(tls, {"certFile"});
    c.key_file = base::string_at(tls, {"keyFile"});
    c.ca_file = base::string_at(tls, {"caFile"});
    c.cert_data = base::string_at(tls, {"certData"});
    c.key_data = base::string_at(tls, {"keyData"});
    c.ca_data = base::string_at(tls, {"caData"});
    if (!c.prioritize_verb.empty() && c.weight <= 0)
      errors.invalid(p.child("weight"), c.weight, "must have a positive weight applied to it");
    binders += c.bind_verb.empty() ? 0 : 1;
    const Json& resources = base::array_at(e, {"managedResources"});
    for (size_t j = 0; j < resources.size(); ++j) {
      const FieldPath r = p.child("managedResources").index(j);
      strict.check(resources[j], r, {"name", "ignoredByScheduler"});
      const std::string name(base::string_at(resources[j], {"name"}));
      for (const auto& problem : api::check_qualified_name(name))
        errors.invalid(r.child("name"), name, problem);
      if (!managed.insert(name).second)
        errors.invalid(r.child("name"), name, "duplicate extender managed resource name");
      c.managed_resources.push_back(name);
      if (base::bool_at(resources[j], {"ignoredByScheduler"})) c.ignored_by_scheduler.push_back(name);
    }
    out.push_back(std::move(c));
  }
  if (binders > 1) {
    errors.invalid(path, base::cat("found ", binders, " extenders implementing bind"),
                   "only one extender can implement bind");
  }
  return out;
}

/// Resources that extenders take care of are not looked at by NodeResourcesFit.
Json with_ignored(Json profile, const std::vector<ExtenderConfig>& extenders) {
  Json ignored = Json::array();
  for (const auto& e : extenders) {
    for (const auto& name : e.ignored_by_scheduler) ignored.push_back(name);
  }
  if (ignored.empty() || !profile.is_object()) return profile;
  Json& configs = profile["pluginConfig"];
  if (!configs.is_array()) configs = Json::array();
  for (auto& c : configs) {
    if (base::string_at(c, {"name"}) != "NodeResourcesFit") continue;
    for (const auto& name : ignored) c["args"]["ignoredResources"].push_back(name);
    return profile;
  }
  configs.push_back({{"name", "NodeResourcesFit"}, {"args", {{"ignoredResources", ignored}}}});
  return profile;
}

Status bad(std::string message) { return {Code::kBadRequest, std::move(message)}; }

std::string joined(const std::vector<std::string>& problems) {
  std::string text;
  for (const auto& p : problems) text += (text.empty() ? "" : ", ") + p;
  return text;
}

}  // namespace

SchedulerConfig default_config() {
  SchedulerConfig out;
  out.profiles.push_back(default_profile());
  return out;
}

base::Result<SchedulerConfig> read_config(std::string_view text) {
  auto parsed = api::parse_yaml(text);
  if (!parsed.ok()) return parsed.error();
  const Json& tree = *parsed;
  const std::string_view version = base::string_at(tree, {"apiVersion"}),
                         kind = base::string_at(tree, {"kind"});
  if (version != kVersion || kind != "KubeSchedulerConfiguration") {
    return bad(base::cat("no kind \"", kind, "\" is registered for version \"", version, "\" in scheme"));
  }
  Builder b;
  b.strict.check(
      tree, FieldPath(),
      {"apiVersion", "kind", "parallelism", "leaderElection", "clientConnection", "enableProfiling",
       "enableContentionProfiling", "percentageOfNodesToScore", "podInitialBackoffSeconds",
       "podMaxBackoffSeconds", "profiles", "extenders", "delayCacheUntilActive"});
  SchedulerConfig out;
  out.extenders = read_extenders(base::array_at(tree, {"extenders"}), b.strict, b.errors);
  if (const int64_t n = base::int_at(tree, {"parallelism"}, 16); n <= 0)
    b.errors.invalid(FieldPath("parallelism"), n, "should be an integer value greater than zero");
  Json profiles = base::array_at(tree, {"profiles"});
  if (profiles.empty()) profiles.push_back(Json::object());
  std::map<std::string, size_t> seen;
  const FieldPath path("profiles");
  const int64_t percentage = base::int_at(tree, {"percentageOfNodesToScore"});
  for (size_t i = 0; i < profiles.size(); ++i) {
    Profile p = b.profile(with_ignored(profiles[i], out.extenders), path.index(i), profiles.size() == 1);
    if (p.percentage_of_nodes == -1) p.percentage_of_nodes = percentage;
    if (auto [it, fresh] = seen.try_emplace(p.scheduler_name, i); !fresh)
      b.errors.duplicate(path.index(i).child("schedulerName"),
                         path.index(it->second).child("schedulerName").text());
    out.profiles.push_back(std::move(p));
  }
  b.check_percentage(percentage, FieldPath());
  const int64_t first = base::int_at(tree, {"podInitialBackoffSeconds"}, 1),
                last = base::int_at(tree, {"podMaxBackoffSeconds"}, 10);
  if (first <= 0) b.errors.invalid(FieldPath("podInitialBackoffSeconds"), first, "must be greater than 0");
  if (last < first) {
    b.errors.invalid(FieldPath("podMaxBackoffSeconds"), last,
                     "must be greater than or equal to PodInitialBackoffSeconds");
  }
  if (!b.strict.problems().empty()) return bad("strict decoding error: " + joined(b.strict.problems()));
  if (!b.errors.empty()) return bad(b.errors.text());
  if (!b.failures.empty()) return bad("initializing profiles: " + joined(b.failures));
  out.first_backoff = std::chrono::seconds(first);
  out.last_backoff = std::chrono::seconds(last);
  out.bind_timeout = std::chrono::seconds(b.bind_timeout_seconds);
  return out;
}

}  // namespace orch::server::scheduler
