#include "server/auth/bootstrap_policy.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/log.h"
#include "embed/bootstrap_policy.h"
#include "server/auth/rbac_rule.h"

namespace orch::server {
namespace {

constexpr std::string_view kRbacGroup = "rbac.authorization.k8s.io";
constexpr const char* kAutoUpdate = "rbac.authorization.kubernetes.io/autoupdate";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  size_t from = 0;
  for (size_t at; (at = text.find(separator, from)) != std::string_view::npos; from = at + 1) {
    out.push_back(text.substr(from, at - from));
  }
  out.push_back(text.substr(from));
  return out;
}

Json list(std::string_view text) {
  Json out = Json::array();
  for (std::string_view v : split(text, ',')) out.push_back(std::string(v));
  return out;
}

Json groups(std::string_view text) {
  Json out = Json::array();
  for (std::string_view v : split(text, ',')) out.push_back(std::string(v == "-" ? "" : v));
  return out;
}

void add_labels(std::string_view text, Json& labels) {
  if (text == "-") return;
  for (std::string_view pair : split(text, ',')) {
    const size_t equals = pair.find('=');
    labels[std::string(pair.substr(0, equals))] = std::string(pair.substr(equals + 1));
  }
}

Json make_object(std::string_view kind, std::string_view ns, std::string_view name) {
  Json object = {{"apiVersion", base::cat(kRbacGroup, "/v1")},
                 {"kind", kind},
                 {"metadata",
                  {{"name", name},
                   {"labels", {{"kubernetes.io/bootstrapping", "rbac-defaults"}}},
                   {"annotations", {{kAutoUpdate, "true"}}}}}};
  if (ns != "-") object["metadata"]["namespace"] = ns;
  return object;
}

void add_record(const std::vector<std::string_view>& f, std::vector<Json>& objects) {
  const std::string_view type = f[0];
  if (type == "R" && f.size() == 4) {
    Json role = make_object(f[1] == "-" ? "ClusterRole" : "Role", f[1], f[2]);
    add_labels(f[3], role["metadata"]["labels"]);
    objects.push_back(std::move(role));
  } else if (type == "B" && f.size() == 5) {
    Json binding = make_object(f[1] == "-" ? "ClusterRoleBinding" : "RoleBinding", f[1], f[2]);
    binding["roleRef"] = {{"apiGroup", kRbacGroup}, {"kind", f[3]}, {"name", f[4]}};
    objects.push_back(std::move(binding));
  } else if (objects.empty()) {
    return;
  } else if (type == "A" && f.size() == 2) {
    Json labels = Json::object();
    add_labels(f[1], labels);
    objects.back()["aggregationRule"]["clusterRoleSelectors"].push_back({{"matchLabels", std::move(labels)}});
  } else if (type == "P" && f.size() == 5) {
    Json rule = {{"verbs", list(f[1])}, {"apiGroups", groups(f[2])}, {"resources", list(f[3])}};
    if (f[4] != "-") rule["resourceNames"] = list(f[4]);
    objects.back()["rules"].push_back(std::move(rule));
  } else if (type == "U" && f.size() == 3) {
    objects.back()["rules"].push_back({{"verbs", list(f[1])}, {"nonResourceURLs", list(f[2])}});
  } else if (type == "S" && f.size() == 4) {
    Json subject = {{"kind", f[1]}, {"name", f[3]}};
    if (f[1] != "ServiceAccount") subject["apiGroup"] = kRbacGroup;
    if (f[2] != "-") subject["namespace"] = f[2];
    objects.back()["subjects"].push_back(std::move(subject));
  }
}

/// Adds what `expected` has at `key` of metadata and `tree` does not; true when that changed anything.
bool merge_metadata(Json& tree, const Json& expected, const char* key) {
  bool changed = false;
  for (const auto& [name, value] : base::object_at(expected, {"metadata", key}).items()) {
    Json& map = tree["metadata"][key];
    if (map.is_object() && map.contains(name)) continue;  // what the administrator set stays
    map[name] = value;
    changed = true;
  }
  return changed;
}

/// Appends what `expected` lists and `tree` does not.
bool merge_list(Json& tree, const Json& expected, std::initializer_list<std::string_view> path) {
  bool changed = false;
  for (const Json& item : base::array_at(expected, path)) {
    const Json& have = base::array_at(tree, path);
    if (std::find(have.begin(), have.end(), item) != have.end()) continue;
    Json* at = &tree;
    for (std::string_view step : path) at = &(*at)[std::string(step)];
    at->push_back(item);
    changed = true;
  }
  return changed;
}

bool merge_rules(Json& tree, const Json& expected) {
  const std::vector<PolicyRule> missing = uncovered_rules(rules_of(tree), rules_of(expected));
  if (missing.empty()) return false;
  Json& rules = tree["rules"];
  if (!rules.is_array()) rules = Json::array();
  for (const PolicyRule& rule : missing) rules.push_back(rule_to_json(rule));
  return true;
}

struct KindOfPolicy {
  std::string_view kind, plural;
};
constexpr std::array<KindOfPolicy, 4> kKinds = {{{"ClusterRole", "clusterroles"},
                                                 {"ClusterRoleBinding", "clusterrolebindings"},
                                                 {"Role", "roles"},
                                                 {"RoleBinding", "rolebindings"}}};

base::Status reconcile_one(client::Client& client, const Json& expected) {
  client::ResourceRef ref{std::string(kRbacGroup), "v1", {}};
  for (const KindOfPolicy& k : kKinds) {
    if (k.kind == base::string_at(expected, {"kind"})) ref.plural = k.plural;
  }
  const std::string_view ns = base::string_at(expected, {"metadata", "namespace"});
  const std::string_view name = base::string_at(expected, {"metadata", "name"});
  base::Result<api::ObjectPtr> got = client.get(ref, ns, name);
  if (!got.ok() && got.error().code() != base::Code::kNotFound) return got.error();
  Json existing;
  if (got.ok()) existing = (*got)->tree();
  const PolicyChange change = reconcile_policy_object(got.ok() ? &existing : nullptr, expected);
  switch (change.action) {
    case PolicyChange::Action::kNone:
      return {};
    case PolicyChange::Action::kUpdate:
      return client.update(ref, ns, *change.tree).status();
    case PolicyChange::Action::kRecreate: {
      client::DeleteOptions options;
      options.uid = (*got)->uid();
      ORCH_RETURN_IF_ERROR(client.remove(ref, ns, name, options));
      break;
    }
    case PolicyChange::Action::kCreate:
      break;
  }
  return client.create(ref, ns, *change.tree).status();
}

}  // namespace

