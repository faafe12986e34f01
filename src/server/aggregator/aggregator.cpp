#include "server/aggregator/aggregator.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>

#include "api/go_text.h"
#include "base/json.h"
#include "base/log.h"
#include "base/threads.h"
#include "client/hook_client.h"
#include "server/admission/service_resolver.h"
#include "server/aggregator/remote_documents.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

namespace {

const client::ResourceRef kApiServices{"apiregistration.k8s.io", "v1", "apiservices"};
const client::ResourceRef kServices{"", "v1", "services"};
const client::ResourceRef kSlices{"discovery.k8s.io", "v1", "endpointslices"};
const client::ResourceRef kDefinitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions"};

constexpr std::chrono::seconds kRecheck{30};    // of what cannot be watched: whether a server answers
constexpr std::chrono::seconds kFirstRetry{1};  // doubled up to kRecheck
constexpr std::chrono::seconds kProbeTimeout{5};
constexpr int kProbes = 5;
constexpr size_t kMostThreads = 4;

using SharedJson = std::shared_ptr<const Json>;

/// What was last read of a server, by group version.
struct Documents {
  SharedJson discovery, openapi_v3, openapi_v2;
  std::string discovery_etag, openapi_etag;
};

struct Entry {
  ApiService service;
  Documents documents;
  bool queued = false, running = false, again = false;
  base::Timers::Id timer = 0;  // 0: none
  base::Duration retry = kFirstRetry;
};

Json fresh(Json discovery, const char* freshness) {
  discovery["freshness"] = freshness;
  return discovery;
}

}  // namespace

struct Aggregator::Rep : std::enable_shared_from_this<Aggregator::Rep> {
  explicit Rep(AggregatorParts p) : parts(std::move(p)), pool("aggregator", kMostThreads) {}

  // --- What informers tell ---
  void on_api_service(const ObjectPtr& before, const ObjectPtr& after) {
    const std::string name(after != nullptr ? after->name() : before->name());
    {
      std::unique_lock lock(mutex);
      if (stopping) return;
      const auto known = entries.find(name);
      const bool was_remote = known != entries.end() && known->second.service.remote;
      bool is_remote = false;
      if (after == nullptr) {
        forget(name);
      } else {
        Entry& entry = entries[name];
        entry.service = ApiService::parse(*after);
        is_remote = entry.service.remote;
        if (was_remote && !is_remote) entry.documents = {};
        entry.retry = kFirstRetry;
      }
      count_remotes();
      if (was_remote || is_remote) ++changes;
    }
    register_soon(name);
    check_soon(name);
  }

  /// A service or its endpoints changed.
  void on_service(std::string_view ns, std::string_view name) {
    if (remotes.load(std::memory_order_relaxed) == 0) return;
    std::vector<std::string> concerned;
    {
      std::shared_lock lock(mutex);
      for (const auto& [key, entry] : entries) {
        const ApiService& s = entry.service;
        if (s.remote && s.service_ns == ns && s.service_name == name) concerned.push_back(key);
      }
    }
    for (const auto& key : concerned) check_soon(key);
  }

  void on_definition(const ObjectPtr& before, const ObjectPtr& after) {
    std::set<std::string> touched;
    for (const auto& object : {before, after}) {
      if (object == nullptr) continue;
      for (const auto& [group, version] : served(*object)) touched.insert(base::cat(version, ".", group));
    }
    {
      std::unique_lock lock(mutex);
      const ObjectPtr& any = after != nullptr ? after : before;
      if (after == nullptr) {
        custom.erase(std::string(any->name()));
      } else {
        custom[std::string(any->name())] = served(*after);
      }
    }
    for (const auto& name : touched) register_soon(name);
  }

  static std::vector<std::pair<std::string, std::string>> served(const api::Object& definition) {
    std::vector<std::pair<std::string, std::string>> out;
    const Json tree = definition.tree();
    const std::string group(base::string_at(tree, {"spec", "group"}));
    for (const auto& version : base::array_at(tree, {"spec", "versions"})) {
      if (base::bool_at(version, {"served"})) out.emplace_back(group, base::string_at(version, {"name"}));
    }
    return out;
  }

