#include "api/structural/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "api/go_text.h"
#include "base/json.h"

namespace orch::api::structural {

namespace {

constexpr std::string_view kInBody = " in body ";

/// One step of the way to the value at hand; made text only when something is wrong.
struct Step {
  const Step* up = nullptr;
  std::string_view name = {};
  size_t index = 0;
  bool is_index = false;
};

std::string path_of(const Step* step) {
  if (step == nullptr) return {};
  std::string path = path_of(step->up);
  if (step->is_index) return base::cat(path, "[", step->index, "]");
  return path.empty() ? std::string(step->name) : base::cat(path, ".", step->name);
}

/// What Go's %v prints of a float.
std::string float_text(double value) {
  char buffer[64];
  const int exponent = value == 0 ? 0 : static_cast<int>(std::floor(std::log10(std::abs(value))));
  constexpr int kLargest = 21, kSmallest = -4;
  const auto form =
      exponent < kSmallest || exponent >= kLargest ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, form).ptr;
  return {buffer, end};
}

struct Problem {
  enum class Kind : uint8_t { kInvalid, kRequired, kNotSupported, kTooLong, kTooMany, kType, kComposite };
  Kind kind;
  std::string path;
  Json value;           // what is shown
  std::string message;  // the validator's own words
  int64_t limit = 0;    // kTooLong, kTooMany
  const Json* supported = nullptr;
};

struct Result {
  std::vector<Problem> problems;
  int matches = 0;

