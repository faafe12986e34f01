#include <algorithm>

#include "api/schema/openapi_writer.h"

namespace orch::api::schema {
namespace {

using Names = std::vector<std::string_view>;

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";

const Names& list_parameters() {
  static const Names names = {"allowWatchBookmarks",
                              "continue",
                              "fieldSelector",
                              "labelSelector",
                              "limit",
                              "resourceVersion",
                              "resourceVersionMatch",
                              "sendInitialEvents",
                              "timeoutSeconds",
                              "watch"};
  return names;
}

const Names& delete_parameters() {
  static const Names names = {"dryRun", "gracePeriodSeconds",
                              "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
                              "propagationPolicy"};
  return names;
}

Names parameters_of(std::string_view verb) {
  if (verb == "list") return list_parameters();
  if (verb == "create" || verb == "update") return {"dryRun", "fieldManager", "fieldValidation"};
  if (verb == "patch") return {"dryRun", "fieldManager", "fieldValidation", "force"};
  if (verb == "delete") return delete_parameters();
  if (verb == "deletecollection") {
    Names names = delete_parameters();
    for (std::string_view name : list_parameters()) {
      if (name != "allowWatchBookmarks" && name != "watch") names.push_back(name);
    }
    return names;
  }
  return {};
}

std::string_view parameter_type(std::string_view name) {
  for (std::string_view each : {"gracePeriodSeconds", "limit", "timeoutSeconds"}) {
    if (name == each) return "integer";
  }
  for (std::string_view each :
       {"allowWatchBookmarks", "force", "ignoreStoreReadErrorWithClusterBreakingPotential",
        "orphanDependents", "sendInitialEvents", "watch"}) {
    if (name == each) return "boolean";
  }
  return "string";
}

/// What a verb is called in operation ids, and its HTTP method, which is also its action but for lists.
struct VerbNames {
  std::string_view verb, id, method, action;
};
constexpr VerbNames kVerbs[] = {{"get", "read", "get", "get"},
                                {"list", "list", "get", "list"},
                                {"create", "create", "post", "post"},
                                {"update", "replace", "put", "put"},
                                {"patch", "patch", "patch", "patch"},
                                {"delete", "delete", "delete", "delete"},
                                {"deletecollection", "delete", "delete", "deletecollection"}};

const VerbNames& names_of(std::string_view verb) {
  for (const VerbNames& each : kVerbs) {
    if (each.verb == verb) return each;
  }
  return kVerbs[0];
}

bool has(const std::vector<std::string>& verbs, std::string_view verb) {
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

std::string capitalised(std::string_view word) {
  std::string out(word);
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] - 'a' + 'A');
  return out;
}

std::string base_path(const OpenApiResource& r) {
  return r.group.empty() ? base::cat("/api/", r.version) : base::cat("/apis/", r.group, "/", r.version);
}

bool is_custom(const OpenApiResource& r) { return r.type == nullptr; }

}  // namespace

std::string operation_group(std::string_view group, std::string_view version) {
  if (group.empty()) group = "core";
  if (group.ends_with(".k8s.io")) group.remove_suffix(7);
  std::string out;
  while (!group.empty()) {
    size_t dot = group.find('.');
    out += capitalised(group.substr(0, dot));
    group = dot == std::string_view::npos ? std::string_view() : group.substr(dot + 1);
  }
  return out + capitalised(version);
}

std::string operation_tag(std::string_view group, std::string_view version) {
  std::string tag = operation_group(group, "");
  if (!tag.empty() && tag[0] >= 'A' && tag[0] <= 'Z') tag[0] = static_cast<char>(tag[0] - 'A' + 'a');
  return version.empty() ? tag : base::cat(tag, "_", version);
}

