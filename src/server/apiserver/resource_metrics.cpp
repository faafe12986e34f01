#include "server/apiserver/resource_metrics.h"

#include <set>

#include "api/duration.h"
#include "api/meta.h"
#include "api/quantity.h"
#include "base/json.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr const char* kVersion = "v1beta1";

std::string_view text_of(const Json& object, std::initializer_list<std::string_view> path) {
  return base::string_at(object, path);
}

/// Sums of a pod's containers, or a node's figures: cells of a table.
std::vector<Json> usage_cells(const Json& object) {
  api::Quantity cpu, memory;
  if (const Json* usage = base::find_path(object, {"usage"})) {
    cpu = api::Quantity::of(base::find_path(*usage, {"cpu"}));
    memory = api::Quantity::of(base::find_path(*usage, {"memory"}));
  }
  for (const Json& c : base::array_at(object, {"containers"})) {
    cpu += api::Quantity::of(base::find_path(c, {"usage", "cpu"}));
    memory += api::Quantity::of(base::find_path(c, {"usage", "memory"}));
  }
  return {std::string(text_of(object, {"metadata", "name"})), cpu.text(), memory.text(),
          std::string(text_of(object, {"window"}))};
}

api::ResourcePtr row(const char* kind, const char* plural, bool namespaced) {
  auto r = std::make_shared<api::Resource>();
  r->group = kMetricsGroup;
  r->version = kVersion;
  r->kind = kind;
  r->list_kind = base::cat(kind, "List");
  r->plural = plural;
  r->verbs = {"get", "list"};
  r->namespaced = namespaced;
  r->stored = false;
  for (const char* name : {"Name", "cpu", "memory", "Window"}) {
    api::PrinterColumn column;
    column.name = name;
    column.type = "string";
    r->columns.push_back(std::move(column));
  }
  r->columns[0].format = "name";
  r->columns[0].description = "Name of the resource";
  api::Strategy strategy;
  strategy.cells = [](const Json& object, base::WallTime) { return usage_cells(object); };
  r->strategy = std::make_shared<const api::Strategy>(std::move(strategy));
  return r;
}

Json usage_json(const Usage& u) {
  const auto cpu = api::Quantity::parse(base::cat(u.cpu_nanos, "n"));
  return {{"cpu", cpu.ok() ? cpu->text() : "0"},
          {"memory", api::Quantity::of(u.memory, api::Quantity::Format::kBinary).text()}};
}

/// The object about `about`, with its labels, as of the reading.
Json metrics_object(const char* kind, const api::Object& about, const Usage& u) {
  Json meta = {{"name", std::string(about.name())}, {"creationTimestamp", base::format_time(u.time)}};
  if (!about.ns().empty()) meta["namespace"] = std::string(about.ns());
  for (size_t i = 0; i < about.label_count(); ++i) {
    const auto [key, value] = about.label(i);
    meta["labels"][std::string(key)] = std::string(value);
  }
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(u.window);
  return {{"kind", kind},
          {"apiVersion", api::make_api_version(kMetricsGroup, kVersion)},
          {"metadata", std::move(meta)},
          {"timestamp", base::format_time(u.time)},
          {"window", api::format_duration(millis)}};
}

/// The node is there and not silent: asking one that is would only take time.
bool heard_of(const ObjectPtr& node) {
  if (node == nullptr) return false;
  const Json tree = node->tree();
  const Json* ready = api::find_condition(tree, "Ready");
  return ready == nullptr || base::string_at(*ready, {"status"}) != "Unknown";
}

void add(std::vector<ObjectPtr>& out, const Json& tree) {
  if (auto made = api::Object::from_tree(tree); made.ok()) out.push_back(*made);
}

std::string node_of(const api::Object& pod) {
  const Json tree = pod.tree();
  return std::string(base::string_at(tree, {"spec", "nodeName"}));
}

}  // namespace

void add_metrics_rows(api::ResourceTable& table) {
  table.add(row("NodeMetrics", "nodes", false));
  table.add(row("PodMetrics", "pods", true));
}

std::vector<ObjectPtr> ResourceMetrics::of_nodes(const std::vector<ObjectPtr>& nodes) const {
  std::vector<std::string> names;
  for (const auto& n : nodes) {
    if (heard_of(n)) names.emplace_back(n->name());
  }
  const auto usage = figures_.get(names);
  std::vector<ObjectPtr> out;
  for (const auto& n : nodes) {
    const auto found = usage.find(std::string(n->name()));
    if (found == usage.end() || !found->second.known) continue;
    Json tree = metrics_object("NodeMetrics", *n, found->second.node);
    tree["usage"] = usage_json(found->second.node);
    add(out, tree);
  }
  return out;
}

std::vector<ObjectPtr> ResourceMetrics::of_pods(const std::vector<ObjectPtr>& pods) const {
  std::map<std::string, std::vector<ObjectPtr>> by_node;
  for (const auto& p : pods) {
    if (std::string node = node_of(*p); !node.empty()) by_node[node].push_back(p);
  }
  std::vector<std::string> names;
  for (const auto& [node, list] : by_node) {
    if (heard_of(registry_.cache("", "nodes")->get("", node))) names.push_back(node);
  }
  const auto usage = figures_.get(names);
  std::map<const api::Object*, Json> made;
  for (const auto& [node, list] : by_node) {
    const auto found = usage.find(node);
    if (found == usage.end()) continue;
    for (const auto& p : list) {
      const ContainerKey first{std::string(p->ns()), std::string(p->name()), std::string()};
      Json tree;
      for (auto it = found->second.containers.lower_bound(first); it != found->second.containers.end();
           ++it) {
        const auto& [ns, pod, container] = it->first;
        if (ns != p->ns() || pod != p->name()) break;
        if (tree.is_null()) tree = metrics_object("PodMetrics", *p, it->second);
        tree["containers"].push_back({{"name", container}, {"usage", usage_json(it->second)}});
      }
      if (!tree.is_null()) made[p.get()] = std::move(tree);
    }
  }
  std::vector<ObjectPtr> out;
  for (const auto& p : pods) {
    if (const auto it = made.find(p.get()); it != made.end()) add(out, it->second);
  }
  return out;
}

std::vector<ObjectPtr> ResourceMetrics::list(const api::Resource& row, const Filter& filter) const {
  const Page page = registry_.cache("", row.plural)->list(filter);
  return row.namespaced ? of_pods(page.items) : of_nodes(page.items);
}

Result<ObjectPtr> ResourceMetrics::get(const api::Resource& row, std::string_view ns,
                                       std::string_view name) const {
  const api::ResourcePtr about = registry_.table().find("", "v1", row.plural);
  auto object = registry_.get(*about, ns, name);
  if (!object.ok()) return object.error();
  const auto made = row.namespaced ? of_pods({*object}) : of_nodes({*object});
  if (!made.empty()) return made[0];
  const std::string id = row.namespaced ? base::cat(ns, "/", name) : std::string(name);
  base::StatusDetails details;
  details.name = id;
  details.group = kMetricsGroup;
  details.kind = row.namespaced ? "podmetrics" : "nodemetrics";
  return Status(Code::kNotFound, base::cat(details.kind, ".", kMetricsGroup, " \"", id, "\" not found"),
                details);
}

}  // namespace orch::server
