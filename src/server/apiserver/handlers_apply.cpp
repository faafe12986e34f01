// Server-side apply: PATCH with application/apply-patch+yaml.
#include "api/go_text.h"
#include "api/resources/custom_resource.h"
#include "api/resources/custom_strategy.h"
#include "api/schema/schema.h"
#include "api/yaml.h"
#include "server/apiserver/call.h"
#include "server/auth/forbidden.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// Tries of an apply that finds the object now there, now gone.
constexpr int kMaxTries = 5;

std::string duplicate_text(const std::vector<std::string>& duplicates, const std::vector<size_t>& lines) {
  std::string out = "error converting YAML to JSON: yaml: unmarshal errors:";
  for (size_t i = 0; i < duplicates.size(); ++i) {
    // JSON that a client sends stands in one line as a rule.
    out +=
        base::cat("\n  line ", i < lines.size() ? lines[i] : size_t{1}, ": key ",
                  api::go_quote(duplicates[i].substr(duplicates[i].rfind('.') + 1)), " already set in map");
  }
  return out;
}

/// The body as a tree, JSON being YAML too.
Result<Json> parse_apply(const http::Request& request, FieldValidation validation,
                         std::vector<std::string>& warnings) {
  std::vector<std::string> duplicates;
  std::vector<size_t> lines;
  base::JsonParseOptions options;
  options.duplicates = &duplicates;
  auto tree = base::parse_json(request.body, options);
  if (!tree.ok()) {
    duplicates.clear();
    tree = api::parse_yaml(request.body, &duplicates, &lines);
  }
  if (!tree.ok())
    return Status(Code::kBadRequest, base::cat("error decoding YAML: ", tree.error().message()));
  if (!tree->is_object()) {
    return Status(Code::kBadRequest,
                  "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
                  "into Go value of type map[string]interface {}");
  }
  if (duplicates.empty() || validation == FieldValidation::kIgnore) return tree;
  const std::string problem = duplicate_text(duplicates, lines);
  if (validation == FieldValidation::kStrict)
    return Status(Code::kBadRequest, base::cat("error strict decoding YAML: ", problem));
  warnings.push_back(problem);
  return tree;
}

/// A Scale that is applied, as a patch of what it scales.
Json patch_of_parent(const Json& scale, const api::Resource& parent) {
  Json out = {{"kind", parent.kind}, {"apiVersion", parent.api_version()}, {"metadata", Json::object()}};
  for (const char* key : {"name", "namespace", "uid", "resourceVersion"}) {
    const std::string_view value = base::string_at(scale, {"metadata", key});
    if (!value.empty()) out["metadata"][key] = value;
  }
  if (const Json* replicas = base::find_path(scale, {"spec", "replicas"})) {
    static const std::vector<std::string> usual = {"spec", "replicas"};
    api::set_nested(out, parent.custom ? parent.custom->scale->spec_replicas : usual, *replicas);
  }
  return out;
}

Status check_scale(const Json& scale) {
  const std::string_view version = base::string_at(scale, {"apiVersion"});
  const std::string_view kind = base::string_at(scale, {"kind"});
  if (version == "autoscaling/v1" && kind == "Scale") return {};
  const auto [group, number] = api::split_api_version(version);
  return {Code::kBadRequest, base::cat("invalid object type: ", group, "/", number, ", Kind=", kind)};
}

}  // namespace

bool is_apply(const http::Request& request) {
  return media_type(request.header("Content-Type")) == "application/apply-patch+yaml";
}

Status ApiServer::may_create(const Call& call) const {
  Attributes attributes = call.info.attributes(call.user);
  attributes.verb = "create";
  const Verdict verdict = o_.authorizer->authorize(attributes);
  if (verdict.decision == Decision::kAllow) return {};
  return forbidden(call.info.group, call.info.resource, call.info.name, verdict.reason);
}

Result<api::ObjectPtr> ApiServer::create_by_apply(Call& call, const Json& patch) {
  const RequestInfo& info = call.info;
  WriteContext context = call.write_context();
  context.applied = true;
  auto next = registry_.apply(*call.storage, context, "", nullptr, patch, call.force);
  if (!next.ok()) return next.error();
  const std::string_view uid = base::string_at(*next, {"metadata", "uid"});
  if (!uid.empty()) {
    base::StatusDetails details;
    details.name = info.name;
    details.group = call.resource->group;
    details.kind = call.resource->plural;
    return Status(Code::kConflict,
                  base::cat("Operation cannot be fulfilled on ", call.resource->group_resource(), " ",
                            api::go_quote(info.name), ": uid mismatch: the provided object specified uid ",
                            uid, ", and no existing object was found"),
                  details);
  }
  ORCH_RETURN_IF_ERROR(check_name(call, *next));
  ORCH_RETURN_IF_ERROR(may_create(call));
  return registry_.create(*call.storage, info.ns, std::move(*next), context);
}

http::Response ApiServer::do_apply(Call& call) {
  const RequestInfo& info = call.info;
  if (auto options = write_options(call, "PatchOptions"); !options.ok())
    return http::Response::from_status(options);
  auto patch = parse_apply(call.request, call.validation, call.warnings);
  if (!patch.ok()) return http::Response::from_status(patch.error());
  const bool scale = info.subresource == "scale";
  if (scale) {
    if (auto checked = check_scale(*patch); !checked.ok()) return http::Response::from_status(checked);
    patch = patch_of_parent(*patch, *call.resource);
  }
  WriteContext context = call.write_context();
  context.applied = context.with_owners = true;
  const ObjectPart part = call.resource->custom && call.resource->custom->scale
                              ? custom_scale_part(*call.resource->custom->scale)
                              : scale_part();
  if (scale) context.part = &part;
  const auto change = [&](const Json& stored) -> Result<Json> {
    auto next = registry_.apply(*call.storage, context, info.subresource, &stored, *patch, call.force);
    if (!next.ok()) return next;
    ORCH_RETURN_IF_ERROR(check_name(call, *next));
    return next;
  };
  for (int i = 0;; ++i) {
    auto result = registry_.update(*call.storage, info.ns, info.name, info.subresource, change, context);
    const bool missing = !result.ok() && result.error().code() == Code::kNotFound;
    if (!missing || !info.subresource.empty()) {
      if (!scale || !result.ok()) return finish_write(call, std::move(result), 200);
      return call.resource->custom ? custom_scale_response(call, *result) : scale_response(call, **result);
    }
    result = create_by_apply(call, *patch);
    const bool exists = !result.ok() && result.error().code() == Code::kAlreadyExists;
    if (!exists || i == kMaxTries) return finish_write(call, std::move(result), 201);
  }
}

}  // namespace orch::server
