#include "api/resources/core_pod_defaults.h"

#include <array>

#include "api/resources/image_reference.h"
#include "api/resources/resource_list.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

void default_http_get(Json& owner) {
  if (Json* http = object_in(owner, "httpGet")) {
    default_text(*http, "path", "/");
    default_text(*http, "scheme", "HTTP");
  }
}

void default_probe(Json& container, std::string_view key) {
  Json* probe = object_in(container, key);
  if (!probe) return;
  default_number(*probe, "timeoutSeconds", 1);
  default_number(*probe, "periodSeconds", 10);
  default_number(*probe, "successThreshold", 1);
  default_number(*probe, "failureThreshold", 3);
  default_http_get(*probe);
  if (Json* grpc = object_in(*probe, "grpc")) default_pointer(*grpc, "service", "");
}

void default_field_ref(Json& owner) {
  if (Json* field = object_in(owner, "fieldRef")) default_text(*field, "apiVersion", "v1");
}

std::string_view pull_policy_for(std::string_view image) {
  return image_tag(image) == "latest" ? "Always" : "IfNotPresent";
}

void default_container(Json& container) {
  default_text(container, "imagePullPolicy", pull_policy_for(text_of(container, "image")));
  default_text(container, "terminationMessagePath", "/dev/termination-log");
  default_text(container, "terminationMessagePolicy", "File");
  each(container, "ports", [](Json& port) { default_text(port, "protocol", "TCP"); });
  each(container, "env", [](Json& env) {
    Json* from = object_in(env, "valueFrom");
    if (!from) return;
    default_field_ref(*from);
    if (Json* file = object_in(*from, "fileKeyRef")) default_pointer(*file, "optional", false);
  });
  if (Json* resources = object_in(container, "resources")) {
    round_resources(*resources, "limits");
    round_resources(*resources, "requests");
  }
  for (const char* probe : {"livenessProbe", "readinessProbe", "startupProbe"})
    default_probe(container, probe);
  if (Json* lifecycle = object_in(container, "lifecycle")) {
    for (const char* hook : {"postStart", "preStop"}) {
      if (Json* handler = object_in(*lifecycle, hook)) default_http_get(*handler);
    }
  }
}

void default_downward_items(Json& source) { each(source, "items", default_field_ref); }

void default_projected(Json& projected) {
  default_pointer(projected, "defaultMode", 0644);
  each(projected, "sources", [](Json& source) {
    if (Json* downward = object_in(source, "downwardAPI")) default_downward_items(*downward);
    if (Json* token = object_in(source, "serviceAccountToken")) {
      default_pointer(*token, "expirationSeconds", 3600);
    }
  });
}

/// Network storage whose defaults a typed decoder would fill in.
void default_storage_source(Json& volume) {
  if (Json* iscsi = object_in(volume, "iscsi")) default_text(*iscsi, "iscsiInterface", "default");
  if (Json* rbd = object_in(volume, "rbd")) {
    default_text(*rbd, "pool", "rbd");
    default_text(*rbd, "user", "admin");
    default_text(*rbd, "keyring", "/etc/ceph/keyring");
  }
  if (Json* disk = object_in(volume, "azureDisk")) {
    default_pointer(*disk, "cachingMode", "ReadWrite");
    default_pointer(*disk, "fsType", "ext4");
    default_pointer(*disk, "readOnly", false);
    default_pointer(*disk, "kind", "Shared");
  }
  if (Json* scale = object_in(volume, "scaleIO")) {
    default_text(*scale, "storageMode", "ThinProvisioned");
    default_text(*scale, "fsType", "xfs");
  }
  if (Json* host = object_in(volume, "hostPath")) default_pointer(*host, "type", "");
}

bool has_source(const Json& volume) {
  for (auto it = volume.begin(); it != volume.end(); ++it) {
    if (it.key() != "name" && !it->is_null()) return true;
  }
  return false;
}

void default_volume(Json& volume) {
  if (!has_source(volume)) put(volume, "emptyDir", Json::object());
  for (const char* kind : {"secret", "configMap", "downwardAPI"}) {
    if (Json* source = object_in(volume, kind)) default_pointer(*source, "defaultMode", 0644);
  }
  if (Json* downward = object_in(volume, "downwardAPI")) default_downward_items(*downward);
  if (Json* projected = object_in(volume, "projected")) default_projected(*projected);
  if (Json* image = object_in(volume, "image")) {
    default_text(*image, "pullPolicy", pull_policy_for(text_of(*image, "reference")));
  }
  if (Json* ephemeral = object_in(volume, "ephemeral")) {
    Json* claim = object_in(*ephemeral, "volumeClaimTemplate");
    if (claim) default_claim_spec(child(*claim, "spec"));
  }
  default_storage_source(volume);
}

/// serviceAccount is the old name of serviceAccountName; the new one wins, and both are shown.
void mirror_service_account(Json& spec) {
  std::string name(text_of(spec, "serviceAccountName"));
  if (name.empty()) name = text_of(spec, "serviceAccount");
  if (name.empty()) return;
  put(spec, "serviceAccountName", name);
  put(spec, "serviceAccount", name);
}

