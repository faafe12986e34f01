// ApiServer: the way of a request. authenticate -> impersonate -> authorize -> handler; the handlers decode
// and negotiate, and leave admission, validation and storage to the registry.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/resources/resource.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/threads.h"
#include "base/timer.h"
#include "http/message.h"
#include "server/apiserver/negotiate.h"
#include "server/apiserver/request_info.h"
#include "server/audit/audit.h"
#include "server/auth/auth.h"
#include "server/flowcontrol/processor_accounts.h"
#include "server/registry/registry.h"

namespace orch::server {

struct ForwardTarget;
class Aggregator;
class FlowControl;
class FlowTicket;
class NodeFigures;
class RequestMetrics;
class ResourceMetrics;

/// Where and how the API server reaches a kubelet.
struct KubeletAccess {
  std::string ca_pem;           // that signed the kubelets' serving certificates
  std::string certificate_pem;  // the API server's client identity
  std::string key_pem;
};

/// A check behind /healthz, /livez and /readyz.
struct HealthCheck {
  std::string name;
  std::function<base::Status()> check;
  bool ready = true, live = true;  // which of the endpoints it belongs to
};

/// What a token of a service account is made from (serviceaccounts/token); see auth/token_issuer.h.
using TokenRequestHandler =
    std::function<base::Result<Json>(const api::Object& account, const Json& request, const UserInfo& user,
                                     std::vector<std::string>* warnings)>;
/// Answers one review kind (SubjectAccessReview, TokenReview, …): the object with its status.
using ReviewHandler =
    std::function<base::Result<Json>(std::string_view kind, const Json& review, const UserInfo& user)>;
/// Decides whether a user may impersonate as the request's headers ask and gives the resulting user.
using Impersonator = std::function<base::Result<UserInfo>(const http::Request&, const UserInfo&)>;

struct ApiServerOptions {
  Registry* registry = nullptr;
  const api::Schema* schema = nullptr;
  Authenticator* authenticator = nullptr;
  Authorizer* authorizer = nullptr;
  AuditLog* audit = nullptr;  // null: nothing is audited
  Impersonator impersonate;
  /// Who may run now and who waits; null: everybody runs at once. Outlives the API server, and is stopped
  /// before the HTTP server is.
  FlowControl* flow = nullptr;
  /// Without flow control: requests under way at once that only read, and others; 0: no limit. Those that run
  /// long, and those of system:masters, are not held up.
  int64_t max_reading = 0, max_mutating = 0;
  /// Takes what only the authenticator should see off an authenticated request; may be empty.
  std::function<void(http::Request&)> strip;
  ReviewHandler review;
  TokenRequestHandler token_request;
  std::function<std::string()> openid_configuration, jwks;
  Aggregator* aggregator = nullptr;  // null: nothing is served behind this server
  base::Timers* timers = nullptr;
  base::Metrics* metrics = nullptr;
  std::function<KubeletAccess()> kubelet;  // changes when its certificate is renewed
  std::vector<HealthCheck> health;
  /// Exact paths outside the API: open to everybody before authentication, or for authenticated users that
  /// the handler itself checks.
  using PathHandler = std::function<http::Response(http::Request&, const UserInfo&)>;
  std::map<std::string, PathHandler> open_paths, join_paths;
  /// Waits until what was written of CustomResourceDefinitions is served; must be quick when it is already.
  std::function<void()> settle;
  std::string git_version;        // "v1.35.4+orch"
  std::string platform;           // "linux/arm64"
  std::string advertise_address;  // "10.0.0.1:6443", for /api
};

/// Thread-safe. handle() runs on the HTTP workers.
class ApiServer {
 public:
  explicit ApiServer(ApiServerOptions options);
  ~ApiServer();
  http::Response handle(http::Request& request);
  /// A request from inside the process, as a user who may do everything: authorized and counted nowhere.
  /// Proxied ones wait for the backend. `body` may be null.
  base::Result<Json> ask(std::string_view method, const std::string& target, const Json* body,
                         const UserInfo& user);
  /// binding, eviction, token, …: the answer's tree. Also used by the in-process client.
  base::Result<Json> post_subresource(const api::Resource& r, std::string_view ns, std::string_view name,
                                      std::string_view subresource, const Json& body,
                                      const WriteContext& context);
  /// Set once everything is started; /readyz fails before and after.
  void set_ready(bool ready) { ready_ = ready; }

