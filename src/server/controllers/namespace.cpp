#include "server/controllers/namespace.h"

#include <algorithm>

#include "api/meta.h"
#include "base/json.h"
#include "server/controllers/pods.h"

namespace orch::server {

using base::Result;

namespace {

constexpr std::chrono::milliseconds kLookAgain{200};
constexpr const char* kName = "kube-root-ca.crt";

/// Deletes what is left of one kind; returns how many objects there still are.
Result<size_t> empty_kind(client::Client& client, const client::ResourceRef& kind, const std::string& ns,
                          std::string& finalizers) {
  auto list = client.list(kind, {ns, "", ""});
  if (!list.ok()) return list.error();
  for (const auto& object : list->items) {
    if (object->deleting()) {
      if (object->bytes().find("\"finalizers\"") != std::string_view::npos) {
        for (const auto& f : base::array_at(object->tree(), {"metadata", "finalizers"})) {
          finalizers += (finalizers.empty() ? "" : ", ") + f.get<std::string>() + " in 1 resource instances";
        }
      }
      continue;
    }
    client::DeleteOptions options;
    options.propagation = "Background";
    options.uid = object->uid();
    base::Status s = client.remove(kind, ns, object->name(), options);
    if (!s.ok() && s.code() != base::Code::kNotFound && s.code() != base::Code::kConflict) return s;
  }
  auto left = client.list(kind, {ns, "", ""});
  if (!left.ok()) return left.error();
  return left->items.size();
}

void set_conditions(Json& tree, const std::string& remaining, const std::string& finalizers,
                    base::WallTime now) {
  api::set_condition(tree,
                     {"NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
                      "All resources successfully discovered"},
                     now);
  api::set_condition(tree,
                     {"NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions",
                      "All legacy kube types successfully parsed"},
                     now);
  api::set_condition(tree,
                     {"NamespaceDeletionContentFailure", "False", "ContentDeleted",
                      "All content successfully deleted, may be waiting on finalization"},
                     now);
  if (remaining.empty()) {
    api::set_condition(
        tree, {"NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"},
        now);
  } else {
    api::set_condition(tree,
                       {"NamespaceContentRemaining", "True", "SomeResourcesRemain",
                        "Some resources are remaining: " + remaining},
                       now);
  }
  if (finalizers.empty()) {
    api::set_condition(tree,
                       {"NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers",
                        "All content-preserving finalizers finished"},
                       now);
  } else {
    api::set_condition(tree,
                       {"NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
                        "Some content in the namespace has finalizers remaining: " + finalizers},
                       now);
  }
}

Result<Plan> empty_namespace(client::Client& client, const View& view,
                             const std::vector<client::ResourceRef>& kinds, const Key& key,
                             base::WallTime now) {
  Plan plan;
  api::ObjectPtr object = view.get(kNamespaces, "", key.name);
  if (object == nullptr || !object->deleting()) return plan;
  Json tree = object->tree();
  if (base::array_at(tree, {"spec", "finalizers"}).empty()) return plan;
  std::string remaining, finalizers;
  for (const auto& kind : kinds) {
    auto left = empty_kind(client, kind, key.name, finalizers);
    if (!left.ok()) return left.error();
    if (*left == 0) continue;
    const std::string resource = kind.group.empty() ? kind.plural + "." : kind.plural + "." + kind.group;
    remaining += base::cat(remaining.empty() ? "" : ", ", resource, " has ", *left, " resource instances");
    // Nothing that running pods may still use is taken from under them (KEP-5080).
    if (kind == kPods) break;
  }
  const Json before = tree;
  set_conditions(tree, remaining, finalizers, now);
  if (!remaining.empty()) {
    if (tree != before) {
      plan.update(kNamespaces, tree, "status");
    }
    plan.again_after(kLookAgain);
    return plan;
  }
  Json done = before;
  done["spec"]["finalizers"] = Json::array();
  plan.update(kNamespaces, std::move(done), "finalize");
  return plan;
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

Controller make_namespace_controller(std::vector<client::ResourceRef> namespaced) {
  std::stable_partition(namespaced.begin(), namespaced.end(), [](const auto& r) { return r == kPods; });
  Controller c;
  c.name = "namespace-controller";
  c.sources = {{kNamespaces, own_key, {}}};
  c.observe_and_plan = [kinds = std::move(namespaced)](client::Client& client, const View& view,
                                                       const Key& key, base::WallTime now) {
    return empty_namespace(client, view, kinds, key, now);
  };
  return c;
}

Controller make_service_account_controller() {
  Controller c;
  c.name = "service-account-controller";
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
