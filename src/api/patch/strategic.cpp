// Strategic merge patch. The names are those of k8s.io/apimachinery/pkg/util/strategicpatch, whose outcome is
// the specification; look-ups by merge key go through maps, so that long lists do not cost their square.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "api/go_text.h"
#include "api/patch/patch.h"
#include "api/schema/schema.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr std::string_view kDirective = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kDeletePrefix = "$deleteFromPrimitiveList";
constexpr std::string_view kOrderPrefix = "$setElementOrder";

base::Status bad(std::string_view message) { return {base::Code::kBadRequest, std::string(message)}; }
/// What kube-apiserver answers with 500.
base::Status unknown(std::string message) { return {base::Code::kUnknown, std::move(message)}; }

base::Status no_lists_of_lists() {
  base::StatusDetails details;
  details.causes.push_back({"UnexpectedServerResponse", "lists of lists are not supported", ""});
  return {base::Code::kInvalid, "the server rejected our request due to an error in our request",
          std::move(details)};
}
base::Status bad_order_list() { return bad("invalid patch format of setElementOrder list"); }
base::Status no_merge_key(const Json& item, std::string_view key) {
  return unknown(base::cat("map: ", go_plain(item), " does not contain declared merge key: ", key));
}
base::Status bad_patch_type(const Json& directive, const Json& map) {
  return unknown(base::cat("unknown patch type: ", go_plain(directive), " in map: ", go_plain(map)));
}

const char* go_type(const Json& value) {
  switch (value.type()) {
    case Json::value_t::object:
      return "map[string]interface {}";
    case Json::value_t::array:
      return "[]interface {}";
    case Json::value_t::string:
      return "string";
    case Json::value_t::boolean:
      return "bool";
    case Json::value_t::number_float:
      return "float64";
    case Json::value_t::null:
      return "%!s(<nil>)";
    default:
      return "int64";
  }
}

base::Status bad_arg(std::string_view expected, const Json& actual) {
  return unknown(base::cat("expected a ", expected, ", but received a ", go_type(actual)));
}

/// What is known about the value at some place of the object.
struct Place {
  const Type* type = nullptr;  // of a message
  const Value* value = nullptr;
  bool merge = false, replace = false;
  std::string_view merge_key = {};

  /// The member `key` of the object here; nothing known when the type does not say.
  Place member(std::string_view key) const {
    if (type != nullptr) {
      const Member* found = type->member(key);
      if (found == nullptr) return {};
      Place place = of(found->field->value);
      place.merge = found->field->notes->merge;
      place.replace = found->field->notes->replace;
      place.merge_key = found->field->notes->merge_key;
      return place;
    }
    return value != nullptr && value->kind == ValueKind::kMap ? of(value->element) : Place();
  }
  Place element() const {
    return value != nullptr && value->kind == ValueKind::kList ? of(value->element) : Place();
  }
  static Place of(const Value* value) {
    Place place;
    place.value = value;
    if (value != nullptr && value->kind == ValueKind::kMessage) place.type = value->type;
    return place;
  }
};

bool same_kind(const Json& a, const Json& b) { return std::string_view(go_type(a)) == go_type(b); }

/// The value that identifies an item: its merge key's, or the item itself.
std::string identity(const Json& item, std::string_view merge_key) {
  if (merge_key.empty() || !item.is_object()) return base::dump_json(item);
  const auto found = item.find(merge_key);
  return found == item.end() ? "null" : base::dump_json(*found);
}

std::unordered_set<std::string> identities(const Json& list, std::string_view merge_key) {
  std::unordered_set<std::string> out;
  for (const Json& item : list) out.insert(identity(item, merge_key));
  return out;
}

/// First position of each identity.
std::unordered_map<std::string, size_t> positions(const Json& list, std::string_view merge_key) {
  std::unordered_map<std::string, size_t> out;
  for (size_t i = 0; i < list.size(); ++i) out.emplace(identity(list[i], merge_key), i);
  return out;
}

base::Status check_merge_key(const Json& list, std::string_view merge_key) {
  for (const Json& item : list) {
    if (!item.is_object()) return bad_arg("map[string]interface {}", item);
    if (!item.contains(merge_key)) return no_merge_key(item, merge_key);
  }
  return {};
}