void PathWriter::resource(JsonText& out, const OpenApiResource& r) {
  const std::string base = base_path(r);
  std::string path = base::cat(base, r.namespaced ? "/namespaces/{namespace}" : "", "/", r.plural);
  bool in_collection = has(r.verbs, "list") || has(r.verbs, "create") || has(r.verbs, "deletecollection");
  if (r.namespaced && has(r.verbs, "list")) collection(out, r, base::cat(base, "/", r.plural), true);
  if (in_collection) collection(out, r, path, false);
  path += "/{name}";
  if (has(r.verbs, "get") || has(r.verbs, "update") || has(r.verbs, "patch") || has(r.verbs, "delete")) {
    item(out, r, path);
  }
  for (const OpenApiSubresource& sub : r.subresources) {
    bool connects = std::string_view(sub.kind).ends_with("Options") && sub.name != "log";
    if (connects) {
      connect(out, r, sub, base::cat(path, "/", sub.name));
      if (sub.name == "proxy") connect(out, r, sub, base::cat(path, "/", sub.name, "/{path}"));
    } else {
      subresource(out, r, sub, base::cat(path, "/", sub.name));
    }
  }
}

PathWriter::Operation PathWriter::make(const OpenApiResource& r, std::string_view verb,
                                       std::string_view scope, std::string_view suffix) {
  using Shape = Operation::Shape;
  const VerbNames& names = names_of(verb);
  Operation op;
  op.method = names.method;
  op.action = names.action;
  op.verb = verb;
  op.id = base::cat(names.id, operation_group(r.group, r.version),
                    verb == "deletecollection" ? "Collection" : "", scope, r.kind, suffix);
  op.group = r.group;
  op.version = r.version;
  op.kind = r.kind;
  op.parameters = parameters_of(verb);
  op.type = r.type;
  op.resource = &r;
  op.tag = operation_tag(r.group, r.version);
  op.codes = {"200"};
  if (verb == "list") op.answer = Shape::kList;
  if (verb == "create" || verb == "update") op.body = Shape::kObject;
  if (verb == "patch") op.body = Shape::kPatch;
  if (verb == "create") op.codes = {"200", "201", "202"};
  if (verb == "update" || verb == "patch") op.codes = {"200", "201"};
  if (verb == "delete" || verb == "deletecollection") {
    op.body = Shape::kDeleteOptions;
    op.answer = r.returns_deleted && verb == "delete" ? Shape::kObject : Shape::kStatus;
    if (verb == "delete") op.codes = {"200", "202"};
  }
  return op;
}

void PathWriter::collection(JsonText& out, const OpenApiResource& r, const std::string& path,
                            bool all_namespaces) {
  std::string_view scope = r.namespaced && !all_namespaces ? "Namespaced" : "";
  out.key(path).open('{');
  for (std::string_view verb : {"deletecollection", "list", "create"}) {
    if (!has(r.verbs, verb) || (all_namespaces && verb != "list")) continue;
    operation(out, make(r, verb, scope, all_namespaces ? "ForAllNamespaces" : ""));
  }
  path_parameters(out, path, nullptr, true);
  out.close('}');
}

void PathWriter::item(JsonText& out, const OpenApiResource& r, const std::string& path) {
  out.key(path).open('{');
  for (std::string_view verb : {"delete", "get", "patch", "update"}) {
    if (has(r.verbs, verb)) operation(out, make(r, verb, r.namespaced ? "Namespaced" : "", ""));
  }
  path_parameters(out, path, nullptr, true);
  out.close('}');
}

void PathWriter::subresource(JsonText& out, const OpenApiResource& r, const OpenApiSubresource& sub,
                             const std::string& path) {
  out.key(path).open('{');
  for (std::string_view verb : {"get", "patch", "create", "update"}) {
    if (!has(sub.verbs, verb)) continue;
    Operation op = make(r, verb, r.namespaced ? "Namespaced" : "", capitalised(sub.name));
    op.group = sub.group;
    op.version = sub.version;
    op.kind = sub.kind;
    op.type = sub.type;
    if (sub.name == "log") op.answer = Operation::Shape::kText;
    operation(out, op);
  }
  path_parameters(out, path, nullptr, true);
  out.close('}');
}