 private:
  struct Call;
  friend struct Call;
  struct Kept;
  /// Up to where a request may have to wait: who asks, and as whom. The answer, when that is all there is.
  std::optional<http::Response> enter(Call& call);
  /// Finds the request's place in flow control.
  void take_place(Call& call);
  /// The user takes so much of the processors that this one is to be answered when others leave it time.
  bool held_back(const Call& call) const;
  /// Answers it when it has its turn among those that are patient, or those that are not.
  void set_aside(Call call, bool patient);
  /// Answers it now, or when it may run.
  http::Response run(Call call);
  /// Answers it, at its user's expense.
  http::Response finish(Call& call);
  /// Answers it when it may run.
  void park(Call call);
  static void await_place(FlowTicket& place);
  /// The rest, with what every answer needs at the end.
  http::Response leave(Call& call);
  http::Response conclude(Call& call, http::Response response);
  /// Authorization and the handler. Errors are JSON still.
  http::Response answer_user(Call& call);
  http::Response too_many(Call& call) const;
  std::optional<http::Response> dump_flow(const Call& call) const;
  http::Response answer_allowed(Call& call);
  Json audited_request(const Call& call) const;
  Json audited_response(const Call& call, const http::Response& response) const;
  void audit_refusal(Call& call);
  void audit_answer(Call& call, http::Response& response);
  http::Response dispatch(Call& call);
  http::Response resource_request(Call& call);
  http::Response plain_path(Call& call);

  http::Response do_get(Call& call);
  http::Response do_list(Call& call);
  http::Response do_watch(Call& call);
  base::Result<Page> list_at(const WatchCache& cache, const Filter& filter, int64_t revision,
                             std::string_view after, int64_t limit);
  static http::Response expired_list(const base::Status& status, const std::string& token);
  http::Response do_create(Call& call);
  http::Response do_update(Call& call);
  http::Response do_patch(Call& call);
  http::Response do_apply(Call& call);
  base::Result<api::ObjectPtr> create_by_apply(Call& call, const Json& patch);
  /// Who may patch what is there may not make it as well.
  base::Status may_create(const Call& call) const;
  http::Response do_delete(Call& call);
  http::Response do_delete_collection(Call& call);
  /// `custom`: the row of a custom resource, which has no type.
  base::Result<Json> apply_patch(Call& call, const api::Type* type, const Json& current,
                                 std::vector<std::string>& warnings, const api::Resource* custom = nullptr);
  http::Response do_scale(Call& call);
  http::Response do_custom_scale(Call& call);
  http::Response custom_scale_response(Call& call, const api::ObjectPtr& object);
  http::Response scale_response(Call& call, const api::Object& scaled);
  http::Response do_post_subresource(Call& call);
  http::Response do_virtual(Call& call);
  http::Response do_resource_metrics(Call& call);
  http::Response do_log(Call& call);
  http::Response do_connect(Call& call);
  /// A GET that becomes exec, attach or port-forward needs what the POST needs.
  base::Status may_connect(const Call& call) const;
  /// Admission of exec, attach, port-forward and proxy.
  base::Status admit_connect(Call& call) const;
  http::Response do_proxy(Call& call);
  /// The answer of another API server, when the group version is its.
  std::optional<http::Response> aggregated(const Call& call);
  base::Result<ForwardTarget> service_target(const std::string& ns, const std::string& id);
  base::Result<ForwardTarget> pod_target(const std::string& ns, const std::string& id);
  base::Result<ForwardTarget> node_target(const std::string& id);
  /// Reads dryRun, fieldValidation, fieldManager and force; `kind` is CreateOptions, UpdateOptions or
  /// PatchOptions.
  static base::Status write_options(Call& call, std::string_view kind);
  /// The object's name and namespace are those of the path.
  static base::Status check_name(const Call& call, const Json& tree);
  http::Response delete_response(Call& call, const DeleteOutcome& outcome);
  base::Result<DeleteParams> delete_params(Call& call);
  http::Response finish_write(Call& call, base::Result<api::ObjectPtr> result, int status);

  http::Response health(Call& call, std::string_view which);
  http::Response version(Call& call);
  http::Response discovery(Call& call);
  http::Response openapi(Call& call);

  base::Result<Json> bind_pod(std::string_view ns, std::string_view name, const Json& binding,
                              const WriteContext& admitted);
  base::Result<api::ObjectPtr> covering_budget(const api::Object& pod);
  base::Status spend_budget(const api::Object& budget, const std::string& pod, const WriteContext& context);
  base::Status mark_evicted(const api::Resource& pods, const api::Object& pod, bool unchanged,
                            DeleteParams& params, const WriteContext& context);
  base::Result<Json> evict_pod(std::string_view ns, std::string_view name, const Json& eviction,
                               const WriteContext& admitted);

  ApiServerOptions o_;
  Registry& registry_;
  const api::Schema& schema_;
  base::ThreadPool reaper_;      // ends watches off the pump's thread
  base::ThreadPool converters_;  // waits for conversion webhooks on behalf of watches
  std::atomic<bool> ready_{false};
  std::atomic<int64_t> reading_{0}, mutating_{0};
  ProcessorAccounts accounts_;
  struct DocumentCache;
  std::unique_ptr<DocumentCache> documents_;
  std::unique_ptr<RequestMetrics> requests_;
  std::unique_ptr<NodeFigures> figures_;
  std::unique_ptr<ResourceMetrics> resource_metrics_;
};

}  // namespace orch::server
