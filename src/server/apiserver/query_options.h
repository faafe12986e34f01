// The options of requests, as Kubernetes' parameter codec reads them from a query and its meta validation
// judges them: ListOptions, CreateOptions, UpdateOptions, PatchOptions. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/resources/resource.h"
#include "base/status.h"
#include "http/message.h"
#include "server/registry/watch_cache.h"

namespace orch::server {

/// The typed value of a parameter; absent: nothing. kBadRequest in the words of Go's strconv.
base::Result<std::optional<int64_t>> query_int(const http::Query& query, std::string_view name);
/// Anything but "false" and "0" is true.
std::optional<bool> query_bool(const http::Query& query, std::string_view name);

enum class FieldValidation : uint8_t { kIgnore, kWarn, kStrict };

struct WriteOptions {
  bool dry_run = false;
  FieldValidation validation = FieldValidation::kWarn;
  std::string manager;  // fieldManager
  bool force = false;   // of an apply
};
/// `kind` is CreateOptions, UpdateOptions or PatchOptions; `apply`: of a server-side apply, which needs a
/// manager and alone knows force. kInvalid.
base::Result<WriteOptions> parse_write_options(const http::Query& query, std::string_view kind,
                                               bool apply = false);

/// The values of dryRun, of which All alone is known.
void check_dry_run(const std::vector<std::string_view>& values, bool& dry_run, api::FieldErrors& errors);

/// Views are into the query.
struct ListOptions {
  int64_t revision = -1;  // resourceVersion; -1 when absent or empty
  std::string_view match, token;
  int64_t limit = 0;  // 0: none
  bool bookmarks = false;
  /// As asked for, or as a watch from version 0 or none means it.
  std::optional<bool> initial_events;
  std::optional<int64_t> timeout_seconds;
};
/// A resourceVersion: a number that is not negative; -1 when empty. kUnknown, as kube-apiserver has it.
base::Result<int64_t> get_revision(std::string_view text);
/// kBadRequest and kInvalid, in this order.
base::Result<ListOptions> parse_list_options(const http::Query& query, bool watch);

/// labelSelector and fieldSelector, of which the latter may ask for what `requested` lets select; the filter
/// asks it of objects of `stored`, the version of the same kind that is kept.
base::Result<Filter> parse_filter(const http::Query& query, const api::Resource& requested,
                                  const api::Resource& stored, std::string_view ns);

}  // namespace orch::server
