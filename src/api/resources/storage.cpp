// storage.k8s.io/v1: classes, CSI drivers, and what they tell of nodes, capacity and attachments.
#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/quantity.h"
#include "api/resources/common_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "api/resources/volume_sources.h"
#include "base/json.h"

namespace orch::api {
namespace {

void default_class(Json& object) {
  default_pointer(object, "reclaimPolicy", "Delete");
  default_pointer(object, "volumeBindingMode", "Immediate");
}

void default_driver(Json& driver) {
  Json& spec = child(driver, "spec");
  default_pointer(spec, "attachRequired", true);
  default_pointer(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
  for (const char* off : {"podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"})
    default_pointer(spec, off, false);
  if (!has_items(spec, "volumeLifecycleModes"))
    put(spec, "volumeLifecycleModes", Json::array({"Persistent"}));
}

constexpr size_t kMaxParameters = 512;
constexpr size_t kMaxParametersSize = 256 * 1024;

/// A qualified name, capitals allowed.
void validate_provisioner(std::string_view value, const FieldPath& path, FieldErrors& errors) {
  if (value.empty()) return errors.required(path);
  std::string name(value);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  validate_qualified_name(name, path, errors);
}

void validate_parameters(const Json& object, bool may_be_empty, FieldErrors& errors) {
  const FieldPath path("parameters");
  const Json& parameters = map_of(object, "parameters");
  if (parameters.size() > kMaxParameters) return errors.too_long(path, static_cast<int>(kMaxParameters));
  size_t size = 0;
  for (const auto& [key, value] : parameters.items()) {
    if (key.empty()) errors.invalid(path, key, "field can not be empty.");
    size += key.size() + text(value).size();
  }
  if (size > kMaxParametersSize) errors.too_long(path, static_cast<int>(kMaxParametersSize));
  if (!may_be_empty && parameters.empty()) errors.required(path, "must contain at least one key/value pair");
}

// --- StorageClass ------------------------------------------------------------------------------------

using Topology = std::map<std::string, std::set<std::string>>;

Topology validate_topology(const Json& term, const FieldPath& path, FieldErrors& errors) {
  Topology topology;
  size_t i = 0;
  for (const Json& requirement : list_of(term, "matchLabelExpressions")) {
    const FieldPath at = path.child("matchLabelExpressions").index(i++);
    std::set<std::string> values;
    if (!has_items(requirement, "values")) errors.required(at.child("values"));
    size_t j = 0;
    for (const Json& value : list_of(requirement, "values")) {
      if (!values.insert(std::string(text(value))).second)
        errors.duplicate(at.child("values").index(j), std::string(text(value)));
      ++j;
    }
    const std::string key(text_of(requirement, "key"));
    validate_label_key(key, at.child("key"), errors);
    if (topology.contains(key)) errors.duplicate(at.child("key"), key);
    topology[key] = std::move(values);
  }
  return topology;
}

void validate_topologies(const Json& object, FieldErrors& errors) {
  const FieldPath path("allowedTopologies");
  const Json& terms = list_of(object, "allowedTopologies");
  // kube-apiserver compares with as many empty ones as there are terms, too: an empty one is a duplicate each
  // time.
  std::vector<Topology> seen(terms.size());
  size_t i = 0;
  for (const Json& term : terms) {
    const FieldPath at = path.index(i++);
    Topology topology = validate_topology(term, at, errors);
    for (const Topology& other : seen) {
      if (topology == other) errors.duplicate(at.child("matchLabelExpressions"), "");
    }
    seen.push_back(std::move(topology));
  }
}

void validate_class(const Json& object, FieldErrors& errors) {
  validate_provisioner(text_of(object, "provisioner"), FieldPath("provisioner"), errors);
  validate_parameters(object, true, errors);
  const std::string_view reclaim = text_of(object, "reclaimPolicy");
  if (!reclaim.empty() && reclaim != "Delete" && reclaim != "Retain")
    errors.not_supported(FieldPath("reclaimPolicy"), reclaim, {"Delete", "Retain"});
  const std::string_view mode = text_of(object, "volumeBindingMode");
  if (mode != "Immediate" && mode != "WaitForFirstConsumer")
    errors.not_supported(FieldPath("volumeBindingMode"), mode, {"Immediate", "WaitForFirstConsumer"});
  validate_topologies(object, errors);
}

void validate_class_update(const Json& object, const Json& old, FieldErrors& errors) {
  validate_class(object, errors);
  for (const char* key : {"parameters", "provisioner", "reclaimPolicy"}) {
    if (!same_member(object, old, key))
      errors.forbidden(FieldPath(key), base::cat("updates to ", key, " are forbidden."));
  }
  validate_immutable_member(object, old, "volumeBindingMode", FieldPath(), errors);
}

// --- VolumeAttributesClass ---------------------------------------------------------------------------

void validate_attributes_class(const Json& object, FieldErrors& errors) {
  validate_provisioner(text_of(object, "driverName"), FieldPath("driverName"), errors);
  validate_parameters(object, false, errors);
}

void validate_attributes_class_update(const Json& object, const Json& old, FieldErrors& errors) {
  for (const char* key : {"driverName", "parameters"}) {
    if (!same_member(object, old, key))
      errors.forbidden(FieldPath(key), base::cat("updates to ", key, " are forbidden."));
  }
  validate_attributes_class(object, errors);
}

// --- CSIDriver ---------------------------------------------------------------------------------------

constexpr int64_t kLeastTokenSeconds = 600;
constexpr int64_t kMostTokenSeconds = int64_t{1} << 32;

void validate_token_requests(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string_view> audiences;
  size_t i = 0;
  for (const Json& request : list_of(spec, "tokenRequests")) {
    const FieldPath at = path.index(i++);
    const std::string_view audience = text_of(request, "audience");
    if (!audiences.insert(audience).second) {
      errors.duplicate(at.child("audience"), std::string(audience));
      continue;
    }
    if (!has(request, "expirationSeconds")) continue;
    const int64_t seconds = number_of(request, "expirationSeconds");
    const FieldPath field = at.child("expirationSeconds");
    if (seconds < kLeastTokenSeconds)
      errors.invalid(field, seconds, "may not specify a duration less than 10 minutes");
    if (seconds > kMostTokenSeconds)
      errors.invalid(field, seconds, "may not specify a duration larger than 2^32 seconds");
  }
}

void validate_driver(const Json& object, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(object, "spec");
  const std::string_view policy = text_of(spec, "fsGroupPolicy");
  static const std::vector<std::string> policies = {"File", "None", "ReadWriteOnceWithFSType"};
  if (has(spec, "fsGroupPolicy") && std::find(policies.begin(), policies.end(), policy) == policies.end())
    errors.not_supported(path.child("fsGroupPolicy"), policy, policies);
  validate_token_requests(spec, path.child("tokenRequests"), errors);
  for (const Json& mode : list_of(spec, "volumeLifecycleModes")) {
    if (text(mode) != "Persistent" && text(mode) != "Ephemeral")
      errors.not_supported(path.child("volumeLifecycleModes"), text(mode), {"Persistent", "Ephemeral"});
  }
  const int64_t period = number_of(spec, "nodeAllocatableUpdatePeriodSeconds");
  if (has(spec, "nodeAllocatableUpdatePeriodSeconds") && period < 10) {
    errors.invalid(path.child("nodeAllocatableUpdatePeriodSeconds"), period,
                   "must be greater than or equal to 10 seconds");
  }
  if (has(spec, "serviceAccountTokenInSecrets") && !has_items(spec, "tokenRequests")) {
    errors.invalid(path.child("serviceAccountTokenInSecrets"),
                   member_of(spec, "serviceAccountTokenInSecrets"),
                   "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
  }
}

void validate_driver_update(const Json& object, const Json& old, FieldErrors& errors) {
  validate_driver(object, errors);
  const Json& spec = map_of(object, "spec");
  const Json& before = map_of(old, "spec");
  const FieldPath path("spec");
  validate_immutable(member_of(spec, "attachRequired"), member_of(before, "attachRequired"),
                     path.child("attachedRequired"), errors);
  validate_immutable_member(spec, before, "volumeLifecycleModes", path, errors);
}

/// Only changes are counted: a new driver has no generation.
void count_driver_changes(Json& object, const Json& old, const StrategyContext&) {
  if (same_member(object, old, "spec")) return;
  put(child(object, "metadata"), "generation", number_of(map_of(old, "metadata"), "generation") + 1);
}

std::vector<std::string> driver_warnings(const Json& object, const Json* old) {
  const Json& spec = map_of(object, "spec");
  if (!has_items(spec, "tokenRequests") || has(spec, "serviceAccountTokenInSecrets")) return {};
  if (old != nullptr && same_member(spec, map_of(*old, "spec"), "tokenRequests")) return {};
  return {
      "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent "
      "possible "
      "logging of tokens in volume attributes"};
}

// --- CSINode -----------------------------------------------------------------------------------------

constexpr size_t kMaxNodeId = 256;

void validate_node_driver(const Json& driver, const FieldPath& path, FieldErrors& errors) {
  validate_csi_driver_name(text_of(driver, "name"), path.child("name"), errors);
  const std::string_view id = text_of(driver, "nodeID");
  if (id.empty()) errors.required(path.child("nodeID"));
  if (id.size() > kMaxNodeId)
    add_invalid(errors, path.child("nodeID"), id, base::cat("must be ", kMaxNodeId, " characters or less"));
  const Json& allocatable = map_of(driver, "allocatable");
  if (has(allocatable, "count"))
    validate_nonnegative(number_of(allocatable, "count"), path.child("allocatable").child("count"), errors);
}

void validate_csi_node(const Json& object, FieldErrors& errors) {
  const FieldPath path("spec.drivers");
  std::set<std::string_view> names;
  size_t i = 0;
  for (const Json& driver : list_of(map_of(object, "spec"), "drivers")) {
    const FieldPath at = path.index(i++);
    validate_node_driver(driver, at, errors);
    const std::string_view name = text_of(driver, "name");
    if (!names.insert(name).second) errors.duplicate(at.child("name"), std::string(name));
    std::set<std::string_view> keys;
    for (const Json& key : list_of(driver, "topologyKeys")) {
      if (text(key).empty()) errors.required(at);
      if (!keys.insert(text(key)).second) errors.duplicate(at, std::string(text(key)));
      validate_qualified_name(text(key), at, errors);
    }
  }
}

void validate_csi_node_update(const Json& object, const Json& old, FieldErrors& errors) {
  // kube-apiserver checks the new one twice, once for what changed.
  validate_csi_node(object, errors);
  validate_csi_node(object, errors);
  for (const Json& before : list_of(map_of(old, "spec"), "drivers")) {
    for (const Json& driver : list_of(map_of(object, "spec"), "drivers")) {
      if (text_of(before, "name") != text_of(driver, "name")) continue;
      if (same_member(before, driver, "nodeID") && same_member(before, driver, "topologyKeys")) continue;
      const auto quoted = [&](const char* key) { return Json(std::string(text_of(driver, key))).dump(); };
      const Json& keys = list_of(driver, "topologyKeys");
      add_cause(errors, "FieldValueInvalid", FieldPath("spec.drivers"),
                "Invalid value: " +
                    go_struct({{"Name", quoted("name")},
                               {"NodeID", quoted("nodeID")},
                               {"TopologyKeys", keys.empty() ? "null" : keys.dump()},
                               {"Allocatable", "null"}}) +
                    ": field is immutable");
    }
  }
}

// --- CSIStorageCapacity ------------------------------------------------------------------------------

void validate_capacity(const Json& object, bool lenient, FieldErrors& errors) {
  validate_label_selector(member_of(object, "nodeTopology"), FieldPath("nodeTopology"), errors, {lenient});
  validate_dns1123_subdomain(text_of(object, "storageClassName"), FieldPath("storageClassName"), errors);
  if (!has(object, "capacity")) return;
  const auto amount = Quantity::from_json(member_of(object, "capacity"));
  if (amount.ok() && amount->sign() < 0)
    add_invalid(errors, FieldPath("capacity"), amount->text(), "must be greater than or equal to 0");
}

void validate_capacity_update(const Json& object, const Json& old, FieldErrors& errors) {
  validate_capacity(object, has_invalid_selector_value(member_of(old, "nodeTopology")), errors);
  if (!same_member(object, old, "nodeTopology"))
    errors.invalid(FieldPath("nodeTopology"), member_of(object, "nodeTopology"), "field is immutable");
  if (!same_member(object, old, "storageClassName")) {
    add_invalid(errors, FieldPath("storageClassName"), text_of(object, "storageClassName"),
                "field is immutable");
  }
}

// --- VolumeAttachment --------------------------------------------------------------------------------

constexpr size_t kMaxAttachmentMetadata = 256 * 1024;
constexpr size_t kMaxErrorMessage = 1024;

void validate_attach_error(const Json& status, const char* key, FieldErrors& errors) {
  if (!has(status, key)) return;
  const FieldPath path = FieldPath("status").child(key);
  const Json& error = map_of(status, key);
  if (text_of(error, "message").size() > kMaxErrorMessage)
    errors.too_long(path.child("message"), static_cast<int>(kMaxAttachmentMetadata));
  if (has(error, "errorCode") && number_of(error, "errorCode") < 0) {
    errors.invalid(path.child("errorCode"), number_of(error, "errorCode"),
                   "must be between 0 and 2147483647, inclusive");
  }
}

void validate_attachment(const Json& object, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(object, "spec");
  if (text_of(spec, "attacher").empty()) errors.required(path.child("attacher"));
  const Json& source = map_of(spec, "source");
  const FieldPath at = path.child("source");
  const bool named = has(source, "persistentVolumeName");
  const bool in_line = has(source, "inlineVolumeSpec");
  constexpr const char* kOne = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  if (!named && !in_line) {
    errors.required(at, kOne);
  } else if (named && in_line) {
    errors.forbidden(at, kOne);
  } else if (in_line) {
    validate_inline_volume_spec(map_of(source, "inlineVolumeSpec"), at.child("inlineVolumeSpec"), errors);
  } else if (text_of(source, "persistentVolumeName").empty()) {
    errors.required(at.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
  }
  validate_dns1123_subdomain(text_of(spec, "nodeName"), path.child("nodeName"), errors);
  const Json& status = map_of(object, "status");
  size_t size = 0;
  for (const auto& [key, value] : map_of(status, "attachmentMetadata").items())
    size += key.size() + text(value).size();
  if (size > kMaxAttachmentMetadata)
    errors.too_long(FieldPath("status.attachmentMetadata"), static_cast<int>(kMaxAttachmentMetadata));
  validate_attach_error(status, "attachError", errors);
  validate_attach_error(status, "detachError", errors);
}

void validate_new_attachment(const Json& object, FieldErrors& errors) {
  validate_attachment(object, errors);
  const Json& spec = map_of(object, "spec");
  validate_csi_driver_name(text_of(spec, "attacher"), FieldPath("spec.attacher"), errors);
  const Json& source = map_of(spec, "source");
  if (has(source, "persistentVolumeName")) {
    validate_dns1123_subdomain(text_of(source, "persistentVolumeName"),
                               FieldPath("spec.source.persistentVolumeName"), errors);
  }
}

void validate_attachment_update(const Json& object, const Json& old, FieldErrors& errors) {
  validate_attachment(object, errors);
  validate_immutable_member(object, old, "spec", FieldPath(), errors);
}

}  // namespace

Strategy storage_class_strategy() {
  Strategy s = traits_of("storage.k8s.io", "StorageClass");
  s.set_defaults = default_class;
  s.validate = validate_class;
  s.validate_update = validate_class_update;
  return s;
}

Strategy csi_driver_strategy() {
  Strategy s = traits_of("storage.k8s.io", "CSIDriver");
  s.set_defaults = default_driver;
  s.prepare_update = count_driver_changes;
  s.warnings = driver_warnings;
  s.validate = validate_driver;
  s.validate_update = validate_driver_update;
  return s;
}

Strategy csi_node_strategy() {
  Strategy s = traits_of("storage.k8s.io", "CSINode");
  s.validate = validate_csi_node;
  s.validate_update = validate_csi_node_update;
  return s;
}

Strategy csi_storage_capacity_strategy() {
  Strategy s = traits_of("storage.k8s.io", "CSIStorageCapacity");
  s.validate = [](const Json& object, FieldErrors& errors) { validate_capacity(object, false, errors); };
  s.validate_update = validate_capacity_update;
  return s;
}

Strategy volume_attachment_strategy() {
  Strategy s = traits_of("storage.k8s.io", "VolumeAttachment");
  s.validate = validate_new_attachment;
  s.validate_update = validate_attachment_update;
  s.validate_status_update = validate_attachment_update;
  return s;
}

Strategy volume_attributes_class_strategy() {
  Strategy s = traits_of("storage.k8s.io", "VolumeAttributesClass");
  s.validate = validate_attributes_class;
  s.validate_update = validate_attributes_class_update;
  return s;
}

}  // namespace orch::api
