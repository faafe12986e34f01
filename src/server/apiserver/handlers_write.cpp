// create, update, patch, delete and deletecollection of stored resources.
#include "api/patch/patch.h"
#include "api/schema/schema.h"
#include "server/apiserver/call.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

namespace {

/// Json patches larger than this are refused before they are applied, as in kube-apiserver.
constexpr size_t kMaxPatchOperations = 10000;

Json to_storage(const api::Resource& asked, const api::Resource& storage, Json tree) {
  if (&asked == &storage || asked.storage_version) return tree;
  if (asked.conversion) asked.conversion->to_storage(tree);
  tree["kind"] = storage.kind;
  tree["apiVersion"] = storage.api_version();
  return tree;
}

Json from_storage(const api::Resource& asked, const api::Resource& storage, Json tree) {
  if (&asked == &storage || asked.storage_version) return tree;
  if (asked.conversion) asked.conversion->from_storage(tree);
  tree["kind"] = asked.kind;
  tree["apiVersion"] = asked.api_version();
  return tree;
}

std::string_view option(const http::Query& query, const Json& body, const char* name) {
  if (query.has(name)) return query.get(name);
  return base::string_at(body, {name});
}

}  // namespace

http::Response ApiServer::finish_write(Call& call, Result<ObjectPtr> result, int status) {
  if (!result.ok()) return http::Response::from_status(result.error());
  return encode_object(call.encoding(*this), *result, status);
}

http::Response ApiServer::do_create(Call& call) {
  const api::Resource& r = *call.resource;
  auto body =
      decode_body(call.request, call.info.query, schema_, r.type, r.kind, r.api_version(), call.warnings);
  if (!body.ok()) return http::Response::from_status(body.error());
  return finish_write(
      call,
      registry_.create(*call.storage, call.info.ns, to_storage(r, *call.storage, std::move(body->tree)),
                       call.write_context()),
      201);
}

http::Response ApiServer::do_update(Call& call) {
  const api::Resource& r = *call.resource;
  const RequestInfo& info = call.info;
  auto body = decode_body(call.request, info.query, schema_, r.type, r.kind, r.api_version(), call.warnings);
  if (!body.ok()) return http::Response::from_status(body.error());
  Json tree = to_storage(r, *call.storage, std::move(body->tree));
  std::string_view name = base::string_at(tree, {"metadata", "name"});
  if (!name.empty() && name != info.name) {
    return http::Response::from_status(
        Status(Code::kBadRequest, base::cat("the name of the object (", name,
                                            ") does not match the name on the URL (", info.name, ")")));
  }
  std::string_view ns = base::string_at(tree, {"metadata", "namespace"});
  if (!ns.empty() && ns != info.ns && r.namespaced) {
    return http::Response::from_status(
        Status(Code::kBadRequest, base::cat("the namespace of the object (", ns,
                                            ") does not match the namespace on the URL (", info.ns, ")")));
  }
  if (!tree["metadata"].is_object()) tree["metadata"] = Json::object();
  tree["metadata"]["name"] = info.name;
  const bool versioned = !base::string_at(tree, {"metadata", "resourceVersion"}).empty();
  if (!versioned && !r.strategy->allow_unconditional_update) {
    api::FieldErrors errors;
    errors.invalid(api::FieldPath("metadata.resourceVersion"), Json(0), "must be specified for an update");
    return http::Response::from_status(errors.to_status(r.group, r.kind, info.name));
  }
  auto result = registry_.update(
      *call.storage, info.ns, info.name, info.subresource, [&](const Json&) -> Result<Json> { return tree; },
      call.write_context());
  if (!result.ok() && result.error().code() == Code::kNotFound && info.subresource.empty() &&
      r.strategy->allow_create_on_update && !versioned) {
    return finish_write(call, registry_.create(*call.storage, info.ns, std::move(tree), call.write_context()),
                        201);
  }
  return finish_write(call, std::move(result), 200);
}

Result<Json> ApiServer::apply_patch(Call& call, const api::Type* type, const Json& current) {
  const std::string media = media_type(call.request.header("Content-Type"));
  const bool json_patch = media == "application/json-patch+json";
  const bool strategic = media == "application/strategic-merge-patch+json";
  if ((!json_patch && !strategic && media != "application/merge-patch+json") ||
      (strategic && type == nullptr)) {
    return Status(Code::kUnsupportedMediaType,
                  "the body of the request was in an unknown format - accepted media types include: "
                  "application/json-patch+json, application/merge-patch+json, "
                  "application/strategic-merge-patch+json");
  }
  auto patch = base::parse_json(call.request.body);
  if (!patch.ok()) return Status(Code::kBadRequest, patch.error().message());
  if (json_patch && patch->is_array() && patch->size() > kMaxPatchOperations) {
    return Status(Code::kRequestEntityTooLarge,
                  base::cat("The allowed maximum operations in a JSON patch is ", kMaxPatchOperations,
                            ", got ", patch->size()));
  }
  Result<Json> next = json_patch  ? api::json_patch(current, *patch)
                      : strategic ? api::strategic_merge_patch(current, *patch, type)
                                  : api::merge_patch(current, *patch);
  if (!next.ok()) return next;
  if (!next->is_object() || !(*next)["metadata"].is_object()) {
    return Status(Code::kInvalid, "the patch leaves no object with metadata");
  }
  // A patch that does not speak of the version does not insist on one.
  if (json_patch ? base::string_at(*next, {"metadata", "resourceVersion"}) ==
                       base::string_at(current, {"metadata", "resourceVersion"})
                 : base::string_at(*patch, {"metadata", "resourceVersion"}).empty()) {
    (*next)["metadata"].erase("resourceVersion");
  }
  return next;
}