/// All items of both lists are of one kind, which is not a list.
base::Status check_elements(const Json& a, const Json& b) {
  const Json* first = nullptr;
  for (const Json* list : {&a, &b}) {
    for (const Json& item : *list) {
      if (item.is_array()) return no_lists_of_lists();
      if (first == nullptr) first = &item;
      if (item.is_null() || !same_kind(*first, item)) {
        return unknown(
            base::cat("list element types are not identical: [", go_plain(a), " ", go_plain(b), "]"));
      }
    }
  }
  return first == nullptr ? unknown("no elements in any of the given slices") : base::ok_status();
}

void discard_nulls(Json& value) {
  if (value.is_object()) {
    for (auto it = value.begin(); it != value.end();) {
      if (it->is_null()) {
        it = value.erase(it);
      } else {
        discard_nulls(*it);
        ++it;
      }
    }
  } else if (value.is_array()) {
    for (Json& item : value) discard_nulls(item);
  }
}

/// Drops objects that carry a directive. False: `value` itself is one of those.
bool remove_directives(Json& value) {
  if (value.is_object()) {
    if (value.contains(kDirective)) return false;
    for (auto it = value.begin(); it != value.end();)
      it = remove_directives(*it) ? std::next(it) : value.erase(it);
  } else if (value.is_array()) {
    Json kept = Json::array();
    for (Json& item : value) {
      if (remove_directives(item)) kept.push_back(std::move(item));
    }
    value = std::move(kept);
  }
  return true;
}

/// `$setElementOrder/name` -> `name`; "" when the key is not of that form.
std::string_view behind_prefix(std::string_view key, std::string_view prefix) {
  return key.starts_with(prefix) && key.size() > prefix.size() && key[prefix.size()] == '/'
             ? key.substr(prefix.size() + 1)
             : std::string_view();
}

/// Sorts `items` by their position in `order`, keeping the order of those that are not in it.
void sort_by(Json& items, const Json& order, std::string_view merge_key) {
  const auto index = positions(order, merge_key);
  const auto rank = [&](const Json& item) {
    const auto found = index.find(identity(item, merge_key));
    return found == index.end() ? index.size() + order.size() : found->second;
  };
  std::stable_sort(items.begin(), items.end(),
                   [&](const Json& a, const Json& b) { return rank(a) < rank(b); });
}

/// Splits `merged` into what `patch_order` names and what only the server has, sorts each part by its own
/// list, and interleaves them as the server had them.
base::Result<Json> order_items(Json merged, const Json& patch_order, const Json& server_order,
                               std::string_view merge_key) {
  if (!merge_key.empty()) {
    ORCH_RETURN_IF_ERROR(check_merge_key(merged, merge_key));
    ORCH_RETURN_IF_ERROR(check_merge_key(patch_order, merge_key));
  }
  const auto named = identities(patch_order, merge_key);
  Json patch_items = Json::array();
  Json server_items = Json::array();
  for (Json& item : merged) {
    (named.contains(identity(item, merge_key)) ? patch_items : server_items).push_back(std::move(item));
  }
  sort_by(patch_items, patch_order, merge_key);
  sort_by(server_items, server_order, merge_key);
  const auto at_server = positions(server_order, merge_key);
  const auto before = [&](const Json& left, const Json& right) {
    const auto l = at_server.find(identity(left, merge_key));
    const auto r = at_server.find(identity(right, merge_key));
    return l != at_server.end() && r != at_server.end() && l->second < r->second;
  };
  Json all = Json::array();
  size_t i = 0;
  size_t j = 0;
  while (i < server_items.size() || j < patch_items.size()) {
    const bool left =
        j == patch_items.size() || (i < server_items.size() && before(server_items[i], patch_items[j]));
    all.push_back(std::move(left ? server_items[i++] : patch_items[j++]));
  }
  return all;
}

base::Result<Json> merge_map(Json original, Json patch, const Place& place);

/// Takes the items with directives out of `patch`: deletions are done on `original`, "replace" empties it.
base::Status apply_item_directives(Json& original, Json& patch, std::string_view merge_key) {
  Json plain = Json::array();
  std::unordered_set<std::string> deleted;
  bool replace = false;
  for (Json& item : patch) {
    const auto directive = item.find(kDirective);
    if (directive == item.end()) {
      plain.push_back(std::move(item));
    } else if (*directive == "delete") {
      if (!item.contains(merge_key)) return no_merge_key(item, merge_key);
      deleted.insert(identity(item, merge_key));
    } else if (*directive == "replace") {
      replace = true;
    } else if (*directive == "merge") {
      return unknown("merging lists cannot yet be specified in the patch");
    } else {
      return bad_patch_type(*directive, item);
    }
  }
  if (replace) {
    original = std::move(plain);
    patch = Json::array();
    return {};
  }
  if (!deleted.empty()) {
    Json kept = Json::array();
    for (Json& item : original) {
      const bool gone = item.contains(merge_key) && deleted.contains(identity(item, merge_key));
      if (!gone) kept.push_back(std::move(item));
    }
    original = std::move(kept);
  }
  patch = std::move(plain);
  return {};
}

