// Subresources that are not plain edits: scale, binding, token; and the virtual kinds. Eviction:
// eviction.cpp.
#include "api/schema/defaults.h"
#include "api/schema/schema.h"
#include "api/selector.h"
#include "base/clock.h"
#include "server/apiserver/call.h"
#include "server/registry/field_tracking.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

Json created_status() {
  return {{"kind", "Status"},
          {"apiVersion", "v1"},
          {"metadata", Json::object()},
          {"status", "Success"},
          {"code", 201}};
}

namespace {

/// autoscaling/v1 Scale of a workload.
Json scale_of(const Json& o) {
  const Json& meta = base::object_at(o, {"metadata"});
  Json out = {{"kind", "Scale"}, {"apiVersion", "autoscaling/v1"}};
  for (const char* key : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    if (meta.contains(key)) out["metadata"][key] = meta[key];
  }
  out["spec"] = Json::object();
  if (int64_t replicas = base::int_at(o, {"spec", "replicas"}); replicas != 0)
    out["spec"]["replicas"] = replicas;
  out["status"]["replicas"] = base::int_at(o, {"status", "replicas"});
  const Json* selector = base::find_path(o, {"spec", "selector"});
  if (selector != nullptr) {
    // Replication controllers select by a plain map.
    const bool labels = selector->contains("matchLabels") || selector->contains("matchExpressions");
    auto parsed = labels ? api::LabelSelector::from_tree(*selector) : api::LabelSelector::from_map(*selector);
    if (parsed.ok()) out["status"]["selector"] = parsed->text();
  }
  return out;
}

void set_scheduled_condition(Json& pod, const std::string& now) {
  Json condition = {
      {"type", "PodScheduled"}, {"status", "True"}, {"lastProbeTime", nullptr}, {"lastTransitionTime", now}};
  if (int64_t generation = base::int_at(pod, {"metadata", "generation"}); generation != 0) {
    condition["observedGeneration"] = generation;
  }
  Json& conditions = pod["status"]["conditions"];
  if (!conditions.is_array()) conditions = Json::array();
  for (auto& c : conditions) {
    if (base::string_at(c, {"type"}) != "PodScheduled") continue;
    if (base::string_at(c, {"status"}) != "True") c = condition;
    return;
  }
  conditions.push_back(condition);
}

}  // namespace

ObjectPart scale_part() {
  return {scale_of, [](const Json& scale, Json& parent) -> Status {
            parent["spec"]["replicas"] = base::int_at(scale, {"spec", "replicas"});
            return {};
          }};
}

http::Response ApiServer::scale_response(Call& call, const api::Object& scaled) {
  return encode_tree(call.want, schema_, scale_of(scaled.tree()));
}

http::Response ApiServer::do_scale(Call& call) {
  const RequestInfo& info = call.info;
  const api::Resource& r = *call.storage;
  if (info.verb == "get") {
    auto object = registry_.get(r, info.ns, info.name);
    if (!object.ok()) return http::Response::from_status(object.error());
    return encode_tree(call.want, schema_, scale_of((*object)->tree()));
  }
  if (info.verb != "update" && info.verb != "patch") {
    return method_not_allowed();
  }
  if (info.verb == "patch" && is_apply(call.request)) return do_apply(call);
  const api::Type* type = schema_.type("io.k8s.api.autoscaling.v1.Scale");
  if (auto options = write_options(call, info.verb == "update" ? "UpdateOptions" : "PatchOptions");
      !options.ok())
    return http::Response::from_status(options);
  Json wanted;
  if (info.verb == "update") {
    auto body =
        decode_body(call.request, call.validation, schema_, type, "Scale", "autoscaling/v1", call.warnings);
    if (!body.ok()) return http::Response::from_status(body.error());
    wanted = std::move(body->tree);
  }
  auto change = [&](const Json& stored) -> Result<Json> {
    Json scale = wanted;
    if (info.verb == "patch") {
      auto patched = apply_patch(call, type, scale_of(stored), call.warnings);
      if (!patched.ok()) return patched;
      scale = std::move(*patched);
    }
    ORCH_RETURN_IF_ERROR(check_name(call, scale));
    int64_t replicas = base::int_at(scale, {"spec", "replicas"});
    if (replicas < 0) {
      api::FieldErrors errors;
      errors.invalid(api::FieldPath("spec.replicas"), replicas, "must be greater than or equal to 0");
      return errors.to_status("autoscaling", "Scale", info.name);
    }
    Json next = stored;
    next["spec"]["replicas"] = replicas;
    std::string_view version = base::string_at(scale, {"metadata", "resourceVersion"});
    std::string_view uid = base::string_at(scale, {"metadata", "uid"});
    if (!uid.empty()) next["metadata"]["uid"] = std::string(uid);
    if (version.empty() || info.verb == "patch") {
      next["metadata"].erase("resourceVersion");
    } else {
      next["metadata"]["resourceVersion"] = std::string(version);
    }
    return next;
  };
  const ObjectPart part = scale_part();
  WriteContext context = call.write_context();
  context.part = &part;
  auto result = registry_.update(r, info.ns, info.name, "scale", change, context);
  if (!result.ok()) return http::Response::from_status(result.error());
  return scale_response(call, **result);
}

