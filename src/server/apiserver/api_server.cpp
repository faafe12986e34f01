#include "server/apiserver/api_server.h"

#include <algorithm>
#include <utility>

#include "api/fieldmanager/managed_fields.h"
#include "api/go_text.h"
#include "api/resources/custom_resource.h"
#include "api/resources/object_meta.h"
#include "api/resources/traits.h"
#include "api/schema/schema.h"
#include "http/gzip.h"
#include "server/apiserver/call.h"
#include "server/apiserver/documents.h"
#include "server/apiserver/kubelet_location.h"
#include "server/apiserver/request_metrics.h"
#include "server/apiserver/resource_metrics.h"
#include "server/auth/forbidden.h"
#include "server/flowcontrol/flow_control.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

ApiServer::ApiServer(ApiServerOptions options)
    : o_(std::move(options)),
      registry_(*o_.registry),
      schema_(*o_.schema),
      reaper_("watch-end", 1),
      converters_("conversions", 4),
      documents_(std::make_unique<DocumentCache>(*o_.schema, registry_.table(), o_.aggregator)),
      requests_(std::make_unique<RequestMetrics>(*o_.metrics)),
      figures_(std::make_unique<NodeFigures>(
          [this](const std::string& node) {
            return read_kubelet(registry_, o_.kubelet(), node, "/metrics/resource");
          },
          registry_.clock())),
      resource_metrics_(std::make_unique<ResourceMetrics>(registry_, *figures_)) {}

ApiServer::~ApiServer() = default;

Encoding ApiServer::Call::encoding(const ApiServer& server) const {
  Encoding e;
  e.want = want;
  e.schema = &server.schema_;
  e.resource = resource.get();
  e.storage = storage ? storage.get() : resource.get();
  e.include_object = info.query.get("includeObject");
  e.now = server.registry_.clock().now();
  return e;
}

WriteContext ApiServer::Call::write_context() {
  WriteContext c;
  c.user = &user;
  c.dry_run = dry_run;
  c.warnings = &warnings;
  c.manager = manager.empty() ? api::manager_of_user_agent(request.header("User-Agent")) : manager;
  if (storage && storage != resource) c.asked = resource.get();
  c.options = &options;
  c.verbatim = &verbatim;
  if (audit != nullptr) c.audit = &annotations;
  return c;
}

