#include "server/server.h"

#include <atomic>
#include <mutex>
#include <thread>

#include "api/meta.h"
#include "api/resources/resource.h"
#include "api/schema/schema.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/version.h"
#include "client/informer.h"
#include "datastore/sqlite/sqlite_store.h"
#include "http/server.h"
#include "server/access.h"
#include "server/admission/conversion_webhook.h"
#include "server/admission/defaults.h"
#include "server/admission/policy_plugins.h"
#include "server/admission/webhook_plugins.h"
#include "server/aggregator/aggregator.h"
#include "server/apiserver/api_server.h"
#include "server/apiserver/resource_metrics.h"
#include "server/at_rest.h"
#include "server/audit_setup.h"
#include "server/auth/bootstrap_policy.h"
#include "server/auth/impersonation.h"
#include "server/auth/pki_setup.h"
#include "server/authentication.h"
#include "server/bootstrap_objects.h"
#include "server/controllers/admission_policies.h"
#include "server/controllers/certificate_requests.h"
#include "server/controllers/event_expiry.h"
#include "server/controllers/garbage_collector.h"
#include "server/controllers/legacy_tokens.h"
#include "server/controllers/loop.h"
#include "server/flow_setup.h"
#include "server/join.h"
#include "server/kinds.h"
#include "server/lookup.h"
#include "server/registry/custom_resources.h"
#include "server/registry/local_client.h"
#include "server/registry/registry.h"
#include "server/runtime_config.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler_setup.h"
#include "server/service_setup.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::chrono::seconds kSyncTimeout{30};
constexpr std::chrono::seconds kStopGrace{2};
constexpr size_t kSpareWorkers = 32;
constexpr std::string_view kKubernetesVersion = "v1.35.4";

UserInfo component(const char* name) {
  UserInfo user;
  user.name = name;
  user.groups = {std::string(kGroupMasters), std::string(kGroupAuthenticated)};
  return user;
}

/// Members are in the order they start; they end in reverse.
class ServerImpl final : public Server {
 public:
  ServerImpl(ServerConfig config, const base::Clock& clock, base::Timers& timers, base::Metrics& metrics)
      : config_(std::move(config)), clock_(clock), timers_(timers), metrics_(metrics) {}

  ~ServerImpl() override {
    if (api_) api_->set_ready(false);
    if (customs_) customs_->stop();
    events_.reset();
    gc_.reset();
    // Clients still write: what the informers' handlers reach into ends after the last of them has run.
    if (informers_) informers_->stop();
    scheduler_.reset();
    controllers_.reset();
    token_tracking_.reset();
    flow_keepers_.clear();
    if (flow_) flow_->stop();
    if (http_) http_->stop(kStopGrace);
    http_.reset();
    api_.reset();
    aggregator_.reset();
    informers_.reset();
  }

  Status start() {
    ORCH_RETURN_IF_ERROR(open_store().with_context("store"));
    ORCH_RETURN_IF_ERROR(start_registry().with_context("registry"));
    ORCH_RETURN_IF_ERROR(load_pki().with_context("certificates"));
    auto flow = make_flow_control(config_.api, clock_, timers_, metrics_);
    if (!flow.ok()) return flow.error();
    flow_ = std::move(*flow);
    ORCH_RETURN_IF_ERROR(make_auth().with_context("authentication"));
    ORCH_RETURN_IF_ERROR(listen().with_context("API server"));
    ORCH_RETURN_IF_ERROR(ensure_objects().with_context("first objects"));
    ORCH_RETURN_IF_ERROR(start_loops());
    ORCH_RETURN_IF_ERROR(write_admin_kubeconfig(pki_.admin).with_context("kubeconfig"));
    api_->set_ready(true);
    return {};
  }

  uint16_t port() const override { return http_->port(); }
  std::string cluster_dns() const override { return dns_ip_; }
  std::string node_token() const override { return tokens_.back().text(); }

  std::unique_ptr<client::Client> node_client(const std::string& node_name) override {
    UserInfo user;
    user.name = "system:node:" + node_name;
    user.groups = {std::string(kGroupNodes), std::string(kGroupAuthenticated)};
    return make_local_client(*registry_, user, post(), "kubelet");
  }

