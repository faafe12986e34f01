// What may change in a pod that exists: through the main resource, status, ephemeralcontainers and resize.
#include <algorithm>
#include <climits>
#include <set>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/ip.h"
#include "api/resources/pod_parts.h"
#include "api/resources/resource_list.h"
#include "api/resources/tree.h"
#include "api/resources/unified_diff.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr std::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";
constexpr const char* kMirror = "kubernetes.io/config.mirror";
constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
constexpr const char* kUpdatable =
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";

PodOptions options_of(const Json& old) {
  PodOptions options = pod_options(&map_of(old, "spec"), &annotations_of(old));
  options.is_pod = true;
  return options;
}

/// Metadata and spec of a pod, as on create and on every update of either.
void validate_whole(const Json& pod, const PodOptions& options, FieldErrors& errors) {
  const Json& spec = map_of(pod, "spec");
  const Json& metadata = map_of(pod, "metadata");
  const FieldPath path("spec");
  validate_pod_annotations(annotations_of(pod), spec, FieldPath("metadata").child("annotations"), options,
                           errors);
  validate_pod_spec(spec, &metadata, path, options, errors);
  if (text_of(spec, "serviceAccountName").empty()) {
    size_t v = 0;
    for (const Json& volume : list_of(spec, "volumes")) {
      const FieldPath at = path.child("volumes").index(v++).child("projected").child("sources");
      size_t s = 0;
      for (const Json& source : list_of(map_of(volume, "projected"), "sources")) {
        const FieldPath token = at.index(s++).child("serviceAccountToken");
        if (has(source, "serviceAccountToken")) {
          errors.forbidden(token, "must not be specified when serviceAccountName is not set");
        }
      }
    }
  }
  for (const char* kind : {"containers", "initContainers"}) {
    size_t i = 0;
    for (const Json& container : list_of(spec, kind)) {
      validate_image_spaces(container, path.child(kind).index(i++), errors);
    }
  }
}

/// Annotations that stand for parts of the spec change as little as those.
void validate_annotation_changes(const Json& pod, const Json& old, const PodOptions& options,
                                 FieldErrors& errors) {
  const FieldPath path = FieldPath("metadata").child("annotations");
  const Json& now = annotations_of(pod);
  const Json& before = annotations_of(old);
  for (auto it = before.begin(); it != before.end(); ++it) {
    if (has(now, it.key()) && member_of(now, it.key()) == *it) continue;
    if (it.key().starts_with(kAppArmor)) {
      errors.forbidden(path.key(it.key()), "may not remove or update AppArmor annotations");
    }
    if (it.key() == kMirror)
      errors.forbidden(path.key(it.key()), "may not remove or update mirror pod annotation");
  }
  for (auto it = now.begin(); it != now.end(); ++it) {
    if (has(before, it.key())) continue;
    if (it.key().starts_with(kAppArmor))
      errors.forbidden(path.key(it.key()), "may not add AppArmor annotations");
    if (it.key() == kMirror) errors.forbidden(path.key(it.key()), "may not add mirror pod annotation");
  }
  validate_pod_annotations(now, map_of(pod, "spec"), path, options, errors);
}

// --- Update --------------------------------------------------------------------------------------------

/// False if the lists do not line up, so that nothing further can be compared.
bool validate_container_images(const Json& spec, const Json& old, const char* kind, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").child(kind);
  const Json& containers = list_of(spec, kind);
  if (containers.size() != list_of(old, kind).size()) {
    errors.forbidden(path, "pod updates may not add or remove containers");
    return false;
  }
  for (size_t i = 0; i < containers.size(); ++i) {
    if (text_of(containers[i], "image").empty()) errors.required(path.index(i).child("image"));
    validate_image_spaces(containers[i], path.index(i), errors);
  }
  return true;
}

/// False if validation ends here.
bool validate_deadline_change(const Json& spec, const Json& old, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").child("activeDeadlineSeconds");
  const bool had = has(old, "activeDeadlineSeconds");
  if (!has(spec, "activeDeadlineSeconds")) {
    if (had) errors.invalid(path, nullptr, "must not update from a positive integer to nil value");
    return true;
  }
  const int64_t deadline = number_of(spec, "activeDeadlineSeconds");
  if (deadline < 0 || deadline > INT_MAX) {
    errors.invalid(path, deadline, range_problem(0, INT_MAX));
    return false;
  }
  if (had && number_of(old, "activeDeadlineSeconds") < deadline) {
    errors.invalid(path, deadline, "must be less than or equal to previous value");
    return false;
  }
  return true;
}

