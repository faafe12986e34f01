// OpenAPI documents of what is served now, built when first asked for.
#include <algorithm>

#include "api/resources/custom_openapi.h"
#include "api/schema/openapi.h"
#include "api/schema/schema.h"
#include "base/json.h"
#include "base/version.h"
#include "server/aggregator/remote_documents.h"
#include "server/apiserver/documents.h"

namespace orch::server {

namespace {

std::vector<api::schema::OpenApiResource> describe(const api::Schema& schema,
                                                   const std::vector<api::ResourcePtr>& rows) {
  std::vector<api::schema::OpenApiResource> out;
  for (const auto& r : rows) {
    if (!r->served || (r->type == nullptr && !r->custom)) continue;
    api::schema::OpenApiResource d;
    d.group = r->group;
    d.version = r->version;
    d.kind = r->kind;
    d.list_kind = r->list_kind;
    d.plural = r->plural;
    d.namespaced = r->namespaced;
    d.verbs = r->verbs;
    d.returns_deleted = !r->custom && r->strategy != nullptr && r->strategy->returns_deleted;
    d.type = r->type;
    if (r->custom) {
      d.model = api::custom_model(r->group, r->version, r->kind);
      d.list_model = api::custom_model(r->group, r->version, r->list_kind);
      d.schema = [r](bool v2) { return api::custom_definition(*r, v2); };
    } else {
      d.list_type = schema.kind(r->group, r->version, r->list_kind);
    }
    for (const auto& s : r->subresources) {
      d.subresources.push_back(
          {s.name, s.group, s.version, s.kind, schema.kind(s.group, s.version, s.kind), s.verbs});
    }
    out.push_back(std::move(d));
  }
  return out;
}

}  // namespace

std::string with_remote_openapi_v2(std::string document, const std::vector<RemoteVersion>& remotes) {
  Json tree;
  for (const auto& remote : remotes) {
    if (remote.openapi_v2 == nullptr) continue;
    if (tree.is_null()) {
      auto parsed = base::parse_json(document);
      if (!parsed.ok()) return document;
      tree = std::move(*parsed);
    }
    merge_openapi_v2(tree, *remote.openapi_v2);
  }
  return tree.is_null() ? document : base::dump_json(tree);
}

std::string with_remote_openapi_v3(std::string index, const std::vector<RemoteVersion>& remotes) {
  const bool any =
      std::any_of(remotes.begin(), remotes.end(), [](const auto& r) { return r.openapi_v3 != nullptr; });
  auto tree = any ? base::parse_json(index) : base::Result<Json>(Json());
  if (!any || !tree.ok()) return index;
  for (const auto& remote : remotes) {
    const std::string key = base::cat("apis/", remote.service.group, "/", remote.service.version);
    if (remote.openapi_v3 != nullptr) (*tree)["paths"][key] = *remote.openapi_v3;
  }
  return base::dump_json(*tree);
}

std::string ApiServer::DocumentCache::build_openapi(std::string_view path) {
  const auto described = describe(schema_, *table_.all());
  if (path == "/openapi/v2") {
    return with_remote_openapi_v2(api::schema::openapi_v2(schema_, described, base::version()),
                                  remote_versions());
  }
  if (path == "/openapi/v3") {
    return with_remote_openapi_v3(api::schema::openapi_v3_index(schema_, described, base::version()),
                                  remote_versions());
  }
  constexpr std::string_view kCore = "/openapi/v3/api/", kGroups = "/openapi/v3/apis/";
  if (path.substr(0, kCore.size()) == kCore) {
    return api::schema::openapi_v3(schema_, described, "", path.substr(kCore.size()), base::version());
  }
  if (path.substr(0, kGroups.size()) != kGroups) return {};
  const std::string_view rest = path.substr(kGroups.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return {};
  return api::schema::openapi_v3(schema_, described, rest.substr(0, slash), rest.substr(slash + 1),
                                 base::version());
}

DocumentPtr ApiServer::DocumentCache::openapi(std::string_view path, bool protobuf) {
  std::lock_guard lock(mutex_);
  refresh();
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::string key = base::cat(path, protobuf ? " protobuf" : "");
  if (auto it = built_.find(key); it != built_.end()) return it->second;
  std::string text = build_openapi(path);
  if (text.empty()) return nullptr;
  if (protobuf) {
    auto bytes = api::schema::openapi_v2_protobuf(text);
    if (!bytes.ok()) return nullptr;
    text = std::move(*bytes);
  }
  return keep(key, std::move(text));
}

}  // namespace orch::server