  // --- Objects of what is served here ---
  std::map<std::string, Json> wanted() {
    std::vector<std::pair<std::string, std::string>> versions;
    std::shared_lock lock(mutex);
    for (const auto& [name, served_versions] : custom)
      versions.insert(versions.end(), served_versions.begin(), served_versions.end());
    return local_api_services(parts.table.group_versions(), versions);
  }

  void register_soon(const std::string& name) {
    std::unique_lock lock(mutex);
    if (!started || stopping) return;
    pool.post([self = this, name] { self->register_one(name); });
  }

  void register_one(const std::string& name) {
    const auto all = wanted();
    const auto found = all.find(name);
    register_one(name, found == all.end() ? nullptr : &found->second);
  }

  void register_one(const std::string& name, const Json* wanted) {
    // One at a time, so that what was synced is known to the next.
    std::lock_guard lock(registering);
    const ObjectPtr object = parts.informers.get(kApiServices).get("", name);
    const Json current = object != nullptr ? object->tree() : Json();
    const RegistrationStep step = plan_registration(wanted, object != nullptr ? &current : nullptr,
                                                    at_start.contains(name), synced.contains(name));
    Status done;
    switch (step.kind) {
      case RegistrationStep::Kind::kNone:
        break;
      case RegistrationStep::Kind::kCreate:
        done = parts.client.create(kApiServices, "", step.object).status();
        break;
      case RegistrationStep::Kind::kUpdate:
        done = parts.client.update(kApiServices, "", step.object).status();
        break;
      case RegistrationStep::Kind::kDelete: {
        client::DeleteOptions options;
        options.uid = object->uid();
        done = parts.client.remove(kApiServices, "", name, options);
        break;
      }
    }
    const bool lost = done.code() == Code::kConflict || done.code() == Code::kNotFound ||
                      done.code() == Code::kAlreadyExists;
    if (done.ok()) {
      synced.insert(name);
    } else if (!lost) {  // otherwise an event about it is on its way
      base::log_warning("aggregator", "APIService cannot be kept",
                        {{"name", name}, {"error", done.message()}});
    }
  }

  // --- Checking and reading a remote server ---
  void check_soon(const std::string& name) {
    std::unique_lock lock(mutex);
    const auto it = entries.find(name);
    if (it == entries.end() || !started || stopping) return;
    Entry& entry = it->second;
    if (entry.timer != 0) parts.timers.cancel(std::exchange(entry.timer, 0));
    if (entry.running) entry.again = true;
    if (entry.queued || entry.running) return;
    entry.queued = true;
    pool.post([self = this, name] { self->check(name); });
  }

  void check(const std::string& name) {
    ApiService service;
    Documents documents;
    {
      std::unique_lock lock(mutex);
      const auto it = entries.find(name);
      if (it == entries.end() || stopping) return;
      it->second.queued = false;
      it->second.running = true;
      service = it->second.service;
      documents = it->second.documents;
    }
    const Availability now = judge(service);
    write_condition(name, now);
    const bool good = service.remote && now.status == "True";
    if (good) read_documents(service, documents);
    if (!good && documents.discovery != nullptr)
      documents.discovery = std::make_shared<const Json>(fresh(*documents.discovery, "Stale"));
    finish(name, service, std::move(documents), good);
  }

