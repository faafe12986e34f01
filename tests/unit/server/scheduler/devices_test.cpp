// What Kubernetes' structured allocator gave the claims of random pods (tools/schedulervectors/devices), and
// what Orch's does.
#include <algorithm>
#include <fstream>
#include <sstream>

#include "server/scheduler/device_allocator.h"
#include "tests/gunzip.h"
#include "tests/unit/server/scheduler/fixture.h"

namespace orch::testing {
namespace {

using namespace server::scheduler;

api::ObjectPtr device_object(Json tree) {
  tree["apiVersion"] = "resource.k8s.io/v1";
  tree["metadata"]["resourceVersion"] = "1";
  auto made = api::Object::from_tree(tree);
  REQUIRE(made.ok());
  return *made;
}

Json answer_of(const Json& vector, const base::Clock& clock) {
  FakeObjects objects;
  for (const Json& tree : vector["objects"]) {
    const std::string kind = tree["kind"];
    objects.add(kind == "ResourceSlice" ? Kind::kResourceSlice
                : kind == "DeviceClass" ? Kind::kDeviceClass
                                        : Kind::kResourceClaim,
                device_object(tree));
  }
  const Devices devices(objects, clock);
  NodeInfo node;
  Json tree = vector["node"];
  tree["apiVersion"] = "v1";
  auto made = api::Object::from_tree(tree);
  REQUIRE(made.ok());
  node.set_node(*made);
  std::vector<ResourceClaimPtr> claims;
  for (const Json& claim : vector["claims"])
    claims.push_back(std::make_shared<const ResourceClaim>(read_resource_claim(*device_object(claim))));
  const DeviceAnswer answer = DeviceAllocator(devices, std::chrono::seconds(10)).allocate(node, claims);
  switch (answer.kind) {
    case DeviceAnswer::Kind::kFound:
      return {{"allocations", answer.allocations}};
    case DeviceAnswer::Kind::kNone:
      if (answer.message.empty()) return {{"none", true}};
      break;
    default:
      break;
  }
  return {{"error", answer.message}};
}

TEST_CASE("devices are given as Kubernetes gives them") {
  std::ifstream file("tests/unit/server/scheduler/devices.jsonl.gz", std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  std::istringstream lines(gunzip(bytes.str(), 16U << 20));
  const base::FakeClock clock;
  size_t asked = 0, differ = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json vector = json(line);
    const Json got = answer_of(vector, clock);
    ++asked;
    const Json& wanted = vector["answers"];
    if (std::find(wanted.begin(), wanted.end(), got) != wanted.end()) continue;
    if (++differ <= 10) {
      INFO("seed " << vector["seed"] << "\ngot  " << got.dump() << "\nwant " << wanted.dump());
      CHECK(false);
    }
  }
  INFO(differ << " of " << asked << " answers differ");
  CHECK(asked >= 500);
  CHECK(differ == 0);
}

}  // namespace
}  // namespace orch::testing