/// Subresources that a connection is made to: their query parameters are the members of an options kind.
void PathWriter::connect(JsonText& out, const OpenApiResource& r, const OpenApiSubresource& sub,
                         const std::string& path) {
  bool with_path = path.ends_with("{path}");
  out.key(path).open('{');
  for (std::string_view verb : {"delete", "get", "head", "options", "patch", "create", "update"}) {
    bool extra = verb == "head" || verb == "options";  // a proxy passes on every method
    if (extra ? sub.name != "proxy" : !has(sub.verbs, verb)) continue;
    Operation op = make(r, verb, "", "");
    if (extra) op.method = verb;
    op.id = base::cat("connect", operation_group(r.group, r.version), capitalised(op.method),
                      r.namespaced ? "Namespaced" : "", r.kind, capitalised(sub.name),
                      with_path ? "WithPath" : "");
    op.action = "connect";
    op.kind = sub.kind;
    op.parameters.clear();
    op.body = Operation::Shape::kNone;
    op.answer = Operation::Shape::kText;
    op.codes = {"200"};
    operation(out, op);
  }
  path_parameters(out, path, sub.type, false);
  out.close('}');
}

void PathWriter::discovery(JsonText& out, std::string_view path, std::string_view operation_id,
                           std::string_view tag, std::string_view type_name) {
  out.key(path).open('{').key("get").open('{');
  out.member("operationId", operation_id).key("tags").open('[').text(tag).close(']');
  if (version_ == OpenApiVersion::kV2) out.key("produces").open('[').text(kJson).close(']');
  out.key("responses").open('{').key("200").open('{').member("description", "OK");
  if (version_ == OpenApiVersion::kV3) out.key("content").open('{').key(kJson).open('{');
  out.key("schema");
  definitions_.reference(out, type_name);
  if (version_ == OpenApiVersion::kV3) out.close('}').close('}');
  out.close('}').key("401").open('{').member("description", "Unauthorized").close('}');
  out.close('}').close('}').close('}');
}

void PathWriter::operation(JsonText& out, const Operation& op) {
  out.key(op.method).open('{');
  out.member("operationId", op.id).key("tags").open('[').text(op.tag).close(']');
  bool v2 = version_ == OpenApiVersion::kV2;
  bool body = op.body != Operation::Shape::kNone;
  if (v2) {
    out.key("consumes").open('[');
    for (const std::string& type : request_types(op)) out.text(type);
    out.close(']').key("produces").open('[');
    for (const std::string& type : answer_types(op)) out.text(type);
    out.close(']').raw_member("schemes", R"(["https"])");
  }
  if (!op.parameters.empty() || (v2 && body)) {
    out.key("parameters").open('[');
    query_parameters(out, op.parameters);
    if (v2 && body) {
      out.open('{').member("name", "body").member("in", "body");
      if (op.body != Operation::Shape::kDeleteOptions) out.raw_member("required", "true");
      out.key("schema");
      shape(out, op, op.body);
      out.close('}');
    }
    out.close(']');
  }
  if (!v2 && body) request_v3(out, op);
  responses(out, op);
  out.member("x-kubernetes-action", op.action).key("x-kubernetes-group-version-kind").open('{');
  out.member("group", op.group).member("kind", op.kind).member("version", op.version);
  out.close('}').close('}');
}

void PathWriter::request_v3(JsonText& out, const Operation& op) {
  out.key("requestBody").open('{').key("content").open('{');
  for (const std::string& type : request_types(op)) {
    out.key(type).open('{').key("schema");
    shape(out, op, op.body);
    out.close('}');
  }
  out.close('}');
  if (op.body != Operation::Shape::kDeleteOptions) out.raw_member("required", "true");
  out.close('}');
}

void PathWriter::responses(JsonText& out, const Operation& op) {
  out.key("responses").open('{');
  for (std::string_view code : op.codes) {
    out.key(code).open('{');
    out.member("description", code == "200" ? "OK" : code == "201" ? "Created" : "Accepted");
    if (version_ == OpenApiVersion::kV2) {
      out.key("schema");
      shape(out, op, op.answer);
    } else {
      out.key("content").open('{');
      for (const std::string& type : answer_types(op)) {
        out.key(type).open('{').key("schema");
        shape(out, op, op.answer);
        out.close('}');
      }
      out.close('}');
    }
    out.close('}');
  }
  out.key("401").open('{').member("description", "Unauthorized").close('}').close('}');
}

