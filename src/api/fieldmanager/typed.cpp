// Walks of one tree: what is wrong with it, which fields it has, what stays without some of them.
#include "api/fieldmanager/typed.h"

#include <map>

#include "api/fieldmanager/atom.h"
#include "api/go_text.h"
#include "api/schema/schema.h"

namespace orch::api {

using Known = TypeRef::Known;

namespace {

/// What Go's %T says of a value.
std::string_view go_kind(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string:
      return "string";
    case Json::value_t::boolean:
      return "bool";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "int64";
    case Json::value_t::number_float:
      return "float64";
    case Json::value_t::array:
      return "[]interface {}";
    case Json::value_t::object:
      return "map[string]interface {}";
    default:
      return "<nil>";
  }
}

std::string scalar_problem(Atom::Scalar kind, const Json& value) {
  if (value.is_null()) return {};
  switch (kind) {
    case Atom::Scalar::kNumeric:
      if (!value.is_number()) return base::cat("expected numeric (int or float), got ", go_kind(value));
      break;
    case Atom::Scalar::kString:
      if (!value.is_string())
        return base::cat("expected string, got &value.valueUnstructured{Value:", go_plain(value), "}");
      break;
    case Atom::Scalar::kBoolean:
      if (!value.is_boolean()) return base::cat("expected boolean, got &{", go_plain(value), "}");
      break;
    default:
      if (value.is_structured()) return base::cat("expected any scalar, got &{", go_plain(value), "}");
  }
  return {};
}

class Checker {
 public:
  explicit Checker(bool allow_duplicates) : allow_duplicates_(allow_duplicates) {}
  std::vector<std::string> errors;

  void check(const TypeRef& type, const Json& value) {
    const Atom atom = deduce(resolve(type), &value);
    if (atom.map) {
      if (value.is_null()) return;
      if (!value.is_object()) return fail(base::cat("expected map, got &{", go_plain(value), "}"));
      members(atom, value);
    } else if (atom.scalar != Atom::Scalar::kNone) {
      if (std::string problem = scalar_problem(atom.scalar, value); !problem.empty()) fail(problem);
    } else if (atom.list) {
      if (value.is_null()) return;
      if (!value.is_array()) return fail(base::cat("expected list, got &{", go_plain(value), "}"));
      items(atom, value);
    }
  }

 private:
  void fail(const std::string& problem) {
    errors.push_back(path_.empty() ? problem : base::cat(path_, ": ", problem));
  }
  void inside(std::string_view element, const TypeRef& type, const Json& value) {
    const size_t length = path_.size();
    path_ += element;
    check(type, value);
    path_.resize(length);
  }
  void members(const Atom& atom, const Json& value) {
    for (const auto& [name, member] : value.items()) {
      const TypeRef type = member_type(atom, name);
      if (type.known == Known::kNothing) {
        const size_t length = path_.size();
        path_ += base::cat(".", name);
        fail("field not declared in schema");
        path_.resize(length);
        return;
      }
      inside(base::cat(".", name), type, member);
    }
  }
  void items(const Atom& atom, const Json& value) {
    std::map<std::string, int, std::less<>> seen;
    for (size_t i = 0; i < value.size(); ++i) {
      std::string text;
      if (atom.list_atomic) {
        text = base::cat("[", i, "]");
      } else {
        auto element = item_element(atom, value[i]);
        if (!element.ok()) return fail(base::cat("element ", i, ": ", element.error().message()));
        text = element_text(*element);
        if (seen[*element]++ != 0 && !allow_duplicates_) fail(base::cat("duplicate entries for key ", text));
      }
      inside(text, atom.item, value[i]);
    }
  }

