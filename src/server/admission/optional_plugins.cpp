#include "server/admission/optional_plugins.h"

#include <algorithm>
#include <set>

#include "api/field_error.h"
#include "api/resources/resource_validation.h"
#include "base/json.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

constexpr const char* kContainerLists[] = {"initContainers", "containers", "ephemeralContainers"};

class AlwaysAdmit final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "AlwaysAdmit"; }
  bool handles(const AdmissionRequest& /*r*/) const override { return false; }
};

class AlwaysDeny final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "AlwaysDeny"; }
  bool handles(const AdmissionRequest& /*r*/) const override { return true; }
  base::Status admit(AdmissionRequest& r) override {
    return refuse(r, "admission control is denying all modifications");
  }
  base::Status validate(const AdmissionRequest& r) override {
    return refuse(r, "admission control is denying all modifications");
  }
};

class AlwaysPullImages final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "AlwaysPullImages"; }
  bool handles(const AdmissionRequest& r) const override { return is_pod_write(r) && new_images(r); }

  base::Status admit(AdmissionRequest& r) override {
    Json& spec = (*r.object)["spec"];
    for (const char* list : kContainerLists) {
      if (!spec.contains(list)) continue;
      for (Json& container : spec[list]) container["imagePullPolicy"] = "Always";
    }
    if (!spec.contains("volumes")) return {};
    for (Json& volume : spec["volumes"]) {
      if (volume.contains("image")) volume["image"]["pullPolicy"] = "Always";
    }
    return {};
  }

  base::Status validate(const AdmissionRequest& r) override {
    std::vector<std::string> refusals;
    const auto check = [&](const Json& object, const char* key, const api::FieldPath& path) {
      const std::string_view policy = base::string_at(object, {key});
      if (policy == "Always") return;
      api::FieldErrors errors;
      errors.not_supported(path.child(key), policy, {"Always"});
      refusals.push_back(refuse(r, errors.text()).message());
    };
    const api::FieldPath spec("spec");
    for (const char* list : kContainerLists) {
      const Json& containers = base::array_at(*r.object, {"spec", list});
      for (size_t i = 0; i < containers.size(); ++i)
        check(containers[i], "imagePullPolicy", spec.child(list).index(i));
    }
    const Json& volumes = base::array_at(*r.object, {"spec", "volumes"});
    for (size_t i = 0; i < volumes.size(); ++i) {
      if (volumes[i].contains("image"))
        check(volumes[i]["image"], "pullPolicy", spec.child("volumes").index(i).child("image"));
    }
    if (refusals.empty()) return {};
    // Kubernetes gives the first refusal's code with the text of all.
    return {base::Code::kForbidden, aggregate_text(refusals)};
  }

 private:
  static bool new_images(const AdmissionRequest& r) {
    if (r.operation != Operation::kUpdate || r.old_object == nullptr) return true;
    std::set<std::string_view> known;
    for (const char* list : kContainerLists) {
      for (const Json& c : base::array_at(*r.old_object, {"spec", list}))
        known.insert(base::string_at(c, {"image"}));
    }
    for (const char* list : kContainerLists) {
      for (const Json& c : base::array_at(*r.object, {"spec", list})) {
        if (known.count(base::string_at(c, {"image"})) == 0) return true;
      }
    }
    return false;
  }
};

class DenyExternalIps final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "DenyServiceExternalIPs"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.object != nullptr && r.subresource.empty() && is_resource(r, "", "services");
  }
  base::Status validate(const AdmissionRequest& r) override {
    const Json none = Json::object();
    const Json& before =
        base::array_at(r.old_object != nullptr ? *r.old_object : none, {"spec", "externalIPs"});
    for (const Json& ip : base::array_at(*r.object, {"spec", "externalIPs"})) {
      if (std::find(before.begin(), before.end(), ip) == before.end())
        return refuse(r, "Use of external IPs is denied by admission control");
    }
    return {};
  }
};

class NamespaceExists final : public AdmissionPlugin {
 public:
  explicit NamespaceExists(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "NamespaceExists"; }
  bool handles(const AdmissionRequest& r) const override {
    return !r.ns.empty() && r.operation != Operation::kConnect && !is_resource(r, "", "namespaces");
  }
  base::Status validate(const AdmissionRequest& r) override {
    if (lookup_.get("namespaces", "", r.ns)) return {};
    return missing("", "namespaces", r.ns);
  }

 private:
  const Lookup& lookup_;
};

class ExtendedResourceToleration final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "ExtendedResourceToleration"; }
  bool handles(const AdmissionRequest& r) const override { return is_pod_write(r); }

  base::Status admit(AdmissionRequest& r) override {
    std::set<std::string> resources;
    for (const char* list : {"containers", "initContainers"}) {
      for (const Json& container : base::array_at(*r.object, {"spec", list})) {
        for (const auto& [name, amount] : base::object_at(container, {"resources", "requests"}).items()) {
          if (api::is_extended_resource(name)) resources.insert(name);
        }
      }
    }
    for (const std::string& name : resources) tolerate(*r.object, name);
    return {};
  }

 private:
  static void tolerate(Json& pod, const std::string& name) {
    const Json wanted = {{"key", name}, {"operator", "Exists"}, {"effect", "NoSchedule"}};
    Json& list = pod["spec"]["tolerations"];
    if (!list.is_array()) list = Json::array();
    for (Json& t : list) {
      const std::string_view op = base::string_at(t, {"operator"});
      const bool same = base::string_at(t, {"key"}) == name &&
                        base::string_at(t, {"effect"}) == "NoSchedule" && op == "Exists" &&
                        base::string_at(t, {"value"}).empty();
      if (!same) continue;
      t = wanted;
      return;
    }
    list.push_back(wanted);
  }
};

class LimitAntiAffinity final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "LimitPodHardAntiAffinityTopology"; }
  bool handles(const AdmissionRequest& r) const override { return is_pod_write(r); }
  base::Status validate(const AdmissionRequest& r) override {
    for (const Json& term : base::array_at(*r.object, {"spec", "affinity", "podAntiAffinity",
                                                       "requiredDuringSchedulingIgnoredDuringExecution"})) {
      const std::string_view key = base::string_at(term, {"topologyKey"});
      if (key == "kubernetes.io/hostname") continue;
      return refuse(r, base::cat("affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey ", key,
                                 " but only key kubernetes.io/hostname is allowed"));
    }
    return {};
  }
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_always_admit() { return std::make_unique<AlwaysAdmit>(); }
std::unique_ptr<AdmissionPlugin> make_always_deny() { return std::make_unique<AlwaysDeny>(); }
std::unique_ptr<AdmissionPlugin> make_always_pull_images() { return std::make_unique<AlwaysPullImages>(); }
std::unique_ptr<AdmissionPlugin> make_deny_external_ips() { return std::make_unique<DenyExternalIps>(); }
std::unique_ptr<AdmissionPlugin> make_namespace_exists(const Lookup& lookup) {
  return std::make_unique<NamespaceExists>(lookup);
}
std::unique_ptr<AdmissionPlugin> make_extended_resource_toleration() {
  return std::make_unique<ExtendedResourceToleration>();
}
std::unique_ptr<AdmissionPlugin> make_limit_anti_affinity() { return std::make_unique<LimitAntiAffinity>(); }

}  // namespace orch::server
