// What calls cost at run time: cel-go's cost tracker with the costs of Kubernetes' and the extension
// libraries.
#include <cmath>

#include "api/cel/cost.h"
#include "api/cel/program.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;
using A = ValueAccess;

constexpr uint64_t kListBase = 10;
constexpr uint64_t kStructBase = 40;

uint64_t ceiling(double d) { return static_cast<uint64_t>(std::ceil(d)); }
uint64_t size(const Value& v) { return static_cast<uint64_t>(size_of(v).value_or(1)); }
uint64_t traversal(const Value& v, double factor = 1) {
  return ceiling(static_cast<double>(size(v)) * factor * kTraversal);
}
uint64_t regex(const Value& text, double pattern_size) {
  return ceiling((1.0 + static_cast<double>(size(text))) * kTraversal) * ceiling(pattern_size * kRegexFactor);
}

/// The cost of looking at everything in a value.
uint64_t traversal_cost(const Value& v) {
  switch (v.kind()) {
    case Kind::kString:
    case Kind::kBytes:
      return static_cast<uint64_t>(static_cast<double>(text_of(v).size()) * kTraversal);
    case Kind::kList: {
      uint64_t cost = 0;
      for (size_t i = 0; i < size(v); ++i) cost += traversal_cost(list_item(v, i));
      return cost;
    }
    case Kind::kMap: {
      uint64_t cost = 0;
      for (const Value& key : map_keys(v)) {
        cost += traversal_cost(key) + traversal_cost(map_find(v, key).value_or(Value()));
      }
      return cost;
    }
    default:
      return 1;
  }
}

uint64_t allocating(double factor, uint64_t items) {
  return static_cast<uint64_t>(static_cast<double>(items) * factor) + 1 + kListBase;
}

/// Comparing every item with every other.
uint64_t self_compare(const Value& list) {
  const uint64_t items = size(list);
  double factor = 2;
  if (items > 0) {
    const Kind kind = list_item(list, 0).kind();
    if (kind == Kind::kString || kind == Kind::kBytes) factor += kTraversal;
  }
  return allocating(factor, items * items);
}

uint64_t selector_cost(uint64_t length) {
  const uint64_t parse = ceiling(static_cast<double>(length) * kTraversal);
  const uint64_t requirements = ceiling(static_cast<double>(length) * 0.5);
  return kListBase + parse + ceiling(static_cast<double>(requirements) * (kListBase + kStructBase));
}

/// Of the extension libraries of cel-go, by overload.
std::optional<uint64_t> extension_cost(std::string_view overload, const Value* args, const Value& result) {
  if (overload.starts_with("list_sets_")) {
    const double factor = overload == "list_sets_equivalent_list" ? 2 : 1;
    return 1 + static_cast<uint64_t>(static_cast<double>(size(args[0]) * size(args[1])) * factor);
  }
  if (overload == "list_slice" || overload == "lists_range" || overload == "list_reverse") {
    return allocating(1, size(result));
  }
  if (overload == "list_flatten") return allocating(1, size(args[0]));
  if (overload == "list_flatten_int") {
    return allocating(static_cast<double>(args[1].as_int().value_or(1)), size(args[0]));
  }
  if (overload == "list_distinct") return self_compare(args[0]);
  if (overload.ends_with("_sort")) return self_compare(args[0]);
  if (overload.ends_with("_sortByAssociatedKeys")) return self_compare(args[1]);
  return std::nullopt;
}

