#include "agent/network/cni.h"

#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::agent;

TEST_CASE("The configuration has the node's ranges") {
  CniConfig config;
  config.pod_ranges = {*parse_cidr("10.42.3.0/24"), *parse_cidr("fd42:3::/64")};
  config.mtu = 1450;
  config.address_dir = "/data/addresses";
  const auto list = base::parse_json(cni_conflist(config));
  REQUIRE(list.ok());
  CHECK(base::string_at(*list, {"cniVersion"}) == "1.0.0");
  const Json& bridge = base::array_at(*list, {"plugins"})[0];
  CHECK(base::string_at(bridge, {"bridge"}) == "orch0");
  CHECK(base::int_at(bridge, {"mtu"}) == 1450);
  CHECK(base::string_at(bridge, {"ipam", "dataDir"}) == "/data/addresses");
  const Json& ranges = base::array_at(bridge, {"ipam", "ranges"});
  REQUIRE(ranges.size() == 2);
  CHECK(ranges[0][0]["subnet"] == "10.42.3.0/24");
  CHECK(ranges[1][0]["subnet"] == "fd42:3::/64");
  CHECK(base::array_at(bridge, {"ipam", "routes"})[1]["dst"] == "::/0");
}

TEST_CASE("It is written once, and only with a range") {
  const std::string folder = "/tmp/orch-cni-test-" + std::to_string(::getpid());
  CniConfig config;
  CHECK(write_cni_config(config, folder).code() == base::Code::kBadRequest);
  CHECK_FALSE(base::file_exists(folder));
  config.pod_ranges = {*parse_cidr("10.42.3.0/24")};
  REQUIRE(write_cni_config(config, folder).ok());
  REQUIRE(write_cni_config(config, folder).ok());
  CHECK(base::list_dir(folder).value() == std::vector<std::string>{"10-orch.conflist"});
  CHECK(base::read_file(folder + "/10-orch.conflist").value() == cni_conflist(config));
  CHECK(base::remove_all(folder).ok());
}
