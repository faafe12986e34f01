// Label selectors (text form of the API's labelSelector parameter and metav1.LabelSelector) and field
// selectors.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/object.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

struct LabelRequirement {
  enum class Op : uint8_t { kIn, kNotIn, kExists, kDoesNotExist, kGreaterThan, kLessThan };
  std::string key;
  Op op = Op::kIn;
  /// Sorted, without repeats.
  std::vector<std::string> values;
  /// Written with = or != rather than in or notin: kIn and kNotIn of one value.
  bool exact = false;
};

/// Requirements are and-ed; none selects everything. Immutable after construction.
class LabelSelector {
 public:
  LabelSelector() = default;  // everything
  static LabelSelector nothing();
  /// "a=b,c in (d,e),!f"; kBadRequest worded as k8s.io/apimachinery/pkg/labels does.
  static base::Result<LabelSelector> parse(std::string_view text);
  /// metav1.LabelSelector (matchLabels, matchExpressions). A null tree selects nothing, an empty one
  /// everything, as metav1.LabelSelectorAsSelector.
  static base::Result<LabelSelector> from_tree(const Json& selector);
  /// A plain map of labels, as Service.spec.selector.
  static LabelSelector from_map(const Json& labels);

  bool empty() const { return !nothing_ && requirements_.empty(); }
  bool matches(const Object& object) const;
  /// Against a JSON map of strings (may be null).
  bool matches(const Json& labels) const;
  const std::vector<LabelRequirement>& requirements() const { return requirements_; }
  /// Canonical text form.
  std::string text() const;

 private:
  template <typename Get>
  bool matches_with(const Get& get) const;
  std::vector<LabelRequirement> requirements_;
  bool nothing_ = false;
};

struct FieldRequirement {
  std::string path;  // "metadata.name"
  bool equal = true;
  std::string value;
};

class FieldSelector {
 public:
  FieldSelector() = default;
  /// "a=b,c!=d" with the escapes of k8s.io/apimachinery/pkg/fields.
  static base::Result<FieldSelector> parse(std::string_view text);
  bool empty() const { return requirements_.empty(); }
  const std::vector<FieldRequirement>& requirements() const { return requirements_; }
  /// `fields` names the object's indexed fields in order (Resource::selectable_fields); metadata.name and
  /// metadata.namespace are always known. A path that is not known never matches: check with unknown_path().
  bool matches(const Object& object, const IndexedFields& fields) const;
  /// The first path that is not in `fields`, or "".
  std::string unknown_path(const IndexedFields& fields) const;
  /// Paths that `from` has become the names that `to` has for the same members: what a client says in its
  /// version of the API, in the terms of the version that is stored.
  void rename(const IndexedFields& from, const IndexedFields& to);
  /// The value that `path` must equal, or null-data view: lets a list by name skip the scan.
  std::string_view exact(std::string_view path) const;

 private:
  std::vector<FieldRequirement> requirements_;
};

}  // namespace orch::api
