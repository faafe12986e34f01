#include "agent/network/cni.h"

#include "base/file.h"
#include "base/json.h"

namespace orch::agent {

std::string cni_conflist(const CniConfig& config) {
  Json ranges = Json::array();
  Json routes = Json::array();
  for (const auto& range : config.pod_ranges) {
    ranges.push_back(Json::array({Json{{"subnet", range.masked().text()}}}));
    routes.push_back(Json{{"dst", range.v6 ? "::/0" : "0.0.0.0/0"}});
  }
  Json bridge = {
      {"type", "bridge"},
      {"bridge", config.bridge},
      {"isGateway", true},
      {"isDefaultGateway", false},
      {"ipMasq", false},
      {"hairpinMode", true},
      {"forceAddress", true},
      {"ipam",
       {{"type", "host-local"}, {"ranges", ranges}, {"routes", routes}, {"dataDir", config.address_dir}}},
  };
  if (config.mtu > 0) bridge["mtu"] = config.mtu;
  const Json list = {
      {"cniVersion", "1.0.0"},
      {"name", config.name},
      {"plugins",
       Json::array(
           {bridge, Json{{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}, {"snat", true}}})},
  };
  return list.dump(2) + "\n";
}

base::Status write_cni_config(const CniConfig& config, const std::string& conf_dir) {
  if (config.pod_ranges.empty()) return {base::Code::kBadRequest, "the node has no pod range yet"};
  const std::string path = conf_dir + "/10-orch.conflist";
  const std::string text = cni_conflist(config);
  const auto before = base::read_file(path);
  if (before.ok() && *before == text) return {};
  ORCH_RETURN_IF_ERROR(base::make_dirs(conf_dir, 0755));
  return base::write_file_atomic(path, text, 0644);
}

}  // namespace orch::agent
