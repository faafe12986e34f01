#include "api/fieldmanager/field_set.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "api/go_text.h"
#include "api/scan.h"
#include "base/json.h"

namespace orch::api {

using base::Code;
using base::Result;
using base::Status;

namespace {

bool is_number_byte(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/// The order of kinds of elements and, within keys and values, of kinds of JSON scalars.
int rank(char c) {
  switch (c) {
    case 'f':
      return 0;
    case 'k':
      return 1;
    case 'v':
      return 2;
    default:
      return 3;
  }
}

int scalar_rank(char c) {
  if (c == '}') return 0;  // a shorter list of keys comes first
  if (is_number_byte(c)) return 1;
  if (c == '"') return 2;
  return c == 't' || c == 'f' ? 3 : 4;
}

/// The number that the byte at `at` belongs to, if it belongs to one outside of a string.
bool number_at(std::string_view text, size_t at, double& out) {
  size_t begin = at;
  while (begin > 0 && is_number_byte(text[begin - 1])) --begin;
  if (begin < 2 || text[begin - 1] != ':' || (text[begin - 2] != '"' && begin != 2)) return false;
  size_t end = at;
  while (end < text.size() && is_number_byte(text[end])) ++end;
  if (end < text.size() && text[end] != ',' && text[end] != '}') return false;
  return std::from_chars(text.data() + begin, text.data() + end, out).ec == std::errc();
}

}  // namespace

int compare_elements(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty() || a[0] != b[0]) {
    return (a.empty() ? -1 : rank(a[0])) - (b.empty() ? -1 : rank(b[0]));
  }
  if (a[0] == 'f') return a.compare(b);
  const size_t common = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < common && a[i] == b[i]) ++i;
  if (i == a.size() && i == b.size()) return 0;
  double x = 0;
  double y = 0;
  if (number_at(a, i, x) && number_at(b, i, y) && x != y) return x < y ? -1 : 1;
  const char c = i < a.size() ? a[i] : '}';
  const char d = i < b.size() ? b[i] : '}';
  const bool at_value = i >= 2 && (a[i - 1] == ':' || a[i - 1] == ',' || a[i - 1] == '{');
  if (at_value || c == '}' || d == '}') {
    if (const int by_kind = scalar_rank(c) - scalar_rank(d); by_kind != 0) return by_kind;
  }
  // A string that ends is before one that goes on.
  if (c == '"' || d == '"') return c == '"' ? -1 : 1;
  return static_cast<unsigned char>(c) < static_cast<unsigned char>(d) ? -1 : 1;
}

std::string key_element(const std::vector<std::pair<std::string_view, const Json*>>& keys) {
  std::string out = "k:{";
  for (const auto& [name, value] : keys) {
    if (out.back() != '{') out += ',';
    append_json_string(out, name);
    out += ':';
    if (value->is_string()) {
      append_json_string(out, value->get_ref<const std::string&>());
    } else {
      out += base::dump_json(*value);
    }
  }
  out += '}';
  return out;
}

std::string value_element(const Json& value) {
  std::string out = "v:";
  if (value.is_string()) {
    append_json_string(out, value.get_ref<const std::string&>());
  } else {
    out += base::dump_json(value);
  }
  return out;
}

std::string element_text(std::string_view element) {
  const std::string_view rest = element.substr(std::min<size_t>(2, element.size()));
  switch (element.empty() ? ' ' : element[0]) {
    case 'f':
      return base::cat(".", rest);
    case 'i':
      return base::cat("[", rest, "]");
    default:
      break;
  }
  const auto tree = base::parse_json(rest);
  if (!tree.ok()) return "{{invalid path element}}";
  if (element[0] == 'v') return base::cat("[=", go_value(*tree), "]");
  std::string out = "[";
  for (const auto& [name, value] : tree->items()) {
    if (out.size() > 1) out += ',';
    out += base::cat(name, "=", go_value(value));
  }
  return out + "]";
}

FieldSet::FieldSet() = default;
FieldSet::~FieldSet() = default;
FieldSet::FieldSet(const FieldSet&) = default;
FieldSet::FieldSet(FieldSet&&) noexcept = default;
FieldSet& FieldSet::operator=(const FieldSet&) = default;
FieldSet& FieldSet::operator=(FieldSet&&) noexcept = default;

