#include <algorithm>
#include <cstring>
#include <set>
#include <thread>

#include "api/go_text.h"
#include "api/meta.h"
#include "api/names.h"
#include "api/scan.h"
#include "base/json.h"
#include "pki/pki.h"
#include "server/admission/plugins.h"
#include "server/admission/request.h"
#include "server/auth/node_graph.h"

namespace orch::server {
namespace {

constexpr std::string_view kVolumePrefix = "kube-api-access-";
constexpr std::string_view kMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr const char* kMirror = "kubernetes.io/config.mirror";
constexpr auto kWaitStep = std::chrono::milliseconds(25);
constexpr int kWaitSteps = 40;

Json token_volume(std::string_view name) {
  return {{"name", name},
          {"projected",
           {{"defaultMode", 420},
            {"sources",
             Json::array({{{"serviceAccountToken", {{"expirationSeconds", 3607}, {"path", "token"}}}},
                          {{"configMap",
                            {{"name", "kube-root-ca.crt"},
                             {"items", Json::array({{{"key", "ca.crt"}, {"path", "ca.crt"}}})}}}},
                          {{"downwardAPI",
                            {{"items", Json::array({{{"path", "namespace"},
                                                     {"fieldRef",
                                                      {{"apiVersion", "v1"},
                                                       {"fieldPath", "metadata.namespace"}}}}})}}}}})}}}};
}

bool should_mount(const Json& account, const Json& pod) {
  if (const Json* own = base::find_path(pod, {"spec", "automountServiceAccountToken"});
      own && own->is_boolean()) {
    return own->get<bool>();
  }
  return base::bool_at(account, {"automountServiceAccountToken"}, true);
}

/// Mounts the volume where nothing is mounted at its path yet; true when any container took it.
bool add_mounts(Json& spec, std::string_view volume) {
  bool added = false;
  for (const char* list : {"initContainers", "containers"}) {
    const auto containers = spec.find(list);
    if (containers == spec.end() || !containers->is_array()) continue;
    for (Json& container : *containers) {
      const Json& mounts = base::array_at(container, {"volumeMounts"});
      const bool taken = std::any_of(mounts.begin(), mounts.end(), [](const Json& mount) {
        return base::string_at(mount, {"mountPath"}) == kMountPath;
      });
      if (taken) continue;
      container["volumeMounts"].push_back({{"name", volume}, {"readOnly", true}, {"mountPath", kMountPath}});
      added = true;
    }
  }
  return added;
}

void mount_token(Json& pod, uint64_t entropy) {
  Json& spec = pod["spec"];
  std::string name;
  for (const Json& volume : base::array_at(spec, {"volumes"})) {
    if (base::string_at(volume, {"name"}).starts_with(kVolumePrefix))
      name = base::string_at(volume, {"name"});
  }
  const bool there = !name.empty();
  if (!there) name = api::generate_name(kVolumePrefix, entropy);
  if (add_mounts(spec, name) && !there) spec["volumes"].push_back(token_volume(name));
}

std::set<std::string> names_in(const Json& account, const char* list) {
  std::set<std::string> out;
  for (const Json& ref : base::array_at(account, {list})) out.emplace(base::string_at(ref, {"name"}));
  return out;
}

/// The first secret of a container that the account does not list; empty text when there is none.
std::string unlisted_in_container(const Json& container, std::string_view title, std::string_view account,
                                  const std::set<std::string>& listed) {
  const std::string_view name = base::string_at(container, {"name"});
  const auto complain = [&](std::string_view with, std::string_view secret) {
    return base::cat(title, " ", name, " with ", with, " referencing secret.secretName=\"", secret,
                     "\" is not allowed because service account ", account,
                     " does not reference that secret");
  };
  for (const Json& env : base::array_at(container, {"env"})) {
    const std::string secret(base::string_at(env, {"valueFrom", "secretKeyRef", "name"}));
    if (!secret.empty() && !listed.contains(secret)) {
      return complain(base::cat("envVar ", base::string_at(env, {"name"})), secret);
    }
  }
  for (const Json& source : base::array_at(container, {"envFrom"})) {
    const std::string secret(base::string_at(source, {"secretRef", "name"}));
    if (!secret.empty() && !listed.contains(secret)) return complain("envFrom", secret);
  }
  return {};
}

/// For accounts annotated kubernetes.io/enforce-mountable-secrets.
std::string unlisted_secret(const Json& account, const Json& pod, bool ephemeral_only) {
  const std::string_view name = base::string_at(account, {"metadata", "name"});
  const std::set<std::string> listed = names_in(account, "secrets");
  const auto containers = [&](const char* list, std::string_view title) {
    for (const Json& container : base::array_at(pod, {"spec", list})) {
      std::string text = unlisted_in_container(container, title, name, listed);
      if (!text.empty()) return text;
    }
    return std::string();
  };
  if (ephemeral_only) return containers("ephemeralContainers", "ephemeral container");
  for (const Json& volume : base::array_at(pod, {"spec", "volumes"})) {
    const std::string secret(base::string_at(volume, {"secret", "secretName"}));
    if (!secret.empty() && !listed.contains(secret)) {
      return base::cat("volume with secret.secretName=\"", secret,
                       "\" is not allowed because service account ", name, " does not reference that secret");
    }
  }
  if (std::string text = containers("initContainers", "init container"); !text.empty()) return text;
  if (std::string text = containers("containers", "container"); !text.empty()) return text;
  const std::set<std::string> pull = names_in(account, "imagePullSecrets");
  const Json& used = base::array_at(pod, {"spec", "imagePullSecrets"});
  for (size_t i = 0; i < used.size(); ++i) {
    const std::string secret(base::string_at(used[i], {"name"}));
    if (pull.contains(secret)) continue;
    return base::cat("imagePullSecrets[", i, "].name=\"", secret,
                     "\" is not allowed because service account ", name,
                     " does not reference that imagePullSecret");
  }
  return {};
}

bool enforces_mountable(const Json& account) {
  const std::string_view value = api::annotation(account, "kubernetes.io/enforce-mountable-secrets");
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (value == yes) return true;
  }
  return false;
}

class ServiceAccountPlugin final : public AdmissionPlugin {
 public:
  ServiceAccountPlugin(const Lookup& lookup, ServiceAccountHooks hooks)
      : lookup_(lookup), hooks_(std::move(hooks)) {}
  std::string_view name() const override { return "ServiceAccount"; }