  void add(Problem problem) {
    const auto same = [&](const Problem& p) {
      return p.kind == problem.kind && p.path == problem.path && p.message == problem.message;
    };
    if (std::none_of(problems.begin(), problems.end(), same)) problems.push_back(std::move(problem));
  }
  void merge(Result other) {
    for (Problem& problem : other.problems) add(std::move(problem));
    matches += other.matches;
  }
  bool valid() const { return problems.empty(); }
};

bool is_integral(double value) {
  constexpr double kLargest = 9007199254740991;
  if (std::isnan(value) || std::isinf(value) || value < -kLargest || value > kLargest) return false;
  const double whole = std::trunc(value);
  if (value == whole) return true;
  const double difference = std::abs(value - whole);
  constexpr double kEpsilon = 1e-9;
  return difference / std::min(std::abs(value) + std::abs(whole), 1.7976931348623157e308) < kEpsilon;
}

size_t rune_count(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// What a value's type is called, and its format.
std::pair<std::string_view, std::string_view> kind_of(const Json& value) {
  if (value.is_boolean()) return {"boolean", ""};
  if (value.is_string()) return {"string", ""};
  if (value.is_number_float()) return {"number", "double"};
  if (value.is_number()) return {"integer", "int64"};
  return {value.is_array() ? "array" : "object", ""};
}

std::string_view format_name(Format format) {
  static constexpr std::string_view kNames[] = {
      "",         "bsonobjectid", "uri",        "email",     "hostname",       "ipv4",         "ipv6",
      "cidr",     "mac",          "uuid",       "uuid3",     "uuid4",          "uuid5",        "isbn",
      "isbn10",   "isbn13",       "creditcard", "ssn",       "hexcolor",       "rgbcolor",     "byte",
      "password", "date",         "duration",   "date-time", "k8s-short-name", "k8s-long-name"};
  return kNames[static_cast<size_t>(format)];
}

/// The item of an old list of type map that has the keys of `item`.
const Json* same_key(const Node& list, const Json& old, const Json& item) {
  if (!item.is_object() || list.details == nullptr || list.details->map_keys.empty()) return nullptr;
  const Json* found = nullptr;
  for (const Json& candidate : old) {
    if (!candidate.is_object()) continue;
    const bool same =
        std::all_of(list.details->map_keys.begin(), list.details->map_keys.end(), [&](std::string_view key) {
          const auto a = item.find(key), b = candidate.find(key);
          return (a == item.end()) == (b == candidate.end()) && (a == item.end() || *a == *b);
        });
    if (!same) continue;
    if (found != nullptr) return nullptr;
    found = &candidate;
  }
  return found;
}

class Validator {
 public:
  /// With `old`, problems of what did not change are forgotten.
  Result check(const Node& s, const Json& value, const Json* old, const Step* at) {
    Result result = plain(s, value, old, at);
    if (!result.valid() && old != nullptr && *old == value) result.problems.clear();
    return result;
  }

 private:
  Result plain(const Node& s, const Json& value, const Json* old, const Step* at) {
    Result result;
    if (value.is_null()) {
      type(s, value, at, result);
      one_of_enum(s, value, at, result);
      return result;
    }
    const auto ran = [&result] { ++result.matches; };
    const bool typed = s.type != JsonType::kAny || s.int_or_string || format(s) != Format::kNone;
    if (typed) type(s, value, at, result), ran();
    combined(s, value, old, at, result), ran();
    if (value.is_string()) {
      text(s, value.get_ref<const std::string&>(), at, result), ran();
      if (format(s) != Format::kNone) formatted(s, value, at, result), ran();
    }
    if (value.is_number()) number(s, value, at, result), ran();
    if (value.is_array()) array(s, value, old, at, result), ran();
    one_of_enum(s, value, at, result), ran();
    if (value.is_object()) object(s, value, old, at, result), ran();
    ran();
    return result;
  }

  static Format format(const Node& s) { return s.details == nullptr ? Format::kNone : s.details->format; }

  static std::string type_list(const Node& s) {
    return s.int_or_string ? "integer,string" : std::string(type_name(s.type));
  }

  static void type_problem(std::string_view wanted, std::string_view found, const Step* at, Result& result) {
    const std::string path = path_of(at);
    result.add({Problem::Kind::kType, path, Json(std::string(found)),
                base::cat(path, kInBody, "must be of type ", wanted, ": ", go_quote(found)), 0, nullptr});
  }

  void type(const Node& s, const Json& value, const Step* at, Result& result) {
    const std::string wanted = type_list(s);
    if (value.is_null()) {
      ++result.matches;
      if (!wanted.empty() && !s.nullable) type_problem(wanted, "null", at, result);
      return;
    }
    const auto [kind, value_format] = kind_of(value);
    const bool integers = s.type == JsonType::kInteger || s.int_or_string;
    const bool numbers = s.type == JsonType::kNumber;
    const auto wants = [&](std::string_view name) {
      return s.int_or_string ? name == "integer" || name == "string" : type_name(s.type) == name;
    };
    const bool float_int = kind == "number" && integers && is_integral(value.get<double>());
    const bool fits = wants(kind) || float_int || (kind == "integer" && numbers);
    const bool lists = value.is_string() || value.is_array();
    const std::string_view wanted_format = format_name(format(s));
    if (!wanted_format.empty() && !lists && !fits)
      return type_problem(wanted_format, value_format, at, result);
    if (!wanted_format.empty() && lists && !integers && !numbers) {
      ++result.matches;
      return;
    }
    if (!fits) return type_problem(wanted, kind, at, result);
    ++result.matches;
  }

  static void invalid(const Step* at, Json value, std::string_view words, Result& result) {
    const std::string path = path_of(at);
    result.add(
        {Problem::Kind::kInvalid, path, std::move(value), base::cat(path, kInBody, words), 0, nullptr});
  }

  static void text(const Node& s, const std::string& value, const Step* at, Result& result) {
    if (s.details == nullptr) return;
    const Details& d = *s.details;
    const auto length = [&] { return static_cast<int64_t>(rune_count(value)); };
    if (d.max_length && length() > *d.max_length) {
      const std::string path = path_of(at);
      result.add({Problem::Kind::kTooLong,
                  path,
                  {},
                  base::cat(path, kInBody, "should be at most ", *d.max_length, " chars long"),
                  *d.max_length,
                  nullptr});
    } else if (d.min_length && length() < *d.min_length) {
      invalid(at, value, base::cat("should be at least ", *d.min_length, " chars long"), result);
    } else if (d.pattern != nullptr && !d.pattern->matches(value)) {
      invalid(at, value, base::cat("should match '", d.pattern->text(), "'"), result);
    }
  }

  static void formatted(const Node& s, const Json& value, const Step* at, Result& result) {
    const auto& text = value.get_ref<const std::string&>();
    if (has_format(s.details->format, text)) return;
    const std::string path = path_of(at);
    result.add(
        {Problem::Kind::kType, path, value,
         base::cat(path, kInBody, "must be of type ", format_name(s.details->format), ": ", go_quote(text)),
         0, nullptr});
  }

  static void number(const Node& s, const Json& value, const Step* at, Result& result) {
    ++result.matches;
    if (s.details == nullptr) return;
    const Details& d = *s.details;
    const bool integer = value.is_number_integer();
    if (d.multiple_of && !multiple(value, *d.multiple_of)) {
      if (*d.multiple_of <= 0) {
        const std::string path = path_of(at);
        result.add({Problem::Kind::kInvalid, path, *d.multiple_of,
                    base::cat("factor MultipleOf declared for ", path,
                              " must be positive: ", float_text(*d.multiple_of)),
                    0, nullptr});
      } else {
        invalid(at, value, base::cat("should be a multiple of ", float_text(*d.multiple_of)), result);
      }
    }
    const auto bound = [&](double limit) {
      return integer ? std::to_string(static_cast<int64_t>(limit)) : float_text(limit);
    };
    if (d.minimum && beyond(value, *d.minimum, d.exclusive_minimum, -1)) {
      invalid(
          at, value,
          base::cat(d.exclusive_minimum ? "should be greater than " : "should be greater than or equal to ",
                    bound(*d.minimum)),
          result);
    }
    if (d.maximum && beyond(value, *d.maximum, d.exclusive_maximum, 1)) {
      invalid(at, value,
              base::cat(d.exclusive_maximum ? "should be less than " : "should be less than or equal to ",
                        bound(*d.maximum)),
              result);
    }
  }

  /// Beyond the limit upwards (sign 1) or downwards (-1). Integers are compared with the limit cut to one.
  static bool beyond(const Json& value, double limit, bool exclusive, int sign) {
    if (value.is_number_integer()) {
      const auto v = value.get<int64_t>(), l = static_cast<int64_t>(limit);
      if (v == l) return exclusive;
      return sign > 0 ? v > l : v < l;
    }
    const auto v = value.get<double>();
    if (v == limit) return exclusive;
    return sign > 0 ? v > limit : v < limit;
  }

  static bool multiple(const Json& value, double factor) {
    if (factor <= 0) return false;
    if (value.is_number_integer() && is_integral(factor)) {
      const auto f = static_cast<int64_t>(factor);
      return f != 0 && value.get<int64_t>() % f == 0;
    }
    const double v = value.get<double>();
    return is_integral(factor < 1 ? 1 / factor * v : v / factor);
  }

  void array(const Node& s, const Json& value, const Json* old, const Step* at, Result& result) {
    ++result.matches;
    if (s.items != nullptr) {
      size_t index = 0;
      for (const Json& item : value) {
        const Step step{at, {}, index++, true};
        const Json* before = old != nullptr && old->is_array() && s.list_type == ListType::kMap
                                 ? same_key(s, *old, item)
                                 : nullptr;
        result.merge(check(*s.items, item, before, &step));
      }
    }
    if (s.details == nullptr) return;
    const Details& d = *s.details;
    const auto size = static_cast<int64_t>(value.size());
    if (d.min_items && size < *d.min_items)
      invalid(at, size, base::cat("should have at least ", *d.min_items, " items"), result);
    if (d.max_items && size > *d.max_items)
      too_many(at, size, *d.max_items, base::cat("should have at most ", *d.max_items, " items"), result);
    if (d.unique_items && std::set<Json>(value.begin(), value.end()).size() != value.size())
      invalid(at, Json(), "shouldn't contain duplicates", result);
  }

  static void too_many(const Step* at, int64_t size, int64_t limit, std::string_view words, Result& result) {
    const std::string path = path_of(at);
    result.add({Problem::Kind::kTooMany, path, size, base::cat(path, kInBody, words), limit, nullptr});
  }

  static void one_of_enum(const Node& s, const Json& value, const Step* at, Result& result) {
    if (s.details == nullptr || s.details->enum_values == nullptr) return;
    const Json& allowed = *s.details->enum_values;
    if (allowed.empty()) return;
    for (const Json& one : allowed) {
      if (!one.is_null() && !value.is_null() && one == value) return;
    }
    result.add({Problem::Kind::kNotSupported, path_of(at), value, {}, 0, &allowed});
  }

  void object(const Node& s, const Json& value, const Json* old, const Step* at, Result& result) {
    const auto size = static_cast<int64_t>(value.size());
    const Details* d = s.details;
    if (d != nullptr && d->min_properties && size < *d->min_properties)
      invalid(at, size, base::cat("should have at least ", *d->min_properties, " properties"), result);
    if (d != nullptr && d->max_properties && size > *d->max_properties) {
      too_many(at, size, *d->max_properties,
               base::cat("should have at most ", *d->max_properties, " properties"), result);
    }
    for (const auto& [name, member] : value.items()) {
      const Node* own = s.property(name);
      const Step step{at, name, 0, false};
      if (own == nullptr && s.has_additional && !s.additional_allowed) {
        const std::string path = path_of(at);
        result.add({Problem::Kind::kInvalid, path, Json(name),
                    base::cat(path, ".", name, kInBody, "is a forbidden property"), 0, nullptr});
        continue;
      }
      if (own == nullptr) own = s.additional;
      if (own == nullptr) continue;
      const Json* before = nullptr;
      // Kind and apiVersion of both objects are those of the version at hand, so nothing is known of theirs.
      if (old != nullptr && old->is_object() && (at != nullptr || (name != "kind" && name != "apiVersion"))) {
        if (const auto it = old->find(name); it != old->end()) before = &*it;
      }
      result.merge(check(*own, member, before, &step));
    }
    if (d == nullptr) return;
    for (const std::string_view name : d->required) {
      if (value.contains(name)) continue;
      const Step step{at, name, 0, false};
      result.add({Problem::Kind::kRequired, path_of(&step), {}, {}, 0, nullptr});
    }
  }

  static void composite(const Step* at, std::string_view words, Result& result) {
    result.add({Problem::Kind::kComposite, {}, {}, base::cat(go_quote(path_of(at)), " ", words), 0, nullptr});
  }

  void combined(const Node& s, const Json& value, const Json* old, const Step* at, Result& result) {
    ++result.matches;
    if (s.details == nullptr) return;
    const Details& d = *s.details;
    if (!d.any_of.empty()) any_of(d.any_of, value, old, at, result);
    if (!d.one_of.empty()) one_of(d.one_of, value, old, at, result);
    if (!d.all_of.empty()) all_of(d.all_of, value, old, at, result);
    if (d.negation != nullptr && plain(*d.negation, value, old, at).valid())
      composite(at, "must not validate the schema (not)", result);
  }

  void any_of(const std::vector<const Node*>& branches, const Json& value, const Json* old, const Step* at,
              Result& result) {
    std::optional<Result> best;
    for (const Node* branch : branches) {
      Result one = plain(*branch, value, old, at);
      if (one.valid()) return result.merge(std::move(one));
      if (!best || one.matches > best->matches) best = std::move(one);
    }
    composite(at, "must validate at least one schema (anyOf)", result);
    if (best) result.merge(std::move(*best));
  }

  void one_of(const std::vector<const Node*>& branches, const Json& value, const Json* old, const Step* at,
              Result& result) {
    std::optional<Result> best, first;
    int valid = 0;
    for (const Node* branch : branches) {
      Result one = plain(*branch, value, old, at);
      if (one.valid()) {
        ++valid;
        best.reset();
        if (!first) first = std::move(one);
      } else if (valid == 0 && (!best || one.matches > best->matches)) {
        best = std::move(one);
      }
    }
    if (valid == 1) return result.merge(std::move(*first));
    composite(at,
              base::cat("must validate one and only one schema (oneOf). ",
                        valid == 0 ? "Found none valid" : base::cat("Found ", valid, " valid alternatives")),
              result);
    if (best) result.merge(std::move(*best));
  }

  void all_of(const std::vector<const Node*>& branches, const Json& value, const Json* old, const Step* at,
              Result& result) {
    size_t valid = 0;
    for (const Node* branch : branches) {
      Result one = plain(*branch, value, old, at);
      if (one.valid()) ++valid;
      result.merge(std::move(one));
    }
    if (valid == branches.size()) return;
    composite(at, base::cat("must validate all the schemas (allOf)", valid == 0 ? ". None validated" : ""),
              result);
  }
};

void report(Problem problem, std::string_view base_path, FieldErrors& errors) {
  const FieldPath root(base_path.empty() ? std::string("<nil>") : std::string(base_path));
  const FieldPath path = problem.path.empty() ? root
                         : base_path.empty()  ? FieldPath(problem.path)
                                              : root.child(problem.path);
  const Json shown = problem.value.is_null() ? Json("") : std::move(problem.value);
  switch (problem.kind) {
    case Problem::Kind::kRequired:
      return errors.required(path);
    case Problem::Kind::kTooLong:
      return errors.too_long(path, static_cast<int>(problem.limit));
    case Problem::Kind::kTooMany:
      return errors.too_many(path, static_cast<int>(shown.get<int64_t>()), static_cast<int>(problem.limit));
    case Problem::Kind::kType:
      return errors.type_invalid(path, shown, problem.message);
    case Problem::Kind::kInvalid:
      return errors.invalid(path, shown, problem.message);
    case Problem::Kind::kComposite:
      return errors.invalid(root, "", problem.message);
    case Problem::Kind::kNotSupported:
      break;
  }
  std::string supported;
  for (const Json& one : *problem.supported) {
    supported += base::cat(supported.empty() ? ": supported values: " : ", ",
                           go_quote(one.is_string() ? one.get_ref<const std::string&>() : go_json(one)));
  }
  errors.add(
      {"FieldValueNotSupported",
       base::cat("Unsupported value: ",
                 problem.value.is_null() && base::is_empty_text(shown) ? "null" : go_value(shown), supported),
       path.text()});
}

// --- Lists ------------------------------------------------------------------------------------------

/// The second of each that is there more than once.
std::vector<size_t> repeated(const std::vector<Json>& values) {
  std::map<Json, int> seen;
  std::vector<size_t> out;
  for (size_t i = 0; i < values.size(); ++i) {
    if (++seen[values[i]] == 2) out.push_back(i);
  }
  return out;
}

class ListChecker {
 public:
  explicit ListChecker(FieldErrors& errors) : errors_(errors) {}

  void check(const Node& s, const Json& value, const Step* at) {
    if (!s.has_keyed_lists) return;
    if (value.is_array()) return array(s, value, at);
    if (!value.is_object()) return;
    for (const auto& [name, member] : value.items()) {
      const Node* below = s.member(name);
      if (below == nullptr) continue;
      const Step step{at, name, 0, false};
      check(*below, member, &step);
    }
  }

 private:
  void array(const Node& s, const Json& list, const Step* at) {
    if (s.list_type == ListType::kSet) {
      const std::vector<Json> items(list.begin(), list.end());
      for (const size_t i : repeated(items)) errors_.duplicate(FieldPath(path_of(at)).index(i), list[i]);
    }
    if (s.list_type == ListType::kMap) keyed(s, list, at);
    if (s.items == nullptr) return;
    size_t index = 0;
    for (const Json& item : list) {
      const Step step{at, {}, index++, true};
      check(*s.items, item, &step);
    }
  }

  void keyed(const Node& s, const Json& list, const Step* at) {
    const FieldPath path(path_of(at));
    std::vector<Json> keys;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!list[i].is_null() && !list[i].is_object()) {
        return errors_.invalid(path.index(i), list[i], "must be an object for an array of list-type map");
      }
      Json key = Json::object();
      for (const std::string_view name :
           s.details != nullptr ? s.details->map_keys : std::vector<std::string_view>()) {
        if (list[i].is_object() && list[i].contains(name))
          key[std::string(name)] = list[i][std::string(name)];
      }
      keys.push_back(std::move(key));
    }
    for (const size_t i : repeated(keys)) errors_.duplicate(path.index(i), keys[i]);
  }

  FieldErrors& errors_;
};

}  // namespace

void validate_value(const Node& schema, const Json& value, const Json* old, std::string_view base,
                    FieldErrors& errors) {
  Result result = Validator().check(schema, value, old, nullptr);
  for (Problem& problem : result.problems) report(std::move(problem), base, errors);
}

void validate_lists(const Node& schema, const Json& object, FieldErrors& errors) {
  ListChecker(errors).check(schema, object, nullptr);
}

}  // namespace orch::api::structural
