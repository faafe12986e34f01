#include "api/selector.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "api/field_error.h"
#include "api/go_text.h"
#include "api/names.h"
#include "base/json.h"

namespace orch::api {
namespace {

using Op = LabelRequirement::Op;

base::Status bad(std::string message) { return {base::Code::kBadRequest, std::move(message)}; }

std::optional<int64_t> parse_int64(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) return {};
  return value;
}

void check_key(const std::string& key, const FieldPath& path, FieldErrors& errors) {
  const Problems problems = check_qualified_name(key);
  if (!problems.empty()) errors.invalid(path, key, join(problems, "; "));
}

/// Every rule about a requirement, from either source of it; `op_name` only matters for unknown operators.
base::Status check_requirement(const LabelRequirement& requirement) {
  FieldErrors errors;
  check_key(requirement.key, FieldPath("key"), errors);
  const FieldPath path("values");
  const auto& values = requirement.values;
  switch (requirement.op) {
    case Op::kIn:
    case Op::kNotIn:
      if (values.empty()) {
        errors.invalid(path, Json::array(), "for 'in', 'notin' operators, values set can't be empty");
      }
      break;
    case Op::kExists:
    case Op::kDoesNotExist:
      if (!values.empty())
        errors.invalid(path, values, "values set must be empty for exists and does not exist");
      break;
    case Op::kGreaterThan:
    case Op::kLessThan:
      if (values.size() != 1) {
        errors.invalid(path, values, "for 'Gt', 'Lt' operators, exactly one value is required");
      }
      for (size_t i = 0; i < values.size(); ++i) {
        if (!parse_int64(values[i])) {
          errors.invalid(path.index(i), values[i], "for 'Gt', 'Lt' operators, the value must be an integer");
        }
      }
      break;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const Problems problems = check_label_value(values[i]);
    if (!problems.empty())
      errors.invalid(path.index(i).key(requirement.key), values[i], join(problems, "; "));
  }
  return errors.empty() ? base::ok_status() : bad(errors.text());
}

void normalize(std::vector<std::string>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

enum class Token {
  kEnd,
  kError,
  kWord,
  kClose,
  kOpen,
  kComma,
  kNot,
  kEqual,
  kEqual2,
  kNotEqual,
  kGreater,
  kLess,
  kIn,
  kNotIn
};

struct Item {
  Token token;
  std::string text;
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_special(char c) { return std::string_view("=!(),><").find(c) != std::string_view::npos; }

Token symbol(std::string_view text) {
  if (text == ")") return Token::kClose;
  if (text == "(") return Token::kOpen;
  if (text == ",") return Token::kComma;
  if (text == "!") return Token::kNot;
  if (text == "=") return Token::kEqual;
  if (text == "==") return Token::kEqual2;
  if (text == "!=") return Token::kNotEqual;
  if (text == ">") return Token::kGreater;
  if (text == "<") return Token::kLess;
  return Token::kError;
}

std::vector<Item> tokenize(std::string_view text) {
  // A zero byte ends the text, as it does for Kubernetes.
  text = text.substr(0, text.find('\0'));
  std::vector<Item> items;
  size_t i = 0;
  while (i < text.size()) {
    if (is_space(text[i])) {
      ++i;
      continue;
    }
    size_t length = 1;
    if (is_special(text[i])) {
      if (i + 1 < text.size() && symbol(text.substr(i, 2)) != Token::kError) length = 2;
      items.push_back({symbol(text.substr(i, length)), std::string(text.substr(i, length))});
    } else {
      while (i + length < text.size() && !is_special(text[i + length]) && !is_space(text[i + length]))
        ++length;
      const std::string_view word = text.substr(i, length);
      const Token token = word == "in" ? Token::kIn : word == "notin" ? Token::kNotIn : Token::kWord;
      items.push_back({token, std::string(word)});
    }
    i += length;
  }
  items.push_back({Token::kEnd, ""});
  return items;
}

/// The grammar of label selectors; "in" and "notin" are words where a key or value may stand.
class Parser {
 public:
  explicit Parser(std::string_view text) : items_(tokenize(text)) {}

  base::Status parse(std::vector<LabelRequirement>& out) {
    for (;;) {
      switch (peek()) {
        case Token::kEnd:
          return {};
        case Token::kWord:
        case Token::kNot:
          break;
        default:
          return bad(base::cat("found '", text(), "', expected: !, identifier, or 'end of string'"));
      }
      LabelRequirement requirement;
      const base::Status status = parse_requirement(requirement);
      if (!status.ok()) return bad(base::cat("unable to parse requirement: ", status.message()));
      out.push_back(std::move(requirement));
      if (peek() == Token::kEnd) return {};
      if (peek() != Token::kComma) {
        return bad(base::cat("found '", text(), "', expected: ',' or 'end of string'"));
      }
      next();
      if (peek() != Token::kWord && peek() != Token::kNot) {
        return bad(base::cat("found '", text(), "', expected: identifier after ','"));
      }
    }
  }

 private:
  Token raw() const { return items_[at_].token; }
  Token peek() const { return raw() == Token::kIn || raw() == Token::kNotIn ? Token::kWord : raw(); }
  const std::string& text() const { return items_[at_].text; }
  void next() {
    if (at_ + 1 < items_.size()) ++at_;
  }

  base::Status parse_requirement(LabelRequirement& out) {
    bool negated = false;
    if (peek() == Token::kNot) {
      negated = true;
      next();
    }
    if (peek() != Token::kWord) return bad(base::cat("found '", text(), "', expected: identifier"));
    out.key = text();
    next();
    FieldErrors errors;
    check_key(out.key, FieldPath("<nil>"), errors);
    if (!errors.empty()) return bad(errors.text());
    if (negated || peek() == Token::kEnd || peek() == Token::kComma) {
      out.op = negated ? Op::kDoesNotExist : Op::kExists;
      return check_requirement(out);
    }
    ORCH_RETURN_IF_ERROR(parse_operator(out));
    ORCH_RETURN_IF_ERROR(out.exact || out.op == Op::kGreaterThan || out.op == Op::kLessThan
                             ? parse_exact_value(out.values)
                             : parse_values(out.values));
    normalize(out.values);
    return check_requirement(out);
  }

  base::Status parse_operator(LabelRequirement& out) {
    switch (raw()) {
      case Token::kIn:
        out.op = Op::kIn;
        break;
      case Token::kNotIn:
        out.op = Op::kNotIn;
        break;
      case Token::kGreater:
        out.op = Op::kGreaterThan;
        break;
      case Token::kLess:
        out.op = Op::kLessThan;
        break;
      case Token::kEqual:
      case Token::kEqual2:
      case Token::kNotEqual:
        out.op = raw() == Token::kNotEqual ? Op::kNotIn : Op::kIn;
        out.exact = true;
        break;
      default:
        return bad(base::cat("found '", text(), "', expected: in, notin, =, ==, !=, gt, lt"));
    }
    next();
    return {};
  }

  base::Status parse_values(std::vector<std::string>& out) {
    if (peek() != Token::kOpen) return bad(base::cat("found '", text(), "' expected: '('"));
    next();
    if (peek() == Token::kClose) {
      next();
      out.emplace_back();
      return {};
    }
    if (peek() != Token::kWord && peek() != Token::kComma) {
      return bad(base::cat("found '", text(), "', expected: ',', ')' or identifier"));
    }
    for (;;) {
      std::string value;
      if (peek() == Token::kWord) {
        value = text();
        next();
      } else if (peek() != Token::kComma && peek() != Token::kClose) {
        return bad(base::cat("found '", text(), "', expected: ',', or identifier"));
      }
      out.push_back(std::move(value));
      if (peek() == Token::kClose) {
        next();
        return {};
      }
      if (peek() != Token::kComma) return bad(base::cat("found '", text(), "', expected: ',' or ')'"));
      next();
    }
  }

  base::Status parse_exact_value(std::vector<std::string>& out) {
    if (peek() == Token::kEnd || peek() == Token::kComma) {
      out.emplace_back();
      return {};
    }
    if (peek() != Token::kWord) return bad(base::cat("found '", text(), "', expected: identifier"));
    out.push_back(text());
    next();
    return {};
  }

  std::vector<Item> items_;
  size_t at_ = 0;
};

void sort_by_key(std::vector<LabelRequirement>& requirements) {
  std::stable_sort(requirements.begin(), requirements.end(),
                   [](const LabelRequirement& a, const LabelRequirement& b) { return a.key < b.key; });
}

base::Result<Op> operator_of(std::string_view name) {
  if (name == "In") return Op::kIn;
  if (name == "NotIn") return Op::kNotIn;
  if (name == "Exists") return Op::kExists;
  if (name == "DoesNotExist") return Op::kDoesNotExist;
  return bad(base::cat(go_quote(name), " is not a valid label selector operator"));
}

}  // namespace

LabelSelector LabelSelector::nothing() {
  LabelSelector selector;
  selector.nothing_ = true;
  return selector;
}

base::Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector selector;
  const base::Status status = Parser(text).parse(selector.requirements_);
  if (!status.ok()) return status;
  sort_by_key(selector.requirements_);
  return selector;
}

base::Result<LabelSelector> LabelSelector::from_tree(const Json& tree) {
  if (tree.is_null()) return nothing();
  LabelSelector selector;
  for (const auto& [key, value] : base::object_at(tree, {"matchLabels"}).items()) {
    LabelRequirement requirement{
        key, Op::kIn, {value.is_string() ? value.get_ref<const std::string&>() : std::string()}, true};
    const base::Status status = check_requirement(requirement);
    if (!status.ok()) return status;
    selector.requirements_.push_back(std::move(requirement));
  }
  for (const Json& expression : base::array_at(tree, {"matchExpressions"})) {
    const auto op = operator_of(base::string_at(expression, {"operator"}));
    if (!op.ok()) return op.error();
    LabelRequirement requirement{std::string(base::string_at(expression, {"key"})), op.value(), {}, false};
    for (const Json& value : base::array_at(expression, {"values"})) {
      if (value.is_string()) requirement.values.push_back(value.get_ref<const std::string&>());
    }
    const base::Status status = check_requirement(requirement);
    if (!status.ok()) return status;
    normalize(requirement.values);
    selector.requirements_.push_back(std::move(requirement));
  }
  sort_by_key(selector.requirements_);
  return selector;
}

LabelSelector LabelSelector::from_map(const Json& labels) {
  LabelSelector selector;
  if (!labels.is_object()) return selector;
  for (const auto& [key, value] : labels.items()) {
    if (!value.is_string()) continue;
    selector.requirements_.push_back({key, Op::kIn, {value.get_ref<const std::string&>()}, true});
  }
  return selector;
}

/// `get(key)` returns the label's value, a view without data when there is none.
template <typename Get>
bool LabelSelector::matches_with(const Get& get) const {
  if (nothing_) return false;
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const LabelRequirement& requirement) {
    const std::string_view value = get(requirement.key);
    const bool present = value.data() != nullptr;
    const auto listed = [&] {
      return std::find(requirement.values.begin(), requirement.values.end(), value) !=
             requirement.values.end();
    };
    switch (requirement.op) {
      case Op::kIn:
        return present && listed();
      case Op::kNotIn:
        return !present || !listed();
      case Op::kExists:
        return present;
      case Op::kDoesNotExist:
        return !present;
      case Op::kGreaterThan:
      case Op::kLessThan:
        break;
    }
    if (!present || requirement.values.size() != 1) return false;
    const auto have = parse_int64(value);
    const auto limit = parse_int64(requirement.values.front());
    if (!have || !limit) return false;
    return requirement.op == Op::kGreaterThan ? *have > *limit : *have < *limit;
  });
}

bool LabelSelector::matches(const Object& object) const {
  return matches_with([&](const std::string& key) { return object.label(key); });
}

bool LabelSelector::matches(const Json& labels) const {
  return matches_with([&](const std::string& key) -> std::string_view {
    if (!labels.is_object()) return {};
    const auto found = labels.find(key);
    if (found == labels.end() || !found->is_string()) return {};
    return found->get_ref<const std::string&>();
  });
}

std::string LabelSelector::text() const {
  std::string out;
  for (const LabelRequirement& requirement : requirements_) {
    if (!out.empty()) out += ',';
    if (requirement.op == Op::kDoesNotExist) out += '!';
    out += requirement.key;
    const std::string values = join(requirement.values, ",");
    switch (requirement.op) {
      case Op::kIn:
        out += requirement.exact ? "=" + values : " in (" + values + ")";
        break;
      case Op::kNotIn:
        out += requirement.exact ? "!=" + values : " notin (" + values + ")";
        break;
      case Op::kGreaterThan:
        out += ">" + values;
        break;
      case Op::kLessThan:
        out += "<" + values;
        break;
      case Op::kExists:
      case Op::kDoesNotExist:
        break;
    }
  }
  return out;
}

}  // namespace orch::api