void validate_toleration_additions(const Json& spec, const Json& old, const PodOptions& options,
                                   FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").child("tolerations");
  const Json& now = list_of(spec, "tolerations");
  for (Json before : list_of(old, "tolerations")) {
    const bool kept = std::any_of(now.begin(), now.end(), [&](const Json& toleration) {
      restore(before, toleration, "tolerationSeconds");
      return same(before, toleration);
    });
    if (!kept) {
      return errors.forbidden(path, "existing toleration can not be modified except its tolerationSeconds");
    }
  }
  validate_tolerations(now, options, path, errors);
}

void validate_gate_removal(const Json& spec, const Json& old, FieldErrors& errors) {
  std::set<std::string_view> before;
  for (const Json& gate : list_of(old, "schedulingGates")) before.insert(text_of(gate, "name"));
  size_t i = 0;
  for (const Json& gate : list_of(spec, "schedulingGates")) {
    const FieldPath at = FieldPath("spec").child("schedulingGates").index(i++).child("name");
    const std::string name(text_of(gate, "name"));
    if (!before.contains(name)) {
      errors.forbidden(at, "only deletion is allowed, but found new scheduling gate '" + name + "'");
    }
  }
}

/// The list starts with the old one, and where there was nothing nothing is added.
bool only_appended(const Json& term, const Json& old, const char* key) {
  const Json& now = list_of(term, key);
  const Json& before = list_of(old, key);
  if (now.size() < before.size()) return false;
  for (size_t i = 0; i < before.size(); ++i) {
    if (!same(now[i], before[i])) return false;
  }
  return true;
}

bool only_narrowed(const Json& term, const Json& old) {
  const bool was_empty = !has_items(old, "matchExpressions") && !has_items(old, "matchFields");
  if (was_empty && (has_items(term, "matchExpressions") || has_items(term, "matchFields"))) return false;
  return only_appended(term, old, "matchExpressions") && only_appended(term, old, "matchFields");
}

