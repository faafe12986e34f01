// Lists, sets and maps: the libraries of Kubernetes and of cel-go.
#include <algorithm>

#include "api/cel/functions.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;
using A = ValueAccess;

size_t count(const Value& list) { return static_cast<size_t>(*size_of(list)); }

std::vector<Value> items(const Value& list) {
  std::vector<Value> out;
  out.reserve(count(list));
  for (size_t i = 0; i < count(list); ++i) out.push_back(list_item(list, i));
  return out;
}

Value is_sorted(const Value* a, size_t) {
  for (size_t i = 0; i + 1 < count(a[0]); ++i) {
    const Value order = compare(list_item(a[0], i), list_item(a[0], i + 1));
    if (order.as_int() == 1) return Value::of(false);
  }
  return Value::of(true);
}

Value sum_from(Value total, const Value& list) {
  for (size_t i = 0; i < count(list); ++i) {
    total = add(total, list_item(list, i));
    if (total.is_error()) return total;
  }
  return total;
}
Value sum_int(const Value* a, size_t) { return sum_from(Value::of(int64_t{0}), a[0]); }
Value sum_uint(const Value* a, size_t) { return sum_from(Value::of(uint64_t{0}), a[0]); }
Value sum_double(const Value* a, size_t) { return sum_from(Value::of(0.0), a[0]); }
Value sum_duration(const Value* a, size_t) { return sum_from(A::duration(0), a[0]); }

Value extreme(const Value& list, int64_t better, const char* name) {
  if (count(list) == 0) return Value::error(std::string(name) + " called on empty list");
  Value best = list_item(list, 0);
  for (size_t i = 1; i < count(list); ++i) {
    Value item = list_item(list, i);
    if (!is_comparable(item)) return maybe_no_such_overload(item);
    if (compare(best, item).as_int() == better) best = std::move(item);
  }
  return best;
}
Value min(const Value* a, size_t) { return extreme(a[0], 1, "min"); }
Value max(const Value* a, size_t) { return extreme(a[0], -1, "max"); }

Value index_of(const Value* a, size_t) {
  for (size_t i = 0; i < count(a[0]); ++i) {
    if (equal_true(list_item(a[0], i), a[1])) return Value::of(static_cast<int64_t>(i));
  }
  return Value::of(int64_t{-1});
}
Value last_index_of(const Value* a, size_t) {
  for (size_t i = count(a[0]); i-- > 0;) {
    if (equal_true(list_item(a[0], i), a[1])) return Value::of(static_cast<int64_t>(i));
  }
  return Value::of(int64_t{-1});
}

// --- sets -----------------------------------------------------------------------------------------

/// True, or why not.
Value contains_all(const Value& list, const Value& part) {
  for (size_t i = 0; i < count(part); ++i) {
    Value has = contains(list, list_item(part, i));
    if (!has.is_true()) return has;
  }
  return Value::of(true);
}
Value sets_contains(const Value* a, size_t) { return contains_all(a[0], a[1]); }
Value sets_equivalent(const Value* a, size_t) {
  Value first = contains_all(a[0], a[1]);
  return first.is_true() ? contains_all(a[1], a[0]) : first;
}
Value sets_intersects(const Value* a, size_t) {
  for (size_t i = 0; i < count(a[0]); ++i) {
    if (contains(a[1], list_item(a[0], i)).is_true()) return Value::of(true);
  }
  return Value::of(false);
}

// --- lists ----------------------------------------------------------------------------------------

Value slice(const Value* a, size_t) {
  const int64_t start = A::integer(a[1]);
  const int64_t end = A::integer(a[2]);
  const std::string call = "cannot slice(" + std::to_string(start) + ", " + std::to_string(end) + "), ";
  if (start < 0 || end < 0) return Value::error(call + "negative indexes not supported");
  if (start > end) return Value::error(call + "start index must be less than or equal to end index");
  if (static_cast<int64_t>(count(a[0])) < end) {
    return Value::error(call + "list is length " + std::to_string(count(a[0])));
  }
  std::vector<Value> out;
  for (int64_t i = start; i < end; ++i) out.push_back(list_item(a[0], static_cast<size_t>(i)));
  return Value::list(std::move(out));
}

void flatten_into(const Value& list, int64_t depth, std::vector<Value>& out) {
  for (size_t i = 0; i < count(list); ++i) {
    Value item = list_item(list, i);
    if (item.kind() == Kind::kList && depth > 0) {
      flatten_into(item, depth - 1, out);
    } else {
      out.push_back(std::move(item));
    }
  }
}

Value flatten(const Value* a, size_t n) {
  if (a[0].kind() != Kind::kList || (n == 2 && a[1].kind() != Kind::kInt)) {
    if (a[0].is_error()) return a[0];
    std::string text = "no such overload: " + format_type(*value_type(a[0])) + ".flatten(";
    if (n == 2) text += format_type(*value_type(a[1]));
    return Value::error(text + ")");
  }
  const int64_t depth = n == 2 ? A::integer(a[1]) : 1;
  if (depth < 0) return Value::error("level must be non-negative");
  std::vector<Value> out;
  flatten_into(a[0], depth, out);
  return Value::list(std::move(out));
}