  Result<base::WallTime> renew_certificates() override {
    // Others read pki_ without a lock: what is new goes where it is used.
    auto pki = ensure_pki(pki_options(), clock_.now());
    if (!pki.ok()) return pki.error();
    auto tls = tls_config(*pki);
    if (!tls.ok()) return tls.error();
    ORCH_RETURN_IF_ERROR(http_->reload(*tls));
    use_client_identities(*pki);
    ORCH_RETURN_IF_ERROR(write_admin_kubeconfig(pki->admin));
    return pki_renewal_time(*pki);
  }

  Result<NodeCredentials> node_credentials(const std::string& node_name,
                                           const std::vector<std::string>& addresses) override {
    auto made = issue_node_credentials(pki_, node_name, addresses, clock_.now());
    if (made.ok()) made->server_url = base::cat("https://127.0.0.1:", port());
    return made;
  }

 private:
  SubresourcePost post() {
    return [this](const api::Resource& r, std::string_view ns, std::string_view name,
                  std::string_view subresource, const Json& body, const UserInfo& user) {
      if (subresource != "scale") {
        WriteContext context;
        context.user = &user;
        return api_->post_subresource(r, ns, name, subresource, body, context);
      }
      const std::string path =
          base::cat(r.group.empty() ? "/api/" : base::cat("/apis/", r.group, "/"), r.version, "/namespaces/",
                    ns, "/", r.plural, "/", http::percent_encode(name), "/scale");
      return api_->ask("PUT", path, &body, user);
    };
  }

  QuotaStatusWriter quota_writer() {
    return [this](const Json& quota) {
      return client_->update({"", "v1", "resourcequotas"}, base::string_at(quota, {"metadata", "namespace"}),
                             quota, "status");
    };
  }

  /// Those that objects of the cluster configure.
  std::vector<std::unique_ptr<AdmissionPlugin>> configured_plugins() {
    const auto parts = [this](const WebhookSource& source) {
      return WebhookParts{source,       *lookup_, *table_,  access_.authorizer(),
                          hook_client_, clock_,   metrics_, [this] { return loopback(); }};
    };
    std::vector<std::unique_ptr<AdmissionPlugin>> out;
    out.push_back(make_mutating_webhooks(parts(mutating_hooks_)));
    const PolicyParts policies{policies_, *lookup_, *table_, access_.authorizer(), metrics_};
    out.push_back(make_validating_policies(policies));
    out.push_back(make_validating_webhooks(parts(validating_hooks_)));
    out.push_back(make_policy_param_access(policies));
    return out;
  }

  pki::KeyPair proxy_client() {
    std::lock_guard lock(identity_mutex_);
    return proxy_client_;
  }

  Loopback loopback() const {
    const uint16_t own = http_ ? port() : config_.https_listen_port;
    return {base::cat("127.0.0.1:", own), pki_.server_ca.certificate_pem, pki_.admin.certificate_pem,
            pki_.admin.key_pem};
  }

  Status open_store() {
    const std::string folder = config_.data_dir + "/server/db";
    ORCH_RETURN_IF_ERROR(base::make_dirs(folder, 0700));
    auto lock = base::FileLock::acquire(config_.data_dir + "/server/lock");
    if (!lock.ok()) {
      const bool taken = lock.error().code() == Code::kConflict;
      return Status(
          lock.error().code(),
          base::cat("the data folder ", config_.data_dir,
                    taken ? " is in use by another orch: " : " cannot be used: ", lock.error().message()));
    }
    lock_ = std::move(*lock);
    datastore::SqliteOptions options;
    options.path = folder + "/state.db";
    options.volatile_prefixes = {"/registry/coordination.k8s.io/leases/kube-node-lease/"};
    auto store = datastore::open_sqlite(options);
    if (!store.ok()) return store.error();
    store_ = std::move(*store);
    auto at_rest =
        AtRest::open(*store_,
                     {config_.data_dir, config_.secrets_encryption, config_.api.encryption_provider_config,
                      config_.api.encryption_provider_config_automatic_reload},
                     clock_);
    if (!at_rest.ok()) return at_rest.error();
    at_rest_ = std::move(*at_rest);
    return {};
  }

