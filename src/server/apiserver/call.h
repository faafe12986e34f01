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
#include "server/apiserver/request_info.h"

namespace orch::server {

struct ApiServer::Call {
  http::Request& request;
  RequestInfo info;
  UserInfo user;
  Negotiated want;
  api::ResourcePtr resource;  // asked for
  api::ResourcePtr storage;   // the row it is stored as; null for virtual kinds
  std::vector<std::string> warnings;
  bool dry_run = false;

  Encoding encoding(const ApiServer& server) const;
  WriteContext write_context();
};

/// Body and its options, decoded into a pruned tree of `type` (may be null: any object).
struct DecodedBody {
  Json tree;
  /// Of the body, when it said so.
  std::string kind, api_version;
};

/// Reads a JSON, YAML or protobuf body. Checks field validation (Strict, Warn, Ignore of `fieldValidation`),
/// kind and apiVersion against `kind`/`api_version` when given. Errors as kube-apiserver words them.
base::Result<DecodedBody> decode_body(const http::Request& request, const http::Query& query,
                                      const api::Schema& schema, const api::Type* type, std::string_view kind,
                                      std::string_view api_version, std::vector<std::string>& warnings);

/// Checks a tree (of a patch's result) against its type, pruning and reporting as decode_body does.
base::Status prune_tree(const api::Schema& schema, const api::Type* type, std::string_view kind,
                        std::string_view version, const http::Query& query, Json& tree,
                        std::vector<std::string>& warnings);

/// The metav1.Status that answers a created subresource (binding, eviction).
Json created_status();

/// dryRun=All -> true; anything else present is refused.
base::Result<bool> parse_dry_run(const http::Query& query);
base::Result<Filter> parse_filter(const http::Query& query, const api::Resource& resource,
                                  std::string_view ns);

}  // namespace orch::server
