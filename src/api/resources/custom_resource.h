// Custom resources: the rows a CustomResourceDefinition adds to the table, and what its schema makes of
// objects.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "api/resources/converter.h"
#include "api/resources/resource.h"
#include "api/structural/schema.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

class RuleSet;

/// The compiled schemas of all versions of one definition, made when somebody first needs one: definitions
/// that nobody writes objects of cost their stored bytes alone. Thread-safe.
class CustomSchemas {
 public:
  explicit CustomSchemas(ObjectPtr definition);
  ~CustomSchemas();
  /// By index in spec.versions; null if the version has no schema.
  const structural::Node* node(size_t version) const;
  /// Null if it has no rules.
  const RuleSet* rules(size_t version) const;
  /// The text of openAPIV3Schema as stored; empty if there is none.
  std::string_view text(size_t version) const;

 private:
  void compile() const;
  const ObjectPtr definition_;
  mutable std::once_flag once_;
  mutable structural::Schemas schemas_;
  mutable std::vector<const structural::Node*> nodes_;
  mutable std::vector<std::shared_ptr<const RuleSet>> rules_;
};

/// spec.versions[].subresources.scale.
struct ScalePaths {
  std::vector<std::string> spec_replicas, status_replicas;
  std::vector<std::string> label_selector;            // empty: there is none
  std::string spec_text, status_text, selector_text;  // as written
};

/// What a row of a custom resource has besides.
struct CustomKind {
  const Schema* builtin = nullptr;
  ObjectPtr definition;
  std::shared_ptr<const CustomSchemas> schemas;
  size_t version = 0;
  /// spec.preserveUnknownFields: nothing is pruned.
  bool keep_unknown = false;
  /// The definition is on its way out: nothing may be created.
  bool terminating = false;
  /// The Warning header of a deprecated version; "" if it is none.
  std::string deprecation;
  std::optional<ScalePaths> scale;
  std::shared_ptr<const Converter> converter;  // never null

  const structural::Node* node() const { return schemas->node(version); }
};

/// One row for each version that is served or stored. `definition` has its names accepted. `webhook` may be
/// empty: then conversions of strategy Webhook fail. Kinds of `builtin`'s outlive the rows.
std::vector<ResourcePtr> custom_rows(const Schema& builtin, const ObjectPtr& definition, const Json& tree,
                                     const ConverterFactory& webhook);

/// Makes a tree of the row's version what decoding makes of it: pruned, metadata coerced, null dropped where
/// it is not allowed. Gives paths of what is unknown ("spec.foo"), in order. The error is kBadRequest with
/// the text alone. `stored`: members of metadata that do not decode are dropped, as when old objects are
/// read.
base::Result<std::vector<std::string>> decode_custom(const Resource& row, Json& tree, bool stored = false);

/// Makes trees of any version of the row's kind ones of the row's.
base::Status to_version(const Resource& row, std::vector<Json>& trees);
base::Status to_version(const Resource& row, Json& tree);
/// The stored bytes of an object as the current schema reads them: pruned and with its defaults. The same
/// text, unparsed, when nothing changed.
std::string reread_stored(const std::vector<ResourcePtr>& versions, std::string stored);

/// The same fields, each named by its path: what is kept for all versions.
IndexedFields by_path(IndexedFields fields);

/// v2 > v1 > v1beta2 > v1alpha1 > other names by alphabet: as Kubernetes orders versions in discovery.
bool version_before(std::string_view a, std::string_view b);

}  // namespace orch::api