std::vector<Json> parse_policy(std::string_view text) {
  std::vector<Json> objects;
  for (std::string_view line : split(text, '\n')) {
    if (!line.empty() && !line.starts_with('#')) add_record(split(line, '\t'), objects);
  }
  return objects;
}

std::vector<Json> bootstrap_policy() {
  // A node of Orch proxies services and answers DNS under its own name, where Kubernetes has pods for that.
  constexpr std::string_view kNodes =
      "B\t-\torch:node-proxier\tClusterRole\tsystem:node-proxier\nS\tGroup\t-\tsystem:nodes\n";
  std::vector<Json> objects = parse_policy(embedded::bootstrap_policy());
  for (Json& object : parse_policy(kNodes)) objects.push_back(std::move(object));
  return objects;
}

PolicyChange reconcile_policy_object(const Json* existing, const Json& expected) {
  PolicyChange change;
  if (existing == nullptr) {
    change.action = PolicyChange::Action::kCreate;
    change.tree = std::make_unique<Json>(expected);
    return change;
  }
  if (base::string_at(*existing, {"metadata", "annotations", kAutoUpdate}) == "false") return change;
  if (expected.contains("roleRef") &&
      (!existing->contains("roleRef") || (*existing)["roleRef"] != expected["roleRef"])) {
    change.action = PolicyChange::Action::kRecreate;
    change.tree = std::make_unique<Json>(expected);
    return change;
  }
  Json tree = *existing;
  bool changed = merge_metadata(tree, expected, "annotations");
  changed |= merge_metadata(tree, expected, "labels");
  changed |= merge_list(tree, expected, {"subjects"});
  changed |= merge_rules(tree, expected);
  if (tree.contains("aggregationRule") && !expected.contains("aggregationRule")) {
    tree.erase("aggregationRule");
    changed = true;
  }
  changed |= merge_list(tree, expected, {"aggregationRule", "clusterRoleSelectors"});
  if (changed) {
    change.action = PolicyChange::Action::kUpdate;
    change.tree = std::make_unique<Json>(std::move(tree));
  }
  return change;
}

base::Status reconcile_bootstrap_policy(client::Client& client) {
  base::Status first;
  for (const Json& expected : bootstrap_policy()) {
    base::Status status = reconcile_one(client, expected);
    // Somebody else wrote it in between: one more look settles it.
    if (status.code() == base::Code::kConflict || status.code() == base::Code::kAlreadyExists) {
      status = reconcile_one(client, expected);
    }
    if (status.ok()) continue;
    base::log_warning("rbac", "default policy object not written",
                      {{"kind", std::string(base::string_at(expected, {"kind"}))},
                       {"name", std::string(base::string_at(expected, {"metadata", "name"}))},
                       {"error", status.message()}});
    if (first.ok()) first = std::move(status);
  }
  return first;
}

}  // namespace orch::server