namespace {

/// Larger answers are compressed for clients that take it, as kube-apiserver does.
constexpr size_t kCompressedFrom = 128U << 10;

/// Errors go in the form that was asked for, too.
void encode_error(const Negotiated& want, const api::Schema& schema, http::Response& response) {
  auto tree = base::parse_json(response.body);
  if (!tree.ok() || base::string_at(*tree, {"kind"}) != "Status") return;
  http::Response encoded = encode_tree(want, schema, *tree, response.status);
  if (encoded.status != response.status) return;
  encoded.headers = std::move(response.headers);
  response = std::move(encoded);
}

/// RFC 7234 warning header value as the API sends them: code 299, no agent.
std::string warning_header(const std::string& text) {
  std::string out = "299 - \"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

}  // namespace

http::Response ApiServer::handle(http::Request& request) {
  auto info = parse_request(request);
  if (!info.ok()) return http::Response::from_status(info.error());
  Call call{request, std::move(*info), {}, {}, nullptr, nullptr, {}, false};
  call.began = registry_.clock().mono();
  if (auto answer = enter(call)) return conclude(call, std::move(*answer));
  const bool patient = held_back(call);
  call.patient = patient;
  if (std::exchange(request.patient, patient) == patient) return run(std::move(call));
  set_aside(std::move(call), patient);
  return {};
}

http::Response ApiServer::run(Call call) {
  take_place(call);
  if (call.place == nullptr || call.place->state() != FlowTicket::State::kWaiting) return finish(call);
  if (call.patient) {
    // Here, and not parked: it would hold its seats while it waits for one of the few patient threads again.
    await_place(*call.place);
    return finish(call);
  }
  park(std::move(call));
  return {};
}

http::Response ApiServer::finish(Call& call) {
  const ProcessorMeter meter;
  http::Response response = conclude(call, leave(call));
  accounts_.charge(call.user.name, meter.used(), registry_.clock().mono());
  return response;
}

std::optional<http::Response> ApiServer::enter(Call& call) {
  http::Request& request = call.request;
  if (auto open = o_.open_paths.find(call.info.path); open != o_.open_paths.end())
    return open->second(request, call.user);
  auto authenticated = o_.authenticator->authenticate(request);
  if (!authenticated.ok() || !*authenticated) {
    audit_refusal(call);
    return http::Response::from_status(authenticated.ok() ? Status(Code::kUnauthorized, "Unauthorized")
                                                          : authenticated.error());
  }
  call.user = std::move(**authenticated);
  if (o_.strip) o_.strip(request);
  if (auto join = o_.join_paths.find(call.info.path); join != o_.join_paths.end())
    return join->second(request, call.user);
  if (o_.audit != nullptr) call.audit = o_.audit->begin(request, call.info.attributes(call.user));
  if (call.audit != nullptr) call.audit->emit(AuditStage::kRequestReceived);
  if (o_.impersonate) {
    auto user = o_.impersonate(request, call.user);
    if (!user.ok()) {
      call.refused = http::Response::from_status(user.error());
      return std::nullopt;
    }
    const bool another = user->name != call.user.name || user->groups != call.user.groups;
    call.user = std::move(*user);
    if (another && call.audit != nullptr) call.audit->impersonated(call.user);
  }
  return std::nullopt;
}

http::Response ApiServer::leave(Call& call) {
  const RequestMetrics::InFlight in_flight(*requests_, call.info);
  const auto place = call.place;
  http::Response response = answer_user(call);
  if (place != nullptr) {
    response.headers.emplace_back("X-Kubernetes-Pf-Flowschema-Uid", place->schema_uid());
    response.headers.emplace_back("X-Kubernetes-Pf-Prioritylevel-Uid", place->level_uid());
    // A watch keeps its place until it has told what there is.
    if (!response.stream || call.info.verb != "watch") place->finish();
  }
  if (call.audit != nullptr) audit_answer(call, response);
  if (response.status >= 400 && call.want.format != Format::kJson) encode_error(call.want, schema_, response);
  for (const auto& w : call.warnings) response.headers.emplace_back("Warning", warning_header(w));
  return response;
}

http::Response ApiServer::conclude(Call& call, http::Response response) {
  const bool known = call.resource != nullptr || !call.info.resource_request;
  if (response.takeover) {
    response.takeover = [inner = std::move(response.takeover),
                         &running = requests_->long_running(call.info, call.request.method)](
                            std::shared_ptr<http::Stream> stream) {
      running.add(1);
      inner(std::move(stream));
      running.add(-1);
    };
  }
  requests_->answered(call.info, call.request.method, known, call.dry_run, response.status,
                      registry_.clock().mono() - call.began);
  if (response.status == 200 && http::accepts_gzip(call.request)) http::compress(response, kCompressedFrom);
  return response;
}

http::Response ApiServer::answer_user(Call& call) {
  if (call.refused) return std::move(*call.refused);
  if (call.place != nullptr)
    return call.place->state() == FlowTicket::State::kRunning ? answer_allowed(call) : too_many(call);
  const bool reads = call.info.verb == "get" || call.info.verb == "list";
  const int64_t limit = reads ? o_.max_reading : o_.max_mutating;
  if (limit == 0 || call.info.long_running()) return answer_allowed(call);
  struct UnderWay {
    std::atomic<int64_t>& count;
    const int64_t before = count.fetch_add(1);
    ~UnderWay() { count.fetch_sub(1); }
  };
  const UnderWay under_way{reads ? reading_ : mutating_};
  if (under_way.before < limit || call.user.in_group(kGroupMasters)) return answer_allowed(call);
  return too_many(call);
}

http::Response ApiServer::answer_allowed(Call& call) {
  Attributes attributes = call.info.attributes(call.user);
  Verdict verdict = o_.authorizer->authorize(attributes);
  const bool allowed = verdict.decision == Decision::kAllow;
  const bool failed = !allowed && !verdict.error.empty();
  if (call.audit != nullptr) {
    if (!failed) call.audit->annotate("authorization.k8s.io/decision", allowed ? "allow" : "forbid");
    call.audit->annotate("authorization.k8s.io/reason", failed ? "internal error" : verdict.reason);
  }
  if (failed) {
    const std::string said = base::cat(api::go_quote(call.request.target), ": ", verdict.error);
    return plain_error(500, base::cat("Internal Server Error: ", without_markup(said)));
  }
  if (!allowed) {
    return http::Response::from_status(forbidden_status(attributes, verdict.reason));
  }
  if (auto elsewhere = aggregated(call)) return std::move(*elsewhere);
  http::Response response = dispatch(call);
  for (const auto& [key, value] : call.annotations) call.audit->annotate(key, value);
  if (call.verbatim != nullptr && response.status >= 400) {
    response.status = static_cast<int>(base::int_at(*call.verbatim, {"code"}));
    response.body = base::dump_json(*call.verbatim);
  }
  if (call.info.resource_request && !response.takeover)
    response.headers.emplace_back("Cache-Control", "no-cache, private");
  return response;
}

http::Response ApiServer::dispatch(Call& call) {
  const Serves serves = call.info.verb == "watch" ? Serves::kWatch : Serves::kForms;
  bool upgrade = call.request.has_header("Upgrade");
  if (!upgrade) {
    auto want = negotiate(call.request, call.info.query, serves);
    // Proxied requests and logs pass any Accept on.
    const bool passes =
        call.info.subresource == "proxy" || call.info.subresource == "log" || !call.info.resource_request;
    if (!want.ok() && !passes) {
      // A watch knows fewer forms than its errors do.
      if (auto errors = negotiate(call.request, call.info.query, Serves::kForms); errors.ok())
        call.want.format = errors->format;
      return http::Response::from_status(want.error());
    }
    if (want.ok()) call.want = std::move(*want);
  }
  return call.info.resource_request ? resource_request(call) : plain_path(call);
}

namespace {

/// Names are parts of storage keys: whatever a kind allows, it may not lead out of its folder.
Status check_path_name(std::string_view name) {
  std::string_view why;
  if (name == "." || name == "..") {
    why = name == "." ? "may not be '.'" : "may not be '..'";
  } else if (name.find('/') != std::string_view::npos) {
    why = "may not contain '/'";
  } else if (name.find('%') != std::string_view::npos) {
    why = "may not contain '%'";
  } else {
    return {};
  }
  return {Code::kBadRequest, base::cat("Name parameter invalid: ", api::go_quote(name), ": ", why)};
}

/// Custom resources have no protobuf, but their tables and metadata do.
Status check_custom_form(const Negotiated& want) {
  if (want.format != Format::kProtobuf || want.form != Form::kObject) return {};
  return {
      Code::kNotAcceptable,
      "object *unstructured.Unstructured does not implement the protobuf marshalling interface and cannot "
      "be encoded to a protobuf message"};
}

Status check_table(const Negotiated& want, const http::Query& query) {
  const std::string_view part = query.get("includeObject");
  if (want.form != Form::kTable || part.empty() || part == "Metadata" || part == "None" || part == "Object")
    return {};
  return {Code::kBadRequest,
          base::cat("Unable to convert to Table as requested: includeObject: Invalid value: ",
                    api::go_quote(part), ": must be 'Metadata', 'Object', 'None', or empty")};
}

}  // namespace

http::Response ApiServer::resource_request(Call& call) {
  RequestInfo& info = call.info;
  call.resource = registry_.table().find(info.group, info.version, info.resource);
  if ((call.resource == nullptr || call.resource->custom) && o_.settle) {
    o_.settle();
    call.resource = registry_.table().find(info.group, info.version, info.resource);
  }
  if (call.resource == nullptr || !call.resource->served) {
    call.resource = nullptr;
    return serves_group(registry_.table(), info.group) ? no_such_resource() : no_such_page();
  }
  const api::Resource& r = *call.resource;
  // A namespace is authorized as of itself, but stored in none.
  const bool in_namespace = !info.ns.empty() && r.plural != "namespaces";
  if (!r.namespaced) call.info.ns.clear();
  call.storage = r.custom ? call.resource
                 : r.stored
                     ? registry_.table().storage(r.storage_version ? r.group : r.storage_group, r.plural)
                     : nullptr;
  if (r.namespaced && info.ns.empty() && !info.name.empty()) return no_such_resource();
  if (!r.namespaced && in_namespace) return no_such_resource();
  // Even where GET is, HEAD is no method of resources.
  if (call.request.method == "HEAD" && info.subresource != "proxy") return method_not_allowed();
  if (r.namespaced && info.ns.empty() && info.verb == "create") return method_not_allowed();
  const api::Subresource* sub = nullptr;
  if (!info.subresource.empty()) {
    sub = r.subresource(info.subresource);
    if (sub == nullptr || (!info.rest.empty() && sub->name != "proxy")) return no_such_resource();
  }
  if (Status name = check_path_name(info.name); !name.ok()) return http::Response::from_status(name);
  if (Status table = check_table(call.want, info.query); !table.ok())
    return http::Response::from_status(table);
  if (const std::string_view old = api::deprecation_of(r.group, r.kind); !old.empty() && !r.custom)
    call.warnings.emplace_back(old);
  if (sub != nullptr) {
    if (sub->name == "log") return do_log(call);
    if (sub->name == "exec" || sub->name == "attach" || sub->name == "portforward") return do_connect(call);
    if (sub->name == "proxy") return do_proxy(call);
    if (sub->name == "scale") return r.custom ? do_custom_scale(call) : do_scale(call);
  } else if (!r.stored) {
    return r.group == kMetricsGroup ? do_resource_metrics(call) : do_virtual(call);
  }
  if (r.custom) {
    if (!r.custom->deprecation.empty()) call.warnings.push_back(r.custom->deprecation);
    if (Status form = check_custom_form(call.want); !form.ok()) return http::Response::from_status(form);
  }
  const auto& verbs = sub != nullptr ? sub->verbs : r.verbs;
  if (std::find(verbs.begin(), verbs.end(), info.verb) == verbs.end()) return method_not_allowed();
  if (info.verb == "create") {
    if (sub != nullptr) return do_post_subresource(call);
    return info.name.empty() ? do_create(call) : method_not_allowed();
  }
  if ((info.verb == "update" || info.verb == "patch") && info.name.empty()) return method_not_allowed();
  if (info.verb == "get") return do_get(call);
  if (info.verb == "list") return do_list(call);
  if (info.verb == "watch") return do_watch(call);
  if (info.verb == "update") return do_update(call);
  if (info.verb == "patch") return do_patch(call);
  if (info.verb == "delete") return do_delete(call);
  if (info.verb == "deletecollection") return do_delete_collection(call);
  return method_not_allowed();
}

}  // namespace orch::server
