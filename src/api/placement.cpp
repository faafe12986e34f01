#include "api/placement.h"

#include <algorithm>
#include <cstdlib>

#include "api/meta.h"
#include "api/quantity.h"
#include "base/json.h"

namespace orch::api {

namespace {

constexpr int64_t kDefaultMilliCpu = 100;
constexpr int64_t kDefaultMemory = 200 * 1024 * 1024;

int64_t amount(const Json& value) { return Quantity::of(&value).value(); }

Resources read_resources(const Json& list) {
  Resources r;
  for (const auto& [name, value] : list.items()) {
    if (name == "cpu") {
      r.milli_cpu = Quantity::of(&value).milli_value();
    } else if (name == "memory") {
      r.memory = amount(value);
    } else if (name == "ephemeral-storage") {
      r.ephemeral_storage = amount(value);
    } else if (name != "pods") {
      r.scalars[name] = amount(value);
    }
  }
  return r;
}

std::string text(const Json& tree, std::string_view key) { return std::string(base::string_at(tree, {key})); }

std::vector<std::string> texts(const Json& tree, std::string_view key) {
  std::vector<std::string> out;
  for (const auto& v : base::array_at(tree, {key})) {
    if (v.is_string()) out.push_back(v.get<std::string>());
  }
  return out;
}

NodeRequirement::Op op_of(std::string_view name) {
  using Op = NodeRequirement::Op;
  if (name == "NotIn") return Op::kNotIn;
  if (name == "Exists") return Op::kExists;
  if (name == "DoesNotExist") return Op::kDoesNotExist;
  if (name == "Gt") return Op::kGt;
  return name == "Lt" ? Op::kLt : Op::kIn;
}

}  // namespace

NodeTerm read_node_term(const Json& term) {
  NodeTerm out;
  for (const char* list : {"matchExpressions", "matchFields"}) {
    for (const auto& e : base::array_at(term, {list})) {
      NodeRequirement r;
      r.key = text(e, "key");
      r.op = op_of(base::string_at(e, {"operator"}));
      r.values = texts(e, "values");
      r.on_name = list[5] == 'F';
      out.push_back(std::move(r));
    }
  }
  return out;
}

namespace {

void read_affinity(const Json& spec, PodInfo& pod) {
  const Json& affinity = base::object_at(spec, {"affinity", "nodeAffinity"});
  const Json* required = base::find_path(affinity, {"requiredDuringSchedulingIgnoredDuringExecution"});
  if (required != nullptr && required->is_object()) {
    pod.has_required_affinity = true;
    for (const auto& term : base::array_at(*required, {"nodeSelectorTerms"}))
      pod.required.push_back(read_node_term(term));
  }
  for (const auto& p : base::array_at(affinity, {"preferredDuringSchedulingIgnoredDuringExecution"})) {
    pod.preferred.emplace_back(base::int_at(p, {"weight"}),
                               read_node_term(base::object_at(p, {"preference"})));
  }
}

/// The larger of each.
Resources larger(Resources a, const Resources& b) {
  a.at_least(b);
  return a;
}

/// How the requests of a pod are summed up.
struct SumOptions {
  bool resized = false;    // what status says of containers whose resources change counts too
  bool pod_level = false;  // spec.resources take the place of the sum (KEP-2837)
  bool fill_cpu = false, fill_memory = false;  // containers that do not name it count with a small amount
};

/// Requests of one container, with what its status says while it is resized (KEP-1287).
Resources container_requests(const Json& c, const Json& status, bool infeasible, const SumOptions& o) {
  const Json& list = base::object_at(c, {"resources", "requests"});
  Resources r = read_resources(list);
  bool has_cpu = list.contains("cpu"), has_memory = list.contains("memory");
  if (o.resized) {
    for (const auto& s : status) {
      if (base::string_at(s, {"name"}) != base::string_at(c, {"name"}) || !s.contains("resources")) continue;
      const Json& actual = base::object_at(s, {"resources", "requests"});
      const Json& allocated = base::object_at(s, {"allocatedResources"});
      Resources has = larger(read_resources(actual), read_resources(allocated));
      const bool cpu = actual.contains("cpu") || allocated.contains("cpu");
      const bool memory = actual.contains("memory") || allocated.contains("memory");
      has_cpu = cpu || (has_cpu && !infeasible);
      has_memory = memory || (has_memory && !infeasible);
      r = infeasible ? has : larger(r, has);
      break;
    }
  }
  if (o.fill_cpu && !has_cpu) r.milli_cpu = kDefaultMilliCpu;
  if (o.fill_memory && !has_memory) r.memory = kDefaultMemory;
  return r;
}

bool pod_level_resource(const std::string& name) {
  return name == "cpu" || name == "memory" || name.starts_with("hugepages-");
}

/// A pod needs what its containers need together, or what a single init container needs beside the sidecars
/// started before it, whichever is more (KEP-753); overhead on top.
Resources sum_requests(const Json& tree, const SumOptions& o) {
  const Json& spec = base::object_at(tree, {"spec"});
  const Json* pending = o.resized ? api::find_condition(tree, "PodResizePending") : nullptr;
  const bool infeasible = pending != nullptr && base::string_at(*pending, {"reason"}) == "Infeasible";
  const Json& statuses = base::array_at(tree, {"status", "containerStatuses"});
  const Json& init_statuses = base::array_at(tree, {"status", "initContainerStatuses"});
  Resources total, sidecars, init_peak;
  for (const auto& c : base::array_at(spec, {"containers"}))
    total.add(container_requests(c, statuses, infeasible, o));
  for (const auto& c : base::array_at(spec, {"initContainers"})) {
    const bool sidecar = base::string_at(c, {"restartPolicy"}) == "Always";
    SumOptions own = o;
    own.resized = o.resized && sidecar;
    Resources r = container_requests(c, init_statuses, infeasible, own);
    if (sidecar) {
      total.add(r);
      sidecars.add(r);
      init_peak.at_least(sidecars);
    } else {
      r.add(sidecars);
      init_peak.at_least(r);
    }
  }
  total.at_least(init_peak);
  if (o.pod_level) {
    const Json& list = base::object_at(spec, {"resources", "requests"});
    const Resources own = read_resources(list);
    if (list.contains("cpu")) total.milli_cpu = own.milli_cpu;
    if (list.contains("memory")) total.memory = own.memory;
    for (const auto& [name, n] : own.scalars) {
      if (pod_level_resource(name)) total.scalars[name] = n;
    }
  }
  total.add(read_resources(base::object_at(spec, {"overhead"})));
  return total;
}

/// Whether any container, or what the pod as a whole asks for, names the resource.
bool names_resource(const Json& spec, const char* resource) {
  if (base::object_at(spec, {"overhead"}).contains(resource) ||
      base::object_at(spec, {"resources", "requests"}).contains(resource))
    return true;
  for (const char* list : {"containers", "initContainers"}) {
    for (const auto& c : base::array_at(spec, {list})) {
      if (base::object_at(c, {"resources", "requests"}).contains(resource)) return true;
    }
  }
  return false;
}

void read_requests(const Json& tree, PodInfo& pod) {
  const Json& spec = base::object_at(tree, {"spec"});
  const Json& level = base::object_at(spec, {"resources", "requests"});
  const bool pod_level = std::any_of(level.items().begin(), level.items().end(),
                                     [](const auto& item) { return pod_level_resource(item.key()); });
  SumOptions o;
  o.resized = true;
  o.pod_level = pod_level;
  pod.requests = sum_requests(tree, o);
  o.fill_cpu = !pod_level || !names_resource(spec, "cpu");
  o.fill_memory = !pod_level || !names_resource(spec, "memory");
  const Resources weighed = o.fill_cpu || o.fill_memory ? sum_requests(tree, o) : pod.requests;
  pod.weighed_cpu = weighed.milli_cpu;
  pod.weighed_memory = weighed.memory;
  SumOptions scored;
  scored.fill_cpu = scored.fill_memory = true;
  pod.scored = sum_requests(tree, scored);
}

void read_images(const Json& spec, PodInfo& pod) {
  for (const char* list : {"initContainers", "containers"}) {
    for (const auto& c : base::array_at(spec, {list})) {
      std::string image = text(c, "image");
      const size_t colon = image.rfind(':'), slash = image.rfind('/');
      const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
      pod.images.push_back(tagged ? image : image + ":latest");
    }
  }
}

void read_owner(const Json& tree, PodInfo& pod) {
  for (const auto& o : base::array_at(tree, {"metadata", "ownerReferences"})) {
    if (!base::bool_at(o, {"controller"})) continue;
    pod.owner_version = text(o, "apiVersion");
    pod.owner_kind = text(o, "kind");
    pod.owner_name = text(o, "name");
    return;
  }
}

void read_ports(const Json& spec, PodInfo& pod) {
  for (const char* list : {"containers", "initContainers"}) {
    for (const auto& c : base::array_at(spec, {list})) {
      if (list[0] == 'i' && base::string_at(c, {"restartPolicy"}) != "Always") continue;
      for (const auto& p : base::array_at(c, {"ports"})) {
        int64_t port = base::int_at(p, {"hostPort"});
        if (port == 0) continue;
        std::string ip = text(p, "hostIP"), protocol = text(p, "protocol");
        pod.ports.emplace_back(ip.empty() ? "0.0.0.0" : ip, protocol.empty() ? "TCP" : protocol, port);
      }
    }
  }
}

}  // namespace

void Resources::add(const Resources& other, int64_t sign) {
  milli_cpu += sign * other.milli_cpu;
  memory += sign * other.memory;
  ephemeral_storage += sign * other.ephemeral_storage;
  for (const auto& [name, n] : other.scalars) scalars[name] += sign * n;
}

void Resources::at_least(const Resources& other) {
  milli_cpu = std::max(milli_cpu, other.milli_cpu);
  memory = std::max(memory, other.memory);
  ephemeral_storage = std::max(ephemeral_storage, other.ephemeral_storage);
  for (const auto& [name, n] : other.scalars) scalars[name] = std::max(scalars[name], n);
}

bool PodInfo::tolerates(const Taint& taint) const {
  return std::any_of(tolerations.begin(), tolerations.end(), [&](const Toleration& t) {
    if (!t.effect.empty() && t.effect != taint.effect) return false;
    if (t.key.empty()) return t.exists;
    return t.key == taint.key && (t.exists || t.value == taint.value);
  });
}

PodPtr read_pod(const ObjectPtr& object) {
  const Json tree = object->tree();
  const Json& spec = base::object_at(tree, {"spec"});
  auto pod = std::make_shared<PodInfo>();
  pod->object = object;
  pod->ns = object->ns();
  pod->name = object->name();
  pod->uid = object->uid();
  pod->node_name = text(spec, "nodeName");
  pod->scheduler_name = text(spec, "schedulerName");
  pod->priority = base::int_at(spec, {"priority"});
  pod->gated = !base::array_at(spec, {"schedulingGates"}).empty();
  std::string_view phase = base::string_at(tree, {"status", "phase"});
  pod->finished = phase == "Succeeded" || phase == "Failed";
  pod->nominated_node = base::string_at(tree, {"status", "nominatedNodeName"});
  pod->deleting = object->deleting();
  const Json* disruption = api::find_condition(tree, "DisruptionTarget");
  pod->preempted = pod->deleting && disruption != nullptr &&
                   base::string_at(*disruption, {"status"}) == "True" &&
                   base::string_at(*disruption, {"reason"}) == "PreemptionByScheduler";
  pod->preempts_never = base::string_at(spec, {"preemptionPolicy"}) == "Never";
  if (auto at = base::parse_time(base::string_at(tree, {"status", "startTime"})); at.ok()) pod->started = *at;
  read_requests(tree, *pod);
  read_ports(spec, *pod);
  for (const auto& [key, value] : base::object_at(spec, {"nodeSelector"}).items()) {
    if (value.is_string()) pod->node_selector.emplace_back(key, value.get<std::string>());
  }
  read_affinity(spec, *pod);
  for (const auto& t : base::array_at(spec, {"tolerations"})) {
    pod->tolerations.push_back(
        {text(t, "key"), text(t, "value"), text(t, "effect"), base::string_at(t, {"operator"}) == "Exists"});
  }
  read_images(spec, *pod);
  read_owner(tree, *pod);
  pod->terms = read_pod_terms(spec, pod->ns);
  pod->spread = read_spread(spec, base::object_at(tree, {"metadata", "labels"}));
  pod->volumes = read_volumes(spec, pod->name);
  pod->claims_devices = !base::array_at(spec, {"resourceClaims"}).empty();
  return pod;
}

void NodeInfo::set_node(const ObjectPtr& node) {
  object = node;
  name = node->name();
  labels.clear();
  for (size_t i = 0; i < node->label_count(); ++i) {
    auto [key, value] = node->label(i);
    labels.emplace(key, value);
  }
  const Json tree = node->tree();
  const Json& list = base::object_at(tree, {"status", "allocatable"});
  allocatable = read_resources(list);
  allowed_pods = list.contains("pods") ? amount(list["pods"]) : 0;
  unschedulable = base::bool_at(tree, {"spec", "unschedulable"});
  taints.clear();
  for (const auto& t : base::array_at(tree, {"spec", "taints"})) {
    taints.push_back({text(t, "key"), text(t, "value"), text(t, "effect")});
  }
  image_sizes.clear();
  for (const auto& image : base::array_at(tree, {"status", "images"})) {
    for (const auto& n : texts(image, "names")) image_sizes[n] = base::int_at(image, {"sizeBytes"});
  }
}

void NodeInfo::take_node(NodeInfo&& read) {
  object = std::move(read.object);
  name = std::move(read.name);
  labels = std::move(read.labels);
  allocatable = std::move(read.allocatable);
  allowed_pods = read.allowed_pods;
  unschedulable = read.unschedulable;
  taints = std::move(read.taints);
  image_sizes = std::move(read.image_sizes);
}

void NodeInfo::add_pod(const PodPtr& pod) {
  remove_pod(pod->uid);
  pods[pod->uid] = pod;
  requested.add(pod->requests);
  weighed_cpu += pod->weighed_cpu;
  weighed_memory += pod->weighed_memory;
  ports.insert(pod->ports.begin(), pod->ports.end());
}

void NodeInfo::remove_pod(const std::string& uid) {
  auto it = pods.find(uid);
  if (it == pods.end()) return;
  const PodInfo& pod = *it->second;
  requested.add(pod.requests, -1);
  weighed_cpu -= pod.weighed_cpu;
  weighed_memory -= pod.weighed_memory;
  for (const auto& port : pod.ports) ports.erase(ports.find(port));
  pods.erase(it);
}

namespace {

bool matches_one(const NodeRequirement& r, const NodeInfo& node) {
  using Op = NodeRequirement::Op;
  const std::string* value = nullptr;
  if (r.on_name) {
    value = &node.name;
  } else if (auto it = node.labels.find(r.key); it != node.labels.end()) {
    value = &it->second;
  }
  auto listed = [&] { return std::find(r.values.begin(), r.values.end(), *value) != r.values.end(); };
  switch (r.op) {
    case Op::kIn:
      return value != nullptr && listed();
    case Op::kNotIn:
      return value == nullptr || !listed();
    case Op::kExists:
      return value != nullptr;
    case Op::kDoesNotExist:
      return value == nullptr;
    case Op::kGt:
    case Op::kLt:
      break;
  }
  if (value == nullptr || r.values.empty()) return false;
  char *end_a = nullptr, *end_b = nullptr;
  const long long a = std::strtoll(value->c_str(), &end_a, 10),
                  b = std::strtoll(r.values[0].c_str(), &end_b, 10);
  if (value->empty() || *end_a != 0 || *end_b != 0) return false;
  return r.op == Op::kGt ? a > b : a < b;
}

/// The unspecified address stands for every address.
bool clash(const HostPort& a, const HostPort& b) {
  const auto& [ip_a, protocol_a, port_a] = a;
  const auto& [ip_b, protocol_b, port_b] = b;
  return port_a == port_b && protocol_a == protocol_b &&
         (ip_a == ip_b || ip_a == "0.0.0.0" || ip_b == "0.0.0.0");
}

}  // namespace

bool matches(const NodeTerm& term, const NodeInfo& node) {
  return !term.empty() && std::all_of(term.begin(), term.end(),
                                      [&](const NodeRequirement& r) { return matches_one(r, node); });
}

bool affinity_allows(const PodInfo& pod, const NodeInfo& node) {
  const bool selected =
      std::all_of(pod.node_selector.begin(), pod.node_selector.end(), [&](const auto& wanted) {
        const auto it = node.labels.find(wanted.first);
        return it != node.labels.end() && it->second == wanted.second;
      });
  return selected && (!pod.has_required_affinity ||
                      std::any_of(pod.required.begin(), pod.required.end(),
                                  [&](const NodeTerm& term) { return matches(term, node); }));
}

bool ports_free(const PodInfo& pod, const NodeInfo& node) {
  return std::none_of(pod.ports.begin(), pod.ports.end(), [&](const HostPort& wanted) {
    return std::any_of(node.ports.begin(), node.ports.end(),
                       [&](const HostPort& used) { return clash(wanted, used); });
  });
}

std::vector<Shortage> shortages(const PodInfo& pod, const NodeInfo& node) {
  std::vector<Shortage> out;
  const Resources& want = pod.requests;
  const Resources& have = node.allocatable;
  const Resources& used = node.requested;
  const auto check = [&](std::string_view name, int64_t requested, int64_t taken, int64_t capacity) {
    if (requested > 0 && requested > capacity - taken)
      out.push_back({std::string(name), requested, taken, capacity});
  };
  check("pods", 1, static_cast<int64_t>(node.pods.size()), node.allowed_pods);
  check("cpu", want.milli_cpu, used.milli_cpu, have.milli_cpu);
  check("memory", want.memory, used.memory, have.memory);
  check("ephemeral-storage", want.ephemeral_storage, used.ephemeral_storage, have.ephemeral_storage);
  const auto of = [](const Resources& r, const std::string& name) {
    const auto it = r.scalars.find(name);
    return it == r.scalars.end() ? int64_t{0} : it->second;
  };
  for (const auto& [name, n] : want.scalars) check(name, n, of(used, name), of(have, name));
  return out;
}

}  // namespace orch::api
