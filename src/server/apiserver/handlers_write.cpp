// create, update, delete and deletecollection of stored resources.
#include "api/schema/schema.h"
#include "server/apiserver/call.h"

namespace orch::server {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

Json to_storage(const api::Resource& asked, const api::Resource& storage, Json tree) {
  if (&asked == &storage || asked.storage_version || asked.custom) return tree;
  if (asked.conversion) asked.conversion->to_storage(tree);
  tree["kind"] = storage.kind;
  tree["apiVersion"] = storage.api_version();
  return tree;
}

Json from_storage(const api::Resource& asked, const api::Resource& storage, Json tree) {
  if (&asked == &storage || asked.storage_version || asked.custom) return tree;
  if (asked.conversion) asked.conversion->from_storage(tree);
  tree["kind"] = asked.kind;
  tree["apiVersion"] = asked.api_version();
  return tree;
}

http::Response ApiServer::finish_write(Call& call, Result<ObjectPtr> result, int status) {
  if (!result.ok()) return http::Response::from_status(result.error());
  return encode_object(call.encoding(*this), *result, status);
}

http::Response ApiServer::do_create(Call& call) {
  const api::Resource& r = *call.resource;
  if (auto options = write_options(call, "CreateOptions"); !options.ok())
    return http::Response::from_status(options);
  auto body = decode_body(call.request, call.validation, schema_, r, call.warnings);
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
  if (auto options = write_options(call, "UpdateOptions"); !options.ok())
    return http::Response::from_status(options);
  auto body = decode_body(call.request, call.validation, schema_, r, call.warnings);
  if (!body.ok()) return http::Response::from_status(body.error());
  Json tree = to_storage(r, *call.storage, std::move(body->tree));
  if (Status named = check_name(call, tree); !named.ok()) return http::Response::from_status(named);
  if (!tree["metadata"].is_object()) tree["metadata"] = Json::object();
  tree["metadata"]["name"] = info.name;
  const bool versioned = !base::string_at(tree, {"metadata", "resourceVersion"}).empty();
  if (!versioned && !r.strategy->allow_unconditional_update) {
    api::FieldErrors errors;
    errors.invalid(api::FieldPath("metadata.resourceVersion"), Json(0), "must be specified for an update");
    // Told by the resource, not by the kind as other invalid objects are.
    return http::Response::from_status(errors.to_status(r.group, r.plural, info.name));
  }
  const auto update = [&] {
    return registry_.update(
        *call.storage, info.ns, info.name, info.subresource,
        [&](const Json&) -> Result<Json> { return tree; }, call.write_context());
  };
  auto result = update();
  if (!result.ok() && result.error().code() == Code::kNotFound && info.subresource.empty() &&
      r.strategy->allow_create_on_update && !versioned) {
    auto made = registry_.create(*call.storage, info.ns, tree, call.write_context());
    if (made.ok() || made.error().code() != Code::kAlreadyExists)
      return finish_write(call, std::move(made), 201);
    result = update();  // somebody else has made it meanwhile
  }
  return finish_write(call, std::move(result), 200);
}

Status ApiServer::write_options(Call& call, std::string_view kind) {
  const bool apply = kind == "PatchOptions" && is_apply(call.request);
  auto options = parse_write_options(call.info.query, kind, apply);
  if (!options.ok()) return options.error();
  call.dry_run = options->dry_run;
  call.validation = options->validation;
  call.manager = std::move(options->manager);
  call.force = options->force;
  call.options = Json::object();
  if (call.dry_run) call.options["dryRun"] = Json::array({"All"});
  for (const char* key : {"fieldManager", "fieldValidation"}) {
    const std::string_view value = call.info.query.get(key);
    if (!value.empty()) call.options[key] = value;
  }
  return {};
}

Status ApiServer::check_name(const Call& call, const Json& tree) {
  const std::string_view ns = base::string_at(tree, {"metadata", "namespace"});
  if (call.resource->namespaced && !ns.empty() && ns != call.info.ns) {
    return {Code::kBadRequest,
            "the namespace of the provided object does not match the namespace sent on the request"};
  }
  const std::string_view name = base::string_at(tree, {"metadata", "name"});
  if (name.empty()) {
    return {Code::kBadRequest, base::cat("the name of the object (", call.info.name,
                                         " based on URL) was undeterminable: name must be provided")};
  }
  if (name != call.info.name) {
    return {Code::kBadRequest, base::cat("the name of the object (", name,
                                         ") does not match the name on the URL (", call.info.name, ")")};
  }
  return {};
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

namespace {

Json options_json(const DeleteOptions& options) {
  const DeleteParams& params = options.params;
  Json out = Json::object();
  if (options.dry_run) out["dryRun"] = Json::array({"All"});
  if (params.grace_seconds) out["gracePeriodSeconds"] = *params.grace_seconds;
  if (!params.propagation.empty()) out["propagationPolicy"] = params.propagation;
  if (!params.uid.empty()) out["preconditions"]["uid"] = params.uid;
  if (!params.resource_version.empty()) out["preconditions"]["resourceVersion"] = params.resource_version;
  return out;
}

}  // namespace

Result<DeleteParams> ApiServer::delete_params(Call& call) {
  auto options = parse_delete_options(call.request, call.info.query, schema_);
  if (!options.ok()) return options.error();
  call.dry_run = options->dry_run;
  call.options = options_json(*options);
  return options->params;
}

http::Response ApiServer::do_delete(Call& call) {
  auto params = delete_params(call);
  if (!params.ok()) return http::Response::from_status(params.error());
  auto outcome = registry_.remove(*call.storage, call.info.ns, call.info.name, *params, call.write_context());
  if (!outcome.ok()) return http::Response::from_status(outcome.error());
  return delete_response(call, *outcome);
}

http::Response ApiServer::do_delete_collection(Call& call) {
  auto list = parse_list_options(call.info.query, false);
  if (!list.ok()) return http::Response::from_status(list.error());
  const WatchCachePtr cache = registry_.cache(*call.storage);
  if (cache == nullptr) return no_such_resource();
  auto filter = parse_filter(call.info.query, *call.resource, cache->resource(), call.info.ns);
  if (!filter.ok()) return http::Response::from_status(filter.error());
  auto params = delete_params(call);
  if (!params.ok()) return http::Response::from_status(params.error());
  api::FieldSelector later;
  if (selects_converted(*call.resource, *filter)) later = std::exchange(filter->fields, {});
  Page page = cache->list(*filter);
  if (!later.empty()) {
    auto selected = select_converted(*call.resource, std::move(page.items), later);
    if (!selected.ok()) return http::Response::from_status(selected.error());
    page.items = std::move(*selected);
  }
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
