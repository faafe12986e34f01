#include "server/aggregator/remote_documents.h"

#include <set>
#include <vector>

#include "base/json.h"

namespace orch::server {

namespace {

constexpr std::string_view kDefinitions = "#/definitions/";

/// Calls `visit` with the value of each "$ref" of the tree.
template <typename Tree, typename Visit>
void each_reference(Tree& tree, const Visit& visit) {
  if (tree.is_array()) {
    for (auto& element : tree) each_reference(element, visit);
  } else if (tree.is_object()) {
    for (auto it = tree.begin(); it != tree.end(); ++it) {
      if (it.key() == "$ref" && it->is_string()) {
        visit(*it);
      } else {
        each_reference(*it, visit);
      }
    }
  }
}

std::string definition_name(const Json& reference) {
  const std::string& text = reference.get_ref<const std::string&>();
  return text.compare(0, kDefinitions.size(), kDefinitions) == 0 ? text.substr(kDefinitions.size())
                                                                 : std::string();
}

}  // namespace

Json find_discovery(const Json& list, std::string_view group, std::string_view version) {
  for (const auto& item : base::array_at(list, {"items"})) {
    if (base::string_at(item, {"metadata", "name"}) != group) continue;
    for (const auto& one : base::array_at(item, {"versions"})) {
      if (base::string_at(one, {"version"}) == version) return one;
    }
  }
  return nullptr;
}

namespace {

Json kind_of(const Json& resource) {
  return {{"group", base::string_at(resource, {"group"})},
          {"version", base::string_at(resource, {"version"})},
          {"kind", base::string_at(resource, {"kind"})}};
}

}  // namespace

Json discovery_of_resources(const Json& resource_list, std::string_view version) {
  Json resources = Json::array();
  std::map<std::string, size_t> at;
  const Json& listed = base::array_at(resource_list, {"resources"});
  for (const auto& one : listed) {
    const std::string name(base::string_at(one, {"name"}));
    if (name.find('/') != std::string::npos) continue;
    Json resource = {{"resource", name},
                     {"responseKind", kind_of(one)},
                     {"scope", base::bool_at(one, {"namespaced"}) ? "Namespaced" : "Cluster"},
                     {"singularResource", base::string_at(one, {"singularName"})},
                     {"verbs", base::array_at(one, {"verbs"})}};
    for (const char* key : {"shortNames", "categories"}) {
      if (const Json& values = base::array_at(one, {key}); !values.empty()) resource[key] = values;
    }
    at[name] = resources.size();
    resources.push_back(std::move(resource));
  }
  for (const auto& one : listed) {
    const std::string name(base::string_at(one, {"name"}));
    const size_t slash = name.find('/');
    const auto parent = slash == std::string::npos ? at.end() : at.find(name.substr(0, slash));
    if (parent == at.end()) continue;
    resources[parent->second]["subresources"].push_back({{"subresource", name.substr(slash + 1)},
                                                         {"responseKind", kind_of(one)},
                                                         {"verbs", base::array_at(one, {"verbs"})}});
  }
  return {{"version", version}, {"resources", std::move(resources)}};
}

Json openapi_v2_part(const Json& document, std::string_view prefix) {
  Json out = {{"paths", Json::object()}, {"definitions", Json::object()}};
  std::vector<std::string> wanted;
  std::set<std::string> seen;
  const auto want = [&](const Json& reference) {
    std::string name = definition_name(reference);
    if (!name.empty() && seen.insert(name).second) wanted.push_back(std::move(name));
  };
  for (const auto& [path, item] : base::object_at(document, {"paths"}).items()) {
    if (path.compare(0, prefix.size(), prefix) != 0) continue;
    each_reference(item, want);
    out["paths"][path] = item;
  }
  const Json& definitions = base::object_at(document, {"definitions"});
  while (!wanted.empty()) {
    const std::string name = std::move(wanted.back());
    wanted.pop_back();
    const auto found = definitions.find(name);
    if (found == definitions.end()) continue;
    each_reference(*found, want);
    out["definitions"][name] = *found;
  }
  return out;
}

void merge_openapi_v2(Json& document, const Json& part) {
  Json& definitions = document["definitions"];
  std::map<std::string, std::string> renamed;
  for (const auto& [name, definition] : base::object_at(part, {"definitions"}).items()) {
    const auto own = definitions.find(name);
    if (own == definitions.end() || *own == definition) continue;
    std::string free;
    for (int i = 2; free.empty() || definitions.contains(free); ++i) free = base::cat(name, "_v", i);
    renamed[name] = free;
  }
  const auto rename = [&renamed](Json& reference) {
    const auto found = renamed.find(definition_name(reference));
    if (found != renamed.end()) reference = base::cat(kDefinitions, found->second);
  };
  for (const auto& [name, definition] : base::object_at(part, {"definitions"}).items()) {
    const auto found = renamed.find(name);
    const std::string& own = found == renamed.end() ? name : found->second;
    if (definitions.contains(own)) continue;
    Json copy = definition;
    if (!renamed.empty()) each_reference(copy, rename);
    definitions[own] = std::move(copy);
  }
  for (const auto& [path, item] : base::object_at(part, {"paths"}).items()) {
    if (document["paths"].contains(path)) continue;
    Json copy = item;
    if (!renamed.empty()) each_reference(copy, rename);
    document["paths"][path] = std::move(copy);
  }
}

}  // namespace orch::server