base::Result<Json> merge_list_of_maps(Json original, const Json& patch, const Place& list) {
  std::unordered_map<std::string, size_t> known;
  for (size_t i = 0; i < original.size(); ++i) {
    if (original[i].contains(list.merge_key)) known.emplace(identity(original[i], list.merge_key), i);
  }
  for (const Json& item : patch) {
    if (!item.contains(list.merge_key)) return no_merge_key(item, list.merge_key);
    const auto [found, added] = known.emplace(identity(item, list.merge_key), original.size());
    if (added) {
      original.push_back(item);
      continue;
    }
    auto merged = merge_map(std::move(original[found->second]), item, list.element());
    if (!merged.ok()) return merged.error();
    original[found->second] = std::move(merged.value());
  }
  return original;
}

base::Result<Json> merge_list(Json original, Json patch, const Place& list, bool is_deletion) {
  if (original.empty() && patch.empty()) return original;
  ORCH_RETURN_IF_ERROR(check_elements(original, patch));
  const Json& first = original.empty() ? patch.front() : original.front();
  if (!first.is_object()) {
    if (is_deletion) {
      const auto gone = identities(patch, {});
      Json kept = Json::array();
      for (Json& item : original) {
        if (!gone.contains(identity(item, {}))) kept.push_back(std::move(item));
      }
      return kept;
    }
    Json both = Json::array();
    std::unordered_set<std::string> seen;
    for (const Json* part : {&original, &patch}) {
      for (const Json& item : *part) {
        if (seen.insert(identity(item, {})).second) both.push_back(item);
      }
    }
    return order_items(std::move(both), patch, original, list.merge_key);
  }
  if (list.merge_key.empty()) return unknown("cannot merge lists without merge key for struct");
  ORCH_RETURN_IF_ERROR(apply_item_directives(original, patch, list.merge_key));
  auto merged = merge_list_of_maps(original, patch, list);
  if (!merged.ok()) return merged.error();
  return order_items(std::move(merged.value()), patch, original, list.merge_key);
}

/// `$retainKeys`: only the listed members of `original` stay, and the patch may set only those.
base::Status apply_retain_keys(Json& original, Json& patch) {
  const auto directive = patch.find(kRetainKeys);
  if (directive == patch.end()) return {};
  const Json keys = std::move(*directive);
  patch.erase(directive);
  if (!keys.is_array()) return bad("invalid patch format of retainKeys");
  std::unordered_set<std::string> retained;
  for (const Json& key : keys) {
    if (key.is_string()) retained.insert(key.get<std::string>());
  }
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null() || key.starts_with(kDeletePrefix) || key.starts_with(kOrderPrefix)) continue;
    if (!retained.contains(key)) return bad("invalid patch format of retainKeys");
  }
  for (auto it = original.begin(); it != original.end();) {
    it = retained.contains(it.key()) ? std::next(it) : original.erase(it);
  }
  return {};
}

/// The order that `$setElementOrder` gives must be the patch list's own, and name all of its items.
base::Status check_order(const Json& patch, const Json& order, std::string_view merge_key) {
  if (order.empty() || patch.empty()) return {};
  if (!merge_key.empty()) {
    for (const Json* list : {&patch, &order}) {
      for (const Json& item : *list) {
        if (!item.is_object()) return bad_arg("map[string]interface {}", item);
      }
    }
  }
  size_t at = 0;
  for (const Json& item : patch) {
    if (item.is_object() && item.contains(kDirective)) continue;
    if (!merge_key.empty() && !item.contains(merge_key)) return no_merge_key(item, merge_key);
    const std::string wanted = identity(item, merge_key);
    while (at < order.size() && identity(order[at], merge_key) != wanted) {
      if (!merge_key.empty() && !order[at].contains(merge_key)) return no_merge_key(order[at], merge_key);
      ++at;
    }
    if (at == order.size()) {
      return unknown(base::cat("The order in patch list:\n", go_plain(patch), "\n doesn't match ",
                               kOrderPrefix, " list:\n", go_plain(order), "\n"));
    }
    ++at;
  }
  return {};
}

