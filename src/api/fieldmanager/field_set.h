// Sets of fields: who owns what in metadata.managedFields, in the form "FieldsV1" (meta/v1 FieldsV1,
// KEP-555).
//
// A path is made of elements, each written as FieldsV1 writes it: `f:name` a member of an object,
// `k:{"name":"x"}` the item of a list of objects with these keys, `v:"x"` the item of a set with this value,
// `i:3` an item by its index. Elements are compared as sigs.k8s.io/structured-merge-diff does: members, keys,
// values, indices; numbers as numbers. So the text that json() writes is in that order too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

/// The order of path elements: negative, 0, positive.
int compare_elements(std::string_view a, std::string_view b);
/// `k:{…}` of keys and their values, in the order given; the caller sorts them by name.
std::string key_element(const std::vector<std::pair<std::string_view, const Json*>>& keys);
/// `v:…` of a scalar.
std::string value_element(const Json& value);
/// `.name`, `[name="x",port=80]`, `[="x"]`, `[3]`: as messages name it.
std::string element_text(std::string_view element);

/// A tree of path elements, some of which are members of the set. A value; not thread-safe to change.
class FieldSet {
 public:
  struct Entry;

  FieldSet();
  ~FieldSet();
  FieldSet(const FieldSet&);
  FieldSet(FieldSet&&) noexcept;
  FieldSet& operator=(const FieldSet&);
  FieldSet& operator=(FieldSet&&) noexcept;

  /// Reads FieldsV1 JSON. What is no known kind of element is left out, as a newer version's may be.
  /// kBadRequest if it is not an object of objects, or an element is malformed.
  static base::Result<FieldSet> parse(std::string_view json);
  /// Compact FieldsV1 JSON.
  std::string json() const;

  bool empty() const { return entries_.empty(); }
  bool operator==(const FieldSet& other) const;
  /// Sorted by element; none is without members.
  const std::vector<Entry>& entries() const { return entries_; }
  const Entry* find(std::string_view element) const;

  /// Adds the path as a member.
  void insert(const std::vector<std::string_view>& path);
  bool has(const std::vector<std::string>& path) const;
  /// Adds an element behind all others; the caller keeps the order. Nothing is added for an entry that is no
  /// member and has nothing below it.
  void append(std::string element, bool member, FieldSet below);
  /// Brings what was appended in any order into order; equal elements are united.
  void sort();

  FieldSet united(const FieldSet& other) const;
  FieldSet intersected(const FieldSet& other) const;
  /// Takes away the members of `other`; what is below those stays.
  void take(const FieldSet& other);
  /// Takes away the members of `other` and all that is below them.
  void take_below(const FieldSet& other);
  /// A copy after take().
  FieldSet without(const FieldSet& other) const;
  /// All member paths: of each level the members first, then what is below each.
  std::vector<std::vector<std::string>> paths() const;

 private:
  Entry* find(std::string_view element);

  std::vector<Entry> entries_;
};

struct FieldSet::Entry {
  std::string element;
  bool member = false;
  FieldSet below;
};

}  // namespace orch::api