Value sorted_by(const Value& list, const Value& keys) {
  const size_t size = count(list);
  if (size != count(keys)) {
    return Value::error(
        "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got " +
        std::to_string(size) + " and " + std::to_string(count(keys)) + " elements respectively");
  }
  if (size == 0) return list;
  const std::vector<Value> by = items(keys);
  if (!is_comparable(by[0])) return Value::error("list elements must be comparable");
  std::vector<size_t> order(size);
  for (size_t i = 0; i < size; ++i) {
    if (by[i].kind() != by[0].kind()) return Value::error("list elements must have the same type");
    order[i] = i;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t x, size_t y) { return compare(by[x], by[y]).as_int() == -1; });
  std::vector<Value> out;
  out.reserve(size);
  for (size_t i : order) out.push_back(list_item(list, i));
  return Value::list(std::move(out));
}
Value sort(const Value* a, size_t) { return sorted_by(a[0], a[0]); }
Value sort_by_keys(const Value* a, size_t) {
  if (a[1].kind() != Kind::kList) return maybe_no_such_overload(a[1]);
  return sorted_by(a[0], a[1]);
}

Value range(const Value* a, size_t) {
  constexpr int64_t kMost = kPerCallLimit;  // as many cost more than is allowed
  std::vector<Value> out;
  for (int64_t i = 0; i < std::min(A::integer(a[0]), kMost); ++i) out.push_back(Value::of(i));
  return Value::list(std::move(out));
}

Value reverse(const Value* a, size_t) {
  std::vector<Value> out = items(a[0]);
  std::reverse(out.begin(), out.end());
  return Value::list(std::move(out));
}

Value distinct(const Value* a, size_t) {
  std::vector<Value> out;
  for (size_t i = 0; i < count(a[0]); ++i) {
    Value item = list_item(a[0], i);
    const bool seen =
        std::any_of(out.begin(), out.end(), [&](const Value& other) { return equal_true(item, other); });
    if (!seen) out.push_back(std::move(item));
  }
  return Value::list(std::move(out));
}

// --- maps -----------------------------------------------------------------------------------------

std::shared_ptr<MapRep> copy_map(const Value& map) {
  auto rep = std::make_shared<MapRep>();
  for (Value& key : map_keys(map)) {
    Value value = map_get(map, key);
    map_set(*rep, std::move(key), std::move(value));
  }
  return rep;
}

Value insert(const Value* a, size_t n) {
  auto rep = copy_map(a[0]);
  auto put = [&](const Value& key, const Value& value) {
    if (rep->index.contains(map_key(key))) {
      return Value::error("insert failed: key " + plain_text(key) + " already exists");
    }
    map_set(*rep, key, value);
    return Value();
  };
  if (n == 3) {
    Value failed = put(a[1], a[2]);
    if (failed.is_error()) return failed;
  } else {
    for (const Value& key : map_keys(a[1])) {
      Value failed = put(key, map_get(a[1], key));
      if (failed.is_error()) return failed;
    }
  }
  return A::make(Kind::kMap, std::move(rep));
}

constexpr Binding kBindings[] = {
    {"list_int_is_sorted_bool", is_sorted},
    {"list_uint_is_sorted_bool", is_sorted},
    {"list_double_is_sorted_bool", is_sorted},
    {"list_bool_is_sorted_bool", is_sorted},
    {"list_duration_is_sorted_bool", is_sorted},
    {"list_timestamp_is_sorted_bool", is_sorted},
    {"list_string_is_sorted_bool", is_sorted},
    {"list_bytes_is_sorted_bool", is_sorted},
    {"list_int_sum_int", sum_int},
    {"list_uint_sum_uint", sum_uint},
    {"list_double_sum_double", sum_double},
    {"list_duration_sum_duration", sum_duration},
    {"list_int_max_int", max},
    {"list_uint_max_uint", max},
    {"list_double_max_double", max},
    {"list_bool_max_bool", max},
    {"list_duration_max_duration", max},
    {"list_timestamp_max_timestamp", max},
    {"list_string_max_string", max},
    {"list_bytes_max_bytes", max},
    {"list_int_min_int", min},
    {"list_uint_min_uint", min},
    {"list_double_min_double", min},
    {"list_bool_min_bool", min},
    {"list_duration_min_duration", min},
    {"list_timestamp_min_timestamp", min},
    {"list_string_min_string", min},
    {"list_bytes_min_bytes", min},
    {"list_a_index_of_int", index_of},
    {"list_a_last_index_of_int", last_index_of},
    {"list_sets_contains_list", sets_contains},
    {"list_sets_equivalent_list", sets_equivalent},
    {"list_sets_intersects_list", sets_intersects},
    {"list_slice", slice},
    {"list_flatten", flatten},
    {"list_flatten_int", flatten},
    {"sort", sort},
    {"@sortByAssociatedKeys", sort_by_keys},
    {"lists_range", range},
    {"list_reverse", reverse},
    {"list_distinct", distinct},
    {"@mapInsert_map_key_value", insert},
    {"@mapInsert_map_map", insert},
};

}  // namespace

std::span<const Binding> list_bindings() { return kBindings; }

}  // namespace orch::api::cel