/// Merges one list that the patch gives an order for; the list is done then and leaves the patch.
base::Status merge_ordered_list(Json& original, Json& patch, const std::string& key, const Json& order,
                                const Place& place) {
  if (!order.is_array()) return bad_arg("[]interface {}", order);
  if (key.empty()) return bad_order_list();
  const auto have = original.find(key);
  const auto given = patch.find(key);
  const bool has_original = have != original.end();
  const bool has_patch = given != patch.end();
  if (has_original && !have->is_array()) return bad_arg("[]interface {}", *have);
  if (has_patch && !given->is_array()) return bad_arg("[]interface {}", *given);
  const Place list = place.member(key);
  if (has_patch) ORCH_RETURN_IF_ERROR(check_order(*given, order, list.merge_key));
  if (!has_original && !has_patch) return {};
  const Json server_order = has_original ? *have : Json::array();
  ORCH_RETURN_IF_ERROR(check_elements(server_order, has_patch ? *given : Json::array()));
  Json merged = server_order;
  if (has_patch && !has_original) {
    merged = *given;
    remove_directives(merged);
  } else if (has_patch && !list.merge) {
    merged = *given;
  } else if (has_patch) {
    auto both = merge_list(server_order, *given, list, false);
    if (!both.ok()) return both.error();
    merged = std::move(both.value());
  }
  auto ordered = order_items(std::move(merged), order, server_order, list.merge_key);
  if (!ordered.ok()) return ordered.error();
  original[key] = std::move(ordered.value());
  patch.erase(key);
  return {};
}

base::Status apply_order_directives(Json& original, Json& patch, const Place& place) {
  std::vector<std::pair<std::string, Json>> directives;
  for (auto it = patch.begin(); it != patch.end();) {
    if (it.key().starts_with(kOrderPrefix)) {
      directives.emplace_back(behind_prefix(it.key(), kOrderPrefix), std::move(*it));
      it = patch.erase(it);
    } else {
      ++it;
    }
  }
  for (const auto& [key, order] : directives) {
    ORCH_RETURN_IF_ERROR(merge_ordered_list(original, patch, key, order, place));
  }
  return {};
}

/// One member of the patch into `original`.
base::Status merge_member(Json& original, const std::string& patch_key, Json value, const Place& place) {
  const bool is_deletion = patch_key.starts_with(kDeletePrefix);
  std::string key = patch_key;
  if (is_deletion) key = behind_prefix(patch_key, kDeletePrefix);
  if (key.empty() && is_deletion) return bad("invalid patch format of primitive list");
  if (value.is_null()) {
    original.erase(key);
    return {};
  }
  const auto current = original.find(key);
  if (current == original.end() || !same_kind(*current, value)) {
    if (is_deletion) return {};
    discard_nulls(value);
    if (remove_directives(value)) {
      original[key] = std::move(value);
    } else {
      original.erase(key);
    }
    return {};
  }
  if (!value.is_structured()) {
    *current = std::move(value);
    return {};
  }
  const Place inner = place.member(key);
  const bool merges = value.is_object() ? !inner.replace : inner.merge || is_deletion;
  if (!merges) {
    *current = std::move(value);
    return {};
  }
  auto merged = value.is_object() ? merge_map(std::move(*current), std::move(value), inner)
                                  : merge_list(std::move(*current), std::move(value), inner, is_deletion);
  if (!merged.ok()) return merged.error();
  *current = std::move(merged.value());
  return {};
}

base::Result<Json> merge_map(Json original, Json patch, const Place& place) {
  const auto directive = patch.find(kDirective);
  if (directive != patch.end()) {
    if (*directive == "delete") return Json(Json::object());
    if (*directive != "replace") return bad_patch_type(*directive, patch);
    patch.erase(directive);
    return patch;
  }
  ORCH_RETURN_IF_ERROR(apply_retain_keys(original, patch));
  ORCH_RETURN_IF_ERROR(apply_order_directives(original, patch, place));
  for (auto it = patch.begin(); it != patch.end(); ++it) {
    ORCH_RETURN_IF_ERROR(merge_member(original, it.key(), std::move(*it), place));
  }
  return original;
}

}  // namespace

base::Result<Json> strategic_merge_patch(const Json& document, const Json& patch, const Type* type) {
  if (!patch.is_object()) {
    return bad(base::cat("json: cannot unmarshal ", patch.is_null() ? "null" : patch.type_name(),
                         " into Go value of type map[string]interface {}"));
  }
  Place root;
  root.type = type;
  return merge_map(document.is_object() ? document : Json::object(), patch, root);
}

}  // namespace orch::api
