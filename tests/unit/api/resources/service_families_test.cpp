// Which families of addresses services have on a cluster of one.
#include "api/resources/service_families.h"

#include "base/json.h"
#include "tests/catch.h"

namespace orch::api {
namespace {

Json spec(const char* text) {
  auto tree = base::parse_json(text);
  INFO(text);
  REQUIRE(tree.ok());
  return std::move(*tree);
}

TEST_CASE("families of a service") {
  struct Row {
    const char *spec, *old;
    const char* policy;
    const char* families;  // or why it is refused
  };
  const Row rows[] = {
      {R"({"type":"ClusterIP"})", nullptr, "SingleStack", R"(["IPv4"])"},
      {R"({"type":"ExternalName"})", nullptr, "", ""},
      {R"({"ipFamilyPolicy":"PreferDualStack"})", nullptr, "PreferDualStack", R"(["IPv4"])"},
      {R"({"ipFamilyPolicy":"RequireDualStack"})", nullptr, "",
       "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for "
       "dual-stack services"},
      {R"({"ipFamilyPolicy":"Both"})", nullptr, "",
       "spec.ipFamilyPolicy: Unsupported value: \"Both\": supported values: \"PreferDualStack\", "
       "\"RequireDualStack\", \"SingleStack\""},
      {R"({"ipFamilies":["IPv6"]})", nullptr, "",
       "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"},
      {R"({"ipFamilies":["IPv4","IPv6"]})", nullptr, "",
       "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' "
       "when multiple IP families are specified"},
      {R"({"clusterIP":"fd00::1","clusterIPs":["fd00::1"]})", nullptr, "",
       "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster"},
      {R"({"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"]})", nullptr, "SingleStack", R"(["IPv4"])"},
      // Headless: with a selector one family, without one all there are.
      {R"({"clusterIP":"None","clusterIPs":["None"],"selector":{"a":"b"}})", nullptr, "SingleStack",
       R"(["IPv4"])"},
      {R"({"clusterIP":"None","clusterIPs":["None"]})", nullptr, "RequireDualStack", R"(["IPv4","IPv6"])"},
      {R"({"clusterIP":"None","clusterIPs":["None"],"ipFamilies":["IPv6"],"ipFamilyPolicy":"SingleStack"})",
       nullptr, "SingleStack", R"(["IPv6"])"},
      // Updates.
      {R"({"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"]})",
       R"({"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"],"ipFamilyPolicy":"PreferDualStack"})",
       "PreferDualStack", R"(["IPv4"])"},
      {R"({"clusterIP":"10.0.0.1","clusterIPs":[""]})", R"({"clusterIPs":["10.0.0.1"]})", "",
       "[spec.clusterIPs: Invalid value: [\"\"]: first value must match `clusterIP`, spec.clusterIPs[0]: "
       "Invalid value: \"\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)]"},
      {R"({"ipFamilyPolicy":"SingleStack","ipFamilies":["IPv4","IPv6"]})",
       R"({"ipFamilies":["IPv4","IPv6"]})", "SingleStack", R"(["IPv4"])"},
      {R"({"ipFamilyPolicy":"PreferDualStack","ipFamilies":["IPv4"]})", R"({"ipFamilies":["IPv4","IPv6"]})",
       "",
       "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be 'SingleStack' to release the "
       "secondary IP family"},
      // Nothing of it changes.
      {R"({"type":"ClusterIP","ipFamilyPolicy":"PreferDualStack","ipFamilies":["IPv4","IPv6"]})",
       R"({"type":"ClusterIP","ipFamilyPolicy":"PreferDualStack","ipFamilies":["IPv4","IPv6"]})",
       "PreferDualStack", R"(["IPv4","IPv6"])"},
  };
  for (const Row& row : rows) {
    INFO(row.spec);
    Json service = {{"spec", spec(row.spec)}}, old;
    if (row.old != nullptr) old = {{"spec", spec(row.old)}};
    const FieldErrors errors = settle_ip_families(service, row.old == nullptr ? nullptr : &old, "IPv4");
    if (!errors.empty()) {
      CHECK(errors.text() == row.families);
      continue;
    }
    CHECK(service["spec"].value("ipFamilyPolicy", "") == row.policy);
    const Json families = service["spec"].value("ipFamilies", Json());
    CHECK((families.is_null() ? "" : families.dump()) == row.families);
  }
}

}  // namespace
}  // namespace orch::api