void PathWriter::shape(JsonText& out, const Operation& op, Operation::Shape shape) {
  using Shape = Operation::Shape;
  switch (shape) {
    case Shape::kObject:
      if (op.type != nullptr) return definitions_.reference(out, *op.type);
      if (op.resource != nullptr && is_custom(*op.resource))
        return definitions_.object_reference(out, *op.resource);
      out.raw(R"({"type":"object"})");
      return;
    case Shape::kList:
      return definitions_.list_reference(out, *op.resource);
    case Shape::kPatch:
      return definitions_.reference(out, kPatchName);
    case Shape::kDeleteOptions:
      return definitions_.reference(out, kDeleteOptionsName);
    case Shape::kStatus:
      return definitions_.reference(out, kStatusName);
    case Shape::kText:
    case Shape::kNone:
      out.raw(R"({"type":"string"})");
      return;
  }
}

std::vector<std::string> PathWriter::request_types(const Operation& op) {
  if (op.body != Operation::Shape::kPatch) return {"*/*"};
  std::vector<std::string> types = {"application/json-patch+json", "application/merge-patch+json",
                                    "application/apply-patch+yaml"};
  if (!is_custom(*op.resource)) types.emplace_back("application/strategic-merge-patch+json");
  return types;
}

std::vector<std::string> PathWriter::answer_types(const Operation& op) {
  if (op.action == "connect") return {"*/*"};
  if (op.answer == Operation::Shape::kText) return {"text/plain"};
  std::vector<std::string> types = {"application/json", "application/yaml"};
  std::vector<std::string> streams = {"application/json;stream=watch"};
  if (!is_custom(*op.resource)) {
    types.emplace_back(kProtobuf);
    streams.push_back(base::cat(kProtobuf, ";stream=watch"));
  }
  if (op.answer == Operation::Shape::kList) types.insert(types.end(), streams.begin(), streams.end());
  return types;
}

void PathWriter::parameter(JsonText& out, std::string_view name, std::string_view type,
                           std::string_view place) {
  out.open('{').member("name", name).member("in", place);
  if (place == "path") out.raw_member("required", "true");
  if (version_ == OpenApiVersion::kV3) out.key("schema").open('{');
  out.member("type", type).raw_member("uniqueItems", "true");
  if (version_ == OpenApiVersion::kV3) out.close('}');
  out.close('}');
}

void PathWriter::query_parameters(JsonText& out, const Names& names) {
  for (std::string_view name : names) parameter(out, name, parameter_type(name), "query");
}

void PathWriter::path_parameters(JsonText& out, std::string_view path, const Type* options, bool pretty) {
  out.key("parameters").open('[');
  bool log = path.ends_with("/log");
  for (std::string_view name : {"name", "namespace", "path"}) {
    if (path.find(base::cat("{", name, "}")) != std::string_view::npos)
      parameter(out, name, "string", "path");
  }
  if (pretty) parameter(out, "pretty", "string", "query");
  if (log) {
    for (std::string_view name : {"container", "stream"}) parameter(out, name, "string", "query");
    for (std::string_view name : {"follow", "insecureSkipTLSVerifyBackend", "previous", "timestamps"}) {
      parameter(out, name, "boolean", "query");
    }
    for (std::string_view name : {"limitBytes", "sinceSeconds", "tailLines"})
      parameter(out, name, "integer", "query");
  }
  for (const Member& member : options != nullptr ? options->members : std::vector<Member>()) {
    const Field& field = *member.field;
    if (field.number == 0) continue;  // kind and apiVersion
    const Value& value = field.value->kind == ValueKind::kList ? *field.value->element : *field.value;
    parameter(out, field.name,
              value.kind == ValueKind::kBool                                       ? "boolean"
              : value.kind == ValueKind::kInt32 || value.kind == ValueKind::kInt64 ? "integer"
                                                                                   : "string",
              "query");
  }
  out.close(']');
}

}  // namespace orch::api::schema
