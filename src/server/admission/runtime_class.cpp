#include <algorithm>

#include "api/go_text.h"
#include "api/quantity.h"
#include "base/json.h"
#include "server/admission/plugins.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

/// Every taint that `narrow` tolerates, `wide` tolerates too.
bool covers(const Json& wide, const Json& narrow) {
  if (wide == narrow) return true;
  const std::string_view key = base::string_at(wide, {"key"}), effect = base::string_at(wide, {"effect"});
  const std::string_view op = base::string_at(wide, {"operator"});
  if (base::string_at(narrow, {"key"}) != key && !(key.empty() && op == "Exists")) return false;
  if (base::string_at(narrow, {"effect"}) != effect && !effect.empty()) return false;
  const Json* limit = base::find_path(wide, {"tolerationSeconds"});
  if (effect == "NoExecute" && limit != nullptr && limit->is_number()) {
    const Json* own = base::find_path(narrow, {"tolerationSeconds"});
    if (own == nullptr || !own->is_number() || own->get<int64_t>() > limit->get<int64_t>()) return false;
  }
  if (op == "Exists") return true;
  if (!op.empty() && op != "Equal") return false;
  return base::string_at(narrow, {"operator"}) == "Equal" &&
         base::string_at(narrow, {"value"}) == base::string_at(wide, {"value"});
}

/// Both lists, without those that another one makes redundant.
Json merge_tolerations(const Json& first, const Json& second) {
  Json all = first;
  for (const Json& t : second) all.push_back(t);
  Json merged = Json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    const Json& t = all[i];
    const bool before =
        std::any_of(merged.begin(), merged.end(), [&](const Json& m) { return covers(m, t); });
    bool after = false;
    for (size_t j = i + 1; j < all.size(); ++j) after |= all[j] != t && covers(all[j], t);
    if (!before && !after) merged.push_back(t);
  }
  return merged;
}

bool same_quantities(const Json& a, const Json& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, value] : a.items()) {
    const auto other = b.find(name);
    if (other == b.end() || api::Quantity::of(&value) != api::Quantity::of(&*other)) return false;
  }
  return true;
}

class RuntimeClassPlugin final : public AdmissionPlugin {
 public:
  explicit RuntimeClassPlugin(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "RuntimeClass"; }
  bool handles(const AdmissionRequest& r) const override {
    return r.operation == Operation::kCreate && is_pod_write(r);
  }

  base::Status admit(AdmissionRequest& r) override {
    Json runtime_class;
    ORCH_RETURN_IF_ERROR(find(r, runtime_class));
    if (runtime_class.is_null()) return {};
    Json& spec = (*r.object)["spec"];
    if (runtime_class.contains("overhead")) {
      const Json& fixed = base::object_at(runtime_class, {"overhead", "podFixed"});
      const Json& own = base::object_at(spec, {"overhead"});
      if (!own.empty() && !same_quantities(fixed, own)) return refuse(r, kMismatch);
      spec["overhead"] = fixed;
    }
    for (const auto& [key, value] : base::object_at(runtime_class, {"scheduling", "nodeSelector"}).items()) {
      const Json* own = base::find_path(spec, {"nodeSelector", key});
      if (own != nullptr && *own != value) {
        const std::string theirs(value.is_string() ? value.get<std::string>() : std::string());
        return refuse(r, base::cat("conflict: runtimeClass.scheduling.nodeSelector[", key, "] = ", theirs,
                                   "; pod.spec.nodeSelector[", key,
                                   "] = ", base::string_at(spec, {"nodeSelector", key})));
      }
      spec["nodeSelector"][key] = value;
    }
    const Json& tolerations = base::array_at(runtime_class, {"scheduling", "tolerations"});
    if (!tolerations.empty()) {
      spec["tolerations"] = merge_tolerations(base::array_at(spec, {"tolerations"}), tolerations);
    }
    return {};
  }

  base::Status validate(const AdmissionRequest& r) override {
    Json runtime_class;
    ORCH_RETURN_IF_ERROR(find(r, runtime_class));
    const Json& own = base::object_at(*r.object, {"spec", "overhead"});
    if (!runtime_class.is_null() && runtime_class.contains("overhead")) {
      return same_quantities(base::object_at(runtime_class, {"overhead", "podFixed"}), own)
                 ? base::Status()
                 : refuse(r, kMismatch);
    }
    if (base::find_path(*r.object, {"spec", "overhead"}) == nullptr) return {};
    return refuse(r, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
  }

 private:
  static constexpr std::string_view kMismatch =
      "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

  /// Null when the pod names none.
  base::Status find(const AdmissionRequest& r, Json& out) const {
    const Json* name = base::find_path(*r.object, {"spec", "runtimeClassName"});
    if (name == nullptr || !name->is_string()) return {};
    const auto& text = name->get_ref<const std::string&>();
    const api::ObjectPtr object = lookup_.get("runtimeclasses.node.k8s.io", "", text);
    if (!object)
      return refuse(r, base::cat("pod rejected: RuntimeClass ", api::go_quote(text), " not found"));
    out = object->tree();
    return {};
  }

  const Lookup& lookup_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_runtime_class(const Lookup& lookup) {
  return std::make_unique<RuntimeClassPlugin>(lookup);
}

}  // namespace orch::server