/// Annotations by which clients before 1.6 spoke of init containers.
void drop_old_init_annotations(Json& object) {
  Json* metadata = object_in(object, "metadata");
  Json* annotations = metadata ? object_in(*metadata, "annotations") : nullptr;
  if (!annotations) return;
  static constexpr std::array<const char*, 4> kOld = {
      "pod.beta.kubernetes.io/init-containers", "pod.alpha.kubernetes.io/init-containers",
      "pod.beta.kubernetes.io/init-container-statuses", "pod.alpha.kubernetes.io/init-container-statuses"};
  for (const char* key : kOld) drop(*annotations, key);
}

void default_requests_from_limits(Json& container) {
  Json* resources = object_in(container, "resources");
  Json* limits = resources ? object_in(*resources, "limits") : nullptr;
  if (!limits || limits->empty()) return;
  Json& requests = child(*resources, "requests");
  for (auto it = limits->begin(); it != limits->end(); ++it) {
    if (!requests.contains(it.key())) requests[it.key()] = *it;
  }
}

/// Limits and requests of the pod as a whole, from those of its containers (KEP-2837). Happens only where the
/// pod says something itself.
void default_pod_resources(Json& spec) {
  Json* resources = object_in(spec, "resources");
  if (!resources) return;
  if (has_items(*resources, "limits") || has_items(*resources, "requests")) {
    for (const auto& [name, quantity] : container_totals(spec, "limits")) {
      if (!name.starts_with("hugepages-") || map_of(*resources, "requests").contains(name)) continue;
      Json& limits = child(*resources, "limits");
      if (!limits.contains(name)) limits[name] = quantity.text();
    }
  }
  if (!has_items(*resources, "limits")) return;
  for (const auto& [name, quantity] : container_totals(spec, "requests")) {
    if (name != "cpu" && name != "memory") continue;
    Json& requests = child(*resources, "requests");
    if (!requests.contains(name)) requests[name] = quantity.text();
  }
  const Json limits = map_of(*resources, "limits");
  for (auto it = limits.begin(); it != limits.end(); ++it) {
    if (!is_pod_level_resource(it.key())) continue;
    Json& requests = child(*resources, "requests");
    if (!requests.contains(it.key())) requests[it.key()] = *it;
  }
}

}  // namespace

void round_resources(Json& owner, std::string_view key) {
  Json* list = object_in(owner, key);
  if (!list) return;
  for (Json& value : *list) round_quantity(value);
}

void default_claim_spec(Json& spec) {
  default_pointer(spec, "volumeMode", "Filesystem");
  if (Json* resources = object_in(spec, "resources")) {
    round_resources(*resources, "limits");
    round_resources(*resources, "requests");
  }
}

void default_pod_spec(Json& spec) {
  default_text(spec, "dnsPolicy", "ClusterFirst");
  default_text(spec, "restartPolicy", "Always");
  default_text(spec, "schedulerName", "default-scheduler");
  default_pointer(spec, "securityContext", Json::object());
  default_pointer(spec, "terminationGracePeriodSeconds", 30);
  mirror_service_account(spec);
  round_resources(spec, "overhead");
  for (const char* kind : {"initContainers", "containers", "ephemeralContainers"}) {
    each(spec, kind, default_container);
  }
  each(spec, "volumes", default_volume);
  if (Json* resources = object_in(spec, "resources")) {
    round_resources(*resources, "limits");
    round_resources(*resources, "requests");
  }
}

void default_pod_template(Json& pod_template) {
  drop_old_init_annotations(pod_template);
  default_pod_spec(child(pod_template, "spec"));
}

void default_pod(Json& pod) {
  drop_old_init_annotations(pod);
  Json& spec = child(pod, "spec");
  default_pod_spec(spec);
  // Only in pods: in a template the limits stay what admission and the pod's creator will see.
  for (const char* kind : {"containers", "initContainers"}) each(spec, kind, default_requests_from_limits);
  default_pod_resources(spec);
  default_pointer(spec, "enableServiceLinks", true);
  if (number_of(spec, "terminationGracePeriodSeconds") < 0) put(spec, "terminationGracePeriodSeconds", 1);
  if (flag_of(spec, "hostNetwork")) {
    for (const char* kind : {"containers", "initContainers"}) {
      each(spec, kind, [](Json& container) {
        each(container, "ports", [](Json& port) {
          if (has(port, "containerPort")) default_number(port, "hostPort", number_of(port, "containerPort"));
        });
      });
    }
  }
  // status.podIP is the first of podIPs; where the two differ the single one is right.
  if (Json* status = object_in(pod, "status")) {
    const std::string ip(text_of(*status, "podIP"));
    const Json& ips = list_of(*status, "podIPs");
    if (!ip.empty() && (ips.empty() || text_of(ips[0], "ip") != ip)) {
      put(*status, "podIPs", Json::array({Json{{"ip", ip}}}));
    } else if (ip.empty() && !ips.empty()) {
      put(*status, "podIP", std::string(text_of(ips[0], "ip")));
    }
  }
}

}  // namespace orch::api
