#include "api/resources/crd_text.h"

#include <algorithm>

#include "api/go_text.h"
#include "base/json.h"

namespace orch::api {
namespace {

/// Absent, null and empty are the same.
const Json& part(const Json& version, const char* key) {
  static const Json none;
  const auto it = version.find(key);
  if (it == version.end() || (it->is_array() && it->empty())) return none;
  return *it;
}

std::string text(const Json& from, const char* key) {
  return go_json(std::string(base::string_at(from, {key})));
}

const char* flag(const Json& from, const char* key) { return base::bool_at(from, {key}) ? "true" : "false"; }

/// A pointer to a text.
std::string text_or_null(const Json& from, const char* key) {
  const auto it = from.find(key);
  return it == from.end() ? "null" : go_json(*it);
}

template <typename Show>
std::string list(const Json& items, const Show& show) {
  if (!items.is_array()) return "null";
  std::string out;
  for (const Json& item : items) out += (out.empty() ? "" : ",") + show(item);
  return base::cat("[", out, "]");
}

std::string schema(const Json& schema) {
  if (schema.is_null()) return "null";
  const auto it = schema.find("openAPIV3Schema");
  return base::cat("{\"OpenAPIV3Schema\":", it == schema.end() ? "null" : go_json(*it), "}");
}

std::string subresources(const Json& all) {
  if (all.is_null()) return "null";
  const Json* scale = base::find_path(all, {"scale"});
  std::string shown = "null";
  if (scale != nullptr && scale->is_object()) {
    shown = base::cat("{\"SpecReplicasPath\":", text(*scale, "specReplicasPath"),
                      ",\"StatusReplicasPath\":", text(*scale, "statusReplicasPath"),
                      ",\"LabelSelectorPath\":", text_or_null(*scale, "labelSelectorPath"), "}");
  }
  return base::cat("{\"Status\":", base::find_path(all, {"status"}) != nullptr ? "{}" : "null",
                   ",\"Scale\":", shown, "}");
}

std::string column(const Json& one) {
  return base::cat("{\"Name\":", text(one, "name"), ",\"Type\":", text(one, "type"),
                   ",\"Format\":", text(one, "format"), ",\"Description\":", text(one, "description"),
                   ",\"Priority\":", base::int_at(one, {"priority"}), ",\"JSONPath\":", text(one, "jsonPath"),
                   "}");
}

std::string selectable(const Json& one) { return base::cat("{\"JSONPath\":", text(one, "jsonPath"), "}"); }

}  // namespace

bool shared_by_all(const Json& versions, const char* key) {
  return !versions.empty() && std::all_of(versions.begin(), versions.end(), [&](const Json& v) {
    return part(v, key) == part(versions[0], key);
  });
}

std::string go_versions(const Json& versions) {
  const auto own = [&](const Json& version, const char* key) {
    return shared_by_all(versions, key) ? Json() : part(version, key);
  };
  return list(versions, [&](const Json& v) {
    return base::cat("{\"Name\":", text(v, "name"), ",\"Served\":", flag(v, "served"),
                     ",\"Storage\":", flag(v, "storage"), ",\"Deprecated\":", flag(v, "deprecated"),
                     ",\"DeprecationWarning\":", text_or_null(v, "deprecationWarning"),
                     ",\"Schema\":", schema(own(v, "schema")),
                     ",\"Subresources\":", subresources(own(v, "subresources")),
                     ",\"AdditionalPrinterColumns\":", list(own(v, "additionalPrinterColumns"), column),
                     ",\"SelectableFields\":", list(own(v, "selectableFields"), selectable), "}");
  });
}

}  // namespace orch::api
