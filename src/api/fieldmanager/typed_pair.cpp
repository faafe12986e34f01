// Walks of two trees side by side: how they differ, and one merged into the other.
#include <map>

#include "api/fieldmanager/atom.h"
#include "api/schema/schema.h"

namespace orch::api {

using base::Code;
using base::Result;
using base::Status;

namespace {

Status broken_item(size_t index, const std::string& why) {
  return {Code::kUnknown, base::cat("element ", index, ": ", why)};
}

/// Calls `visit(name, left, right)` for each member of either object, in order.
template <typename Visit>
void zip(const Json* left, const Json* right, Visit&& visit) {
  static const Json none = Json::object();
  const auto& a = (is_map(left) ? *left : none).get_ref<const Json::object_t&>();
  const auto& b = (is_map(right) ? *right : none).get_ref<const Json::object_t&>();
  auto i = a.begin();
  auto j = b.begin();
  while (i != a.end() || j != b.end()) {
    const int order = i == a.end() ? 1 : j == b.end() ? -1 : i->first.compare(j->first);
    visit(order <= 0 ? i->first : j->first, order <= 0 ? &i->second : nullptr,
          order >= 0 ? &j->second : nullptr);
    if (order <= 0) ++i;
    if (order >= 0) ++j;
  }
}

class Comparer {
 public:
  Status status;

  /// Which of the sets a value is itself in.
  struct Marks {
    bool added = false, modified = false, removed = false;
  };

  /// At least one of the values is there.
  void compare(const TypeRef& type, const Json* left, const Json* right, FieldChanges& below, Marks& self) {
    const Atom atom = resolve(type);
    const Atom as_left = deduce(atom, left);
    const Atom as_right = deduce(atom, right);
    bool leaf = false;
    if (right == nullptr) {
      leaf = handle(as_left, left, right, below, self);
    } else if (left == nullptr || as_left.same_kinds(as_right)) {
      leaf = handle(as_right, left, right, below, self);
    } else {
      handle(as_left, left, right, below, self);
      leaf = handle(as_right, left, right, below, self);
      below.added.sort();
      below.modified.sort();
      below.removed.sort();
    }
    if (leaf) return;
    if (left == nullptr) {
      self.added = true;
    } else if (right == nullptr) {
      self.removed = true;
    }
  }

 private:
  static bool as_leaf(const Json* left, const Json* right, Marks& self) {
    if (left == nullptr) {
      self.added = true;
    } else if (right == nullptr) {
      self.removed = true;
    } else if (*left != *right) {
      self.modified = true;
    }
    return true;
  }

  /// Whether the values were taken as a whole.
  bool handle(const Atom& atom, const Json* left, const Json* right, FieldChanges& below, Marks& self) {
    if (atom.map) {
      const Json* a = is_map(left) ? non_empty(left) : nullptr;
      const Json* b = is_map(right) ? non_empty(right) : nullptr;
      if (atom.map_atomic || (a == nullptr && b == nullptr)) return as_leaf(left, right, self);
      zip(a, b, [&](const std::string& name, const Json* l, const Json* r) {
        if (l != nullptr && r != nullptr && *l == *r) return;  // most of what is written is as it was
        FieldChanges inner;
        Marks own;
        compare(member_type(atom, name), l, r, inner, own);
        add(member_element(name), own, std::move(inner), below);
      });
      return false;
    }
    if (atom.scalar != Atom::Scalar::kNone) return as_leaf(left, right, self);
    if (!atom.list) return false;
    const Json* a = is_list(left) ? non_empty(left) : nullptr;
    const Json* b = is_list(right) ? non_empty(right) : nullptr;
    if (atom.list_atomic || (a == nullptr && b == nullptr)) return as_leaf(left, right, self);
    if (a == nullptr || b == nullptr || *a != *b) items(atom, a, b, below);
    return false;
  }

  static void add(std::string element, const Marks& own, FieldChanges inner, FieldChanges& to) {
    if (own.modified || !inner.modified.empty())
      to.modified.append(element, own.modified, std::move(inner.modified));
    if (own.removed || !inner.removed.empty())
      to.removed.append(element, own.removed, std::move(inner.removed));
    if (own.added || !inner.added.empty())
      to.added.append(std::move(element), own.added, std::move(inner.added));
  }

  struct Sides {
    std::vector<const Json*> left, right;
  };

  void gather(const Atom& atom, const Json* list, std::vector<const Json*> Sides::*side,
              std::map<std::string, Sides>& out) {
    if (list == nullptr) return;
    for (size_t i = 0; i < list->size(); ++i) {
      auto element = item_element(atom, (*list)[i]);
      if (!element.ok()) {
        if (status.ok()) status = broken_item(i, element.error().message());
        continue;
      }
      (out[*element].*side).push_back(&(*list)[i]);
    }
  }

  void items(const Atom& atom, const Json* left, const Json* right, FieldChanges& below) {
    std::map<std::string, Sides> items;
    gather(atom, left, &Sides::left, items);
    gather(atom, right, &Sides::right, items);
    for (auto& [element, sides] : items) {
      FieldChanges inner;
      Marks own;
      const size_t l = sides.left.size();
      const size_t r = sides.right.size();
      const Json* a = l == 0 ? nullptr : sides.left[0];
      const Json* b = r == 0 ? nullptr : sides.right[0];
      if (l <= 1 && r <= 1) {
        compare(atom.item, a, b, inner, own);
      } else if (l >= 2 && r >= 2) {
        own.modified = l != r;
        for (size_t i = 0; i < l && !own.modified; ++i) own.modified = *sides.left[i] != *sides.right[i];
      } else if (l >= 2) {
        // It was there several times, and owned as one thing.
        if (b != nullptr) compare(atom.item, nullptr, b, inner, own);
        own.removed = true;
      } else {
        if (a != nullptr) compare(atom.item, a, nullptr, inner, own);
        own.added = true;
      }
      add(element, own, std::move(inner), below);
    }
    below.added.sort();
    below.modified.sort();
    below.removed.sort();
  }
};

class Merger {
 public:
  Status status;

