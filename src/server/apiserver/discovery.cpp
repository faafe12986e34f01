// Discovery documents (APIVersions, APIGroupList, APIGroup, APIResourceList, APIGroupDiscoveryList).
#include <algorithm>

#include "api/resources/custom_resource.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/apiserver/documents.h"

namespace orch::server {

namespace {

using Rows = std::vector<api::ResourcePtr>;

/// A group version, and whose it is.
struct ServedVersion {
  ApiService order;                       // name and priorities
  const RemoteVersion* remote = nullptr;  // null: served here
};

struct GroupVersions {
  std::string group;
  std::vector<ServedVersion> versions;  // preferred first
};

/// Of groups that have no APIService or whose APIService is made by this server.
constexpr int kFirstGroup = 1 << 30, kCustomGroup = 1000, kCustomVersion = 100;

ApiService local_version(const std::string& group, const std::string& version, int group_priority,
                         int version_priority) {
  ApiService out;
  out.group = group;
  out.version = version;
  out.group_priority = group_priority;
  out.version_priority = version_priority;
  return out;
}

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

/// Groups in the order clients list them, by their priority and then by name. Core is none of them.
std::vector<GroupVersions> groups_of(const api::ResourceTable& table, const Rows& rows,
                                     const std::vector<RemoteVersion>& remotes) {
  std::vector<GroupVersions> out;
  const auto add = [&out](ServedVersion one) {
    auto group =
        std::find_if(out.begin(), out.end(), [&](const auto& g) { return g.group == one.order.group; });
    if (group == out.end()) group = out.insert(out.end(), {one.order.group, {}});
    auto& versions = group->versions;
    const bool known = std::any_of(versions.begin(), versions.end(),
                                   [&](const auto& v) { return v.order.version == one.order.version; });
    if (!known) versions.push_back(std::move(one));
  };
  // An APIService that leads elsewhere wins over what is served here.
  for (const auto& remote : remotes) add({remote.service, &remote});
  for (const auto& known : table.group_versions()) {
    const bool served = std::any_of(rows.begin(), rows.end(),
                                    [&](const auto& r) { return is_served(*r, known.group, known.version); });
    if (!served || known.group.empty()) continue;
    const int priority = known.group_priority == 0 ? kFirstGroup : known.group_priority;
    add({local_version(known.group, known.version, priority, known.version_priority), nullptr});
  }
  for (const auto& r : rows) {
    if (!r->group.empty() && r->served)
      add({local_version(r->group, r->version, kCustomGroup, kCustomVersion), nullptr});
  }
  // A group is where the greatest of its versions' priorities puts it.
  const auto priority = [](const GroupVersions& g) {
    int most = 0;
    for (const auto& v : g.versions) most = std::max(most, v.order.group_priority);
    return most;
  };
  std::stable_sort(out.begin(), out.end(), [&](const auto& a, const auto& b) {
    const int x = priority(a), y = priority(b);
    return x != y ? x > y : x <= kCustomGroup && a.group < b.group;
  });
  for (auto& group : out) {
    std::stable_sort(group.versions.begin(), group.versions.end(),
                     [](const auto& a, const auto& b) { return before_in_discovery(a.order, b.order); });
  }
  return out;
}

Json group_json(const GroupVersions& g) {
  Json versions = Json::array();
  for (const auto& v : g.versions) {
    const std::string& version = v.order.version;
    versions.push_back({{"groupVersion", g.group + "/" + version}, {"version", version}});
  }
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
  Json out = {{"kind", "APIResourceList"},
              {"groupVersion", api::make_api_version(group, version)},
              {"resources", list}};
  // The core group's list is older than the version of lists.
  if (!group.empty()) out["apiVersion"] = "v1";
  return out;
}

/// Group and version are only said where they are not the resource's own; of custom resources always.
Json kind_json(const api::Resource& r, const std::string& group, const std::string& version,
               const std::string& kind) {
  const bool own = group == r.group && version == r.version && !r.custom;
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
  const uint64_t remote = remote_generation();
  if (generation_ == table_.generation() && remote_generation_ == remote) return;
  generation_ = table_.generation();
  remote_generation_ = remote;
  built_.clear();
}

std::vector<RemoteVersion> ApiServer::DocumentCache::remote_versions() const {
  return aggregator_ != nullptr ? aggregator_->remote_versions() : std::vector<RemoteVersion>();
}

uint64_t ApiServer::DocumentCache::remote_generation() const {
  return aggregator_ != nullptr ? aggregator_->generation() : 0;
}

bool serves_group(const api::ResourceTable& table, std::string_view group) {
  const auto rows = table.all();
  return std::any_of(rows->begin(), rows->end(),
                     [&](const auto& r) { return r->served && r->group == group; });
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
  const auto remotes = remote_versions();
  Json document;
  if (path == "/api") {
    document = {{"kind", "APIVersions"},
                {"versions", {"v1"}},
                {"serverAddressByClientCIDRs", server_address(advertise_address)}};
  } else if (path == "/apis") {
    Json groups = Json::array();
    for (const auto& g : groups_of(table_, *rows, remotes)) groups.push_back(group_json(g));
    document = {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", groups}};
  } else if (path.substr(0, 5) == "/api/") {
    document = resource_list(*rows, "", std::string(path.substr(5)));
  } else if (path.substr(0, 6) == "/apis/") {
    std::string rest(path.substr(6));
    size_t slash = rest.find('/');
    if (slash != std::string::npos) {
      document = resource_list(*rows, rest.substr(0, slash), rest.substr(slash + 1));
    } else {
      for (const auto& g : groups_of(table_, *rows, remotes)) {
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
  const auto remotes = remote_versions();
  Json items = Json::array();
  auto add = [&](const std::string& group, const std::vector<ServedVersion>& versions) {
    Json list = Json::array();
    for (const auto& v : versions) {
      if (v.remote == nullptr) {
        list.push_back(version_discovery(*rows, group, v.order.version));
      } else if (v.remote->discovery != nullptr) {
        list.push_back(*v.remote->discovery);
      } else {
        list.push_back({{"version", v.order.version}, {"freshness", "Stale"}});
      }
    }
    Json meta = Json::object();
    if (!group.empty()) meta["name"] = group;
    items.push_back({{"metadata", meta}, {"versions", list}});
  };
  if (path == "/api") {
    add("", {{local_version("", "v1", 0, 0), nullptr}});
  } else {
    for (const auto& g : groups_of(table_, *rows, remotes)) add(g.group, g.versions);
  }
  Json document = {{"kind", "APIGroupDiscoveryList"},
                   {"apiVersion", base::cat("apidiscovery.k8s.io/", version)},
                   {"metadata", Json::object()},
                   {"items", items}};
  return keep(key, base::dump_json(document));
}

}  // namespace orch::server
