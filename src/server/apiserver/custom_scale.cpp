// The scale subresource of custom resources: autoscaling/v1 Scale over the paths their definition names
// (k8s.io/apiextensions-apiserver pkg/registry/customresource ScaleREST).
#include "api/resources/custom_resource.h"
#include "api/resources/custom_strategy.h"
#include "api/schema/schema.h"
#include "server/apiserver/call.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

struct Scale {
  Json tree;
  bool has_replicas = false;
};

Result<Scale> scale_of(const Json& object, const api::ScalePaths& paths) {
  auto wanted = api::nested_int(object, paths.spec_replicas);
  if (!wanted.ok()) return wanted.error();
  auto current = api::nested_int(object, paths.status_replicas);
  if (!current.ok()) return current.error();
  Scale out;
  out.has_replicas = wanted->has_value();
  out.tree = {{"kind", "Scale"}, {"apiVersion", "autoscaling/v1"}};
  const Json& meta = base::object_at(object, {"metadata"});
  for (const char* key : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    if (meta.contains(key)) out.tree["metadata"][key] = meta[key];
  }
  out.tree["spec"] = Json::object();
  if (wanted->value_or(0) != 0) out.tree["spec"]["replicas"] = **wanted;
  out.tree["status"]["replicas"] = current->value_or(0);
  if (paths.label_selector.empty()) return out;
  auto selector = api::nested_text(object, paths.label_selector);
  if (!selector.ok()) return selector.error();
  if (*selector && !(*selector)->empty()) out.tree["status"]["selector"] = **selector;
  return out;
}

/// The object with what a Scale says, on condition of the version it was read at.
Json with_scale(const Json& stored, const Json& scale, const api::ScalePaths& paths, bool insists) {
  Json next = stored;
  api::set_nested(next, paths.spec_replicas, base::int_at(scale, {"spec", "replicas"}));
  const std::string uid(base::string_at(scale, {"metadata", "uid"}));
  const std::string version(base::string_at(scale, {"metadata", "resourceVersion"}));
  if (!uid.empty()) next["metadata"]["uid"] = uid;
  if (insists && !version.empty()) {
    next["metadata"]["resourceVersion"] = version;
  } else {
    next["metadata"].erase("resourceVersion");
  }
  return next;
}

}  // namespace

ObjectPart custom_scale_part(const api::ScalePaths& paths) {
  return {[&paths](const Json& object) {
            auto scale = scale_of(object, paths);
            return scale.ok() ? std::move(scale->tree) : Json();
          },
          [&paths](const Json& scale, Json& object) -> Status {
            api::set_nested(object, paths.spec_replicas, base::int_at(scale, {"spec", "replicas"}));
            return {};
          }};
}

http::Response ApiServer::custom_scale_response(Call& call, const api::ObjectPtr& object) {
  const api::Resource& r = *call.resource;
  const api::ScalePaths& paths = *r.custom->scale;
  auto made = convert_objects(r, {object});
  if (!made.ok()) return http::Response::from_status(made.error());
  auto scale = scale_of(made->front()->tree(), paths);
  if (!scale.ok()) return http::Response::from_status(scale.error());
  if (!scale->has_replicas && call.info.verb == "get") {
    return http::Response::from_status(
        Status(Code::kInternal, base::cat("Internal error occurred: the spec replicas field \"",
                                          paths.spec_text, "\" does not exist")));
  }
  return encode_tree(call.want, schema_, scale->tree);
}

http::Response ApiServer::do_custom_scale(Call& call) {
  const RequestInfo& info = call.info;
  const api::Resource& r = *call.resource;
  const api::ScalePaths& paths = *r.custom->scale;
  if (info.verb == "get") {
    auto object = registry_.get(r, info.ns, info.name);
    return object.ok() ? custom_scale_response(call, *object) : http::Response::from_status(object.error());
  }
  if (info.verb != "update" && info.verb != "patch") return method_not_allowed();
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
  const bool patch = info.verb == "patch";
  const auto change = [&](const Json& stored) -> Result<Json> {
    Json scale = wanted;
    if (patch) {
      auto current = scale_of(stored, paths);
      if (!current.ok()) return current.error();
      auto patched = apply_patch(call, type, current->tree, call.warnings);
      if (!patched.ok()) return patched;
      scale = std::move(*patched);
    }
    ORCH_RETURN_IF_ERROR(check_name(call, scale));
    const int64_t replicas = base::int_at(scale, {"spec", "replicas"});
    if (replicas < 0) {
      api::FieldErrors errors;
      errors.invalid(api::FieldPath("spec.replicas"), replicas, "must be greater than or equal to 0");
      return errors.to_status("autoscaling", "Scale", info.name);
    }
    return with_scale(stored, scale, paths, !patch);
  };
  const ObjectPart part = custom_scale_part(paths);
  WriteContext context = call.write_context();
  context.part = &part;
  auto result = registry_.update(r, info.ns, info.name, "scale", change, context);
  return result.ok() ? custom_scale_response(call, *result) : http::Response::from_status(result.error());
}

}  // namespace orch::server