  const bool allow_duplicates_;
  std::string path_;
};

/// Adds what is below a value to `below`; whether the value itself is a field of the set.
bool fields(const TypeRef& type, const Json& value, FieldSet& below);

void item_fields(const Atom& atom, const Json& value, FieldSet& below) {
  std::map<std::string, std::pair<int, const Json*>, std::less<>> items;
  for (const Json& item : value) {
    auto element = item_element(atom, item);
    if (!element.ok()) continue;
    auto& known = items[*element];
    ++known.first;
    known.second = &item;
  }
  for (auto& [element, known] : items) {
    FieldSet inner;
    // Who has an item twice owns it as one thing.
    if (known.first == 1) fields(atom.item, *known.second, inner);
    below.append(element, true, std::move(inner));
  }
  below.sort();
}

bool fields(const TypeRef& type, const Json& value, FieldSet& below) {
  const Atom atom = deduce(resolve(type), &value);
  if (atom.map) {
    if (atom.map_atomic) return true;
    if (!value.is_object()) return false;
    for (const auto& [name, member] : value.items()) {
      bool named = false;
      const TypeRef inner_type = member_type(atom, name, &named);
      FieldSet inner;
      bool own = fields(inner_type, member, inner);
      own = own || !named || member.is_null() || (member.is_object() && member.empty());
      below.append(member_element(name), own, std::move(inner));
    }
    return false;
  }
  if (atom.scalar != Atom::Scalar::kNone) return true;
  if (!atom.list) return false;
  if (atom.list_atomic) return true;
  if (value.is_array()) item_fields(atom, value, below);
  return false;
}

Json remove(const TypeRef& type, const Json& value, const FieldSet& set);

/// What stays of a value under `element`: nothing if it is in the set.
std::optional<Json> kept(const TypeRef& type, const Json& value, const FieldSet& set,
                         const std::string& element) {
  const FieldSet::Entry* entry = set.find(element);
  if (entry == nullptr) return value;
  if (entry->member) return std::nullopt;
  return remove(type, value, entry->below);
}

Json remove(const TypeRef& type, const Json& value, const FieldSet& set) {
  const Atom atom = deduce(resolve(type), &value);
  if (atom.map) {
    if (!value.is_object() || value.empty() || atom.map_atomic) return {};
    Json out = Json::object();
    for (const auto& [name, member] : value.items()) {
      if (auto left = kept(member_type(atom, name), member, set, member_element(name)))
        out[name] = std::move(*left);
    }
    return out.empty() ? Json() : out;
  }
  if (atom.scalar != Atom::Scalar::kNone) return value;
  if (!value.is_array() || value.empty() || atom.list_atomic) return {};
  Json out = Json::array();
  for (const Json& item : value) {
    auto element = item_element(atom, item);
    auto left = element.ok() ? kept(atom.item, item, set, *element) : std::optional<Json>(item);
    if (left) out.push_back(std::move(*left));
  }
  return out.empty() ? Json() : out;
}

}  // namespace

std::vector<std::string> check_type(const TypeRef& type, const Json& tree, bool allow_duplicates) {
  Checker checker(allow_duplicates);
  checker.check(type, tree);
  return std::move(checker.errors);
}

std::string join_type_errors(const std::vector<std::string>& errors) {
  if (errors.size() == 1) return errors[0];
  std::string out = "errors:";
  for (const std::string& error : errors) out += base::cat("\n  ", error);
  return out;
}

FieldSet field_set_of(const TypeRef& type, const Json& tree) {
  FieldSet out;
  fields(type, tree, out);
  return out;
}

Json remove_fields(const TypeRef& type, const Json& tree, const FieldSet& set) {
  return remove(type, tree, set);
}

FieldSet with_named_fields(const TypeRef& type, const FieldSet& set) {
  const Atom atom = resolve(type);
  FieldSet out;
  for (const FieldSet::Entry& entry : set.entries()) {
    TypeRef inner;
    bool named = false;
    if (entry.element.starts_with("f:")) {
      if (atom.map) inner = member_type(atom, std::string_view(entry.element).substr(2), &named);
    } else if (entry.element.starts_with("k:") && atom.list) {
      inner = atom.item;
    }
    const bool owned = entry.member || (named && !entry.below.empty());
    out.append(entry.element, owned, with_named_fields(inner, entry.below));
  }
  return out;
}

}  // namespace orch::api