namespace {

using Entry = FieldSet::Entry;

bool before(const Entry& a, const Entry& b) { return compare_elements(a.element, b.element) < 0; }

/// The element as this room writes it. kBadRequest: malformed. An empty text: of an unknown kind.
Result<std::string> canonical(std::string_view raw) {
  std::string element = raw.find('\\') == std::string_view::npos ? std::string(raw) : unescape_json(raw);
  if (element.size() < 2 || element[1] != ':')
    return Status(Code::kBadRequest, base::cat("missing colon: ", element));
  switch (element[0]) {
    case 'f':
      return element;
    case 'i': {
      int64_t n = 0;
      const char* end = element.data() + element.size();
      if (const auto [at, error] = std::from_chars(element.data() + 2, end, n);
          error != std::errc() || at != end)
        return Status(Code::kBadRequest, base::cat("not an index: ", element));
      return element;
    }
    case 'k':
    case 'v': {
      auto tree = base::parse_json(std::string_view(element).substr(2));
      if (!tree.ok()) return tree.error();
      if (element[0] == 'v') return value_element(*tree);
      if (!tree->is_object()) return Status(Code::kBadRequest, base::cat("not keys: ", element));
      std::vector<std::pair<std::string_view, const Json*>> keys;
      for (const auto& [name, value] : tree->items()) keys.emplace_back(name, &value);
      return key_element(keys);
    }
    default:
      return std::string();
  }
}

/// Whether the set's owner is a member itself, which "." says, and so does having nothing below.
struct Parsed {
  FieldSet set;
  bool member = false;
};

constexpr int kMaxDepth = 200;

bool parse_object(JsonScanner& scanner, Parsed& out, Status& problem, int depth) {
  const auto fail = [&](std::string_view why) {
    if (problem.ok()) problem = Status(Code::kBadRequest, std::string(why));
    return false;
  };
  if (depth > kMaxDepth) return fail("fields are nested too deeply");
  if (scanner.peek() != '{') return fail("fields are no object");
  bool sorted = true;
  const bool read = scan_object(scanner, [&](std::string_view key) {
    if (key == ".") {
      out.member = true;
      return scanner.skip_value();
    }
    auto element = canonical(key);
    if (!element.ok()) {
      problem = element.error();
      return false;
    }
    if (element->empty()) return scanner.skip_value();
    Parsed inner;
    if (!parse_object(scanner, inner, problem, depth + 1)) return false;
    out.set.append(std::move(*element), inner.member, std::move(inner.set));
    const auto& all = out.set.entries();
    if (all.size() > 1) sorted = sorted && before(all[all.size() - 2], all.back());
    return true;
  });
  if (!read) return fail("fields are no JSON");
  if (out.set.empty()) out.member = true;
  if (!sorted) out.set.sort();
  return true;
}

void write(const FieldSet& set, bool member, std::string& out) {
  out += '{';
  if (member) out += "\".\":{}";
  for (const Entry& entry : set.entries()) {
    if (out.back() != '{') out += ',';
    append_json_string(out, entry.element);
    out += ':';
    if (entry.below.empty()) {
      out += "{}";
    } else {
      write(entry.below, entry.member, out);
    }
  }
  out += '}';
}

void collect(const FieldSet& set, std::vector<std::string>& path,
             std::vector<std::vector<std::string>>& out) {
  for (const Entry& entry : set.entries()) {
    if (!entry.member) continue;
    path.push_back(entry.element);
    out.push_back(path);
    path.pop_back();
  }
  for (const Entry& entry : set.entries()) {
    if (entry.below.empty()) continue;
    path.push_back(entry.element);
    collect(entry.below, path, out);
    path.pop_back();
  }
}

}  // namespace

Result<FieldSet> FieldSet::parse(std::string_view json) {
  JsonScanner scanner(json);
  Parsed out;
  Status problem;
  if (!parse_object(scanner, out, problem, 0)) return problem;
  if (!scanner.at_end()) return Status(Code::kBadRequest, "fields are no JSON");
  return std::move(out.set);
}

std::string FieldSet::json() const {
  std::string out;
  write(*this, false, out);
  return out;
}

bool FieldSet::operator==(const FieldSet& other) const {
  return entries_.size() == other.entries_.size() &&
         std::equal(entries_.begin(), entries_.end(), other.entries_.begin(),
                    [](const Entry& a, const Entry& b) {
                      return a.member == b.member && a.element == b.element && a.below == b.below;
                    });
}

