// One request under way inside the API server; not for other folders.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/resources/resource.h"
#include "base/json.h"
#include "http/message.h"
#include "server/apiserver/api_server.h"
#include "server/apiserver/encode.h"
#include "server/apiserver/negotiate.h"
#include "server/apiserver/query_options.h"
#include "server/apiserver/request_info.h"

namespace orch::api {
struct ScalePaths;
}  // namespace orch::api

namespace orch::server {

class FlowTicket;

struct ApiServer::Call {
  http::Request& request;
  RequestInfo info;
  UserInfo user;
  Negotiated want;
  api::ResourcePtr resource;  // asked for
  api::ResourcePtr storage;   // the row it is stored as; null for virtual kinds
  std::vector<std::string> warnings;
  bool dry_run = false;
  FieldValidation validation = FieldValidation::kWarn;
  std::string manager = {};           // fieldManager
  bool force = false;                 // an apply takes what others own
  Json options = {};                  // CreateOptions, UpdateOptions or DeleteOptions, for admission
  VerbatimStatus verbatim = nullptr;  // the answer, when a webhook refuses
  std::shared_ptr<AuditEvent> audit = nullptr;  // null: not audited
  /// What admission adds to it: key, value.
  std::vector<std::pair<std::string, std::string>> annotations = {};
  base::MonoTime began = {};
  std::optional<http::Response> refused = {};   // impersonation did not succeed
  std::shared_ptr<FlowTicket> place = nullptr;  // in flow control; null: it does not concern the request
  bool patient = false;                         // its user takes much: answered when others leave it time

  Encoding encoding(const ApiServer& server) const;
  WriteContext write_context();
};

/// Body and its options, decoded into a pruned tree of `type` (may be null: any object).
struct DecodedBody {
  Json tree;
  /// Of the body, when it said so.
  std::string kind, api_version;
};

/// Reads a JSON, YAML or protobuf body. Checks field validation (unknown and repeated fields),
/// kind and apiVersion against `kind`/`api_version` when given. Errors as kube-apiserver words them.
base::Result<DecodedBody> decode_body(const http::Request& request, FieldValidation validation,
                                      const api::Schema& schema, const api::Type* type, std::string_view kind,
                                      std::string_view api_version, std::vector<std::string>& warnings);
/// The same for an object of this row, which may be a custom resource's.
base::Result<DecodedBody> decode_body(const http::Request& request, FieldValidation validation,
                                      const api::Schema& schema, const api::Resource& row,
                                      std::vector<std::string>& warnings);

/// Makes a tree an object of its type, which may be null: then anything is right. What strict decoding finds,
/// or the bare text of why not.
base::Result<std::vector<std::string>> decode_tree(const api::Schema& schema, const api::Type* type,
                                                   Json& tree);
/// Makes a tree an object of the row.
base::Result<std::vector<std::string>> decode_tree(const api::Schema& schema, const api::Resource& row,
                                                   Json& tree);
/// Why an object of another kind or version is none of `kind` in `group`.
std::string other_kind(const api::Schema& schema, Json tree, std::string_view group, std::string_view kind);
/// "strict decoding error: unknown field "a", unknown field "b"".
std::string strict_error(const std::vector<std::string>& problems);
/// Go's words for a text that base::parse_json refused as `found`.
std::string json_syntax_error(std::string_view text, const base::Status& found);

struct DeleteOptions {
  DeleteParams params;
  bool dry_run = false;
};
/// From the body, or without one from the query.
base::Result<DeleteOptions> parse_delete_options(const http::Request& request, const http::Query& query,
                                                 const api::Schema& schema);

/// A resource version from the future: the client is ahead (of another server, or of a restored store).
base::Status too_large_revision(int64_t wanted, int64_t current, int retry_seconds = 1);

/// Between the row that was asked for and the one that is stored.
Json to_storage(const api::Resource& asked, const api::Resource& storage, Json tree);
Json from_storage(const api::Resource& asked, const api::Resource& storage, Json tree);

/// Whether a patch is a server-side apply.
bool is_apply(const http::Request& request);

/// The answer to a method that the path does not know.
http::Response method_not_allowed();
/// The answer to a path that leads to no resource, and to one that leads nowhere at all.
http::Response no_such_resource();
http::Response no_such_page();
/// An error outside the API's own form, as Go's http.Error writes it.
http::Response plain_error(int status, std::string_view text);
/// autoscaling/v1 Scale, as admission is to see the scale subresource.
ObjectPart scale_part();
/// The same of a custom resource; `paths` must outlive it.
ObjectPart custom_scale_part(const api::ScalePaths& paths);
/// The metav1.Status that answers a created subresource (binding, eviction).
Json created_status();

}  // namespace orch::server
