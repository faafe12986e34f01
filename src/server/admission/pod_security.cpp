#include <algorithm>
#include <map>
#include <set>

#include "api/go_text.h"
#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "server/admission/plugins.h"
#include "server/admission/pod_security_policy.h"
#include "server/admission/request.h"

namespace orch::server {
namespace {

using pod_security::Level;
using pod_security::LevelVersion;
using pod_security::Policy;
using pod_security::Violation;

constexpr size_t kMaxPodsChecked = 3000;

bool one_of(std::string_view value, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

/// Kinds that hold a pod template, and where.
const Json* pod_template(const AdmissionRequest& r) {
  const std::string_view group = r.resource->group, plural = r.resource->plural;
  if (group == "apps" && one_of(plural, {"deployments", "replicasets", "statefulsets", "daemonsets"})) {
    return base::find_path(*r.object, {"spec", "template"});
  }
  if (group == "batch" && plural == "jobs") return base::find_path(*r.object, {"spec", "template"});
  if (group == "batch" && plural == "cronjobs") {
    return base::find_path(*r.object, {"spec", "jobTemplate", "spec", "template"});
  }
  if (group.empty() && plural == "replicationcontrollers")
    return base::find_path(*r.object, {"spec", "template"});
  if (group.empty() && plural == "podtemplates") return base::find_path(*r.object, {"template"});
  return nullptr;
}

bool has_template(const AdmissionRequest& r) {
  const std::string_view group = r.resource->group, plural = r.resource->plural;
  return (group == "apps" && one_of(plural, {"deployments", "replicasets", "statefulsets", "daemonsets"})) ||
         (group == "batch" && one_of(plural, {"jobs", "cronjobs"})) ||
         (group.empty() && one_of(plural, {"replicationcontrollers", "podtemplates"}));
}

/// Only images and the set of containers can change in a way that matters.
bool significant_change(const Json& pod, const Json& old) {
  for (const char* list : {"containers", "initContainers"}) {
    const Json &now = base::array_at(pod, {"spec", list}), &then = base::array_at(old, {"spec", list});
    if (now.size() != then.size()) return true;
    for (size_t i = 0; i < now.size(); ++i) {
      if (base::string_at(now[i], {"image"}) != base::string_at(then[i], {"image"})) return true;
    }
  }
  const Json& before = base::array_at(old, {"spec", "ephemeralContainers"});
  for (const Json& c : base::array_at(pod, {"spec", "ephemeralContainers"})) {
    const auto same = std::find_if(before.begin(), before.end(), [&](const Json& o) {
      return base::string_at(o, {"name"}) == base::string_at(c, {"name"});
    });
    if (same == before.end() || base::string_at(*same, {"image"}) != base::string_at(c, {"image"}))
      return true;
  }
  return false;
}

std::vector<Violation> evaluate(const LevelVersion& level, const Json& pod) {
  return pod_security::violations(level, base::object_at(pod, {"metadata", "annotations"}),
                                  base::object_at(pod, {"spec"}));
}

class PodSecurity final : public AdmissionPlugin {
 public:
  PodSecurity(const Lookup& lookup, pod_security::Settings settings)
      : lookup_(lookup), settings_(std::move(settings)) {}
  std::string_view name() const override { return "PodSecurity"; }

  bool handles(const AdmissionRequest& r) const override {
    if (r.object == nullptr || (r.operation != Operation::kCreate && r.operation != Operation::kUpdate))
      return false;
    if (is_resource(r, "", "pods")) {
      return !one_of(r.subresource,
                     {"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"});
    }
    return r.subresource.empty() && (is_resource(r, "", "namespaces") || has_template(r));
  }

  base::Status validate(const AdmissionRequest& r) override {
    if (is_resource(r, "", "namespaces")) return validate_namespace(r);
    if (holds(settings_.exempt_namespaces, r.ns) ||
        (r.user != nullptr && holds(settings_.exempt_users, r.user->name)))
      return {};
    const api::ObjectPtr ns = lookup_.get("namespaces", "", r.ns);
    const bool pod = is_resource(r, "", "pods");
    if (!ns) {
      if (!pod) return {};
      return {base::Code::kInternal,
              base::cat("Internal error occurred: failed to lookup namespace ", api::go_quote(r.ns))};
    }
    // Nearly every namespace says nothing: no tree is made for those.
    const bool silent = !api::mentions(ns->bytes(), "pod-security.kubernetes.io/");
    if (silent && settings_.defaults.privileged()) return {};
    api::FieldErrors errors;
    const Json tree = silent ? Json::object() : ns->tree();
    const Policy policy =
        pod_security::policy_of(base::object_at(tree, {"metadata", "labels"}), settings_.defaults, errors);
    if (pod) {
      if (policy.privileged() && errors.empty()) return {};
      if (r.operation == Operation::kUpdate && !significant_change(*r.object, *r.old_object)) return {};
      return check(r, policy, *r.object, true);
    }
    const Json* pod_like = pod_template(r);
    return pod_like == nullptr ? base::Status() : check(r, policy, *pod_like, false);
  }

 private:
  static bool holds(const std::vector<std::string>& list, std::string_view value) {
    return !value.empty() && std::find(list.begin(), list.end(), value) != list.end();
  }

  base::Status check(const AdmissionRequest& r, const Policy& policy, const Json& pod, bool enforce) const {
    if (holds(settings_.exempt_runtime_classes, base::string_at(pod, {"spec", "runtimeClassName"})))
      return {};
    if (enforce) {
      const std::vector<Violation> found = evaluate(policy.enforce, pod);
      if (!found.empty()) {
        return refuse(r, base::cat("violates PodSecurity ", api::go_quote(policy.enforce.text()), ": ",
                                   pod_security::describe(found)));
      }
      if (policy.warn == policy.enforce) return {};
    }
    const std::vector<Violation> found = evaluate(policy.warn, pod);
    if (!found.empty()) {
      warn(r, base::cat("would violate PodSecurity ", api::go_quote(policy.warn.text()), ": ",
                        pod_security::describe(found)));
    }
    return {};
  }

  base::Status validate_namespace(const AdmissionRequest& r) const {
    api::FieldErrors errors, old_errors;
    const Json& labels = base::object_at(*r.object, {"metadata", "labels"});
    const Policy policy = pod_security::policy_of(labels, settings_.defaults, errors);
    const bool exempt = holds(settings_.exempt_namespaces, object_name(r));
    if (r.operation == Operation::kCreate) {
      if (errors.empty() && exempt) warn_of_exemption(r, policy, labels);
      return errors.to_status("", "Namespace", object_name(r));
    }
    const Policy old = pod_security::policy_of(base::object_at(*r.old_object, {"metadata", "labels"}),
                                               settings_.defaults, old_errors);
    if (!errors.empty() && (old_errors.empty() || errors.text() != old_errors.text())) {
      return errors.to_status("", "Namespace", object_name(r));
    }
    const LevelVersion &now = policy.enforce, &then = old.enforce;
    const bool relaxed = now.minor == then.minor && now.level <= then.level;
    if (now == then || now.level == Level::kPrivileged || relaxed) return {};
    if (exempt) {
      warn_of_exemption(r, policy, labels);
    } else {
      warn_of_pods(r, now);
    }
    return {};
  }

  /// The labels of an exempt namespace ask for something that will not be done.
  void warn_of_exemption(const AdmissionRequest& r, const Policy& policy, const Json& labels) const {
    const Policy& d = settings_.defaults;
    if (policy.privileged() ||
        (policy.enforce == d.enforce && policy.audit == d.audit && policy.warn == d.warn))
      return;
    std::string modes;
    const auto add = [&](const std::string& mode, const LevelVersion& level) {
      const std::string label = "pod-security.kubernetes.io/" + mode;
      if (level.level == Level::kPrivileged ||
          (!labels.contains(label) && !labels.contains(label + "-version")))
        return;
      modes += base::cat(modes.empty() ? "" : ", ", mode, "=", level.text());
    };
    add("enforce", policy.enforce);
    add("audit", policy.audit);
    add("warn", policy.warn);
    warn(r, base::cat("namespace ", api::go_quote(object_name(r)),
                      " is exempt from Pod Security, and the policy (", modes, ") will be ignored"));
  }

  /// Existing pods go on running: say which of them would not be let in any more.
  void warn_of_pods(const AdmissionRequest& r, const LevelVersion& enforce) const {
    const std::string ns = object_name(r);
    struct Group {
      std::string first;
      size_t count = 0;
    };
    std::map<std::string, Group> groups;  // by what they violate
    const std::vector<api::ObjectPtr> pods = prioritized(ns);
    const size_t checked = std::min(pods.size(), kMaxPodsChecked);
    for (size_t i = 0; i < checked; ++i) {
      const Json pod = pods[i]->tree();
      if (holds(settings_.exempt_runtime_classes, base::string_at(pod, {"spec", "runtimeClassName"})))
        continue;
      const std::vector<Violation> found = evaluate(enforce, pod);
      if (found.empty()) continue;
      Group& group = groups[pod_security::reasons(found)];
      if (group.count++ == 0 || pods[i]->name() < group.first) group.first = pods[i]->name();
    }
    if (checked < pods.size()) {
      warn(r, base::cat("new PodSecurity enforce level only checked against the first ", checked, " of ",
                        pods.size(), " existing pods"));
    }
    if (groups.empty()) return;
    warn(r, base::cat("existing pods in namespace ", api::go_quote(ns),
                      " violate the new PodSecurity enforce level ", api::go_quote(enforce.text())));
    std::set<std::string> lines;
    for (const auto& [text, group] : groups) {
      std::string who = group.first;
      if (group.count == 2) who += " (and 1 other pod)";
      if (group.count > 2) who += base::cat(" (and ", group.count - 1, " other pods)");
      lines.insert(base::cat(who, ": ", text));
    }
    for (const std::string& line : lines) warn(r, line);
  }

  /// One pod of each controller first.
  std::vector<api::ObjectPtr> prioritized(const std::string& ns) const {
    std::vector<api::ObjectPtr> first, rest;
    std::set<std::string> seen;
    for (api::ObjectPtr& pod : lookup_.list("pods", ns)) {
      const std::string owner = api::controller_of(*pod).uid;
      (owner.empty() || seen.insert(owner).second ? first : rest).push_back(std::move(pod));
    }
    first.insert(first.end(), rest.begin(), rest.end());
    return first;
  }

  const Lookup& lookup_;
  const pod_security::Settings settings_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_pod_security(const Lookup& lookup, pod_security::Settings settings) {
  return std::make_unique<PodSecurity>(lookup, std::move(settings));
}

}  // namespace orch::server
