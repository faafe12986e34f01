#include <optional>

#include "api/scan.h"
#include "base/json.h"
#include "server/admission/plugins.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

constexpr std::string_view kClasses = "priorityclasses.scheduling.k8s.io";

class Priority final : public AdmissionPlugin {
 public:
  explicit Priority(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "Priority"; }

  bool handles(const AdmissionRequest& r) const override {
    if (!r.subresource.empty() || r.object == nullptr) return false;
    return is_pod_write(r) || is_resource(r, "scheduling.k8s.io", "priorityclasses");
  }

  base::Status admit(AdmissionRequest& r) override {
    if (!is_pod_write(r)) return {};
    Json& spec = (*r.object)["spec"];
    if (r.operation == Operation::kUpdate) {
      for (const char* field : {"priority", "preemptionPolicy"}) {
        const Json* old = base::find_path(*r.old_object, {"spec", field});
        if (old != nullptr && !spec.contains(field)) spec[field] = *old;
      }
      return {};
    }
    const std::string wanted(base::string_at(spec, {"priorityClassName"}));
    std::optional<Json> found = wanted.empty() ? default_class() : named_class(wanted);
    if (!wanted.empty() && !found)
      return refuse(r, base::cat("no PriorityClass with name ", wanted, " was found"));
    int64_t priority = 0;
    std::string policy = "PreemptLowerPriority";
    if (found) {
      priority = base::int_at(*found, {"value"});
      policy = base::string_at(*found, {"preemptionPolicy"});
      spec["priorityClassName"] = base::string_at(*found, {"metadata", "name"});
    }
    if (const Json* given = base::find_path(spec, {"priority"});
        given != nullptr && given->is_number_integer() && given->get<int64_t>() != priority) {
      return refuse(r,
                    base::cat("the integer value of priority (", given->get<int64_t>(),
                              ") must not be provided in pod spec; priority admission controller computed ",
                              priority, " from the given PriorityClass name"));
    }
    spec["priority"] = priority;
    if (policy.empty()) return {};
    const std::string_view given = base::string_at(spec, {"preemptionPolicy"});
    if (!given.empty() && given != policy) {
      return refuse(
          r, base::cat("the string value of PreemptionPolicy (", given,
                       ") must not be provided in pod spec; priority admission controller computed ", policy,
                       " from the given PriorityClass name"));
    }
    spec["preemptionPolicy"] = policy;
    return {};
  }

  base::Status validate(const AdmissionRequest& r) override {
    if (is_resource(r, "", "pods") || !base::bool_at(*r.object, {"globalDefault"})) return {};
    const std::optional<Json> other = default_class();
    if (!other) return {};
    const std::string_view name = base::string_at(*other, {"metadata", "name"});
    if (r.operation == Operation::kUpdate && name == base::string_at(*r.object, {"metadata", "name"}))
      return {};
    return refuse(
        r, base::cat("PriorityClass ", name, " is already marked as default. Only one default can exist"));
  }

 private:
  std::optional<Json> named_class(std::string_view name) const {
    const api::ObjectPtr object = lookup_.get(kClasses, "", name);
    if (!object) return std::nullopt;
    return object->tree();
  }

  /// The lowest, should there be several after a race.
  std::optional<Json> default_class() const {
    std::optional<Json> lowest;
    for (const api::ObjectPtr& object : lookup_.list(kClasses, "")) {
      if (!api::mentions(object->bytes(), "\"globalDefault\"")) continue;
      Json tree = object->tree();
      if (!base::bool_at(tree, {"globalDefault"})) continue;
      if (!lowest || base::int_at(tree, {"value"}) < base::int_at(*lowest, {"value"}))
        lowest = std::move(tree);
    }
    return lowest;
  }

  const Lookup& lookup_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_priority(const Lookup& lookup) {
  return std::make_unique<Priority>(lookup);
}

std::vector<Json> system_priority_classes() {
  const auto make = [](const char* name, int64_t value, const char* description) {
    return Json{{"apiVersion", "scheduling.k8s.io/v1"}, {"kind", "PriorityClass"},
                {"metadata", {{"name", name}}},         {"value", value},
                {"description", description},           {"preemptionPolicy", "PreemptLowerPriority"}};
  };
  return {
      make("system-node-critical", 2000001000,
           "Used for system critical pods that must not be moved from their current node."),
      make("system-cluster-critical", 2000000000,
           "Used for system critical pods that must run in the cluster, but can be moved to another node if "
           "necessary.")};
}

}  // namespace orch::server
