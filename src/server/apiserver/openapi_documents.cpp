// OpenAPI documents of what is served now, built when first asked for.
#include "api/schema/openapi.h"
#include "api/schema/schema.h"
#include "base/version.h"
#include "server/apiserver/documents.h"

namespace orch::server {

namespace {

std::vector<api::schema::OpenApiResource> describe(const api::Schema& schema,
                                                   const std::vector<api::ResourcePtr>& rows) {
  std::vector<api::schema::OpenApiResource> out;
  for (const auto& r : rows) {
    if (r->type == nullptr) continue;
    api::schema::OpenApiResource d;
    d.group = r->group;
    d.version = r->version;
    d.kind = r->kind;
    d.list_kind = r->list_kind;
    d.plural = r->plural;
    d.namespaced = r->namespaced;
    d.verbs = r->verbs;
    d.type = r->type;
    d.list_type = schema.kind(r->group, r->version, r->list_kind);
    for (const auto& s : r->subresources) {
      d.subresources.push_back(
          {s.name, s.group, s.version, s.kind, schema.kind(s.group, s.version, s.kind), s.verbs});
    }
    out.push_back(std::move(d));
  }
  return out;
}

}  // namespace

std::shared_ptr<const std::string> ApiServer::DocumentCache::openapi(std::string_view path) {
  std::lock_guard lock(mutex_);
  refresh();
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  if (auto it = built_.find(path); it != built_.end()) return it->second;
  const auto rows = table_.all();
  std::string text;
  if (path == "/openapi/v2") {
    text = api::schema::openapi_v2(schema_, describe(schema_, *rows), base::version());
  } else if (path == "/openapi/v3") {
    text = api::schema::openapi_v3_index(schema_, describe(schema_, *rows), base::version());
  } else {
    constexpr std::string_view kCore = "/openapi/v3/api/", kGroups = "/openapi/v3/apis/";
    if (path.substr(0, kCore.size()) == kCore) {
      text = api::schema::openapi_v3(schema_, describe(schema_, *rows), "", path.substr(kCore.size()),
                                     base::version());
    } else if (path.substr(0, kGroups.size()) == kGroups) {
      std::string_view rest = path.substr(kGroups.size());
      size_t slash = rest.find('/');
      if (slash == std::string_view::npos) return nullptr;
      text = api::schema::openapi_v3(schema_, describe(schema_, *rows), rest.substr(0, slash),
                                     rest.substr(slash + 1), base::version());
    }
  }
  if (text.empty()) return nullptr;
  auto shared = std::make_shared<const std::string>(std::move(text));
  built_[std::string(path)] = shared;
  return shared;
}

}  // namespace orch::server
