// Plugins about volumes and classes: DefaultStorageClass, StorageObjectInUseProtection,
// PersistentVolumeClaimResize, DefaultIngressClass.
#include <optional>

#include "api/meta.h"
#include "api/quantity.h"
#include "base/json.h"
#include "server/admission/plugins.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

constexpr const char* kClaimClass = "volume.beta.kubernetes.io/storage-class";

/// The newest class with one of these annotations set to "true"; of equally new ones the first by name.
std::string newest_default(const Lookup& lookup, std::string_view resource,
                           std::initializer_list<const char*> annotations) {
  std::string best;
  base::WallTime best_time{};
  for (const api::ObjectPtr& object : lookup.list(resource, "")) {
    const Json tree = object->tree();
    bool is_default = false;
    for (const char* key : annotations) is_default |= api::annotation(tree, key) == "true";
    if (!is_default) continue;
    const base::WallTime time = api::creation_time(tree);
    if (best.empty() || time > best_time || (time == best_time && object->name() < best)) {
      best = object->name();
      best_time = time;
    }
  }
  return best;
}

class DefaultStorageClass final : public AdmissionPlugin {
 public:
  explicit DefaultStorageClass(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "DefaultStorageClass"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kCreate && r.subresource.empty() &&
           is_resource(r, "", "persistentvolumeclaims");
  }
  base::Status admit(AdmissionRequest& r) override {
    Json& claim = *r.object;
    if (base::find_path(claim, {"metadata", "annotations", kClaimClass}) != nullptr) return {};
    const Json* given = base::find_path(claim, {"spec", "storageClassName"});
    if (given != nullptr && !given->is_null()) return {};
    std::string name = newest_default(
        lookup_, "storageclasses.storage.k8s.io",
        {"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"});
    if (!name.empty()) claim["spec"]["storageClassName"] = std::move(name);
    return {};
  }

 private:
  const Lookup& lookup_;
};

class StorageProtection final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "StorageObjectInUseProtection"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kCreate && r.subresource.empty() && !finalizer(r).empty();
  }
  base::Status admit(AdmissionRequest& r) override {
    api::add_finalizer(*r.object, finalizer(r));
    return {};
  }

 private:
  static std::string_view finalizer(const AdmissionRequest& r) {
    if (is_resource(r, "", "persistentvolumes")) return "kubernetes.io/pv-protection";
    if (is_resource(r, "", "persistentvolumeclaims")) return "kubernetes.io/pvc-protection";
    if (is_resource(r, "storage.k8s.io", "volumeattributesclasses")) return "kubernetes.io/vac-protection";
    return {};
  }
};

class ClaimResize final : public AdmissionPlugin {
 public:
  explicit ClaimResize(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "PersistentVolumeClaimResize"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kUpdate && r.subresource.empty() &&
           is_resource(r, "", "persistentvolumeclaims");
  }
  base::Status validate(const AdmissionRequest& r) override {
    const Json& claim = *r.object;
    const Json& old = *r.old_object;
    const auto size = [](const Json& c) {
      return api::Quantity::of(base::find_path(c, {"spec", "resources", "requests", "storage"}));
    };
    if (size(claim) <= size(old)) return {};
    if (base::string_at(old, {"status", "phase"}) != "Bound") {
      return refuse(r, "Only bound persistent volume claims can be expanded");
    }
    const std::string_view class_name = class_of(claim);
    if (!class_name.empty() && class_name == class_of(old)) {
      const api::ObjectPtr object = lookup_.get("storageclasses.storage.k8s.io", "", class_name);
      if (object && base::bool_at(object->tree(), {"allowVolumeExpansion"})) return {};
    }
    return refuse(
        r,
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
        "support resize");
  }

 private:
  static std::string_view class_of(const Json& claim) {
    const std::string_view annotated = api::annotation(claim, kClaimClass);
    return annotated.empty() ? base::string_at(claim, {"spec", "storageClassName"}) : annotated;
  }
  const Lookup& lookup_;
};

class DefaultIngressClass final : public AdmissionPlugin {
 public:
  explicit DefaultIngressClass(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "DefaultIngressClass"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kCreate && r.subresource.empty() &&
           is_resource(r, "networking.k8s.io", "ingresses");
  }
  base::Status admit(AdmissionRequest& r) override {
    Json& ingress = *r.object;
    const Json* given = base::find_path(ingress, {"spec", "ingressClassName"});
    if (given != nullptr && !given->is_null()) return {};
    if (base::find_path(ingress, {"metadata", "annotations", "kubernetes.io/ingress.class"}) != nullptr)
      return {};
    std::string name = newest_default(lookup_, "ingressclasses.networking.k8s.io",
                                      {"ingressclass.kubernetes.io/is-default-class"});
    if (!name.empty()) ingress["spec"]["ingressClassName"] = std::move(name);
    return {};
  }

 private:
  const Lookup& lookup_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_default_storage_class(const Lookup& lookup) {
  return std::make_unique<DefaultStorageClass>(lookup);
}
std::unique_ptr<AdmissionPlugin> make_storage_protection() { return std::make_unique<StorageProtection>(); }
std::unique_ptr<AdmissionPlugin> make_claim_resize(const Lookup& lookup) {
  return std::make_unique<ClaimResize>(lookup);
}
std::unique_ptr<AdmissionPlugin> make_default_ingress_class(const Lookup& lookup) {
  return std::make_unique<DefaultIngressClass>(lookup);
}

}  // namespace orch::server
