#include "server/admission/selection.h"

#include <algorithm>

#include "api/go_text.h"
#include "api/yaml.h"
#include "base/file.h"
#include "base/json.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

enum class State : uint8_t { kOn, kOff, kAbsent };
struct Known {
  std::string_view name;
  State state;
};

/// Every plugin of kube-apiserver v1.35. NodeRestriction is off there by default; here, as with k3s, nodes
/// are restricted.
constexpr Known kKnown[] = {
    {"AlwaysAdmit", State::kOff},
    {"AlwaysDeny", State::kOff},
    {"AlwaysPullImages", State::kOff},
    {"CertificateApproval", State::kOn},
    {"CertificateSigning", State::kOn},
    {"CertificateSubjectRestriction", State::kOn},
    {"ClusterTrustBundleAttest", State::kAbsent},
    {"DefaultIngressClass", State::kOn},
    {"DefaultStorageClass", State::kOn},
    {"DefaultTolerationSeconds", State::kOn},
    {"DenyServiceExternalIPs", State::kOff},
    {"EventRateLimit", State::kAbsent},
    {"ExtendedResourceToleration", State::kOff},
    {"ImagePolicyWebhook", State::kAbsent},
    {"LimitPodHardAntiAffinityTopology", State::kOff},
    {"LimitRanger", State::kOn},
    {"MutatingAdmissionPolicy", State::kOn},  // its feature gate is off: it has nothing to do
    {"MutatingAdmissionWebhook", State::kOn},
    {"NamespaceAutoProvision", State::kAbsent},
    {"NamespaceExists", State::kOff},
    {"NamespaceLifecycle", State::kOn},
    {"NodeDeclaredFeatureValidator", State::kAbsent},
    {"NodeRestriction", State::kOn},
    {"OwnerReferencesPermissionEnforcement", State::kAbsent},
    {"PersistentVolumeClaimResize", State::kOn},
    {"PodNodeSelector", State::kAbsent},
    {"PodSecurity", State::kOn},
    {"PodTolerationRestriction", State::kAbsent},
    {"PodTopologyLabels", State::kOn},
    {"Priority", State::kOn},
    {"ResourceQuota", State::kOn},
    {"RuntimeClass", State::kOn},
    {"ServiceAccount", State::kOn},
    {"StorageObjectInUseProtection", State::kOn},
    {"TaintNodesByCondition", State::kOn},
    {"ValidatingAdmissionPolicy", State::kOn},
    {"ValidatingAdmissionWebhook", State::kOn},
};

const Known* find(std::string_view name) {
  const auto* it =
      std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& k) { return k.name == name; });
  return it == std::end(kKnown) ? nullptr : it;
}

bool holds(const std::vector<std::string>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

Status bad(std::string why) { return Status(Code::kBadRequest, std::move(why)); }

Status check_list(std::string_view flag, const std::vector<std::string>& list, bool enabling) {
  std::vector<std::string> unknown;
  for (const std::string& name : list) {
    const Known* known = find(name);
    if (known == nullptr) {
      unknown.push_back(name);
    } else if (enabling && known->state == State::kAbsent) {
      return bad(base::cat(flag, ": orch does not have the plugin ", name));
    }
  }
  if (unknown.empty()) return {};
  return bad(base::cat(flag, " plugins ", api::go_quote(api::join(unknown, " ")), " are unknown"));
}

/// A YAML or JSON file that must be one of these kinds.
base::Result<Json> read_config(const std::string& path, std::string_view api_group, std::string_view kind) {
  auto text = base::read_file(path);
  if (!text.ok()) return bad(text.error().message());
  auto tree = api::parse_yaml(*text);
  if (!tree.ok()) return bad(base::cat(path, ": ", tree.error().message()));
  const std::string_view version = base::string_at(*tree, {"apiVersion"});
  if (base::string_at(*tree, {"kind"}) != kind || version.substr(0, version.find('/')) != api_group)
    return bad(base::cat(path, ": not of kind ", kind, " in ", api_group));
  return tree;
}

Status configure(const std::string& path, const std::string& name, const Json& configuration,
                 AdmissionSelection& selection) {
  if (name != "PodSecurity") {
    const bool known = find(name) != nullptr;
    return bad(base::cat(path, ": ", known ? "orch takes no configuration for" : "there is no",
                         " admission plugin ", api::go_quote(name)));
  }
  if (base::string_at(configuration, {"kind"}) != "PodSecurityConfiguration")
    return bad(base::cat(path, ": PodSecurity: not a PodSecurityConfiguration"));
  auto settings = pod_security::parse_settings(configuration);
  if (!settings.ok()) return bad(base::cat(path, ": PodSecurity: ", settings.error().message()));
  selection.pod_security = std::move(*settings);
  return {};
}

}  // namespace

bool AdmissionSelection::runs(std::string_view plugin) const {
  const Known* known = find(plugin);
  if (known == nullptr) return true;
  if (holds(enable, plugin)) return true;
  return known->state == State::kOn && !holds(disable, plugin);
}

Status AdmissionSelection::check() const {
  ORCH_RETURN_IF_ERROR(check_list("enable-admission-plugins", enable, true));
  ORCH_RETURN_IF_ERROR(check_list("disable-admission-plugins", disable, false));
  for (const std::string& name : enable) {
    if (holds(disable, name))
      return bad(
          base::cat("[", name, "] in enable-admission-plugins and disable-admission-plugins overlapped"));
  }
  return {};
}

Status read_admission_config(const std::string& path, AdmissionSelection& selection) {
  auto config = read_config(path, "apiserver.config.k8s.io", "AdmissionConfiguration");
  if (!config.ok()) return config.error();
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  for (const Json& plugin : base::array_at(*config, {"plugins"})) {
    const std::string name(base::string_at(plugin, {"name"}));
    if (const Json* inline_config = base::find_path(plugin, {"configuration"});
        inline_config != nullptr && !inline_config->is_null()) {
      ORCH_RETURN_IF_ERROR(configure(path, name, *inline_config, selection));
      continue;
    }
    std::string file(base::string_at(plugin, {"path"}));
    if (file.empty()) continue;
    if (file[0] != '/') file.insert(0, folder);
    auto text = base::read_file(file);
    if (!text.ok()) return bad(text.error().message());
    auto tree = api::parse_yaml(*text);
    if (!tree.ok()) return bad(base::cat(file, ": ", tree.error().message()));
    ORCH_RETURN_IF_ERROR(configure(file, name, *tree, selection));
  }
  return {};
}

}  // namespace orch::server
