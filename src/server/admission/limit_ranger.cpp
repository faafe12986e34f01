#include <cstdio>
#include <limits>

#include "api/go_text.h"
#include "base/json.h"
#include "server/admission/plugins.h"
#include "server/admission/pod_resources.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

constexpr int64_t kMaxMilli = std::numeric_limits<int64_t>::max() / 1000;
constexpr const char* kAnnotation = "kubernetes.io/limit-ranger";

const api::Quantity* find(const ResourceList& list, const std::string& name) {
  const auto it = list.find(name);
  return it == list.end() ? nullptr : &it->second;
}

/// One bound that a LimitRange sets, and what a container, pod or claim has against it.
struct Bound {
  std::string_view type;  // Container, Pod, PersistentVolumeClaim
  const std::string& resource;
  const api::Quantity& value;
  const ResourceList &requests, &limits;

  std::string usage(std::string_view which) const {
    return base::cat(which, " ", resource, " usage per ", type, " is ", value.text());
  }

  std::string below_min() const {
    const api::Quantity* request = find(requests, resource);
    const api::Quantity* limit = find(limits, resource);
    if (request == nullptr) return usage("minimum") + ".  No request is specified";
    if (*request < value) return base::cat(usage("minimum"), ", but request is ", request->text());
    if (limit != nullptr && *limit < value)
      return base::cat(usage("minimum"), ", but limit is ", limit->text());
    return {};
  }

  std::string above_max() const {
    const api::Quantity* request = find(requests, resource);
    const api::Quantity* limit = find(limits, resource);
    if (limit == nullptr) return usage("maximum") + ".  No limit is specified";
    if (*limit > value) return base::cat(usage("maximum"), ", but limit is ", limit->text());
    if (request != nullptr && *request > value) {
      return base::cat(usage("maximum"), ", but request is ", request->text());
    }
    return {};
  }

  /// Claims have requests only.
  std::string request_above_max() const {
    const api::Quantity* request = find(requests, resource);
    if (request == nullptr) return usage("maximum") + ".  No request is specified";
    if (*request > value) return base::cat(usage("maximum"), ", but request is ", request->text());
    return {};
  }

  std::string above_ratio() const {
    const std::string what =
        base::cat(resource, " max limit to request ratio per ", type, " is ", value.text());
    const api::Quantity* request = find(requests, resource);
    const api::Quantity* limit = find(limits, resource);
    if (request == nullptr || request->is_zero())
      return what + ", but no request is specified or request is 0";
    if (limit == nullptr || limit->is_zero()) return what + ", but no limit is specified or limit is 0";
    const bool fine = request->value() <= kMaxMilli && limit->value() <= kMaxMilli;
    const double ratio = static_cast<double>(fine ? limit->milli_value() : limit->value()) /
                         static_cast<double>(fine ? request->milli_value() : request->value());
    const double allowed = value.value() <= kMaxMilli ? static_cast<double>(value.milli_value()) / 1000
                                                      : static_cast<double>(value.value());
    if (ratio <= allowed) return {};
    char text[64];
    std::snprintf(text, sizeof(text), "%f", ratio);
    return base::cat(what, ", but provided ratio is ", text);
  }
};

using Check = std::string (Bound::*)() const;

void check(const Json& item, const char* field, Check test, const ResourceList& requests,
           const ResourceList& limits, std::vector<std::string>& errors) {
  for (const auto& [name, value] : resource_list(base::object_at(item, {field}))) {
    const Bound bound{base::string_at(item, {"type"}), name, value, requests, limits};
    if (std::string text = (bound.*test)(); !text.empty()) errors.push_back(std::move(text));
  }
}

void check_all(const Json& item, const ResourceList& requests, const ResourceList& limits,
               std::vector<std::string>& errors) {
  check(item, "min", &Bound::below_min, requests, limits, errors);
  check(item, "max", &Bound::above_max, requests, limits, errors);
  check(item, "maxLimitRequestRatio", &Bound::above_ratio, requests, limits, errors);
}

