#include "server/controllers/namespace.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/controllers/pods.h"

namespace orch::server {

using base::Result;

namespace {

constexpr std::chrono::milliseconds kSoonest{200};
constexpr std::chrono::seconds kLatest{15};
constexpr const char* kName = "kube-root-ca.crt";

/// What is left of a namespace.
struct Leftovers {
  std::map<std::string, size_t> objects;     // by "plural.group"
  std::map<std::string, size_t> finalizers;  // objects under deletion that wait for each
  std::set<std::string> failures;            // why content could not be deleted
};

/// Deletes what there is of one kind and counts what stays.
base::Status empty_kind(client::Client& client, const client::ResourceRef& kind, const std::string& ns,
                        Leftovers& left) {
  auto list = client.list(kind, {ns, "", ""});
  if (!list.ok()) return list.error();
  if (list->items.empty()) return {};
  base::Status failure;
  for (const auto& object : list->items) {
    if (object->deleting()) continue;
    client::DeleteOptions options;
    options.propagation = "Background";
    options.uid = object->uid();
    base::Status s = client.remove(kind, ns, object->name(), options);
    if (!s.ok() && s.code() != base::Code::kNotFound && s.code() != base::Code::kConflict) failure = s;
  }
  auto rest = client.list(kind, {ns, "", ""});
  if (!rest.ok()) return rest.error();
  if (!rest->items.empty()) left.objects[base::cat(kind.plural, ".", kind.group)] = rest->items.size();
  for (const auto& object : rest->items) {
    if (!api::mentions(object->bytes(), "\"finalizers\"")) continue;
    const Json tree = object->tree();
    for (const auto& f : base::array_at(tree, {"metadata", "finalizers"}))
      ++left.finalizers[f.get<std::string>()];
  }
  return failure;
}

/// "a has 1 resource instances, b has 2 resource instances".
std::string list_counts(const std::map<std::string, size_t>& counts, std::string_view verb) {
  std::string out;
  for (const auto& [what, n] : counts)
    out += base::cat(out.empty() ? "" : ", ", what, " ", verb, " ", n, " resource instances");
  return out;
}

void set_conditions(Json& tree, const Leftovers& left, base::WallTime now) {
  auto set = [&](const char* type, const char* good_reason, const char* good_message, const char* bad_reason,
                 const std::string& bad_message) {
    const bool bad = !bad_message.empty();
    api::set_condition(tree,
                       {type, bad ? "True" : "False", bad ? bad_reason : good_reason,
                        bad ? std::string_view(bad_message) : std::string_view(good_message)},
                       now);
  };
  set("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered", "",
      "");
  set("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions",
      "All legacy kube types successfully parsed", "", "");
  std::string failures, objects, finalizers;
  for (const auto& f : left.failures) failures += (failures.empty() ? "" : ", ") + f;
  if (!failures.empty())
    failures =
        "Failed to delete all resource types, " + base::cat(left.failures.size(), " remaining: ", failures);
  if (!left.objects.empty()) objects = "Some resources are remaining: " + list_counts(left.objects, "has");
  if (!left.finalizers.empty()) {
    finalizers =
        "Some content in the namespace has finalizers remaining: " + list_counts(left.finalizers, "in");
  }
  set("NamespaceDeletionContentFailure", "ContentDeleted",
      "All content successfully deleted, may be waiting on finalization", "ContentDeletionFailed", failures);
  set("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed",
      "SomeResourcesRemain", objects);
  set("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished",
      "SomeFinalizersRemain", finalizers);
}

/// When to look again: soon at first, less and less often when somebody else's finalizers hold things up.
base::Duration look_again(const Json& ns, base::WallTime now) {
  auto since = base::parse_time(base::string_at(ns, {"metadata", "deletionTimestamp"}));
  const base::Duration age = since.ok() ? base::Duration(now - *since) : base::Duration(0);
  return std::clamp<base::Duration>(age / 4, kSoonest, kLatest);
}

Result<Plan> empty_namespace(client::Client& client, const View& view,
                             const std::vector<client::ResourceRef>& kinds, const Key& key,
                             base::WallTime now) {
  Plan plan;
  api::ObjectPtr object = view.get(kNamespaces, "", key.name);
  if (object == nullptr || !object->deleting()) return plan;
  const Json before = object->tree();
  if (base::array_at(before, {"spec", "finalizers"}).empty()) return plan;
  Leftovers left;
  for (const auto& kind : kinds) {
    const base::Status s = empty_kind(client, kind, key.name, left);
    if (!s.ok()) left.failures.insert(s.message());
    // Nothing that running pods may still use is taken from under them (KEP-5080).
    if (kind == kPods && (!s.ok() || !left.objects.empty())) break;
  }
  if (left.objects.empty() && left.failures.empty()) {
    Json done = before;
    Json& finalizers = done["spec"]["finalizers"];
    finalizers.erase(std::remove(finalizers.begin(), finalizers.end(), "kubernetes"), finalizers.end());
    if (done != before) plan.update(kNamespaces, std::move(done), "finalize");
    return plan;
  }
  Json next = before;
  set_conditions(next, left, now);
  if (next != before) plan.update(kNamespaces, std::move(next), "status");
  return plan.again_after(look_again(before, now));
}

/// Wakes every namespace's key on changes of the namespace and of the named object in it.
Keys namespace_key(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  const api::Object& o = after ? *after : *before;
  return {Key{"", std::string(o.ns().empty() ? o.name() : o.ns())}};
}

bool wants_content(const View& view, const Key& key) {
  api::ObjectPtr ns = view.get(kNamespaces, "", key.name);
  return ns != nullptr && !ns->deleting();
}

}  // namespace

Controller make_namespace_controller(KindList namespaced) {
  Controller c;
  c.name = "namespace-controller";
  c.queue = "namespace";
  // The last pod to go makes way for the rest.
  auto pod_keys = [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) -> Keys {
    if (after != nullptr) return {};
    const api::ObjectPtr ns = view.get(kNamespaces, "", before->ns());
    if (ns == nullptr || !ns->deleting()) return {};
    return {Key{"", std::string(before->ns())}};
  };
  c.sources = {{kNamespaces, own_key, {}}, {kPods, pod_keys, {}}};
  c.observe_and_plan = [namespaced = std::move(namespaced)](client::Client& client, const View& view,
                                                            const Key& key, base::WallTime now) {
    std::vector<client::ResourceRef> kinds = namespaced();
    std::stable_partition(kinds.begin(), kinds.end(), [](const auto& r) { return r == kPods; });
    return empty_namespace(client, view, kinds, key, now);
  };
  return c;
}

Controller make_service_account_controller() {
  Controller c;
  c.name = "service-account-controller";
  c.queue = "serviceaccount";
  c.sources = {{kNamespaces, namespace_key, {}},
               {kServiceAccounts,
                [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
                  if (after != nullptr || before->name() != "default") return Keys();
                  return namespace_key(before, after, view);
                },
                {}}};
  c.plan = [](const View& view, const Key& key, base::WallTime) {
    Plan plan;
    if (!wants_content(view, key) || view.get(kServiceAccounts, key.name, "default") != nullptr) return plan;
    plan.create(kServiceAccounts, key.name,
                {{"kind", "ServiceAccount"},
                 {"apiVersion", "v1"},
                 {"metadata", {{"name", "default"}, {"namespace", key.name}}}});
    return plan;
  };
  return c;
}

Controller make_root_ca_controller(std::string root_ca_pem) {
  Controller c;
  c.name = "root-ca-certificate-publisher";
  c.queue = "root_ca_cert_publisher";
  c.sources = {{kNamespaces, namespace_key, {}},
               {kConfigMaps,
                [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
                  const api::Object& o = after ? *after : *before;
                  return o.name() == kName ? namespace_key(before, after, view) : Keys();
                },
                {}}};
  c.plan = [pem = std::move(root_ca_pem)](const View& view, const Key& key, base::WallTime) {
    Plan plan;
    if (!wants_content(view, key)) return plan;
    const Json data = {{"ca.crt", pem}};
    api::ObjectPtr have = view.get(kConfigMaps, key.name, kName);
    if (have == nullptr) {
      plan.create(kConfigMaps, key.name,
                  {{"kind", "ConfigMap"},
                   {"apiVersion", "v1"},
                   {"metadata",
                    {{"name", kName},
                     {"namespace", key.name},
                     {"annotations",
                      {{"kubernetes.io/description",
                        "Holds the certificate authority that clients in the cluster verify the API server "
                        "with."}}}}},
                   {"data", data}});
      return plan;
    }
    Json next = have->tree();
    if (next.value("data", Json()) == data) return plan;
    next["data"] = data;
    plan.update(kConfigMaps, std::move(next));
    return plan;
  };
  return c;
}

}  // namespace orch::server