  Status start_registry() {
    schema_ = api::Schema::builtin();
    table_ = api::ResourceTable::builtin(*schema_);
    ORCH_RETURN_IF_ERROR(apply_runtime_config(config_.api.runtime_config, *table_));
    add_metrics_rows(*table_);
    registry_ = std::make_unique<Registry>(at_rest_->store(), *schema_, *table_, admission_, clock_);
    registry_->set_stale([this](std::string_view key) { return at_rest_->stale(key); });
    lookup_ = std::make_unique<CacheLookup>(*registry_);
    auto allocator = make_service_allocator(config_);
    if (!allocator.ok()) return allocator.error();
    services_ = std::move(*allocator);
    registry_->add_hook("services", services_->hook());
    dns_ip_ = config_.cluster_dns.empty() ? services_->address(10) : config_.cluster_dns;
    AdmissionParts parts{*lookup_, access_.authorizer(), access_.rbac(), clock_, quota_writer()};
    const ApiServerArgs& args = config_.api;
    parts.not_ready_toleration_seconds =
        args.default_not_ready_toleration_seconds.value_or(config_.default_not_ready_toleration_seconds);
    parts.unreachable_toleration_seconds =
        args.default_unreachable_toleration_seconds.value_or(config_.default_unreachable_toleration_seconds);
    parts.selection.enable = args.enable_admission_plugins;
    parts.selection.disable = args.disable_admission_plugins;
    ORCH_RETURN_IF_ERROR(parts.selection.check());
    if (!args.admission_control_config_file.empty())
      ORCH_RETURN_IF_ERROR(read_admission_config(args.admission_control_config_file, parts.selection));
    add_default_plugins(admission_, std::move(parts), configured_plugins());
    ORCH_RETURN_IF_ERROR(registry_->start());
    for (const auto& service : lookup_->list("services", "")) services_->adopt(service->tree());
    CustomResourcesOptions customs;
    customs.user = component("system:apiserver");
    customs.webhook =
        make_conversion_webhooks({*lookup_, hook_client_, clock_, metrics_, [this] { return loopback(); }});
    customs_ = std::make_unique<CustomResources>(*registry_, timers_, std::move(customs));
    return customs_->start().with_context("custom resources");
  }

  PkiOptions pki_options() const {
    PkiOptions options;
    options.data_dir = config_.data_dir;
    options.hostname = config_.hostname;
    options.cluster_domain = config_.cluster_domain;
    options.service_ip = services_->address(1);
    options.node_ips = config_.node_ips;
    options.extra_names = config_.tls_san;
    if (!config_.advertise_address.empty()) options.node_ips.push_back(config_.advertise_address);
    return options;
  }

  Result<http::TlsConfig> tls_config(const ClusterPki& pki) const {
    auto cas = read_client_cas(config_.api, pki);
    if (!cas.ok()) return cas.error();
    return http::TlsConfig{pki.serving.certificate_pem, pki.serving.key_pem, cas->clients, cas->proxies};
  }

  void use_client_identities(const ClusterPki& pki) {
    std::lock_guard lock(identity_mutex_);
    kubelet_access_ = {pki.server_ca.certificate_pem, pki.kubelet_client.certificate_pem,
                       pki.kubelet_client.key_pem};
    proxy_client_ = pki.proxy_client;
  }

  Status load_pki() {
    auto pki = ensure_pki(pki_options(), clock_.now());
    if (!pki.ok()) return pki.error();
    use_client_identities(*pki);
    pki_ = std::move(*pki);
    auto tokens = ensure_token_files(config_.data_dir, pki_.server_ca.certificate_pem, config_.token);
    if (!tokens.ok()) return tokens.error();
    tokens_ = std::move(*tokens);
    return {};
  }

  Status make_auth() {
    auto made = make_authentication(
        config_.api, pki_, tokens_, config_.cluster_domain, *lookup_, clock_,
        [this](const auto& secret, const auto& date) { mark_token_used(*api_client_, *secret, date); });
    if (!made.ok()) return made.error();
    auth_ = std::move(*made);
    ORCH_RETURN_IF_ERROR(access_.open());
    client_ = make_local_client(*registry_, component("system:orch"), post(), "kube-controller-manager");
    api_client_ = make_local_client(*registry_, component("system:orch"), post(), "kube-apiserver");
    scheduler_client_ = make_local_client(*registry_, component("system:orch"), post(), "kube-scheduler");
    const auto add_flow_client = [this](const char* manager, LocalWrites writes) {
      flow_clients_.push_back(
          make_local_client(*registry_, component("system:apiserver"), post(), manager, writes));
    };
    add_flow_client("api-priority-and-fairness-config-producer-v1", LocalWrites::kUpdate);
    add_flow_client("api-priority-and-fairness-config-consumer-v1", LocalWrites::kApply);
    informers_ = std::make_unique<client::InformerFactory>(*client_, timers_);
    access_.follow(*informers_);
    follow_admission();
    if (flow_ != nullptr) flow_feed_.follow(*informers_, *flow_);
    aggregator_ = std::make_unique<Aggregator>(AggregatorParts{
        *api_client_, *informers_, timers_, clock_, *lookup_, *table_, [this] { return proxy_client(); }});
    return {};
  }

