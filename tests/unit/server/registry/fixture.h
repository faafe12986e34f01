// A registry over a real store in a folder on disk: built-in rows, no admission, a clock that stands still.
#pragma once

#include <stdlib.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/resources/resource.h"
#include "api/schema/schema.h"
#include "base/file.h"
#include "base/json.h"
#include "datastore/sqlite/sqlite_store.h"
#include "server/admission/admission.h"
#include "server/registry/registry.h"
#include "tests/catch.h"
#include "tests/unit/server/auth/fakes.h"

namespace orch::testing {

class RegistryFixture {
 public:
  RegistryFixture() {
    std::string name = "/var/tmp/orch-registry-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    open();
  }
  ~RegistryFixture() {
    registry_.reset();
    store_.reset();
    (void)base::remove_all(folder_);
  }
  RegistryFixture(const RegistryFixture&) = delete;
  RegistryFixture& operator=(const RegistryFixture&) = delete;

  void reopen() {
    registry_.reset();
    store_.reset();
    open();
  }

  server::Registry& registry() { return *registry_; }
  datastore::Store& store() { return *store_; }
  server::WriteContext context() {
    server::WriteContext c;
    c.user = &user_;
    return c;
  }
  server::WriteContext dry() {
    auto c = context();
    c.dry_run = true;
    return c;
  }

  /// "configmaps", "deployments.apps": the row objects are stored as.
  const api::Resource& row(std::string_view name) {
    size_t dot = name.find('.');
    auto r = table().storage(dot == std::string_view::npos ? "" : name.substr(dot + 1), name.substr(0, dot));
    REQUIRE(r != nullptr);
    return *r;
  }
  /// A row of any served version.
  const api::Resource& served(std::string_view group, std::string_view version, std::string_view plural) {
    auto r = table().find(group, version, plural);
    REQUIRE(r != nullptr);
    return *r;
  }
  server::WatchCache& cache(std::string_view name) { return *registry_->cache(row(name)); }

  base::Result<api::ObjectPtr> try_create(std::string_view resource, Json object, std::string ns = "ns") {
    const auto& r = row(resource);
    object["kind"] = r.kind;
    object["apiVersion"] = r.api_version();
    return registry_->create(r, r.namespaced ? ns : "", std::move(object), context());
  }
  Json create(std::string_view resource, Json object, std::string ns = "ns") {
    auto made = try_create(resource, std::move(object), std::move(ns));
    INFO(made.status().message());
    REQUIRE(made.ok());
    return (*made)->tree();
  }
  base::Result<api::ObjectPtr> try_update(std::string_view resource, const Json& object,
                                          std::string_view subresource = "") {
    return registry_->update(
        row(resource), base::string_at(object, {"metadata", "namespace"}),
        base::string_at(object, {"metadata", "name"}), subresource,
        [&](const Json&) -> base::Result<Json> { return object; }, context());
  }
  Json update(std::string_view resource, const Json& object, std::string_view subresource = "") {
    auto made = try_update(resource, object, subresource);
    INFO(made.status().message());
    REQUIRE(made.ok());
    return (*made)->tree();
  }
  base::Result<server::DeleteOutcome> remove(std::string_view resource, std::string_view name,
                                             const server::DeleteParams& params = {},
                                             std::string_view ns = "ns") {
    const auto& r = row(resource);
    return registry_->remove(r, r.namespaced ? ns : "", name, params, context());
  }
  /// Null when there is none.
  Json get(std::string_view resource, std::string_view name, std::string_view ns = "ns") {
    const auto& r = row(resource);
    auto got = registry_->get(r, r.namespaced ? ns : "", name);
    return got.ok() ? (*got)->tree() : Json();
  }
  /// What a restart would find.
  bool stored(std::string_view resource, std::string_view name, std::string_view ns = "ns") {
    const auto& r = row(resource);
    return !store_->range(r.key(r.namespaced ? ns : "", name), "", 0, 0).items.empty();
  }

  base::FakeClock clock;
  server::Registry::Hook services_hook;  // before reopen()

 private:
  static const api::Schema& schema() {
    static const auto made = api::Schema::builtin();
    return *made;
  }
  static api::ResourceTable& table() {
    static const auto made = api::ResourceTable::builtin(schema());
    return *made;
  }
  void open() {
    datastore::SqliteOptions options;
    options.path = folder_ + "/store.db";
    options.clock = &clock;
    options.volatile_prefixes = {"/registry/coordination.k8s.io/leases/kube-node-lease/"};
    auto opened = datastore::open_sqlite(options);
    INFO(opened.status().message());
    REQUIRE(opened.ok());
    store_ = std::move(*opened);
    registry_ = std::make_unique<server::Registry>(*store_, schema(), table(), admission_, clock);
    if (services_hook.allocate) registry_->add_hook("services", services_hook);
    auto started = registry_->start();
    INFO(started.message());
    REQUIRE(started.ok());
  }

  std::string folder_;
  server::UserInfo user_{"tester", {}, {}, {}};
  server::AdmissionChain admission_;
  std::unique_ptr<datastore::Store> store_;
  std::unique_ptr<server::Registry> registry_;
};

inline Json config_map(const std::string& name, Json data = {{"a", "1"}}, Json labels = nullptr) {
  Json j = {{"metadata", {{"name", name}}}, {"data", std::move(data)}};
  if (labels.is_object()) j["metadata"]["labels"] = std::move(labels);
  return j;
}

inline Json deployment(const std::string& name) {
  Json j = json(R"({"metadata":{},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"x"}},
      "template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})");
  j["metadata"]["name"] = name;
  return j;
}

inline Json pod(const std::string& name, const std::string& node = "") {
  Json j = json(R"({"metadata":{},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  j["metadata"]["name"] = name;
  if (!node.empty()) j["spec"]["nodeName"] = node;
  return j;
}

}  // namespace orch::testing
