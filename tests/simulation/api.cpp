#include "tests/simulation/api.h"

#include <cstdio>
#include <stdexcept>

#include "api/schema/schema.h"
#include "base/json.h"
#include "server/admission/plugins.h"
#include "server/admission/resource_quota.h"
#include "server/registry/local_client.h"

namespace orch::simulation {

namespace {

/// Built once: worlds only read them.
const api::Schema& shared_schema() {
  static const auto schema = api::Schema::builtin();
  return *schema;
}
api::ResourceTable& shared_table() {
  static const auto table = api::ResourceTable::builtin(shared_schema());
  return *table;
}

std::string uid_from(Random& random) {
  char text[40];
  const uint64_t a = random.next(), b = random.next();
  std::snprintf(text, sizeof text, "%08x-%04x-4%03x-a%03x-%012llx", static_cast<unsigned>(a >> 32U),
                static_cast<unsigned>(a >> 16U & 0xffffU), static_cast<unsigned>(a & 0xfffU),
                static_cast<unsigned>(b >> 52U), static_cast<unsigned long long>(b & 0xffffffffffffU));
  return text;
}

}  // namespace

Api::Api(const Clock& clock, Random& ids, Plant plant) {
  registry_ = std::make_unique<server::Registry>(store_, shared_schema(), shared_table(), admission_, clock);
  registry_->set_ids({[&ids] { return uid_from(ids); }, [&ids] { return ids.next(); }});
  lookup_ = std::make_unique<server::CacheLookup>(*registry_);
  if (plant != Plant::kOpenNamespaces) admission_.add(server::make_namespace_lifecycle(*lookup_));
  admission_.add(server::make_taint_nodes_by_condition());
  admission_.add(server::make_priority(*lookup_));
  admission_.add(server::make_default_toleration_seconds());
  admission_.add(server::make_storage_protection());
  if (plant != Plant::kIgnoreQuota) {
    const auto write_status = [this](const Json& quota) {
      return quotas_->update({"", "v1", "resourcequotas"}, base::string_at(quota, {"metadata", "namespace"}),
                             quota, "status");
    };
    admission_.add(server::make_resource_quota(*lookup_, write_status, clock));
  }
  if (const auto s = registry_->start(); !s.ok()) throw std::runtime_error(s.message());
  server::ApiServerOptions options;
  options.registry = registry_.get();
  options.schema = &shared_schema();
  options.metrics = &metrics_;
  server_ = std::make_unique<server::ApiServer>(std::move(options));
  quotas_ = client("apiserver");
}

Api::~Api() = default;

api::ResourceTable& Api::table() { return shared_table(); }

std::unique_ptr<client::Client> Api::client(const std::string& name) {
  server::UserInfo user;
  user.name = name;
  user.groups = {std::string(server::kGroupMasters), std::string(server::kGroupAuthenticated)};
  auto post = [this](const api::Resource& r, std::string_view ns, std::string_view object,
                     std::string_view subresource, const Json& body, const server::UserInfo& who) {
    server::WriteContext context;
    context.user = &who;
    return server_->post_subresource(r, ns, object, subresource, body, context);
  };
  return server::make_local_client(*registry_, std::move(user), std::move(post), name);
}

}  // namespace orch::simulation