void check_pod(const Json& item, const Json& pod, std::vector<std::string>& errors) {
  const std::string_view type = base::string_at(item, {"type"});
  if (type == "Pod") check_all(item, pod_resources(pod, "requests"), pod_resources(pod, "limits"), errors);
  if (type != "Container") return;
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : base::array_at(pod, {"spec", list})) {
      check_all(item, resource_list(base::object_at(container, {"resources", "requests"})),
                resource_list(base::object_at(container, {"resources", "limits"})), errors);
    }
  }
}

/// Fills in what is absent; the names of what it set, in order.
std::vector<std::string> fill(Json& container, const char* kind, const Json& defaults) {
  std::vector<std::string> set;
  for (const auto& [name, value] : defaults.items()) {
    if (base::find_path(container, {"resources", kind, name}) != nullptr) continue;
    container["resources"][kind][name] = value;
    set.push_back(name);
  }
  return set;
}

class LimitRanger final : public AdmissionPlugin {
 public:
  explicit LimitRanger(const Lookup& lookup) : lookup_(lookup) {}
  std::string_view name() const override { return "LimitRanger"; }

  bool handles(const AdmissionRequest& r) const override {
    if (r.object == nullptr) return false;
    const bool update = r.operation == Operation::kUpdate;
    if (!update && r.operation != Operation::kCreate) return false;
    // Containers of a pod cannot change but through "resize".
    if (is_resource(r, "", "pods")) return update ? r.subresource == "resize" : r.subresource.empty();
    return r.subresource.empty() && is_resource(r, "", "persistentvolumeclaims");
  }

  base::Status admit(AdmissionRequest& r) override {
    if (!is_resource(r, "", "pods") || deleting(r)) return {};
    for (const api::ObjectPtr& range : lookup_.list("limitranges", r.ns))
      apply_defaults(range->tree(), *r.object);
    return {};
  }

  base::Status validate(const AdmissionRequest& r) override {
    if (deleting(r)) return {};
    const bool pod = is_resource(r, "", "pods");
    for (const api::ObjectPtr& range : lookup_.list("limitranges", r.ns)) {
      const Json tree = range->tree();
      std::vector<std::string> errors;
      for (const Json& item : base::array_at(tree, {"spec", "limits"})) {
        if (pod) {
          check_pod(item, *r.object, errors);
        } else if (base::string_at(item, {"type"}) == "PersistentVolumeClaim") {
          const ResourceList requests =
              resource_list(base::object_at(*r.object, {"spec", "resources", "requests"}));
          check(item, "min", &Bound::below_min, requests, {}, errors);
          check(item, "max", &Bound::request_above_max, requests, {}, errors);
        }
      }
      if (!errors.empty()) return refuse(r, aggregate_text(errors));
    }
    return {};
  }

 private:
  static bool deleting(const AdmissionRequest& r) {
    return r.old_object != nullptr &&
           base::find_path(*r.old_object, {"metadata", "deletionTimestamp"}) != nullptr;
  }

  static void apply_defaults(const Json& range, Json& pod) {
    Json requests = Json::object(), limits = Json::object();
    for (const Json& item : base::array_at(range, {"spec", "limits"})) {
      if (base::string_at(item, {"type"}) != "Container") continue;
      requests.update(base::object_at(item, {"defaultRequest"}));
      limits.update(base::object_at(item, {"default"}));
    }
    std::vector<std::string> notes;
    for (const auto& [list, title] :
         {std::pair("containers", "container"), {"initContainers", "init container"}}) {
      const auto containers = pod["spec"].find(list);
      if (containers == pod["spec"].end() || !containers->is_array()) continue;
      for (Json& container : *containers) {
        const std::string_view name = base::string_at(container, {"name"});
        if (const auto set = fill(container, "requests", requests); !set.empty()) {
          notes.push_back(base::cat(api::join(set, ", "), " request for ", title, " ", name));
        }
        if (const auto set = fill(container, "limits", limits); !set.empty()) {
          notes.push_back(base::cat(api::join(set, ", "), " limit for ", title, " ", name));
        }
      }
    }
    if (notes.empty()) return;
    pod["metadata"]["annotations"][kAnnotation] = "LimitRanger plugin set: " + api::join(notes, "; ");
  }

  const Lookup& lookup_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_limit_ranger(const Lookup& lookup) {
  return std::make_unique<LimitRanger>(lookup);
}

}  // namespace orch::server