  void finish(const std::string& name, const ApiService& service, Documents documents, bool good) {
    std::unique_lock lock(mutex);
    const auto it = entries.find(name);
    if (it == entries.end() || stopping) return;
    Entry& entry = it->second;
    entry.running = false;
    const Documents& old = entry.documents;
    const bool changed = old.discovery != documents.discovery || old.openapi_v2 != documents.openapi_v2 ||
                         old.openapi_v3 != documents.openapi_v3;
    if (changed) ++changes;
    entry.documents = std::move(documents);
    if (entry.again) {
      entry.again = false;
      entry.queued = true;
      pool.post([self = this, name] { self->check(name); });
    } else if (service.remote) {
      const base::Duration wait = good ? base::Duration(kRecheck) : entry.retry;
      entry.retry = good ? base::Duration(kFirstRetry) : std::min<base::Duration>(entry.retry * 2, kRecheck);
      entry.timer = parts.timers.after(wait, [weak = weak_from_this(), name] {
        auto self = weak.lock();
        if (!self) return;
        {
          std::unique_lock again(self->mutex);
          const auto found = self->entries.find(name);
          if (found != self->entries.end()) found->second.timer = 0;
        }
        self->check_soon(name);
      });
    }
  }

  Availability judge(const ApiService& service) {
    if (!service.remote) return *judge_endpoints(service, nullptr, {});
    const ObjectPtr object = parts.lookup.get("services", service.service_ns, service.service_name);
    const Json tree = object != nullptr ? object->tree() : Json();
    std::vector<Json> slices;
    for (const auto& slice : parts.lookup.list("endpointslices.discovery.k8s.io", service.service_ns)) {
      if (slice->label("kubernetes.io/service-name") == service.service_name) slices.push_back(slice->tree());
    }
    if (auto known = judge_endpoints(service, object != nullptr ? &tree : nullptr, slices)) return *known;
    return judge_probe(probe(service));
  }

  client::HookCall request_to(const ApiService& service, const UserInfo& user) {
    client::HookCall call;
    call.method = "GET";
    call.timeout = kProbeTimeout;
    call.user_agent = "kube-aggregator";
    const pki::KeyPair own = parts.proxy_client();
    call.certificate_pem = own.certificate_pem;
    call.key_pem = own.key_pem;
    call.ca_pem = service.ca_pem;
    call.insecure = service.insecure;
    for (const auto& [name, value] : front_proxy_headers(user))
      call.headers.push_back(base::cat(name, ": ", value));
    return call;
  }

  static UserInfo aggregator_user() {
    UserInfo user;
    user.name = "system:kube-aggregator";
    user.groups = {std::string(kGroupMasters)};
    return user;
  }

  /// Asks some endpoints at once; one that answers is enough. Why none did, or "".
  std::string probe(const ApiService& service) {
    const std::string path = base::cat("/apis/", service.group, "/", service.version);
    std::vector<client::HookCall> calls;
    for (int i = 0; i < kProbes; ++i) {
      auto address =
          resolve_service(parts.lookup, service.service_ns, service.service_name, service.service_port);
      if (!address.ok()) return address.error().message();
      client::HookCall call = request_to(service, aggregator_user());
      call.insecure = true;  // whether it answers, not who it is
      call.url = base::cat("https://", address->text(), path);
      const bool known =
          std::any_of(calls.begin(), calls.end(), [&](const auto& c) { return c.url == call.url; });
      if (!known) calls.push_back(std::move(call));
    }
    std::string last;
    const auto answers = hooks.fetch(calls);
    for (size_t i = 0; i < calls.size(); ++i) {
      const auto& answer = answers[i];
      if (answer.ok() && answer->status >= 200 && answer->status < 300) return {};
      last = base::cat("failing or missing response from ", calls[i].url, ": ",
                       answer.ok() ? base::cat("bad status from ", calls[i].url, ": ", answer->status)
                                   : answer.error().message());
    }
    return last;
  }

  void write_condition(const std::string& name, const Availability& now) {
    const ObjectPtr object = parts.informers.get(kApiServices).get("", name);
    if (object == nullptr) return;
    Json next = object->tree();
    if (!api::set_condition(next, now.condition(), parts.clock.now())) return;
    const Status done = parts.client.update(kApiServices, "", next, "status").status();
    if (!done.ok() && done.code() != Code::kConflict && done.code() != Code::kNotFound)
      base::log_warning("aggregator", "status not written", {{"name", name}, {"error", done.message()}});
  }

