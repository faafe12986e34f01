// From shared objects to response bytes, in every form and format; the plain JSON form copies nothing.
#pragma once

#include <string>
#include <vector>

#include "api/object.h"
#include "api/resources/resource.h"
#include "base/clock.h"
#include "http/message.h"
#include "server/apiserver/negotiate.h"
#include "server/registry/watch_cache.h"

namespace orch::server {

/// Everything an answer's encoding depends on.
struct Encoding {
  Negotiated want;
  const api::Schema* schema = nullptr;
  /// The row asked for; objects come in the row of storage and are converted when that is another.
  const api::Resource* resource = nullptr;
  const api::Resource* storage = nullptr;
  std::string include_object;  // Table: None, Metadata (default), Object
  base::WallTime now;
};

struct ListMeta {
  int64_t revision = 0;
  std::string continue_token;
  int64_t remaining = -1;
};

/// Objects of a custom resource in the row asked for; the same objects where they are so already. May wait
/// for a conversion webhook.
base::Result<std::vector<api::ObjectPtr>> convert_objects(const api::Resource& row,
                                                          std::vector<api::ObjectPtr> objects);
/// A field selector of this row is about what only a webhook knows.
bool selects_converted(const api::Resource& row, const Filter& filter);
/// Those of the objects, converted to the row, that match.
base::Result<std::vector<api::ObjectPtr>> select_converted(const api::Resource& row,
                                                           std::vector<api::ObjectPtr> objects,
                                                           const api::FieldSelector& fields);

http::Response encode_object(const Encoding& e, const api::ObjectPtr& object, int status = 200);
http::Response encode_list(const Encoding& e, const std::vector<api::ObjectPtr>& items, const ListMeta& meta);
/// Any other tree that has kind and apiVersion (reviews, Scale, Status, discovery).
http::Response encode_tree(const Negotiated& want, const api::Schema& schema, const Json& tree,
                           int status = 200);

/// Frames of one watch, in its form and format. Stateful: a Table watch sends its columns once.
class WatchEncoder {
 public:
  explicit WatchEncoder(Encoding encoding) : e_(std::move(encoding)) {}
  /// `type` is ADDED, MODIFIED or DELETED.
  std::vector<http::BodyPiece> event(std::string_view type, const api::ObjectPtr& object);
  /// A BOOKMARK at this revision; `initial_end` marks the end of the initial events.
  std::string bookmark(int64_t revision, bool initial_end);
  /// An ERROR event with the status.
  std::string error(const base::Status& status);
  std::string_view content_type() const;

 private:
  std::string wrap(std::string_view type, std::string_view object);

  Encoding e_;
  bool columns_sent_ = false;
};

}  // namespace orch::server