void validate_node_affinity_change(const Json& affinity, const Json& old, FieldErrors& errors) {
  if (!has(old, kRequired)) return;
  const FieldPath path =
      FieldPath("spec").child("affinity").child("nodeAffinity").child(kRequired).child("nodeSelectorTerms");
  const Json& before = list_of(map_of(old, kRequired), "nodeSelectorTerms");
  const Json& now = list_of(map_of(affinity, kRequired), "nodeSelectorTerms");
  if (!before.empty() && before.size() != now.size()) {
    return errors.invalid(path, now,
                          "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
  }
  for (size_t i = 0; i < before.size(); ++i) {
    if (!only_narrowed(now[i], before[i])) {
      errors.invalid(path.index(i), now[i], "only additions are allowed (no mutations or deletions)");
    }
  }
}

/// A pod that waits behind scheduling gates may still be narrowed to fewer nodes. Takes back in `munged` what
/// was judged here.
void validate_gated_placement(Json& munged, const Json& old, FieldErrors& errors) {
  if (!same_member(munged, old, "nodeSelector")) {
    const Json& now = member_of(munged, "nodeSelector");
    const Json& before = map_of(old, "nodeSelector");
    for (auto it = before.begin(); it != before.end(); ++it) {
      if (member_of(now, it.key()) == *it) continue;
      errors.invalid(FieldPath("spec").child("nodeSelector"), now,
                     "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
      break;
    }
    restore(munged, old, "nodeSelector");
  }
  const Json& old_affinity = map_of(map_of(old, "affinity"), "nodeAffinity");
  const Json& new_affinity = map_of(map_of(munged, "affinity"), "nodeAffinity");
  if (same(new_affinity, old_affinity)) return;
  validate_node_affinity_change(new_affinity, old_affinity, errors);
  Json& affinity = child(munged, "affinity");
  restore(affinity, map_of(old, "affinity"), "nodeAffinity");
  if (affinity.empty()) restore(munged, old, "affinity");
}

/// The new spec with all that an update may change put back: what differs still is an error.
Json with_updatable_restored(const Json& spec, const Json& old, FieldErrors& errors) {
  Json munged = spec;
  for (const char* kind : {"containers", "initContainers"}) {
    Json* containers = array_in(munged, kind);
    const Json& before = list_of(old, kind);
    for (size_t i = 0; containers && i < containers->size() && i < before.size(); ++i) {
      if ((*containers)[i].is_object()) restore((*containers)[i], before[i], "image");
    }
  }
  for (const char* key : {"activeDeadlineSeconds", "schedulingGates", "tolerations"})
    restore(munged, old, key);
  if (number_of(old, "terminationGracePeriodSeconds") < 0 &&
      number_of(munged, "terminationGracePeriodSeconds") == 1) {
    restore(munged, old, "terminationGracePeriodSeconds");
  }
  if (has_items(old, "schedulingGates")) validate_gated_placement(munged, old, errors);
  return munged;
}

// --- Status --------------------------------------------------------------------------------------------

bool exit_code_matches(const Json& rule, int64_t exit_code) {
  if (!has(rule, "exitCodes")) return false;
  const Json& codes = map_of(rule, "exitCodes");
  bool listed = false;
  for (const Json& value : list_of(codes, "values")) listed = listed || number(value) == exit_code;
  return text_of(codes, "operator") == "In" ? listed : !listed;
}

bool restarts_under(std::string_view policy, int64_t exit_code) {
  if (policy == "OnFailure") return exit_code != 0;
  return policy != "Never";
}

bool may_restart(const Json& container, const Json& spec, int64_t exit_code) {
  if (has(container, "restartPolicy")) {
    for (const Json& rule : list_of(container, "restartPolicyRules")) {
      if (!exit_code_matches(rule, exit_code)) continue;
      if (text_of(rule, "action") == "Restart") return true;
      break;
    }
    return restarts_under(text_of(container, "restartPolicy"), exit_code);
  }
  return restarts_under(text_of(spec, "restartPolicy"), exit_code);
}

/// A container that ended for good stays ended. `containers` is the member of spec the statuses belong to.
void validate_transitions(const Json& pod, const Json& old, const char* statuses, const char* containers,
                          FieldErrors& errors) {
  const Json& now = list_of(map_of(pod, "status"), statuses);
  const Json& spec = map_of(old, "spec");
  size_t i = 0;
  for (const Json& before : list_of(map_of(old, "status"), statuses)) {
    const FieldPath at = FieldPath("status").child(statuses).index(i++).child("state");
    const Json& state = map_of(before, "state");
    if (!has(state, "terminated")) continue;
    const std::string_view name = text_of(before, "name");
    for (const Json& status : now) {
      if (text_of(status, "name") != name || has(map_of(status, "state"), "terminated")) continue;
      bool allowed = false;
      for (const Json& container : containers ? list_of(spec, containers) : Json::array()) {
        if (text_of(container, "name") != name) continue;
        allowed = may_restart(container, spec, number_of(map_of(state, "terminated"), "exitCode"));
        break;
      }
      if (!allowed) errors.forbidden(at, "may not be transitioned to non-terminated state");
      break;
    }
  }
}

void validate_pod_conditions(const Json& status, FieldErrors& errors) {
  size_t i = 0;
  for (const Json& condition : list_of(status, "conditions")) {
    const FieldPath at = FieldPath("status").child("conditions").index(i++);
    const int64_t observed = number_of(condition, "observedGeneration");
    if (observed < 0)
      errors.invalid(at.child("observedGeneration"), observed, "must be a non-negative integer");
    const std::string_view type = text_of(condition, "type");
    if (type == "PodScheduled" || type == "Ready" || type == "Initialized") continue;
    validate_qualified_name(type, at.child("Type"), errors);
  }
}

/// podIPs and hostIPs: valid, and one of each family at most. Addresses that were there before may stay.
void validate_status_ips(const Json& status, const Json& old, const char* key, FieldErrors& errors) {
  const FieldPath path = FieldPath("status").child(key);
  const Json& ips = list_of(status, key);
  std::set<std::string_view> known;
  for (const Json& ip : list_of(old, key)) known.insert(text_of(ip, "ip"));
  size_t v4 = 0;
  for (size_t i = 0; i < ips.size(); ++i) {
    const std::string_view text = text_of(ips[i], "ip");
    if (!known.contains(text)) validate_legacy_ip(text, path.index(i), errors);
    const auto ip = Ip::parse(text);
    if (ip && ip->v4()) ++v4;
  }
  if (ips.size() > 1 && (ips.size() > 2 || v4 != 1)) {
    std::string shown;
    for (const Json& ip : ips) shown += (shown.empty() ? "[" : ",") + go_struct({{"IP", text_of(ip, "ip")}});
    add_cause(errors, "FieldValueInvalid", path,
              "Invalid value: " + shown + "]: may specify no more than one IP for each IP family");
  }
}

void validate_claim_statuses(const Json& pod, FieldErrors& errors) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Json& status : list_of(map_of(pod, "status"), "resourceClaimStatuses")) {
    const FieldPath at = FieldPath("status").child("resourceClaimStatuses").index(i++).child("name");
    const std::string_view name = text_of(status, "name");
    const Json& claims = list_of(map_of(pod, "spec"), "resourceClaims");
    const bool known = std::any_of(claims.begin(), claims.end(),
                                   [&](const Json& claim) { return text_of(claim, "name") == name; });
    if (!known) add_invalid(errors, at, name, "must match the name of an entry in `spec.resourceClaims`");
    if (!seen.insert(name).second) errors.duplicate(at, std::string(name));
    if (has(status, "resourceClaimName")) {
      validate_dns1123_subdomain(text_of(status, "resourceClaimName"), at, errors);
    }
  }
}