  Result<client::HookAnswer> get(const ApiService& service, const std::string& path, const char* accept,
                                 const std::string& etag) {
    auto address =
        resolve_service(parts.lookup, service.service_ns, service.service_name, service.service_port);
    if (!address.ok()) return address.error();
    client::HookCall call = request_to(service, aggregator_user());
    call.url = base::cat("https://", service.server_name(), ":", service.service_port, path);
    call.connect_to = address->text();
    call.headers.push_back(base::cat("Accept: ", accept));
    if (!etag.empty()) call.headers.push_back(base::cat("If-None-Match: ", etag));
    return std::move(hooks.fetch({call})[0]);
  }

  void read_documents(const ApiService& service, Documents& documents) {
    read_discovery(service, documents);
    read_openapi(service, documents);
  }

  void read_discovery(const ApiService& service, Documents& documents) {
    constexpr const char* kAccept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    auto answer = get(service, "/apis", kAccept, documents.discovery_etag);
    Json found;
    if (answer.ok() && answer->status == 304) return;
    const bool listed = answer.ok() && answer->status == 200 &&
                        answer->content_type.find("as=APIGroupDiscoveryList") != std::string::npos;
    if (listed) {
      auto list = base::parse_json(answer->body);
      if (list.ok()) found = find_discovery(*list, service.group, service.version);
      documents.discovery_etag = answer->etag;
    } else if (answer.ok() && answer->status != 503) {
      auto legacy =
          get(service, base::cat("/apis/", service.group, "/", service.version), "application/json", {});
      if (legacy.ok() && legacy->status == 200) {
        auto resources = base::parse_json(legacy->body);
        if (resources.ok()) found = discovery_of_resources(*resources, service.version);
      }
    }
    const bool got = found.is_object();
    if (!got && documents.discovery != nullptr) found = *documents.discovery;
    if (!found.is_object()) found = {{"version", service.version}, {"resources", Json::array()}};
    Json next = fresh(std::move(found), got || listed ? "Current" : "Stale");
    if (documents.discovery == nullptr || *documents.discovery != next)
      documents.discovery = std::make_shared<const Json>(std::move(next));
  }

  void read_openapi(const ApiService& service, Documents& documents) {
    const std::string key = base::cat("apis/", service.group, "/", service.version);
    auto index = get(service, "/openapi/v3", "application/json", {});
    SharedJson line;
    if (index.ok() && index->status == 200) {
      auto tree = base::parse_json(index->body);
      const Json* found = tree.ok() ? base::find_path(*tree, {"paths", key}) : nullptr;
      if (found != nullptr && found->is_object()) line = std::make_shared<const Json>(*found);
    }
    const bool same = line != nullptr && documents.openapi_v3 != nullptr && *line == *documents.openapi_v3;
    if (!same) documents.openapi_v3 = std::move(line);
    auto v2 = get(service, "/openapi/v2", "application/json", documents.openapi_etag);
    if (!v2.ok() || v2->status != 200) return;
    auto tree = base::parse_json(v2->body);
    if (!tree.ok()) return;
    documents.openapi_v2 = std::make_shared<const Json>(openapi_v2_part(*tree, base::cat("/", key, "/")));
    documents.openapi_etag = v2->etag;
  }

  /// Under mutex.
  void forget(const std::string& name) {
    const auto it = entries.find(name);
    if (it == entries.end()) return;
    if (it->second.timer != 0) parts.timers.cancel(it->second.timer);
    entries.erase(it);
  }
  void count_remotes() {
    remotes = static_cast<size_t>(
        std::count_if(entries.begin(), entries.end(), [](const auto& e) { return e.second.service.remote; }));
  }

  AggregatorParts parts;
  client::HookClient hooks;
  mutable std::shared_mutex mutex;
  std::map<std::string, Entry, std::less<>> entries;  // under mutex
  std::map<std::string, std::vector<std::pair<std::string, std::string>>>
      custom;                              // under mutex, by definition
  bool started = false, stopping = false;  // under mutex
  std::atomic<size_t> remotes{0};
  std::atomic<uint64_t> changes{0};
  std::mutex registering;
  std::set<std::string> at_start, synced;  // under registering
  base::ThreadPool pool;                   // last: ends first
};

