// Request bodies: parsed, decoded and checked as kube-apiserver's serializers do, in their words.
#include <algorithm>

#include "api/appearance.h"
#include "api/go_json.h"
#include "api/go_text.h"
#include "api/resources/custom_resource.h"
#include "api/schema/decode.h"
#include "api/schema/protobuf.h"
#include "api/schema/schema.h"
#include "api/yaml.h"
#include "base/json.h"
#include "server/apiserver/call.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// The scheme that knows the kinds of kube-apiserver, as its errors call it.
constexpr std::string_view kScheme = "pkg/runtime/scheme.go:111";
/// The type the version and kind of any object are read into.
constexpr std::string_view kTypeMeta =
    "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
    "\"json:\\\"kind,omitempty\\\"\" }";

struct RawBody {
  Json tree;
  std::vector<std::string> duplicates;
};

/// What an error shows of a body.
std::string summary(std::string_view body) {
  constexpr size_t kShown = 30;
  if (body.empty()) return "<empty>";
  const std::string_view shown = body.substr(0, kShown);
  std::string out;
  if (body.front() == '{') {
    out = shown;
  } else {
    constexpr char kHex[] = "0123456789abcdef";
    for (const char c : shown) {
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return body.size() > kShown ? out + " ..." : out;
}

std::string_view json_kind(const Json& json) {
  if (json.is_string()) return "string";
  if (json.is_boolean()) return "bool";
  if (json.is_number()) return "number";
  return json.is_array() ? "array" : "object";
}

/// Not even kind and version could be read.
Status unrecognized(std::string_view kind, std::string_view why, std::string_view body) {
  return {Code::kBadRequest, base::cat("the object provided is unrecognized (must be of type ", kind,
                                       "): ", why, " (", summary(body), ")")};
}

std::string no_version(std::string_view why) {
  return base::cat("couldn't get version/kind; json parse error: ", why);
}

/// What kind and apiVersion of the body say; "" where it is silent.
Result<DecodedBody> kind_of(Json tree) {
  DecodedBody out;
  if (tree.is_null()) tree = Json::object();
  if (!tree.is_object()) {
    return Status(Code::kBadRequest, no_version(base::cat("json: cannot unmarshal ", json_kind(tree),
                                                          " into Go value of type ", kTypeMeta)));
  }
  for (const char* key : {"apiVersion", "kind"}) {
    const auto member = tree.find(key);
    if (member == tree.end() || member->is_null()) continue;
    if (!member->is_string()) {
      return Status(Code::kBadRequest,
                    no_version(base::cat("json: cannot unmarshal ", json_kind(*member),
                                         " into Go struct field .", key, " of type string")));
    }
    (key == std::string_view("kind") ? out.kind : out.api_version) = member->get<std::string>();
  }
  if (std::count(out.api_version.begin(), out.api_version.end(), '/') > 1) {
    return Status(Code::kBadRequest, base::cat("unexpected GroupVersion string: ", out.api_version));
  }
  out.tree = std::move(tree);
  return out;
}

/// Errors are the bare texts of the serializers.
Result<RawBody> parse_body(const http::Request& request, const std::string& media, const api::Schema& schema,
                           const api::Type* type) {
  RawBody out;
  if (media == "application/yaml") {
    auto tree = api::parse_yaml(request.body, &out.duplicates);
    if (!tree.ok()) return tree.error();
    out.tree = std::move(*tree);
  } else if (media == "application/vnd.kubernetes.protobuf") {
    auto tree = api::schema::decode_protobuf(schema, type, request.body);
    if (!tree.ok()) return tree.error();
    out.tree = std::move(*tree);
  } else {
    base::JsonParseOptions options;
    options.duplicates = &out.duplicates;
    auto tree = base::parse_json(request.body, options);
    if (!tree.ok())
      return Status(Code::kBadRequest, no_version(json_syntax_error(request.body, tree.error())));
    out.tree = std::move(*tree);
  }
  return out;
}

/// The media type of a request's body, JSON when it says none.
Result<std::string> media_of_body(const http::Request& request) {
  std::string media = media_type(request.header("Content-Type"));
  if (media.empty() || media == "*/*") return std::string("application/json");
  if (media == "application/json" || media == "application/yaml" ||
      media == "application/vnd.kubernetes.protobuf")
    return media;
  return Status(Code::kUnsupportedMediaType,
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

std::string unregistered(std::string_view kind, std::string_view api_version) {
  return base::cat("no kind ", api::go_quote(kind), " is registered for version ", api::go_quote(api_version),
                   " in scheme ", api::go_quote(kScheme));
}

}  // namespace

std::string other_kind(const api::Schema& schema, Json tree, std::string_view group, std::string_view kind) {
  const std::string own_kind(base::string_at(tree, {"kind"})), own(base::string_at(tree, {"apiVersion"}));
  const auto [own_group, own_version] = api::split_api_version(own);
  const api::Type* type = schema.kind(own_group, own_version, own_kind);
  if (type == nullptr) return unregistered(own_kind, own);
  // It is made the object it says it is first.
  if (auto decoded = decode_tree(schema, type, tree); !decoded.ok()) return decoded.error().message();
  // Go's packages of internal types are called as the first part of their group.
  const std::string_view package = group.empty() ? "core" : group.substr(0, group.find('.'));
  return base::cat("converting (", type->go_name(), ") to (", package, ".", kind, "): unknown conversion");
}

std::string json_syntax_error(std::string_view text, const Status& found) {
  const std::string go = api::go_json_error(text);
  return go.empty() ? found.message() : go;
}

Result<std::vector<std::string>> decode_tree(const api::Schema& schema, const api::Type* type, Json& tree) {
  if (type == nullptr) return std::vector<std::string>();
  return api::schema::decode(schema, *type, tree);
}

Result<std::vector<std::string>> decode_tree(const api::Schema& schema, const api::Resource& row,
                                             Json& tree) {
  if (!row.custom) return decode_tree(schema, row.type, tree);
  auto unknown = api::decode_custom(row, tree);
  if (!unknown.ok()) return unknown.error();
  for (std::string& path : *unknown) path = base::cat("unknown field \"", path, "\"");
  return unknown;
}

std::string strict_error(const std::vector<std::string>& problems) {
  std::string all;
  for (const auto& p : problems) all += (all.empty() ? "" : ", ") + p;
  return base::cat("strict decoding error: ", all);
}

Result<DecodedBody> decode_body(const http::Request& request, FieldValidation validation,
                                const api::Schema& schema, const api::Type* type, std::string_view kind,
                                std::string_view api_version, std::vector<std::string>& warnings) {
  const auto media = media_of_body(request);
  if (!media.ok()) return media.error();
  auto raw = parse_body(request, *media, schema, type);
  if (!raw.ok()) return unrecognized(kind, raw.error().message(), request.body);
  auto body = kind_of(std::move(raw->tree));
  if (!body.ok()) return unrecognized(kind, body.error().message(), request.body);
  DecodedBody& out = *body;
  // Typed clients may leave both out; the path says what is meant.
  if (out.kind.empty()) out.kind = kind;
  if (out.api_version.empty()) out.api_version = api_version;
  const auto [own_group, own_version] = api::split_api_version(out.api_version);
  const auto [group, version] = api::split_api_version(api_version);
  const auto refused = [&, &own_version = own_version](std::string_view why) {
    return Status(Code::kBadRequest, base::cat(out.kind, " in version ", api::go_quote(own_version),
                                               " cannot be handled as a ", kind, ": ", why));
  };
  out.tree["kind"] = out.kind;
  out.tree["apiVersion"] = out.api_version;
  if (out.kind != kind || own_group != group) return refused(other_kind(schema, out.tree, group, kind));
  if (out.api_version != api_version) {
    if (schema.kind(own_group, own_version, out.kind) == nullptr)
      return refused(other_kind(schema, out.tree, group, kind));
    return Status(Code::kBadRequest,
                  base::cat("the API version in the data (", out.api_version,
                            ") does not match the expected API version (", api_version, ")"));
  }
  std::vector<std::string> problems;
  for (const auto& path : raw->duplicates) problems.push_back(base::cat("duplicate field \"", path, "\""));
  auto unknown = decode_tree(schema, type, out.tree);
  if (!unknown.ok()) return refused(unknown.error().message());
  for (auto& p : *unknown) problems.push_back(std::move(p));
  if (problems.empty() || validation == FieldValidation::kIgnore) return body;
  if (*media == "application/json" && type != nullptr && !type->structural)
    api::sort_by_appearance(request.body, problems);
  if (validation == FieldValidation::kStrict) return refused(strict_error(problems));
  for (auto& p : problems) warnings.push_back(std::move(p));
  return body;
}

Result<DecodedBody> decode_body(const http::Request& request, FieldValidation validation,
                                const api::Schema& schema, const api::Resource& row,
                                std::vector<std::string>& warnings) {
  if (!row.custom)
    return decode_body(request, validation, schema, row.type, row.kind, row.api_version(), warnings);
  const auto media = media_of_body(request);
  if (!media.ok()) return media.error();
  auto raw = parse_body(request, *media, schema, nullptr);
  if (!raw.ok()) return unrecognized(row.kind, raw.error().message(), request.body);
  auto body = kind_of(std::move(raw->tree));
  if (!body.ok()) return unrecognized(row.kind, body.error().message(), request.body);
  DecodedBody& out = *body;
  if (out.kind.empty()) {
    return unrecognized(row.kind, base::cat("Object 'Kind' is missing in '", request.body, "'"),
                        request.body);
  }
  if (out.api_version != row.api_version()) {
    return Status(Code::kBadRequest,
                  base::cat("the API version in the data (", out.api_version,
                            ") does not match the expected API version (", row.api_version(), ")"));
  }
  const auto refused = [&](std::string_view why) {
    return Status(Code::kBadRequest, base::cat(out.kind, " in version ", api::go_quote(row.version),
                                               " cannot be handled as a ", row.kind, ": ", why));
  };
  std::vector<std::string> problems;
  for (const auto& path : raw->duplicates) problems.push_back(base::cat("duplicate field \"", path, "\""));
  auto unknown = decode_tree(schema, row, out.tree);
  if (!unknown.ok()) return refused(unknown.error().message());
  std::move(unknown->begin(), unknown->end(), std::back_inserter(problems));
  if (problems.empty() || validation == FieldValidation::kIgnore) return body;
  if (validation == FieldValidation::kStrict) return refused(strict_error(problems));
  std::move(problems.begin(), problems.end(), std::back_inserter(warnings));
  return body;
}

namespace {

/// The options of the body as a tree, those of the query alike.
Result<Json> delete_options_tree(const http::Request& request, const http::Query& query,
                                 const api::Schema& schema) {
  const api::Type* type = schema.type("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
  if (!request.body.empty()) {
    const auto media = media_of_body(request);
    if (!media.ok()) return media.error();
    auto raw = parse_body(request, *media, schema, type);
    if (!raw.ok()) return raw.error();
    auto body = kind_of(std::move(raw->tree));
    if (!body.ok()) return body.error();
    if (!body->kind.empty() && body->kind != "DeleteOptions") {
      return Status(Code::kBadRequest, unregistered(body->kind, body->api_version));
    }
    auto decoded = decode_tree(schema, type, body->tree);
    if (!decoded.ok()) return decoded.error();
    return std::move(body->tree);
  }
  Json tree = Json::object();
  auto grace = query_int(query, "gracePeriodSeconds");
  if (!grace.ok()) return grace.error();
  if (*grace) tree["gracePeriodSeconds"] = **grace;
  if (auto orphan = query_bool(query, "orphanDependents")) tree["orphanDependents"] = *orphan;
  if (query.has("propagationPolicy")) tree["propagationPolicy"] = query.get("propagationPolicy");
  for (std::string_view v : query.all("dryRun")) tree["dryRun"].push_back(v);
  return tree;
}

}  // namespace

Result<DeleteOptions> parse_delete_options(const http::Request& request, const http::Query& query,
                                           const api::Schema& schema) {
  auto tree = delete_options_tree(request, query, schema);
  if (!tree.ok()) return tree.error();
  DeleteOptions out;
  api::FieldErrors errors;
  std::string& propagation = out.params.propagation;
  const bool given = tree->contains("propagationPolicy");
  propagation = base::string_at(*tree, {"propagationPolicy"});
  const api::FieldPath path("propagationPolicy");
  if (tree->contains("orphanDependents")) {
    if (given)
      errors.invalid(path, propagation, "orphanDependents and deletionPropagation cannot be both set");
    if (!given) propagation = base::bool_at(*tree, {"orphanDependents"}) ? "Orphan" : "Background";
  }
  if (given && propagation != "Orphan" && propagation != "Background" && propagation != "Foreground")
    errors.not_supported(path, propagation, {"Foreground", "Background", "Orphan", "nil"});
  std::vector<std::string_view> dry_runs;
  for (const auto& v : base::array_at(*tree, {"dryRun"})) dry_runs.push_back(v.get_ref<const std::string&>());
  check_dry_run(dry_runs, out.dry_run, errors);
  ORCH_RETURN_IF_ERROR(errors.to_status("meta.k8s.io", "DeleteOptions", ""));
  const auto grace = tree->find("gracePeriodSeconds");
  // Negative means one second.
  if (grace != tree->end()) {
    const auto seconds = grace->get<int64_t>();
    out.params.grace_seconds = seconds < 0 ? 1 : seconds;
  }
  out.params.uid = base::string_at(*tree, {"preconditions", "uid"});
  out.params.resource_version = base::string_at(*tree, {"preconditions", "resourceVersion"});
  return out;
}

http::Response method_not_allowed() {
  return http::Response::from_status(
      Status(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource", {}));
}

http::Response no_such_resource() {
  return http::Response::from_status(
      Status(Code::kNotFound, "the server could not find the requested resource", {}));
}

http::Response plain_error(int status, std::string_view text) {
  http::Response r = http::Response::text(base::cat(text, "\n"), status);
  r.content_type = "text/plain; charset=utf-8";
  r.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return r;
}

http::Response no_such_page() { return http::Response::text("404 page not found\n", 404); }

}  // namespace orch::server
