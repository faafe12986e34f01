// APIServices (apiregistration.k8s.io/v1) as values: who serves a group version, whether it can be reached,
// and which objects stand for what this server serves itself (k8s.io/kube-aggregator). Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/meta.h"
#include "api/object.h"
#include "api/resources/resource.h"
#include "base/json.h"
#include "http/head.h"
#include "server/auth/auth.h"

namespace orch::server {

/// One APIService.
struct ApiService {
  std::string name;  // "v1.apps"
  std::string group, version;
  int group_priority = 0, version_priority = 0;
  /// Behind a service; otherwise this server serves it.
  bool remote = false;
  std::string service_ns, service_name;
  int64_t service_port = 443;
  std::string ca_pem;
  bool insecure = false;   // any certificate is taken
  bool available = false;  // the condition says so

  static ApiService parse(const api::Object& object);
  /// Name its certificate must have: "name.ns.svc".
  std::string server_name() const;
};

/// The highest group first, in it the highest version: the order of discovery.
bool before_in_discovery(const ApiService& a, const ApiService& b);

/// A condition with its own texts.
struct Availability {
  std::string status, reason, message;
  api::Condition condition() const { return {"Available", status, reason, message}; }
};
/// What services and endpoints say, as far as that decides: nothing when somebody has to ask it.
/// `service` is null when missing; `slices` are those of the service.
std::optional<Availability> judge_endpoints(const ApiService& wanted, const Json* service,
                                            const std::vector<Json>& slices);
/// After asking: "" for an answer, or why there was none.
Availability judge_probe(const std::string& failure);

/// Label of objects that this server keeps; "onstart" or "true".
inline constexpr std::string_view kAutoManaged = "kube-aggregator.kubernetes.io/automanaged";

/// The objects for what is served here: built-in group versions, and those of `custom` (group, version).
std::map<std::string, Json> local_api_services(
    const std::vector<api::GroupVersion>& builtin,
    const std::vector<std::pair<std::string, std::string>>& custom);

struct RegistrationStep {
  enum class Kind : uint8_t { kNone, kCreate, kUpdate, kDelete };
  Kind kind = Kind::kNone;
  Json object;  // to create or update
};
/// What is to be done about one name. `wanted` and `current` may be null; `at_start`: the current one was
/// there when the server started; `synced`: this name was brought right before.
RegistrationStep plan_registration(const Json* wanted, const Json* current, bool at_start, bool synced);

/// Headers that tell an aggregated server who asks (X-Remote-User and so on).
http::Headers front_proxy_headers(const UserInfo& user);

/// Group and version that a path belongs to, of "/apis/G/V…" and "/openapi/v3/apis/G/V"; nothing for others.
std::optional<std::pair<std::string_view, std::string_view>> group_version_of(std::string_view path);

}  // namespace orch::server