void validate_container_users(const Json& pod, const char* statuses, FieldErrors& errors) {
  const bool windows = text_of(map_of(map_of(pod, "spec"), "os"), "name") == "windows";
  size_t i = 0;
  for (const Json& status : list_of(map_of(pod, "status"), statuses)) {
    const FieldPath at = FieldPath("status").child(statuses).index(i++).child("user").child("linux");
    const Json& user = map_of(status, "user");
    if (!has(user, "linux")) continue;
    if (windows) {
      errors.forbidden(at, "cannot be set for a windows pod");
      continue;
    }
    const Json& linux = map_of(user, "linux");
    for (const std::string& p : check_user_id(number_of(linux, "uid"))) {
      errors.invalid(at.child("uid"), number_of(linux, "uid"), p);
    }
    for (const std::string& p : check_group_id(number_of(linux, "gid"))) {
      errors.invalid(at.child("gid"), number_of(linux, "gid"), p);
    }
    size_t g = 0;
    for (const Json& group : list_of(linux, "supplementalGroups")) {
      const FieldPath group_path = at.child("supplementalGroups").index(g++);
      for (const std::string& p : check_group_id(number(group))) errors.invalid(group_path, group, p);
    }
  }
}

// --- Resize --------------------------------------------------------------------------------------------

bool resources_removed(const Json& now, const Json& before) {
  for (auto it = before.begin(); it != before.end(); ++it) {
    if (!now.contains(it.key())) return true;
  }
  return false;
}

/// The container with the cpu and memory it had.
Json with_old_cpu_and_memory(Json container, const Json& old) {
  Json& resources = child(container, "resources");
  const Json& before = map_of(old, "resources");
  for (const char* list : {"limits", "requests"}) {
    Json& amounts = child(resources, list);
    for (const char* name : {"cpu", "memory"}) restore(amounts, map_of(before, list), name);
    if (amounts.empty()) drop(resources, list);
  }
  drop(resources, "claims");
  return container;
}

void validate_resized_container(const Json& container, const Json& old, const FieldPath& path,
                                FieldErrors& errors) {
  const Json& now = map_of(container, "resources");
  const Json& before = map_of(old, "resources");
  for (const char* list : {"requests", "limits"}) {
    if (resources_removed(map_of(now, list), map_of(before, list))) {
      errors.forbidden(path.child("resources").child(list),
                       std::string("resource ") + list + " cannot be removed");
    }
  }
}