http::Response ApiServer::do_post_subresource(Call& call) {
  const RequestInfo& info = call.info;
  const api::Subresource& sub = *call.resource->subresource(info.subresource);
  const api::Type* type = schema_.kind(sub.group, sub.version, sub.kind);
  if (auto options = write_options(call, "CreateOptions"); !options.ok())
    return http::Response::from_status(options);
  auto body = decode_body(call.request, call.validation, schema_, type, sub.kind,
                          api::make_api_version(sub.group, sub.version), call.warnings);
  if (!body.ok()) return http::Response::from_status(body.error());
  for (const auto& v : base::array_at(body->tree, {"deleteOptions", "dryRun"})) {
    if (v == "All") call.dry_run = true;
  }
  auto answer = post_subresource(*call.resource, info.ns, info.name, info.subresource, body->tree,
                                 call.write_context());
  if (!answer.ok()) return http::Response::from_status(answer.error());
  return encode_tree(call.want, schema_, *answer, 201);
}

Result<Json> ApiServer::post_subresource(const api::Resource& r, std::string_view ns, std::string_view name,
                                         std::string_view subresource, const Json& body,
                                         const WriteContext& context) {
  Json object = body;
  if (const api::Subresource* sub = r.subresource(subresource)) {
    object["kind"] = sub->kind;
    object["apiVersion"] = api::make_api_version(sub->group, sub->version);
  }
  ORCH_RETURN_IF_ERROR(
      registry_.admit({r, subresource, AdmissionRequest::Operation::kCreate, ns, name}, object, context));
  if (r.group.empty() && r.plural == "pods" && subresource == "binding")
    return bind_pod(ns, name, object, context);
  if (r.group.empty() && r.plural == "pods" && subresource == "eviction")
    return evict_pod(ns, name, object, context);
  if (r.group.empty() && r.plural == "serviceaccounts" && subresource == "token") {
    auto account = registry_.get(r, ns, name);
    if (!account.ok()) return account.error();
    return o_.token_request(**account, object, *context.user, context.warnings);
  }
  return Status(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource");
}

Result<Json> ApiServer::bind_pod(std::string_view ns, std::string_view name, const Json& binding,
                                 const WriteContext& admitted) {
  auto pods = registry_.table().find("", "v1", "pods");
  const std::string node(base::string_at(binding, {"target", "name"}));
  std::string_view kind = base::string_at(binding, {"target", "kind"});
  api::FieldErrors errors;
  if (!kind.empty() && kind != "Node") {
    errors.not_supported(api::FieldPath("target.kind"), kind, {"Node", "<empty>"});
  }
  if (node.empty()) errors.required(api::FieldPath("target.name"));
  // Kubernetes leaves these unwrapped.
  if (!errors.empty()) return Status(Code::kUnknown, errors.text());
  const std::string_view own = base::string_at(binding, {"metadata", "name"});
  if (!own.empty() && own != name)
    return Status(Code::kBadRequest, "name in URL does not match name in Binding object");
  auto conflict = [&](std::string_view why) {
    base::StatusDetails details;
    details.name = name;
    details.kind = "pods/binding";
    return Status(Code::kConflict,
                  base::cat("Operation cannot be fulfilled on pods/binding \"", name, "\": ", why), details);
  };
  WriteContext context;
  context.user = admitted.user;
  context.dry_run = admitted.dry_run;
  context.skip_admission = true;   // the binding went through it, the pod does not
  context.skip_validation = true;  // nodeName may not change by any other way
  const std::string uid(base::string_at(binding, {"metadata", "uid"}));
  auto result = registry_.update(
      *pods, ns, name, "binding",
      [&](const Json& current) -> Result<Json> {
        if (!uid.empty() && uid != base::string_at(current, {"metadata", "uid"})) {
          return conflict(base::cat("Precondition failed: UID in precondition: ", uid,
                                    ", UID in object meta: ", base::string_at(current, {"metadata", "uid"})));
        }
        if (current["metadata"].contains("deletionTimestamp")) {
          return conflict(base::cat("pod ", name, " is being deleted, cannot be assigned to a host"));
        }
        std::string_view taken = base::string_at(current, {"spec", "nodeName"});
        if (!taken.empty())
          return conflict(base::cat("pod ", name, " is already assigned to node \"", taken, "\""));
        if (!base::array_at(current, {"spec", "schedulingGates"}).empty()) {
          return conflict(base::cat("pod ", name, " has non-empty .spec.schedulingGates"));
        }
        Json next = current;
        next["metadata"].erase("resourceVersion");
        next["spec"]["nodeName"] = node;
        if (next.contains("status")) next["status"].erase("nominatedNodeName");
        for (const char* part : {"annotations", "labels"}) {
          for (const auto& [key, value] : base::object_at(binding, {"metadata", part}).items())
            next["metadata"][part][key] = value;
        }
        set_scheduled_condition(next, base::format_time(registry_.clock().now()));
        return next;
      },
      context);
  if (!result.ok()) return result.error();
  return created_status();
}

http::Response ApiServer::do_virtual(Call& call) {
  const api::Resource& r = *call.resource;
  if (call.info.verb != "create" || !r.has_verb("create")) {
    return method_not_allowed();
  }
  auto want = negotiate(call.request, call.info.query, Serves::kNoTable);
  if (!want.ok()) return http::Response::from_status(want.error());
  call.want = std::move(*want);
  if (auto options = write_options(call, "CreateOptions"); !options.ok())
    return http::Response::from_status(options);
  auto body =
      decode_body(call.request, call.validation, schema_, r.type, r.kind, r.api_version(), call.warnings);
  if (!body.ok()) return http::Response::from_status(body.error());
  if (r.namespaced) body->tree["metadata"]["namespace"] = call.info.ns;
  body->tree["kind"] = r.kind;
  body->tree["apiVersion"] = r.api_version();
  const std::string name(base::string_at(body->tree, {"metadata", "name"}));
  Status admitted = registry_.admit({r, "", AdmissionRequest::Operation::kCreate, call.info.ns, name},
                                    body->tree, call.write_context());
  if (!admitted.ok()) return http::Response::from_status(admitted);
  if (r.kind == "Binding") {
    auto bound = bind_pod(call.info.ns, name, body->tree, call.write_context());
    if (!bound.ok()) return http::Response::from_status(bound.error());
    return encode_tree(call.want, schema_, *bound, 201);
  }
  // Nothing is stored, but what comes back tells who owns it, as of stored objects.
  const WriteContext context = call.write_context();
  const base::SystemClock clock;
  const Json sent = take_managed_fields(body->tree);
  const std::string owners = FieldTracking(schema_, registry_.table(), clock)
                                 .update({r, r}, nullptr, body->tree, sent, {}, context.manager.value_or(""));
  auto answer = o_.review(r.kind, body->tree, call.user);
  if (!answer.ok()) return http::Response::from_status(answer.error());
  api::schema::normalise(schema_, *r.type, *answer);
  if (auto fields = base::parse_json(owners); fields.ok() && !fields->empty())
    (*answer)["metadata"]["managedFields"] = std::move(*fields);
  return encode_tree(call.want, schema_, *answer, 201);
}

}  // namespace orch::server