  void follow_admission() {
    const auto feed = [this](const char* plural, WebhookSource& target) {
      informers_->get({"admissionregistration.k8s.io", "v1", plural})
          .on_change([&target](const api::ObjectPtr& before, const api::ObjectPtr& after) {
            target.on_change(before, after);
          });
    };
    feed("mutatingwebhookconfigurations", mutating_hooks_);
    feed("validatingwebhookconfigurations", validating_hooks_);
    constexpr const char* kGroup = "admissionregistration.k8s.io";
    informers_->get({kGroup, "v1", "validatingadmissionpolicies"})
        .on_change([this](const auto& before, const auto& after) { policies_.on_policy(before, after); });
    informers_->get({kGroup, "v1", "validatingadmissionpolicybindings"})
        .on_change([this](const auto& before, const auto& after) { policies_.on_binding(before, after); });
  }

  Status listen() {
    ApiServerOptions o;
    o.registry = registry_.get();
    o.schema = schema_.get();
    o.authenticator = auth_.authenticator.get();
    if (!auth_.proxies.username_headers.empty())
      o.strip = [this](http::Request& request) { auth_.proxies.strip(request); };
    o.authorizer = &access_.authorizer();
    o.flow = flow_.get();
    auto audit = make_audit_log(config_.api, clock_, metrics_);
    if (!audit.ok()) return audit.error();
    audit_ = std::move(*audit);
    o.audit = audit_.get();
    if (flow_ == nullptr) {
      o.max_reading = config_.api.max_requests_inflight.value_or(0);
      o.max_mutating = config_.api.max_mutating_requests_inflight.value_or(0);
    }
    o.impersonate = [this](const http::Request& request, const UserInfo& user) -> Result<UserInfo> {
      auto as = impersonate(request, user, access_.authorizer());
      if (!as.ok()) return as.error();
      return std::move(*as).value_or(user);
    };
    o.review = [this](std::string_view kind, const Json& body, const UserInfo& user) {
      return access_.review(kind, body, user, auth_);
    };
    o.token_request = [this](const api::Object& account, const Json& request, const UserInfo&,
                             std::vector<std::string>* warnings) {
      return auth_.issuer->request_token(request, account.ns(), account.name(), warnings);
    };
    o.openid_configuration = [this] {
      const std::string& uri = config_.api.service_account_jwks_uri;
      auto text = auth_.issuer->openid_configuration(
          uri.empty() ? base::cat("https://", advertise_address(), ":", port(), "/openid/v1/jwks") : uri);
      return text.ok() ? *text : std::string("{}");
    };
    o.jwks = [this] {
      auto text = auth_.issuer->jwks();
      return text.ok() ? *text : std::string("{}");
    };
    o.aggregator = aggregator_.get();
    o.timers = &timers_;
    o.metrics = &metrics_;
    o.settle = [this] { customs_->settle(); };
    o.kubelet = [this] {
      std::lock_guard lock(identity_mutex_);
      return kubelet_access_;
    };
    o.health = {{"datastore", [this] { return store_->health(); }, true, true},
                {"informer-sync",
                 [this] { return synced_ ? Status() : Status(Code::kServiceUnavailable, "not synced"); },
                 true, false}};
    o.git_version = base::cat(kKubernetesVersion, "+orch.", base::version());
    o.platform = base::platform();
    o.advertise_address = base::cat(advertise_address(), ":", config_.https_listen_port);
    o.open_paths["/cacerts"] = [this](http::Request&, const UserInfo&) {
      return http::Response::text(pki_.server_ca.certificate_pem);
    };
    for (const char* path :
         {"/v1-orch/encrypt", "/v1-orch/encrypt/rotate-keys", "/v1-orch/encrypt/reencrypt"}) {
      o.join_paths[path] = [this](http::Request& request, const UserInfo& user) {
        return at_rest_->handle(request, user);
      };
    }
    o.join_paths["/v1-orch/node"] = [this](http::Request& request, const UserInfo& user) {
      const ClusterFacts facts{config_.cluster_cidr, config_.service_cidr, dns_ip_, config_.cluster_domain,
                               config_.cluster_signing_duration};
      return handle_join(request, user, pki_, facts, clock_.now());
    };
    api_ = std::make_unique<ApiServer>(std::move(o));
    http::ServerOptions h;
    h.bind_address = config_.bind_address;
    h.port = config_.https_listen_port;
    auto tls = tls_config(pki_);
    if (!tls.ok()) return tls.error();
    h.tls_config = std::move(*tls);
    h.metrics = &metrics_;
    // Who runs holds a worker: there are some left for who is not counted, and to look at who comes.
    if (flow_ != nullptr) h.max_workers = static_cast<size_t>(flow_->seats()) + kSpareWorkers;
    h.patient_workers = std::max(1U, std::thread::hardware_concurrency());
    auto server =
        http::Server::listen(std::move(h), [this](http::Request& request) { return api_->handle(request); });
    if (!server.ok()) return server.error();
    http_ = std::move(*server);
    return {};
  }