  std::optional<Json> merge(const TypeRef& type, const Json* left, const Json* right) {
    const Atom atom = resolve(type);
    // Where both are of different kinds, what is said anew counts.
    return handle(deduce(atom, right == nullptr ? left : right), left, right);
  }

 private:
  static std::optional<Json> as_leaf(const Json* left, const Json* right) {
    return right != nullptr ? *right : *left;
  }

  std::optional<Json> handle(const Atom& atom, const Json* left, const Json* right) {
    if (atom.map) {
      const Json* a = is_map(left) ? non_empty(left) : nullptr;
      const Json* b = is_map(right) ? non_empty(right) : nullptr;
      if (atom.map_atomic || (a == nullptr && b == nullptr)) return as_leaf(left, right);
      Json out = Json::object();
      zip(a, b, [&](const std::string& name, const Json* l, const Json* r) {
        if (auto merged = merge(member_type(atom, name), l, r)) out[name] = std::move(*merged);
      });
      return out.empty() ? std::nullopt : std::optional<Json>(std::move(out));
    }
    if (atom.scalar != Atom::Scalar::kNone) return as_leaf(left, right);
    if (!atom.list) return std::nullopt;
    const Json* a = is_list(left) ? non_empty(left) : nullptr;
    const Json* b = is_list(right) ? non_empty(right) : nullptr;
    if (atom.list_atomic || (a == nullptr && b == nullptr)) return as_leaf(left, right);
    return items(atom, a, b);
  }

  struct Index {
    std::vector<std::string> elements;
    /// An element that is there several times has no one value: null.
    std::map<std::string, const Json*, std::less<>> values;
    bool has(const std::string& element) const { return values.contains(element); }
    const Json* value(const std::string& element) const {
      const auto it = values.find(element);
      return it == values.end() ? nullptr : it->second;
    }
  };

  Index index(const Atom& atom, const Json* list, bool allow_duplicates) {
    static const Json duplicated;
    Index out;
    for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
      auto element = item_element(atom, (*list)[i]);
      if (!element.ok()) {
        if (status.ok()) status = broken_item(i, element.error().message());
        continue;
      }
      const auto [at, added] = out.values.try_emplace(*element, &(*list)[i]);
      if (!added && !allow_duplicates) {
        if (status.ok())
          status = Status(Code::kUnknown, base::cat("duplicate entries for key ", element_text(*element)));
        continue;
      }
      if (!added) at->second = &duplicated;
      out.elements.push_back(*element);
    }
    return out;
  }

  /// Keeps the order of the left list where the right one does not say another: shared items stand in the
  /// order of the right list, what only one side has stays near its neighbours.
  std::optional<Json> items(const Atom& atom, const Json* left, const Json* right) {
    const Index r = index(atom, right, false);
    const Index l = index(atom, left, true);
    if (!status.ok()) return std::nullopt;
    std::vector<std::string> shared;
    for (const std::string& element : r.elements) {
      if (l.has(element)) shared.push_back(element);
    }
    size_t next = 0;  // in `shared`
    std::map<std::string, bool, std::less<>> merged;
    Json out = Json::array();
    const auto put = [&](const Json* a, const Json* b) {
      if (auto item = merge(atom.item, a, b)) out.push_back(std::move(*item));
    };
    for (size_t i = 0, j = 0; i < l.elements.size() || j < r.elements.size();) {
      if (i < l.elements.size() && j < r.elements.size()) {
        const std::string& element = l.elements[i];
        if (element == r.elements[j]) {
          merged[element] = true;
          put(l.value(element), r.value(element));
          ++i, ++j, ++next;
          continue;
        }
        if (r.has(element) && next < shared.size() && shared[next] != element) {
          ++i;  // it comes when the right list has it
          continue;
        }
      }
      if (i < l.elements.size()) {
        const std::string& element = l.elements[i];
        if (!r.has(element)) {
          put(&(*left)[i], nullptr);
          ++i;
          continue;
        }
        if (merged.contains(element)) ++i;
      }
      if (j < r.elements.size()) {
        const std::string& element = r.elements[j];
        merged[element] = true;
        put(l.value(element), r.value(element));
        ++j;
        if (next < shared.size() && shared[next] == element) ++next;
      }
    }
    return out.empty() ? std::nullopt : std::optional<Json>(std::move(out));
  }
};

}  // namespace

Result<FieldChanges> compare_fields(const TypeRef& type, const Json& before, const Json& after) {
  Comparer comparer;
  FieldChanges out;
  Comparer::Marks self;
  comparer.compare(type, &before, &after, out, self);
  if (!comparer.status.ok()) return comparer.status;
  return out;
}

Result<Json> merge_fields(const TypeRef& type, const Json& whole, const Json& part) {
  Merger merger;
  auto merged = merger.merge(type, &whole, &part);
  if (!merger.status.ok()) return merger.status;
  return merged ? std::move(*merged) : Json::object();
}

}  // namespace orch::api
