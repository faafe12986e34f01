// patch of stored resources: JSON patch, merge patch and strategic merge patch.
#include "api/go_text.h"
#include "api/patch/patch.h"
#include "api/schema/schema.h"
#include "base/json.h"
#include "server/apiserver/call.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

enum class PatchKind : uint8_t { kJson, kMerge, kStrategic };

Result<PatchKind> patch_kind(const http::Request& request, bool strategic_too, bool custom = false) {
  const std::string media = media_type(request.header("Content-Type"));
  if (media == "application/json-patch+json") return PatchKind::kJson;
  if (media == "application/merge-patch+json") return PatchKind::kMerge;
  if (media == "application/strategic-merge-patch+json" && strategic_too) return PatchKind::kStrategic;
  if (custom) {
    return Status(Code::kUnsupportedMediaType,
                  "the body of the request was in an unknown format - accepted media types include: "
                  "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
  }
  return Status(Code::kUnsupportedMediaType, "415: Unsupported Media Type", {});
}

struct Patch {
  Json tree;
  std::vector<std::string> problems;  // unknown and repeated members of the patch itself
};

Result<Patch> parse_patch(const http::Request& request, PatchKind kind) {
  Patch out;
  std::vector<std::string> duplicates;
  base::JsonParseOptions options;
  options.duplicates = &duplicates;
  auto tree = base::parse_json(request.body, options);
  if (!tree.ok()) {
    const std::string why = json_syntax_error(request.body, tree.error());
    return Status(Code::kBadRequest,
                  kind == PatchKind::kStrategic ? why : base::cat("error decoding patch: ", why));
  }
  const char* prefix = kind == PatchKind::kJson ? "json patch " : "";
  for (const auto& path : duplicates)
    out.problems.push_back(base::cat(prefix, "duplicate field \"", path, "\""));
  if (kind == PatchKind::kJson) {
    for (auto& problem : api::json_patch_unknown_fields(*tree)) out.problems.push_back(std::move(problem));
  }
  out.tree = std::move(*tree);
  return out;
}

Result<Json> applied(PatchKind kind, const Json& current, const Json& patch, const api::Type* type) {
  switch (kind) {
    case PatchKind::kJson:
      return api::json_patch(current, patch);
    case PatchKind::kStrategic:
      return api::strategic_merge_patch(current, patch, type);
    case PatchKind::kMerge:
      break;
  }
  return api::merge_patch(current, patch);
}

/// The patched object cannot be one of its type. What is shown is the result, or for strategic patches the
/// patch as Go prints it.
Status invalid_result(PatchKind kind, const Json& result, const Json& patch, const std::string& why) {
  api::FieldErrors errors;
  errors.invalid(api::FieldPath("patch"),
                 Json(kind == PatchKind::kStrategic ? api::go_plain(patch) : api::go_json(result)), why);
  return errors.to_status("", "", "");
}

}  // namespace

Result<Json> ApiServer::apply_patch(Call& call, const api::Type* type, const Json& current,
                                    std::vector<std::string>& warnings, const api::Resource* custom) {
  auto kind = patch_kind(call.request, type != nullptr);
  if (!kind.ok()) return kind.error();
  auto patch = parse_patch(call.request, *kind);
  if (!patch.ok()) return patch.error();
  if (*kind == PatchKind::kMerge && patch->tree.is_null())
    return Status(Code::kBadRequest, "Invalid JSON Patch");
  auto next = applied(*kind, current, patch->tree, type);
  if (!next.ok() && next.error().code() == Code::kInvalid) {
    // Which operation failed, and why, Kubernetes keeps to itself.
    return Status(Code::kInvalid, next.error().message(), {});
  }
  if (!next.ok()) return next;
  const auto invalid = [&](const std::string& why) {
    // Decoding prunes, but the error shows what there was.
    auto again = applied(*kind, current, patch->tree, type);
    return invalid_result(*kind, again.ok() ? *again : Json(), patch->tree, why);
  };
  if (!next->is_object()) return invalid("couldn't get version/kind; json parse error: not an object");
  for (const char* key : {"kind", "apiVersion"}) {
    if (base::string_at(*next, {key}).empty()) (*next)[key] = base::string_at(current, {key});
  }
  for (const char* key : {"kind", "apiVersion"}) {
    if (custom == nullptr && base::string_at(*next, {key}) != base::string_at(current, {key})) {
      const auto group = api::split_api_version(base::string_at(current, {"apiVersion"})).first;
      return invalid(other_kind(schema_, *next, group, base::string_at(current, {"kind"})));
    }
  }
  auto unknown = custom != nullptr ? decode_tree(schema_, *custom, *next) : decode_tree(schema_, type, *next);
  if (!unknown.ok()) return invalid(unknown.error().message());
  std::vector<std::string> problems = std::move(patch->problems);
  for (auto& p : *unknown) problems.push_back(std::move(p));
  if (call.validation == FieldValidation::kStrict && !problems.empty())
    return invalid(strict_error(problems));
  if (call.validation == FieldValidation::kWarn) {
    for (auto& p : problems) warnings.push_back(std::move(p));
  }
  Json& meta = (*next)["metadata"];
  if (!meta.is_object()) meta = Json::object();
  // A patch that does not speak of the version does not insist on one.
  const bool speaks = *kind == PatchKind::kJson
                          ? base::string_at(meta, {"resourceVersion"}) !=
                                base::string_at(current, {"metadata", "resourceVersion"})
                          : base::find_path(patch->tree, {"metadata", "resourceVersion"}) != nullptr;
  if (!speaks) meta.erase("resourceVersion");
  return next;
}

http::Response ApiServer::do_patch(Call& call) {
  if (is_apply(call.request)) return do_apply(call);
  const api::Resource& r = *call.resource;
  const RequestInfo& info = call.info;
  if (auto kind = patch_kind(call.request, r.type != nullptr, r.custom != nullptr); !kind.ok())
    return http::Response::from_status(kind.error());
  if (auto options = write_options(call, "PatchOptions"); !options.ok())
    return http::Response::from_status(options);
  bool warned = false;
  auto change = [&](const Json& stored) -> Result<Json> {
    std::vector<std::string> repeated;  // of a retry after a lost race: reported once
    auto next = apply_patch(call, r.type, from_storage(r, *call.storage, stored),
                            warned ? repeated : call.warnings, r.custom ? &r : nullptr);
    if (!next.ok()) return next;
    warned = true;
    ORCH_RETURN_IF_ERROR(check_name(call, *next));
    return to_storage(r, *call.storage, std::move(*next));
  };
  WriteContext context = call.write_context();
  context.with_owners = true;
  return finish_write(
      call, registry_.update(*call.storage, info.ns, info.name, info.subresource, change, context), 200);
}

}  // namespace orch::server