bool validate_resize_order(const Json& spec, const Json& old, FieldErrors& errors) {
  bool ok = true;
  for (const char* kind : {"containers", "initContainers"}) {
    const FieldPath path = FieldPath("spec").child(kind);
    const Json& now = list_of(spec, kind);
    const Json& before = list_of(old, kind);
    if (now.size() != before.size()) {
      errors.forbidden(path, std::string(kind) + " may not be added or removed on resize");
      ok = false;
      continue;
    }
    for (size_t i = 0; i < now.size(); ++i) {
      if (text_of(now[i], "name") == text_of(before[i], "name")) continue;
      errors.forbidden(path.index(i).child("name"),
                       std::string(kind) + " may not be renamed or reordered on resize");
      ok = false;
    }
  }
  return ok;
}

/// A running container without resources in its status is on a node that cannot resize.
bool node_can_resize(const Json& pod) {
  for (const Json& status : list_of(map_of(pod, "status"), "containerStatuses")) {
    if (has(map_of(status, "state"), "running")) return has(status, "resources");
  }
  return true;
}

void validate_resized_list(const Json& spec, const Json& old, const char* kind, FieldErrors& errors) {
  const bool init = std::string_view(kind) == "initContainers";
  const Json& now = list_of(spec, kind);
  const Json& before = list_of(old, kind);
  for (size_t i = 0; i < now.size(); ++i) {
    const FieldPath path("spec");
    const bool fixed = init && !is_sidecar(now[i]);
    const Json munged = fixed ? now[i] : with_old_cpu_and_memory(now[i], before[i]);
    if (same(munged, before[i])) continue;
    errors.forbidden(path, fixed  ? "resources for non-sidecar init containers are immutable"
                           : init ? "only cpu and memory resources for sidecar containers are mutable"
                                  : "only cpu and memory resources are mutable");
  }
}

}  // namespace

