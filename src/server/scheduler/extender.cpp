#include "server/scheduler/extender.h"

#include <algorithm>
#include <set>

#include "base/json.h"

namespace orch::server::scheduler {

namespace {

using base::Code;
using base::Status;

class HttpExtender final : public Extender {
 public:
  HttpExtender(ExtenderConfig config, ExtenderPost post)
      : config_(std::move(config)), post_(std::move(post)) {}

  std::string_view name() const override { return config_.url; }
  bool ignorable() const override { return config_.ignorable; }
  bool filters() const override { return !config_.filter_verb.empty(); }
  bool prioritizes() const override { return !config_.prioritize_verb.empty(); }
  bool binds() const override { return !config_.bind_verb.empty(); }
  bool preempts() const override { return !config_.preempt_verb.empty(); }

  bool interested(const PodInfo& pod) const override {
    const auto& managed = config_.managed_resources;
    if (managed.empty()) return true;
    const Json tree = pod.object->tree();
    for (const char* list : {"containers", "initContainers"}) {
      for (const auto& c : base::array_at(tree, {"spec", list})) {
        for (const char* amounts : {"requests", "limits"}) {
          const Json& of = base::object_at(c, {"resources", amounts});
          if (std::any_of(managed.begin(), managed.end(),
                          [&](const auto& name) { return of.contains(name); }))
            return true;
        }
      }
    }
    return false;
  }

  Status filter(const PodInfo& pod, Snapshot& nodes, std::vector<Refused>& refused) override {
    auto answer = ask(config_.filter_verb, arguments(pod, nodes));
    if (!answer.ok()) return answer.error();
    if (const auto error = base::string_at(*answer, {"error"}); !error.empty())
      return {Code::kInternal, std::string(error)};
    for (const auto& [node, why] : base::object_at(*answer, {"failedAndUnresolvableNodes"}).items())
      refused.push_back({node, why.is_string() ? why.get<std::string>() : "", true});
    for (const auto& [node, why] : base::object_at(*answer, {"failedNodes"}).items())
      refused.push_back({node, why.is_string() ? why.get<std::string>() : "", false});
    return keep(*answer, nodes);
  }

  Status prioritize(const PodInfo& pod, const Snapshot& nodes, std::vector<int64_t>& scores) override {
    constexpr int64_t kScale = kMaxScore / 10;  // extenders give 0..10
    auto answer = ask(config_.prioritize_verb, arguments(pod, nodes));
    if (!answer.ok()) return answer.error();
    for (const auto& entry : *answer) {
      const std::string_view host = base::string_at(entry, {"host"});
      for (size_t i = 0; i < nodes.size(); ++i) {
        if (nodes[i]->name == host) scores[i] += base::int_at(entry, {"score"}) * config_.weight * kScale;
      }
    }
    return {};
  }

  Status bind(const PodInfo& pod, const std::string& node) override {
    auto answer = ask(config_.bind_verb,
                      {{"podName", pod.name}, {"podNamespace", pod.ns}, {"podUID", pod.uid}, {"node", node}});
    if (!answer.ok()) return answer.error();
    const auto error = base::string_at(*answer, {"error"});
    return error.empty() ? Status() : Status(Code::kInternal, std::string(error));
  }

  Status preempt(const PodInfo& pod, const Snapshot& nodes,
                 std::map<std::string, Victims>& victims) override {
    auto answer = ask(config_.preempt_verb, preemption_arguments(pod, victims));
    if (!answer.ok()) return answer.error();
    std::map<std::string, Victims> out;
    for (const auto& [name, of_node] : base::object_at(*answer, {"nodeNameToMetaVictims"}).items()) {
      const NodeInfo* node = find_node(nodes, name);
      if (node == nullptr)
        return {Code::kInternal, base::cat("nodeinfo not found for node name \"", name, "\"")};
      Victims v;
      v.violations = base::int_at(of_node, {"numPDBViolations"});
      for (const auto& p : base::array_at(of_node, {"pods"})) {
        const std::string uid(base::string_at(p, {"uid"}));
        auto it = node->pods.find(uid);
        if (it == node->pods.end()) {
          return {Code::kInternal, base::cat("extender: ", config_.url, " claims to preempt pod (UID: ", uid,
                                             ") on node: ", name, ", but the pod is not found on that node")};
        }
        v.pods.push_back(it->second);
      }
      out[name] = std::move(v);
    }
    victims = std::move(out);
    return {};
  }

 private:
  Json arguments(const PodInfo& pod, const Snapshot& nodes) const {
    Json args = {{"pod", pod.object->tree()}};
    if (config_.node_cache_capable) {
      Json& names = args["nodenames"] = Json::array();
      for (const NodeInfo* node : nodes) names.push_back(node->name);
      return args;
    }
    Json items = Json::array();
    for (const NodeInfo* node : nodes) items.push_back(node->object->tree());
    args["nodes"] = {{"metadata", Json::object()}, {"items", std::move(items)}};
    return args;
  }

  Json preemption_arguments(const PodInfo& pod, const std::map<std::string, Victims>& victims) const {
    Json of_nodes = Json::object();
    for (const auto& [node, v] : victims) {
      Json pods = Json::array();
      for (const PodPtr& p : v.pods) {
        if (config_.node_cache_capable) {
          pods.push_back({{"uid", p->uid}});
        } else {
          pods.push_back(p->object->tree());
        }
      }
      of_nodes[node] = {{"pods", std::move(pods)}, {"numPDBViolations", v.violations}};
    }
    const char* key = config_.node_cache_capable ? "nodeNameToMetaVictims" : "nodeNameToVictims";
    return {{"pod", pod.object->tree()}, {key, std::move(of_nodes)}};
  }

  /// Leaves the nodes that the answer lists.
  Status keep(const Json& answer, Snapshot& nodes) const {
    Snapshot out;
    auto add = [&](std::string_view name) {
      auto it = std::find_if(nodes.begin(), nodes.end(), [&](const NodeInfo* n) { return n->name == name; });
      if (it != nodes.end()) out.push_back(*it);
      return it != nodes.end();
    };
    const Json* names = base::find_path(answer, {"nodenames"});
    if (config_.node_cache_capable && names != nullptr && names->is_array()) {
      for (const auto& name : *names) {
        if (name.is_string() && add(name.get_ref<const std::string&>())) continue;
        return {Code::kInternal, base::cat("extender \"", config_.url, "\" claims a filtered node \"",
                                           name.is_string() ? name.get<std::string>() : "",
                                           "\" which is not found in the input node list")};
      }
    } else {
      for (const auto& node : base::array_at(answer, {"nodes", "items"}))
        add(base::string_at(node, {"metadata", "name"}));
    }
    nodes = std::move(out);
    return {};
  }

  base::Result<Json> ask(const std::string& verb, const Json& arguments) const {
    auto body = post_(config_, verb, base::dump_json(arguments));
    if (!body.ok()) return body.error();
    return base::parse_json(*body);
  }

  const ExtenderConfig config_;
  const ExtenderPost post_;
};

}  // namespace

std::unique_ptr<Extender> make_extender(ExtenderConfig config, ExtenderPost post) {
  return std::make_unique<HttpExtender>(std::move(config), std::move(post));
}

}  // namespace orch::server::scheduler
