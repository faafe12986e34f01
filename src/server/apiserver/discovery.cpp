// Discovery documents (APIVersions, APIGroupList, APIGroup, APIResourceList, APIGroupDiscoveryList).
#include <algorithm>

#include "api/resources/custom_resource.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/apiserver/documents.h"

namespace orch::server {

namespace {

using Rows = std::vector<api::ResourcePtr>;

struct GroupVersions {
  std::string group;
  std::vector<std::string> versions;  // preferred first
};

bool is_served(const api::Resource& r, std::string_view group, std::string_view version) {
  return r.served && r.group == group && r.version == version;
}

/// What clients may do; while a definition is on its way out, its objects only go.
std::vector<std::string> verbs_of(const api::Resource& r) {
  if (!r.custom || !r.custom->terminating) return r.verbs;
  return {"delete", "deletecollection", "get", "list", "watch"};
}

/// Of a custom resource: the first eight bytes of the SHA-256 of what it is stored as.
std::string storage_hash(const Rows& rows, const api::Resource& r) {
  if (!r.custom) return r.storage_hash;
  for (const auto& row : rows) {
    if (row->group != r.group || row->plural != r.plural || !row->storage_version) continue;
    const std::string hex = pki::sha256_hex(base::cat(row->group, "/", row->version, "/", row->kind));
    std::string bytes;
    constexpr size_t kDigits = 16;
    for (size_t i = 0; i < kDigits; i += 2)
      bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return pki::base64_encode(bytes);
  }
  return {};
}

/// Groups in the order clients list them: the built-in ones by their priority, then those of custom resources
/// by name. Core is none of them.
std::vector<GroupVersions> groups_of(const api::ResourceTable& table, const Rows& rows) {
  std::vector<GroupVersions> out;
  const auto group_of = [&out](const std::string& name) {
    auto it = std::find_if(out.begin(), out.end(), [&](const auto& g) { return g.group == name; });
    return it != out.end() ? it : out.insert(out.end(), {name, {}});
  };
  for (const auto& known : table.group_versions()) {
    const bool served = std::any_of(rows.begin(), rows.end(), [&](const auto& r) {
      return is_served(*r, known.group, known.version);
    });
    if (served && !known.group.empty()) group_of(known.group)->versions.push_back(known.version);
  }
  const auto builtin = static_cast<std::ptrdiff_t>(out.size());
  for (const auto& r : rows) {
    if (r->group.empty() || !r->served) continue;
    auto& versions = group_of(r->group)->versions;
    if (std::find(versions.begin(), versions.end(), r->version) == versions.end())
      versions.push_back(r->version);
  }
  std::sort(out.begin() + builtin, out.end(), [](const auto& a, const auto& b) { return a.group < b.group; });
  for (auto g = out.begin() + builtin; g != out.end(); ++g) {
    std::stable_sort(g->versions.begin(), g->versions.end(),
                     [](const auto& a, const auto& b) { return api::version_before(a, b); });
  }
  return out;
}

Json group_json(const GroupVersions& g) {
  Json versions = Json::array();
  for (const auto& v : g.versions) versions.push_back({{"groupVersion", g.group + "/" + v}, {"version", v}});
  return {{"name", g.group}, {"versions", versions}, {"preferredVersion", versions[0]}};
}

Json resource_json(const Rows& rows, const api::Resource& r) {
  Json j = {{"name", r.plural},
            {"singularName", r.singular},
            {"namespaced", r.namespaced},
            {"kind", r.kind},
            {"verbs", verbs_of(r)}};
  if (!r.short_names.empty()) j["shortNames"] = r.short_names;
  if (!r.categories.empty()) j["categories"] = r.categories;
  if (std::string hash = storage_hash(rows, r); !hash.empty()) j["storageVersionHash"] = std::move(hash);
  return j;
}

Json subresource_json(const api::Resource& r, const api::Subresource& s) {
  Json j = {{"name", r.plural + "/" + s.name},
            {"singularName", ""},
            {"namespaced", r.namespaced},
            {"kind", s.kind},
            {"verbs", s.verbs}};
  if (s.group != r.group || s.version != r.version) {
    if (!s.group.empty()) j["group"] = s.group;
    j["version"] = s.version;
  }
  return j;
}

Json resource_list(const Rows& rows, const std::string& group, const std::string& version) {
  Json list = Json::array();
  for (const auto& r : rows) {
    if (!is_served(*r, group, version)) continue;
    list.push_back(resource_json(rows, *r));
    for (const auto& s : r->subresources) list.push_back(subresource_json(*r, s));
  }
  if (list.empty()) return nullptr;
  std::sort(list.begin(), list.end(), [](const Json& a, const Json& b) { return a["name"] < b["name"]; });
  return {{"kind", "APIResourceList"},
          {"apiVersion", "v1"},
          {"groupVersion", api::make_api_version(group, version)},
          {"resources", list}};
}

/// Group and version are only said where they are not the resource's own.
Json kind_json(const api::Resource& r, const std::string& group, const std::string& version,
               const std::string& kind) {
  const bool own = group == r.group && version == r.version;
  return {{"group", own ? "" : group}, {"version", own ? "" : version}, {"kind", kind}};
}

Json version_discovery(const Rows& rows, const std::string& group, const std::string& version) {
  Json resources = Json::array();
  for (const auto& r : rows) {
    if (!is_served(*r, group, version)) continue;
    Json j = {{"resource", r->plural},
              {"responseKind", kind_json(*r, r->group, r->version, r->kind)},
              {"scope", r->namespaced ? "Namespaced" : "Cluster"},
              {"singularResource", r->singular},
              {"verbs", verbs_of(*r)}};
    if (!r->short_names.empty()) j["shortNames"] = r->short_names;
    if (!r->categories.empty()) j["categories"] = r->categories;
    for (const auto& s : r->subresources) {
      j["subresources"].push_back({{"subresource", s.name},
                                   {"responseKind", kind_json(*r, s.group, s.version, s.kind)},
                                   {"verbs", s.verbs}});
    }
    resources.push_back(std::move(j));
  }
  return {{"version", version}, {"resources", resources}, {"freshness", "Current"}};
}

Json server_address(const std::string& address) {
  return Json::array({{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", address}}});
}

}  // namespace

void ApiServer::DocumentCache::refresh() {
  if (generation_ == table_.generation()) return;
  generation_ = table_.generation();
  built_.clear();
}

bool serves_group(const api::ResourceTable& table, std::string_view group) {
  const auto rows = table.all();
  return std::any_of(rows->begin(), rows->end(), [&](const auto& r) { return r->served && r->group == group; });
}

DocumentPtr ApiServer::DocumentCache::keep(const std::string& key, std::string bytes) {
  auto document = std::make_shared<Document>();
  document->tag = base::cat("\"", pki::sha256_hex(bytes), "\"");
  document->bytes = std::move(bytes);
  built_[key] = document;
  return document;
}

http::Response document_response(const http::Request& request, const DocumentPtr& document) {
  http::Response r;
  r.headers.emplace_back("Vary", "Accept");
  r.headers.emplace_back("Etag", document->tag);
  if (request.header("If-None-Match") == document->tag) {
    r.status = 304;
    return r;
  }
  r.headers.emplace_back("Cache-Control", "public");
  r.pieces.push_back({document->bytes, document});
  return r;
}

std::string ApiServer::DocumentCache::discovery(std::string_view path, const std::string& advertise_address) {
  auto rows = table_.all();
  Json document;
  if (path == "/api") {
    document = {{"kind", "APIVersions"},
                {"versions", {"v1"}},
                {"serverAddressByClientCIDRs", server_address(advertise_address)}};
  } else if (path == "/apis") {
    Json groups = Json::array();
    for (const auto& g : groups_of(table_, *rows)) groups.push_back(group_json(g));
    document = {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", groups}};
  } else if (path.substr(0, 5) == "/api/") {
    document = resource_list(*rows, "", std::string(path.substr(5)));
  } else if (path.substr(0, 6) == "/apis/") {
    std::string rest(path.substr(6));
    size_t slash = rest.find('/');
    if (slash != std::string::npos) {
      document = resource_list(*rows, rest.substr(0, slash), rest.substr(slash + 1));
    } else {
      for (const auto& g : groups_of(table_, *rows)) {
        if (g.group != rest) continue;
        document = group_json(g);
        document["kind"] = "APIGroup";
        document["apiVersion"] = "v1";
      }
    }
  }
  return document.is_null() ? std::string() : base::dump_json(document);
}

DocumentPtr ApiServer::DocumentCache::aggregated(std::string_view path, std::string_view version) {
  std::lock_guard lock(mutex_);
  refresh();
  std::string key = base::cat("aggregated ", path, " ", version);
  if (auto it = built_.find(key); it != built_.end()) return it->second;
  auto rows = table_.all();
  Json items = Json::array();
  auto add = [&](const std::string& group, const std::vector<std::string>& versions) {
    Json list = Json::array();
    for (const auto& v : versions) list.push_back(version_discovery(*rows, group, v));
    Json meta = {{"creationTimestamp", nullptr}};
    if (!group.empty()) meta["name"] = group;
    items.push_back({{"metadata", meta}, {"versions", list}});
  };
  if (path == "/api") {
    add("", {"v1"});
  } else {
    for (const auto& g : groups_of(table_, *rows)) add(g.group, g.versions);
  }
  Json document = {{"kind", "APIGroupDiscoveryList"},
                   {"apiVersion", base::cat("apidiscovery.k8s.io/", version)},
                   {"metadata", Json::object()},
                   {"items", items}};
  return keep(key, base::dump_json(document));
}

}  // namespace orch::server