/// library.CostEstimator.CallCost
std::optional<uint64_t> kubernetes_cost(std::string_view f, std::string_view overload, const Value* args,
                                        size_t count, const Value& result) {
  if (f == "check") return 350000;
  if (costs_one(f)) return 1;
  if (f == "_==_" && count == 2 && args[0].kind() == Kind::kOpaque &&
      dynamic_cast<const ObjectRep*>(A::opaque(args[0])) == nullptr) {
    return 1;
  }
  if (one_of(f, {"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})) {
    return count > 0 ? traversal_cost(args[0]) : 0;
  }
  if (count == 0) return std::nullopt;
  if (one_of(f, {"url", "lowerAscii", "upperAscii", "substring", "trim", "jsonpatch.escapeKey", "cidr",
                 "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"})) {
    return traversal(args[0]);
  }
  if (one_of(f, {"replace", "split", "ip.isCanonical"})) return traversal(args[0], 2);
  if (f == "join") return traversal(result, 2);
  if (f == "ip") return overload == "cidr_ip" ? 1 : traversal(args[0]);
  if (count < 2) return std::nullopt;
  if (f == "fieldSelector" || f == "labelSelector") return selector_cost(size(args[1]));
  if (f == "find" || f == "findAll") return regex(args[0], static_cast<double>(size(args[1])));
  if (f == "containsIP" || f == "containsCIDR") {
    uint64_t cost = ceiling(static_cast<double>(2 * size(args[0])) * kTraversal);
    if (f == "containsCIDR") cost += traversal(args[0]) + 1;
    if (overload.ends_with("_string")) cost += traversal(args[1]);
    return cost;
  }
  if (f == "validate" && value_type_name(args[0]) == "kubernetes.NamedFormat") {
    return regex(args[1], static_cast<double>(A::opaque(args[0])->weight()));
  }
  return std::nullopt;
}

}  // namespace

bool costs_one(std::string_view function) {
  return one_of(function, {"serviceAccount",
                           "path",
                           "group",
                           "resource",
                           "subresource",
                           "namespace",
                           "name",
                           "allowed",
                           "reason",
                           "error",
                           "errored",
                           "masked",
                           "prefixLength",
                           "family",
                           "isUnspecified",
                           "isLoopback",
                           "isLinkLocalMulticast",
                           "isLinkLocalUnicast",
                           "isGlobalUnicast",
                           "format.named",
                           "sign",
                           "asInteger",
                           "isInteger",
                           "asApproximateFloat",
                           "isGreaterThan",
                           "isLessThan",
                           "compareTo",
                           "add",
                           "sub",
                           "major",
                           "minor",
                           "patch",
                           "getScheme",
                           "getHostname",
                           "getHost",
                           "getPort",
                           "getEscapedPath",
                           "getQuery"});
}

bool compares_text(std::string_view overload) {
  if (overload == "equals" || overload == "not_equals") return true;
  return (overload.starts_with("less_") || overload.starts_with("greater_")) &&
         (overload.ends_with("_string") || overload.ends_with("_bytes"));
}

uint64_t call_cost(std::string_view function, std::string_view overload, const Value* args, size_t count,
                   const Value& result) {
  if (const auto cost = extension_cost(overload, args, result)) return *cost;
  if (const auto cost = kubernetes_cost(function, overload, args, count, result)) return *cost;
  if (one_of(overload, {"starts_with_string", "ends_with_string", "string_to_bytes", "bytes_to_string",
                        "strings_quote", "string_format"})) {
    return ceiling(static_cast<double>(cost_size(args[0])) * kTraversal);
  }
  if (overload == "in_list") return cost_size(args[1]);
  if (compares_text(overload)) {
    return ceiling(static_cast<double>(std::min(cost_size(args[0]), cost_size(args[1]))) * kTraversal);
  }
  if (overload == "add_string" || overload == "add_bytes") {
    return ceiling(static_cast<double>(cost_size(args[0]) + cost_size(args[1])) * kTraversal);
  }
  if (overload == "matches_string") {
    return ceiling((1.0 + static_cast<double>(cost_size(args[0]))) * kTraversal) *
           ceiling(static_cast<double>(cost_size(args[1])) * kRegexFactor);
  }
  if (overload == "contains_string") {
    return ceiling(static_cast<double>(cost_size(args[0])) * kTraversal) *
           ceiling(static_cast<double>(cost_size(args[1])) * kTraversal);
  }
  return 1;
}

}  // namespace orch::api::cel
