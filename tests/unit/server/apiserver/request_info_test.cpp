#include "server/apiserver/request_info.h"

#include "tests/catch.h"

namespace orch::server {
namespace {

Attributes attributes(const std::string& method, const std::string& path, const std::string& query = "") {
  static const UserInfo user;
  http::Request request;
  request.method = method;
  request.path = path;
  request.query = query;
  auto info = parse_request(request);
  REQUIRE(info.ok());
  return info->attributes(user);
}

TEST_CASE("authorizers see what a request selects") {
  // The node authorizer lets a node list its own pods by this and nothing else.
  const std::string nodes_own = "spec.nodeName=n1";
  for (const char* query : {"fieldSelector=spec.nodeName%3Dn1", "watch=1&fieldSelector=spec.nodeName%3Dn1"}) {
    CHECK(attributes("GET", "/api/v1/pods", query).field_selector == nodes_own);
    CHECK(attributes("GET", "/api/v1/pods", query).name.empty());
  }
  CHECK(
      attributes("DELETE", "/api/v1/namespaces/n/pods", "fieldSelector=spec.nodeName%3Dn1").field_selector ==
      nodes_own);
  const Attributes one = attributes("GET", "/api/v1/namespaces/n/secrets", "fieldSelector=metadata.name%3Ds");
  CHECK(one.verb == "list");
  CHECK(one.name == "s");
  // Verbs on one object select nothing.
  CHECK(attributes("GET", "/api/v1/namespaces/n/pods/p", "fieldSelector=spec.nodeName%3Dn1")
            .field_selector.empty());
}

TEST_CASE("verbs and places of requests") {
  struct Row {
    const char *method, *path, *query, *verb, *group, *ns, *resource, *subresource, *name;
  };
  const std::vector<Row> rows{
      {"GET", "/api/v1/pods", "", "list", "", "", "pods", "", ""},
      {"GET", "/api/v1/pods", "watch=true", "watch", "", "", "pods", "", ""},
      {"GET", "/api/v1/pods", "watch=false", "list", "", "", "pods", "", ""},
      {"GET", "/api/v1/watch/namespaces/n/pods/p", "", "watch", "", "n", "pods", "", "p"},
      {"GET", "/api/v1/namespaces/n", "", "get", "", "n", "namespaces", "", "n"},
      {"PUT", "/api/v1/namespaces/n/finalize", "", "update", "", "n", "namespaces", "finalize", "n"},
      {"POST", "/api/v1/namespaces/n/pods/p/exec", "", "create", "", "n", "pods", "exec", "p"},
      {"GET", "/apis/apps/v1/namespaces/n/deployments/d", "", "get", "apps", "n", "deployments", "", "d"},
      {"PATCH", "/api/v1/nodes/a/status", "", "patch", "", "", "nodes", "status", "a"},
      {"DELETE", "/api/v1/namespaces/n/pods", "", "deletecollection", "", "n", "pods", "", ""},
      {"DELETE", "/api/v1/namespaces/n/pods/p", "", "delete", "", "n", "pods", "", "p"}};
  for (const Row& row : rows) {
    INFO(row.method << " " << row.path);
    const Attributes a = attributes(row.method, row.path, row.query);
    CHECK(a.resource_request);
    CHECK(a.verb == row.verb);
    CHECK(a.group == row.group);
    CHECK(a.ns == row.ns);
    CHECK(a.resource == row.resource);
    CHECK(a.subresource == row.subresource);
    CHECK(a.name == row.name);
  }
  CHECK_FALSE(attributes("GET", "/healthz").resource_request);
  CHECK(attributes("GET", "/healthz").verb == "get");
}

}  // namespace
}  // namespace orch::server