  bool handles(const AdmissionRequest& r) const override {
    if (r.object == nullptr || !is_resource(r, "", "pods")) return false;
    if (r.operation == Operation::kCreate) return r.subresource.empty();
    return r.operation == Operation::kUpdate && r.subresource == "ephemeralcontainers";
  }

  base::Status admit(AdmissionRequest& r) override {
    if (r.operation != Operation::kCreate) return {};
    Json& pod = *r.object;
    if (is_mirror(pod)) return validate(r);
    if (base::string_at(pod, {"spec", "serviceAccountName"}).empty())
      pod["spec"]["serviceAccountName"] = "default";
    const std::string name(base::string_at(pod, {"spec", "serviceAccountName"}));
    // The field's former name is kept in step by the API.
    pod["spec"]["serviceAccount"] = name;
    const api::ObjectPtr object = find(r.ns, name);
    if (!object) return refuse(r, not_found(r.ns, name));
    const Json account = object->tree();
    if (should_mount(account, pod)) mount_token(pod, hooks_.entropy());
    const Json& pull_secrets = base::array_at(account, {"imagePullSecrets"});
    if (base::array_at(pod, {"spec", "imagePullSecrets"}).empty() && !pull_secrets.empty()) {
      pod["spec"]["imagePullSecrets"] = pull_secrets;
    }
    return {};
  }

  base::Status validate(const AdmissionRequest& r) override {
    const Json& pod = *r.object;
    const bool ephemeral = r.operation == Operation::kUpdate;
    if (!ephemeral && is_mirror(pod)) return validate_mirror(r);
    const std::string name(base::string_at(pod, {"spec", "serviceAccountName"}));
    if (name.empty()) {
      return refuse(r, base::cat("no service account specified for pod ", r.ns, "/",
                                 base::string_at(pod, {"metadata", "name"})));
    }
    const api::ObjectPtr object = find(r.ns, name);
    if (!object) return refuse(r, not_found(r.ns, name));
    if (!api::mentions(object->bytes(), "enforce-mountable-secrets")) return {};
    const Json account = object->tree();
    if (!enforces_mountable(account)) return {};
    const std::string text = unlisted_secret(account, pod, ephemeral);
    return text.empty() ? base::Status() : refuse(r, text);
  }

 private:
  static bool is_mirror(const Json& pod) {
    return base::find_path(pod, {"metadata", "annotations", kMirror}) != nullptr;
  }

  static std::string not_found(std::string_view ns, std::string_view name) {
    return base::cat("error looking up service account ", ns, "/", name, ": serviceaccount ",
                     api::go_quote(name), " not found");
  }

  static base::Status validate_mirror(const AdmissionRequest& r) {
    Json pod = *r.object;
    if (!base::string_at(pod, {"spec", "serviceAccountName"}).empty()) {
      return refuse(r, "a mirror pod may not reference service accounts");
    }
    for (const Json& volume : base::array_at(pod, {"spec", "volumes"})) {
      for (const Json& source : base::array_at(volume, {"projected", "sources"})) {
        if (source.contains("serviceAccountToken")) {
          return refuse(r, "a mirror pod may not use ServiceAccountToken volume projections");
        }
      }
    }
    pod["metadata"].erase("annotations");  // what it refers to, if it were a pod like others
    for (const auto& [type, name] : pod_references(pod)) {
      if (type == NodeObject::kSecret) return refuse(r, "a mirror pod may not reference secrets");
    }
    return {};
  }

  /// Waits for a default account that the controller is about to make.
  api::ObjectPtr find(std::string_view ns, std::string_view name) const {
    api::ObjectPtr object = lookup_.get("serviceaccounts", ns, name);
    for (int i = 0; !object && name == "default" && i < kWaitSteps; ++i) {
      hooks_.wait(kWaitStep);
      object = lookup_.get("serviceaccounts", ns, name);
    }
    return object;
  }

  const Lookup& lookup_;
  const ServiceAccountHooks hooks_;
};

}  // namespace

ServiceAccountHooks ServiceAccountHooks::system() {
  ServiceAccountHooks hooks;
  hooks.entropy = [] {
    uint64_t value = 0;
    const std::string bytes = pki::random_bytes(sizeof(value));
    std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
  };
  hooks.wait = [](base::Duration d) { std::this_thread::sleep_for(d); };
  return hooks;
}

std::unique_ptr<AdmissionPlugin> make_service_account(const Lookup& lookup, ServiceAccountHooks hooks) {
  return std::make_unique<ServiceAccountPlugin>(lookup, std::move(hooks));
}

}  // namespace orch::server
