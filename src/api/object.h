// Object: one immutable API object, held once, as the JSON bytes clients receive.
//
// Stored form (in the datastore): the object's JSON with `{"kind":K,"apiVersion":V,"metadata":{` first, and
// without resourceVersion, because the revision is not known before the commit. Served form (in memory): the
// same with `"resourceVersion":"N",` spliced in as the first member of metadata. So reads, lists and watches
// send stored bytes, and nothing is parsed or re-serialized on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

class Object;
/// Shared by cache, watchers, controllers and scheduler; immutable, so readable from any thread.
using ObjectPtr = std::shared_ptr<const Object>;

/// A scalar member that field selectors can ask for. Usually name and path are the same dotted path.
struct IndexedField {
  IndexedField(const char* same) : name(same), path(same) {}             // NOLINT: implicit by design
  IndexedField(std::string same) : name(std::move(same)), path(name) {}  // NOLINT
  IndexedField(std::string n, std::string p, std::string missing = {}, std::string other = {})
      : name(std::move(n)), path(std::move(p)), absent(std::move(missing)), fallback(std::move(other)) {}
  std::string name;      // as clients write it: "involvedObject.kind"
  std::string path;      // where it stands in the stored JSON: dotted object keys
  std::string absent;    // the value when the member is missing: "false" of a Go bool, "0" of a number
  std::string fallback;  // path to look at when the first one is missing or empty
};
/// At most 32.
using IndexedFields = std::vector<IndexedField>;

class Object {
 public:
  /// From stored bytes; indexes metadata and `fields` (see Resource::selectable_fields) in one scan. Revision
  /// 0 leaves resourceVersion out. kInternal if the bytes are not a stored form.
  static base::Result<ObjectPtr> from_stored(std::string_view stored, int64_t revision,
                                             const IndexedFields& fields = {});
  /// From any JSON object tree with kind, apiVersion and metadata; resourceVersion is taken from the tree.
  static base::Result<ObjectPtr> from_tree(const Json& tree, const IndexedFields& fields = {});

  /// Served form, complete.
  std::string_view bytes() const { return {bytes_.data(), size_}; }
  /// Served form from `"metadata"` on: what follows `{"kind":…,"apiVersion":…,`. A typed list item is "{"
  /// followed by this.
  std::string_view bytes_from_metadata() const { return bytes().substr(metadata_offset_); }
  int64_t revision() const { return revision_; }

  // Views that are valid as long as the object.
  std::string_view kind() const { return view(kKind); }
  std::string_view api_version() const { return view(kApiVersion); }
  std::string_view name() const { return view(kName); }
  std::string_view ns() const { return view(kNamespace); }
  std::string_view uid() const { return view(kUid); }
  /// The text of metadata.ownerReferences, "" when it has none.
  std::string_view raw_owners() const { return view(kOwners); }
  /// metadata.deletionTimestamp is set.
  bool deleting() const { return deleting_; }
  int64_t generation() const { return generation_; }
  size_t label_count() const { return label_count_; }
  std::pair<std::string_view, std::string_view> label(size_t i) const;
  /// Value of a label, or nullptr-data view if absent (check `.data()`); labels may be empty strings.
  std::string_view label(std::string_view key) const;
  /// Value of the i-th indexed field, unescaped text of a JSON scalar; "" when absent.
  std::string_view field(size_t i) const;

  /// A fresh tree to work on. Without metadata.managedFields, which bytes() have: hardly anybody needs them.
  Json tree() const;
  /// Bytes of memory this object takes, allocator overhead aside.
  size_t memory() const;

 private:
  /// Keeps the constructor to this class although make_shared must see it.
  struct Private {};

 public:
  explicit Object(Private) {}

 private:
  struct Span {
    uint32_t offset, length;
  };
  enum Fixed : size_t { kKind, kApiVersion, kName, kNamespace, kUid, kOwners, kFixedCount };
  struct Scan;
  std::string_view view(size_t i) const { return {bytes_.data() + spans_[i].offset, spans_[i].length}; }

  /// The served form, then the texts of indexed values that are not in it as such: escaped strings, and what
  /// stands for absent fields.
  std::string bytes_;
  int64_t revision_ = 0;
  int64_t generation_ = 0;
  /// kFixedCount fixed ones, then label keys and values alternating, then fields.
  std::unique_ptr<Span[]> spans_;
  uint32_t span_count_ = 0;
  uint32_t label_count_ = 0;
  uint32_t size_ = 0;
  uint32_t metadata_offset_ = 0;
  bool deleting_ = false;
};

/// Stored form of a tree (kind, apiVersion, metadata first; resourceVersion and selfLink left out).
std::string to_stored(const Json& tree);

/// "group/version" or "version" for the core group.
std::string make_api_version(std::string_view group, std::string_view version);
/// The inverse; group is "" for the core group.
std::pair<std::string_view, std::string_view> split_api_version(std::string_view api_version);

}  // namespace orch::api