http::Response ApiServer::do_patch(Call& call) {
  const api::Resource& r = *call.resource;
  const RequestInfo& info = call.info;
  bool warned = false;
  auto change = [&](const Json& stored) -> Result<Json> {
    auto next = apply_patch(call, r.type, from_storage(r, *call.storage, stored));
    if (!next.ok()) return next;
    std::vector<std::string> repeated;  // of a retry after a lost race: reported once
    ORCH_RETURN_IF_ERROR(check_patched(call, r, *next, warned ? repeated : call.warnings));
    warned = true;
    return to_storage(r, *call.storage, std::move(*next));
  };
  return finish_write(
      call,
      registry_.update(*call.storage, info.ns, info.name, info.subresource, change, call.write_context()),
      200);
}

Status ApiServer::check_patched(const Call& call, const api::Resource& r, Json& tree,
                                std::vector<std::string>& warnings) const {
  if (base::string_at(tree, {"kind"}) != r.kind || base::string_at(tree, {"apiVersion"}) != r.api_version()) {
    return Status(Code::kBadRequest, "the patch may not change kind or apiVersion");
  }
  return prune_tree(schema_, r.type, r.kind, r.version, call.info.query, tree, warnings);
}

http::Response ApiServer::delete_response(Call& call, const DeleteOutcome& outcome) {
  const api::Resource& r = *call.resource;
  if (!outcome.gone || r.strategy->returns_deleted)
    return encode_object(call.encoding(*this), outcome.object, 200);
  Json status = {
      {"kind", "Status"},
      {"apiVersion", "v1"},
      {"metadata", Json::object()},
      {"status", "Success"},
      {"details",
       {{"name", call.info.name}, {"kind", r.plural}, {"uid", std::string(outcome.object->uid())}}}};
  if (!r.group.empty()) status["details"]["group"] = r.group;
  return encode_tree(call.want, schema_, status, 200);
}

Result<DeleteParams> ApiServer::delete_params(Call& call) {
  Json body = Json::object();
  const http::Query& query = call.info.query;
  if (!call.request.body.empty()) {
    const api::Type* type = schema_.type("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    auto decoded = decode_body(call.request, query, schema_, type, "", "v1", call.warnings);
    if (!decoded.ok()) return decoded.error();
    body = std::move(decoded->tree);
  }
  DeleteParams p;
  if (query.has("gracePeriodSeconds")) {
    std::string text(query.get("gracePeriodSeconds"));
    char* end = nullptr;
    long long n = std::strtoll(text.c_str(), &end, 10);
    if (text.empty() || *end != 0) return Status(Code::kBadRequest, "gracePeriodSeconds is not a number");
    p.grace_seconds = n;
  } else if (body.contains("gracePeriodSeconds") && body["gracePeriodSeconds"].is_number_integer()) {
    p.grace_seconds = body["gracePeriodSeconds"].get<int64_t>();
  }
  if (p.grace_seconds && *p.grace_seconds < 0) p.grace_seconds = 1;  // as Kubernetes: negative means 1 second
  p.propagation = option(query, body, "propagationPolicy");
  const bool orphan_set = body.contains("orphanDependents") || query.has("orphanDependents");
  if (orphan_set) {
    if (!p.propagation.empty()) {
      return Status(Code::kInvalid,
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"" +
                        p.propagation + "\": orphanDependents and deletionPropagation cannot be both set");
    }
    bool orphan = query.has("orphanDependents") ? query.get("orphanDependents") == "true"
                                                : base::bool_at(body, {"orphanDependents"});
    p.propagation = orphan ? "Orphan" : "Background";
  }
  if (!p.propagation.empty() && p.propagation != "Orphan" && p.propagation != "Background" &&
      p.propagation != "Foreground") {
    return Status(
        Code::kInvalid,
        base::cat("DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"",
                  p.propagation, "\": supported values: \"Background\", \"Foreground\", \"Orphan\""));
  }
  p.uid = base::string_at(body, {"preconditions", "uid"});
  p.resource_version = base::string_at(body, {"preconditions", "resourceVersion"});
  for (const auto& v : base::array_at(body, {"dryRun"})) {
    if (v != "All") return Status(Code::kInvalid, "dryRun: Unsupported value: supported values: \"All\"");
    call.dry_run = true;
  }
  return p;
}

http::Response ApiServer::do_delete(Call& call) {
  auto params = delete_params(call);
  if (!params.ok()) return http::Response::from_status(params.error());
  auto outcome = registry_.remove(*call.storage, call.info.ns, call.info.name, *params, call.write_context());
  if (!outcome.ok()) return http::Response::from_status(outcome.error());
  return delete_response(call, *outcome);
}

http::Response ApiServer::do_delete_collection(Call& call) {
  auto params = delete_params(call);
  if (!params.ok()) return http::Response::from_status(params.error());
  auto filter = parse_filter(call.info.query, *call.storage, call.info.ns);
  if (!filter.ok()) return http::Response::from_status(filter.error());
  WatchCache* cache = registry_.cache(*call.storage);
  Page page = cache->list(*filter);
  std::vector<ObjectPtr> deleted;
  for (const auto& object : page.items) {
    auto outcome =
        registry_.remove(*call.storage, object->ns(), object->name(), *params, call.write_context());
    if (!outcome.ok()) {
      if (outcome.error().code() == Code::kNotFound) continue;
      return http::Response::from_status(outcome.error());
    }
    deleted.push_back(outcome->object);
  }
  return encode_list(call.encoding(*this), deleted, {page.revision, {}, -1});
}

}  // namespace orch::server