  std::string advertise_address() const {
    if (!config_.advertise_address.empty()) return config_.advertise_address;
    if (config_.bind_address != "0.0.0.0" && config_.bind_address != "::") return config_.bind_address;
    return config_.node_ips.empty() ? "127.0.0.1" : config_.node_ips[0];
  }

  Status ensure_objects() {
    BootstrapOptions o;
    o.service_ip = services_->address(1);
    o.dns_ip = dns_ip_;
    o.advertise_address = advertise_address();
    o.port = port();
    auto cas = read_client_cas(config_.api, pki_);
    if (!cas.ok()) return cas.error();
    o.client_ca_pem = cas->clients;
    o.request_header_ca_pem = pki_.request_header_ca.certificate_pem;
    ORCH_RETURN_IF_ERROR(ensure_bootstrap_objects(*api_client_, o));
    if (flow_ != nullptr)
      ORCH_RETURN_IF_ERROR(ensure_flow_objects(*flow_clients_[0]).with_context("flow control"));
    return reconcile_bootstrap_policy(*api_client_).with_context("default roles");
  }

  /// All that are not switched off, with those that sign certificates.
  std::vector<Controller> chosen_controllers(const ControllerOptions& options) {
    std::vector<Controller> out = all_controllers(options, clock_);
    const auto add = [&](std::string_view name, Controller controller) {
      if (config_.manager.enabled(name)) out.push_back(std::move(controller));
    };
    add("certificatesigningrequest-approving-controller",
        make_csr_approving_controller([this](const Attributes& a) {
          return access_.authorizer().authorize(a).decision == Decision::kAllow;
        }));
    add("certificatesigningrequest-signing-controller",
        make_csr_signing_controller({pki_.client_ca, pki_.server_ca, config_.cluster_signing_duration}));
    add("certificatesigningrequest-cleaner-controller", make_csr_cleaner_controller());
    add("validatingadmissionpolicy-status-controller", make_admission_policy_status_controller(*table_));
    return out;
  }

  Status start_loops() {
    service_ranges_.follow(*informers_, *services_);
    if (!config_.disable_controller_manager) {
      ControllerOptions o;
      o.cluster_cidr = config_.cluster_cidr;
      o.service_cidr = config_.service_cidr;
      o.root_ca_pem = pki_.server_ca.certificate_pem;
      o.node_monitor_grace_period = config_.node_monitor_grace_period;
      o.sign_secret_token = [this](const api::Object& account, std::string_view secret) {
        return auth_.issuer->secret_token(account, secret);
      };
      o.namespaced = [this] {
        return kinds_of(*table_, [](const api::Resource& r) {
          return r.stored && r.storage_version && r.namespaced && r.has_verb("delete");
        });
      };
      o.manager = config_.manager;
      o.metrics = &metrics_;
      o.call = [this](std::string_view method, const std::string& target, const Json* body) {
        return api_->ask(method, target, body, component("system:orch"));
      };
      o.kinds = [this](std::string_view group, std::string_view kind) {
        return kinds_of(*table_, [&](const api::Resource& r) { return r.group == group && r.kind == kind; });
      };
      controllers_ = std::make_unique<ControllerLoop>(*client_, *informers_, timers_, clock_, metrics_,
                                                      chosen_controllers(o));
      if (config_.manager.enabled("garbage-collector-controller"))
        gc_ = std::make_unique<GarbageCollector>(*client_, *table_, timers_, clock_, metrics_);
      events_ = std::make_unique<EventExpiry>(*client_, *informers_, timers_, clock_,
                                              config_.api.event_ttl.value_or(std::chrono::hours(1)));
    }
    std::vector<Controller> tracking;
    tracking.push_back(make_legacy_token_tracking_controller(clock_));
    token_tracking_ = std::make_unique<ControllerLoop>(*api_client_, *informers_, timers_, clock_, metrics_,
                                                       std::move(tracking), 1);
    if (flow_ != nullptr) flow_keepers_ = flow_keepers(flow_clients_, *informers_, timers_, clock_, metrics_);
    if (!config_.disable_scheduler) {
      auto options = scheduler_options(config_);
      if (!options.ok()) return options.error();
      scheduler_ = std::make_unique<scheduler::Scheduler>(*scheduler_client_, *informers_, clock_, metrics_,
                                                          std::move(*options));
    }
    informers_->start();
    if (!informers_->wait_synced(kSyncTimeout))
      return Status(Code::kInternal, "informers did not fill up in time");
    synced_ = true;
    if (controllers_) controllers_->start();
    token_tracking_->start();
    for (const auto& keeper : flow_keepers_) keeper->start();
    if (gc_) {
      ORCH_RETURN_IF_ERROR(gc_->start().with_context("garbage collector"));
      const auto ref = [](const api::Resource& row) {
        return client::ResourceRef{row.group, row.version, row.plural};
      };
      customs_->set_listeners(
          [this, ref](const api::Resource& row) {
            if (Status s = gc_->follow(ref(row)); !s.ok())
              base::log_warning("gc", "a kind cannot be followed",
                                {{"kind", row.kind}, {"error", s.message()}});
          },
          [this, ref](const api::Resource& row) { gc_->unfollow(ref(row)); });
    }
    if (scheduler_) scheduler_->start();
    if (events_) events_->start();
    aggregator_->start();
    return {};
  }