Aggregator::Aggregator(AggregatorParts parts) : rep_(std::make_shared<Rep>(std::move(parts))) {
  auto& informers = rep_->parts.informers;
  const std::weak_ptr<Rep> weak = rep_;
  informers.get(kApiServices).on_change([weak](const ObjectPtr& before, const ObjectPtr& after) {
    if (auto rep = weak.lock()) rep->on_api_service(before, after);
  });
  informers.get(kDefinitions).on_change([weak](const ObjectPtr& before, const ObjectPtr& after) {
    if (auto rep = weak.lock()) rep->on_definition(before, after);
  });
  informers.get(kServices).on_change([weak](const ObjectPtr& before, const ObjectPtr& after) {
    const ObjectPtr& any = after != nullptr ? after : before;
    if (auto rep = weak.lock()) rep->on_service(any->ns(), any->name());
  });
  informers.get(kSlices).on_change([weak](const ObjectPtr& before, const ObjectPtr& after) {
    const ObjectPtr& any = after != nullptr ? after : before;
    if (auto rep = weak.lock()) rep->on_service(any->ns(), any->label("kubernetes.io/service-name"));
  });
}

Aggregator::~Aggregator() {
  std::vector<base::Timers::Id> timers;
  {
    std::unique_lock lock(rep_->mutex);
    rep_->stopping = true;
    for (auto& [name, entry] : rep_->entries) {
      if (entry.timer != 0) timers.push_back(std::exchange(entry.timer, 0));
    }
  }
  for (const auto timer : timers) rep_->parts.timers.cancel(timer);
  rep_->pool.drain();
}

void Aggregator::start() {
  std::vector<std::string> names;
  {
    std::unique_lock lock(rep_->mutex);
    std::lock_guard registering(rep_->registering);
    rep_->started = true;
    for (const auto& [name, entry] : rep_->entries) {
      names.push_back(name);
      rep_->at_start.insert(name);
    }
  }
  rep_->pool.post([rep = rep_.get()] {
    for (const auto& [name, wanted] : rep->wanted()) rep->register_one(name, &wanted);
  });
  for (const auto& name : names) {
    rep_->register_soon(name);
    rep_->check_soon(name);
  }
}

std::optional<ApiService> Aggregator::remote(std::string_view group, std::string_view version) const {
  if (rep_->remotes.load(std::memory_order_relaxed) == 0) return std::nullopt;
  std::shared_lock lock(rep_->mutex);
  const auto it = rep_->entries.find(base::cat(version, ".", group));
  if (it == rep_->entries.end() || !it->second.service.remote) return std::nullopt;
  return it->second.service;
}

Result<http::DialOptions> Aggregator::dial_options(const ApiService& service) const {
  auto address =
      resolve_service(rep_->parts.lookup, service.service_ns, service.service_name, service.service_port);
  if (!address.ok()) return address.error();
  const pki::KeyPair own = rep_->parts.proxy_client();
  http::DialOptions out;
  out.host = address->host;
  out.port = address->port;
  out.tls = true;
  out.tls_config = {service.ca_pem, own.certificate_pem, own.key_pem, service.server_name(),
                    service.insecure};
  return out;
}

std::vector<RemoteVersion> Aggregator::remote_versions() const {
  std::vector<RemoteVersion> out;
  std::shared_lock lock(rep_->mutex);
  for (const auto& [name, entry] : rep_->entries) {
    if (!entry.service.remote) continue;
    const Documents& d = entry.documents;
    out.push_back({entry.service, d.discovery, d.openapi_v3, d.openapi_v2});
  }
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return before_in_discovery(a.service, b.service); });
  return out;
}

uint64_t Aggregator::generation() const { return rep_->changes; }

}  // namespace orch::server
