#include "api/schema/openapi.h"

#include <array>
#include <cstdio>

#include "api/schema/openapi_writer.h"

namespace orch::api::schema {
namespace {

constexpr std::string_view kMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.";

using GroupVersion = std::pair<std::string_view, std::string_view>;

std::set<GroupVersion> group_versions(const std::vector<OpenApiResource>& resources) {
  std::set<GroupVersion> out;
  for (const OpenApiResource& r : resources) out.emplace(r.group, r.version);
  return out;
}

std::string path_of(const GroupVersion& gv) {
  return gv.first.empty() ? base::cat("api/", gv.second) : base::cat("apis/", gv.first, "/", gv.second);
}

void write_discovery(JsonText& out, PathWriter& paths, const GroupVersion& gv) {
  std::string group = operation_group(gv.first, gv.second);
  paths.discovery(out, base::cat("/", path_of(gv), "/"), base::cat("get", group, "APIResources"),
                  operation_tag(gv.first, gv.second), base::cat(kMeta, "APIResourceList"));
}

void write_info(JsonText& out, std::string_view version) {
  out.key("info").open('{').member("title", "Kubernetes").member("version", version).close('}');
}

/// 128 bits in hex, FNV-1a with more mixing: clients take documents with the same hash for the same.
std::string hash_of(std::string_view text) {
  std::array<uint64_t, 2> state = {0xcbf29ce484222325, 0x84222325cbf29ce4};
  for (char c : text) {
    for (uint64_t& each : state) {
      each = (each ^ static_cast<unsigned char>(c)) * 0x100000001b3;
      each ^= each >> 29;
    }
  }
  std::array<char, 40> out;
  int size =
      std::snprintf(out.data(), out.size(), "%016llX%016llX", static_cast<unsigned long long>(state[0]),
                    static_cast<unsigned long long>(state[1]));
  return {out.data(), static_cast<size_t>(size)};
}

}  // namespace

std::string openapi_v2(const Schema& schema, const std::vector<OpenApiResource>& resources,
                       std::string_view version) {
  DefinitionWriter definitions(schema, OpenApiVersion::kV2, resources);
  PathWriter paths(OpenApiVersion::kV2, definitions);
  JsonText out;
  out.open('{').member("swagger", "2.0");
  write_info(out, version);
  out.key("paths").open('{');
  paths.discovery(out, "/api/", "getCoreAPIVersions", "core", base::cat(kMeta, "APIVersions"));
  paths.discovery(out, "/apis/", "getAPIVersions", "apis", base::cat(kMeta, "APIGroupList"));
  std::string_view group;
  for (const GroupVersion& gv : group_versions(resources)) {
    if (gv.first != group) {
      group = gv.first;
      paths.discovery(out, base::cat("/apis/", group, "/"),
                      base::cat("get", operation_group(group, ""), "APIGroup"), operation_tag(group, ""),
                      base::cat(kMeta, "APIGroup"));
    }
    write_discovery(out, paths, gv);
  }
  for (const OpenApiResource& r : resources) paths.resource(out, r);
  paths.discovery(out, "/version/", "getCodeVersion", "version", "io.k8s.apimachinery.pkg.version.Info");
  out.close('}').key("definitions").open('{');
  definitions.definitions(out);
  out.close('}');
  out.raw_member("securityDefinitions",
                 R"({"BearerToken":{"type":"apiKey","name":"authorization","in":"header"}})");
  out.raw_member("security", R"([{"BearerToken":[]}])").close('}');
  return std::move(out.str());
}

std::string openapi_v3(const Schema& schema, const std::vector<OpenApiResource>& resources,
                       std::string_view group, std::string_view group_version, std::string_view version) {
  GroupVersion gv{group, group_version};
  if (!group_versions(resources).contains(gv)) return {};
  DefinitionWriter definitions(schema, OpenApiVersion::kV3, resources);
  PathWriter paths(OpenApiVersion::kV3, definitions);
  JsonText out;
  out.open('{').member("openapi", "3.0.0");
  write_info(out, version);
  out.key("paths").open('{');
  write_discovery(out, paths, gv);
  for (const OpenApiResource& r : resources) {
    if (r.group == group && r.version == group_version) paths.resource(out, r);
  }
  out.close('}').key("components").open('{').key("schemas").open('{');
  definitions.definitions(out);
  out.close('}');
  out.raw_member("securitySchemes",
                 R"({"BearerToken":{"type":"apiKey","name":"authorization","in":"header"}})");
  out.close('}').close('}');
  return std::move(out.str());
}

std::string openapi_v3_index(const Schema& schema, const std::vector<OpenApiResource>& resources,
                             std::string_view version) {
  JsonText out;
  out.open('{').key("paths").open('{');
  for (const GroupVersion& gv : group_versions(resources)) {
    std::string path = path_of(gv);
    std::string hash = hash_of(openapi_v3(schema, resources, gv.first, gv.second, version));
    out.key(path)
        .open('{')
        .member("serverRelativeURL", base::cat("/openapi/v3/", path, "?hash=", hash))
        .close('}');
  }
  out.close('}').close('}');
  return std::move(out.str());
}

}  // namespace orch::api::schema