  Status write_admin_kubeconfig(const pki::KeyPair& admin) {
    if (config_.write_kubeconfig.empty()) return {};
    const std::string host = config_.bind_address == "0.0.0.0" || config_.bind_address == "::"
                                 ? "127.0.0.1"
                                 : config_.bind_address;
    const std::string url =
        base::cat("https://", host.find(':') == std::string::npos ? host : "[" + host + "]", ":", port());
    return server::write_kubeconfig(config_.write_kubeconfig,
                                    make_kubeconfig(url, pki_.server_ca.certificate_pem, admin),
                                    config_.write_kubeconfig_mode);
  }

  const ServerConfig config_;
  const base::Clock& clock_;
  base::Timers& timers_;
  base::Metrics& metrics_;

  std::unique_ptr<base::FileLock> lock_;
  std::unique_ptr<datastore::Store> store_;
  std::unique_ptr<AtRest> at_rest_;
  std::unique_ptr<const api::Schema> schema_;
  std::unique_ptr<api::ResourceTable> table_;
  Access access_{config_.api, clock_};
  std::unique_ptr<FlowControl> flow_;  // null: there is none
  FlowFeed flow_feed_;
  client::HookClient hook_client_;
  WebhookSource mutating_hooks_, validating_hooks_;
  PolicySource policies_;
  AdmissionChain admission_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<CacheLookup> lookup_;
  std::unique_ptr<CustomResources> customs_;
  std::unique_ptr<ServiceAllocator> services_;
  ServiceRangeFeed service_ranges_;
  std::string dns_ip_;
  ClusterPki pki_;
  std::mutex identity_mutex_;
  KubeletAccess kubelet_access_;  // under identity_mutex_
  pki::KeyPair proxy_client_;     // under identity_mutex_
  std::vector<JoinToken> tokens_;
  Authentication auth_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<ApiServer> api_;
  /// One for each component that owns what it writes.
  std::unique_ptr<client::Client> client_, api_client_, scheduler_client_;
  std::vector<std::unique_ptr<client::Client>> flow_clients_;  // of who keeps objects, and their status
  std::unique_ptr<client::InformerFactory> informers_;
  std::unique_ptr<Aggregator> aggregator_;
  std::unique_ptr<http::Server> http_;
  std::unique_ptr<ControllerLoop> controllers_;
  std::unique_ptr<ControllerLoop> token_tracking_;
  std::vector<std::unique_ptr<ControllerLoop>> flow_keepers_;
  std::unique_ptr<GarbageCollector> gc_;
  std::unique_ptr<EventExpiry> events_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  std::atomic<bool> synced_{false};
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const ServerConfig& config, const base::Clock& clock,
                                              base::Timers& timers, base::Metrics& metrics) {
  auto server = std::make_unique<ServerImpl>(config, clock, timers, metrics);
  Status status = server->start();
  if (!status.ok()) return status;
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace orch::server