const FieldSet::Entry* FieldSet::find(std::string_view element) const {
  const auto it =
      std::lower_bound(entries_.begin(), entries_.end(), element,
                       [](const Entry& a, std::string_view b) { return compare_elements(a.element, b) < 0; });
  return it != entries_.end() && it->element == element ? &*it : nullptr;
}

void FieldSet::insert(const std::vector<std::string_view>& path) {
  FieldSet* set = this;
  for (size_t i = 0; i < path.size(); ++i) {
    auto it = std::lower_bound(
        set->entries_.begin(), set->entries_.end(), path[i],
        [](const Entry& a, std::string_view b) { return compare_elements(a.element, b) < 0; });
    if (it == set->entries_.end() || it->element != path[i])
      it = set->entries_.insert(it, Entry{std::string(path[i]), false, {}});
    if (i + 1 == path.size()) it->member = true;
    set = &it->below;
  }
}

bool FieldSet::has(const std::vector<std::string>& path) const {
  const FieldSet* set = this;
  const Entry* entry = nullptr;
  for (const std::string& element : path) {
    entry = set->find(element);
    if (entry == nullptr) return false;
    set = &entry->below;
  }
  return entry != nullptr && entry->member;
}

void FieldSet::append(std::string element, bool member, FieldSet below) {
  if (!member && below.empty()) return;
  entries_.push_back(Entry{std::move(element), member, std::move(below)});
}

void FieldSet::sort() {
  std::stable_sort(entries_.begin(), entries_.end(), before);
  std::vector<Entry> distinct;
  distinct.reserve(entries_.size());
  for (Entry& entry : entries_) {
    if (distinct.empty() || distinct.back().element != entry.element) {
      distinct.push_back(std::move(entry));
      continue;
    }
    Entry& same = distinct.back();
    same.member = same.member || entry.member;
    same.below = same.below.united(entry.below);
  }
  entries_ = std::move(distinct);
}

FieldSet FieldSet::united(const FieldSet& other) const {
  FieldSet out;
  out.entries_.reserve(entries_.size() + other.entries_.size());
  auto a = entries_.begin();
  auto b = other.entries_.begin();
  while (a != entries_.end() || b != other.entries_.end()) {
    const int order = a == entries_.end()         ? 1
                      : b == other.entries_.end() ? -1
                                                  : compare_elements(a->element, b->element);
    if (order < 0) {
      out.entries_.push_back(*a++);
    } else if (order > 0) {
      out.entries_.push_back(*b++);
    } else {
      out.append(a->element, a->member || b->member, a->below.united(b->below));
      ++a, ++b;
    }
  }
  return out;
}

FieldSet FieldSet::intersected(const FieldSet& other) const {
  if (other.entries_.size() < entries_.size()) return other.intersected(*this);
  FieldSet out;
  for (const Entry& a : entries_) {
    const Entry* b = other.find(a.element);
    if (b != nullptr) out.append(a.element, a.member && b->member, a.below.intersected(b->below));
  }
  return out;
}

FieldSet::Entry* FieldSet::find(std::string_view element) {
  return const_cast<Entry*>(std::as_const(*this).find(element));  // NOLINT(*-const-cast): its own entry
}

void FieldSet::take(const FieldSet& other) {
  for (const Entry& b : other.entries_) {
    Entry* a = find(b.element);
    if (a == nullptr) continue;
    a->member = a->member && !b.member;
    a->below.take(b.below);
    if (!a->member && a->below.empty()) entries_.erase(entries_.begin() + (a - entries_.data()));
  }
}

void FieldSet::take_below(const FieldSet& other) {
  for (const Entry& b : other.entries_) {
    Entry* a = find(b.element);
    if (a == nullptr) continue;
    if (!b.member) a->below.take_below(b.below);
    if (b.member || (!a->member && a->below.empty()))
      entries_.erase(entries_.begin() + (a - entries_.data()));
  }
}

FieldSet FieldSet::without(const FieldSet& other) const {
  FieldSet out = *this;
  out.take(other);
  return out;
}

std::vector<std::vector<std::string>> FieldSet::paths() const {
  std::vector<std::vector<std::string>> out;
  std::vector<std::string> path;
  collect(*this, path, out);
  return out;
}

}  // namespace orch::api