void validate_pod(const Json& pod, FieldErrors& errors) {
  PodOptions options = pod_options(nullptr, nullptr);
  options.is_pod = true;
  validate_whole(pod, options, errors);
  const Json& spec = map_of(pod, "spec");
  const FieldPath path("spec");
  if (has_items(spec, "ephemeralContainers")) {
    errors.forbidden(path.child("ephemeralContainers"), "cannot be set on create");
  }
  if (has_items(spec, "nodeName") && has_items(spec, "schedulingGates")) {
    errors.forbidden(path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
  }
  validate_security_annotations_match(annotations_of(pod), spec, path, errors);
}

void validate_pod_update(const Json& pod, const Json& old_pod, FieldErrors& errors) {
  const PodOptions options = options_of(old_pod);
  validate_whole(pod, options, errors);
  validate_annotation_changes(pod, old_pod, options, errors);
  const Json& spec = map_of(pod, "spec");
  const Json& old = map_of(old_pod, "spec");
  for (const char* kind : {"containers", "initContainers"}) {
    if (!validate_container_images(spec, old, kind, errors)) return;
  }
  if (!validate_deadline_change(spec, old, errors)) return;
  validate_toleration_additions(spec, old, options, errors);
  validate_gate_removal(spec, old, errors);
  if (same(spec, old)) return;
  const Json munged = with_updatable_restored(spec, old, errors);
  if (!same(munged, old)) errors.forbidden(FieldPath("spec"), kUpdatable + json_diff(old, munged));
}

void validate_pod_status_update(const Json& pod, const Json& old_pod, FieldErrors& errors) {
  validate_annotation_changes(pod, old_pod, options_of(old_pod), errors);
  const Json& status = map_of(pod, "status");
  const Json& old = map_of(old_pod, "status");
  const FieldPath path("status");
  validate_pod_conditions(status, errors);
  const std::string_view nominated = text_of(status, "nominatedNodeName");
  if (!nominated.empty() && nominated != text_of(old, "nominatedNodeName")) {
    validate_dns1123_subdomain(nominated, path.child("nominatedNodeName"), errors);
    if (has_items(map_of(old_pod, "spec"), "nodeName")) {
      errors.forbidden(path.child("nominatedNodeName"),
                       "may not be set on pods that are already bound to a node");
    }
  }
  const int64_t observed = number_of(status, "observedGeneration");
  if (observed < 0)
    errors.invalid(path.child("observedGeneration"), observed, "must be a non-negative integer");
  validate_immutable_member(status, old, "qosClass", path, errors);
  validate_transitions(pod, old_pod, "containerStatuses", "containers", errors);
  validate_transitions(pod, old_pod, "initContainerStatuses", "initContainers", errors);
  validate_transitions(pod, old_pod, "ephemeralContainerStatuses", nullptr, errors);
  validate_claim_statuses(pod, errors);
  validate_status_ips(status, old, "podIPs", errors);
  const Json& host_ips = list_of(status, "hostIPs");
  if (!host_ips.empty() && text_of(host_ips[0], "ip") != text_of(status, "hostIP")) {
    add_invalid(errors, path.child("hostIPs").index(0).child("ip"), text_of(host_ips[0], "ip"),
                "must be equal to `hostIP`");
  }
  validate_status_ips(status, old, "hostIPs", errors);
  for (const char* statuses : {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}) {
    validate_container_users(pod, statuses, errors);
  }
}

void validate_ephemeral_containers_update(const Json& pod, const Json& old_pod, FieldErrors& errors) {
  if (has(annotations_of(old_pod), kMirror)) {
    return errors.forbidden(FieldPath(""), "static pods do not support ephemeral containers");
  }
  const PodOptions options = options_of(old_pod);
  validate_whole(pod, options, errors);
  validate_annotation_changes(pod, old_pod, options, errors);
  const FieldPath path = FieldPath("spec").child("ephemeralContainers");
  std::map<std::string_view, const Json*> now;
  for (const Json& container : list_of(map_of(pod, "spec"), "ephemeralContainers")) {
    now[text_of(container, "name")] = &container;
  }
  for (const Json& old : list_of(map_of(old_pod, "spec"), "ephemeralContainers")) {
    const std::string_view name = text_of(old, "name");
    const auto it = now.find(name);
    if (it == now.end()) {
      errors.forbidden(path, "existing ephemeral containers " + go_quote(name) + " may not be removed\n");
    } else if (!same(old, *it->second)) {
      errors.forbidden(path, "existing ephemeral containers " + go_quote(name) + " may not be changed\n" +
                                 json_diff(old, *it->second));
    }
  }
}

void validate_pod_resize(const Json& pod, const Json& old_pod, FieldErrors& errors) {
  const Json& spec = map_of(pod, "spec");
  const Json& old = map_of(old_pod, "spec");
  const FieldPath path("spec");
  if (has(annotations_of(old_pod), kMirror)) {
    return errors.forbidden(FieldPath(""), "static pods cannot be resized");
  }
  if (text_of(map_of(old, "os"), "name") == "windows") {
    return errors.forbidden(FieldPath(""), "windows pods cannot be resized");
  }
  validate_whole(pod, options_of(old_pod), errors);
  const std::string_view qos = text_of(map_of(old_pod, "status"), "qosClass");
  if (qos_class(pod) != (qos.empty() ? qos_class(old_pod) : qos)) {
    add_invalid(errors, path, text_of(map_of(pod, "status"), "qosClass"),
                "Pod QOS Class may not change as a result of resizing");
  }
  if (!node_can_resize(old_pod)) errors.forbidden(path, "Pod running on node without support for resize");
  const auto pod_level = [](const Json& s) {
    return has_items(map_of(s, "resources"), "requests") || has_items(map_of(s, "resources"), "limits");
  };
  if (pod_level(spec) || pod_level(old)) {
    return errors.forbidden(FieldPath(""),
                            "resize of pods with pod-level resources is forbidden when "
                            "InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled");
  }
  if (!validate_resize_order(spec, old, errors)) return;
  for (const char* kind : {"initContainers", "containers"}) {
    const Json& now = list_of(spec, kind);
    for (size_t i = 0; i < now.size(); ++i) {
      const Json& before = list_of(old, kind)[i];
      if (std::string_view(kind) == "initContainers" && !is_sidecar(before)) continue;
      validate_resized_container(now[i], before, path.child(kind).index(i), errors);
    }
  }
  for (const char* kind : {"containers", "initContainers"}) validate_resized_list(spec, old, kind, errors);
  if (!errors.empty()) return;
  Json munged = spec;
  for (const char* kind : {"containers", "initContainers"}) restore(munged, old, kind);
  if (!same(munged, old)) errors.forbidden(path, "only cpu and memory resources are mutable");
}

}  // namespace orch::api
