#include "api/structural/json_path.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <optional>

#include "base/json.h"

namespace orch::api::structural {

using base::Code;
using base::Result;
using base::Status;

namespace {

struct Step;
using Steps = std::vector<Step>;

struct Step {
  enum class Kind : uint8_t { kField, kWildcard, kRecursive, kSlice, kUnion, kFilter, kValue };
  Kind kind;
  std::string name = {};                      // kField; kFilter: the operator
  std::optional<int64_t> from = {}, to = {};  // kSlice
  int64_t stride = 1;
  bool one = false;               // kSlice: an index, `to` follows from it
  std::vector<Steps> parts = {};  // kUnion; kFilter: left and right
  Json value = nullptr;           // kValue
};

bool ends_name(char c) { return std::string_view(" \t\r\n.,[]$@{}").find(c) != std::string_view::npos; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool word(char c) {
  return digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<unsigned char>(c) >= 0x80;
}

using Found = std::vector<const Json*>;

/// Nothing when a step cannot be taken at all.
std::optional<Found> walk(const Steps& steps, Found at);

std::optional<Found> slice(const Step& step, const Found& at) {
  Found out;
  for (const Json* value : at) {
    if (value->is_null()) continue;
    if (!value->is_array()) return std::nullopt;
    const auto size = static_cast<int64_t>(value->size());
    int64_t from = step.from.value_or(0);
    int64_t to = step.to.value_or(size);
    if (step.one) to = from + 1;
    if (from < 0) from += size;
    if (to < 0 || (to == 0 && step.one)) to += size;
    if (from == to) return out;
    if (from >= size || from < 0 || to > size || to < 0 || from > to || step.stride <= 0) return std::nullopt;
    for (int64_t i = from; i < to; i += step.stride) out.push_back(&(*value)[static_cast<size_t>(i)]);
  }
  return out;
}

void descend(const Json& value, Found& out) {
  if (!value.is_structured() || value.empty()) return;
  out.push_back(&value);
  for (const Json& member : value) descend(member, out);
}

bool compare(const std::string& op, const Json& a, const Json& b) {
  const bool ordered = (a.is_number() && b.is_number()) || (a.is_string() && b.is_string());
  if (op == "==") return a == b;
  if (op == "!=") return a != b;
  if (!ordered) return false;
  if (op == "<") return a < b;
  if (op == ">") return a > b;
  if (op == "<=") return a <= b;
  return op == ">=" && a >= b;
}

std::optional<Found> filter(const Step& step, const Found& at) {
  Found out;
  for (const Json* value : at) {
    if (!value->is_array()) return std::nullopt;
    for (const Json& item : *value) {
      const auto left = walk(step.parts[0], {&item});
      if (step.name == "exists") {
        if (left && !left->empty()) out.push_back(&item);
        continue;
      }
      if (!left) return std::nullopt;
      const auto right = walk(step.parts[1], {&item});
      if (!right || left->size() > 1 || right->size() > 1) return std::nullopt;
      if (left->empty() || right->empty()) continue;
      if (compare(step.name, *left->front(), *right->front())) out.push_back(&item);
    }
  }
  return out;
}

std::optional<Found> take(const Step& step, const Found& at) {
  Found out;
  switch (step.kind) {
    case Step::Kind::kField:
      for (const Json* value : at) {
        if (!value->is_object()) continue;
        if (const auto it = value->find(step.name); it != value->end()) out.push_back(&*it);
      }
      return out;
    case Step::Kind::kWildcard:
      for (const Json* value : at) {
        if (!value->is_structured()) continue;
        for (const Json& member : *value) out.push_back(&member);
      }
      return out;
    case Step::Kind::kRecursive:
      for (const Json* value : at) descend(*value, out);
      return out;
    case Step::Kind::kUnion:
      for (const Steps& part : step.parts) {
        const auto some = walk(part, at);
        if (!some) return std::nullopt;
        out.insert(out.end(), some->begin(), some->end());
      }
      return out;
    case Step::Kind::kValue:
      out.assign(at.size(), &step.value);
      return out;
    case Step::Kind::kSlice:
      return slice(step, at);
    case Step::Kind::kFilter:
      return filter(step, at);
  }
  return out;
}

std::optional<Found> walk(const Steps& steps, Found at) {
  for (const Step& step : steps) {
    auto next = take(step, at);
    if (!next) return std::nullopt;
    at = std::move(*next);
  }
  return at;
}

}  // namespace

struct JsonPath::Rep {
  Steps steps;
};

JsonPath::JsonPath() : rep_(std::make_unique<Rep>()) {}
JsonPath::~JsonPath() = default;

std::vector<const Json*> JsonPath::find(const Json& tree) const {
  auto found = walk(rep_->steps, {&tree});
  return found ? std::move(*found) : Found();
}

class JsonPathParser {
 public:
  explicit JsonPathParser(std::string_view text, int depth = 0) : text_(text), depth_(depth) {}

  Result<Steps> parse() {
    constexpr int kDeepest = 16;
    if (depth_ > kDeepest) return bad("nested too deeply");
    Steps steps;
    while (at_ < text_.size()) ORCH_RETURN_IF_ERROR(next(steps));
    return steps;
  }

  static std::shared_ptr<const JsonPath> make(Steps steps) {
    auto path = std::shared_ptr<JsonPath>(new JsonPath());
    path->rep_->steps = std::move(steps);
    return path;
  }

 private:
  static Status bad(std::string_view why) { return {Code::kBadRequest, std::string(why)}; }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  Status next(Steps& steps) {
    const std::string_view rest = text_.substr(at_);
    if (rest.substr(0, 3) == "[?(") return filter(steps);
    if (rest.substr(0, 2) == "..") {
      if (!steps.empty() && steps.back().kind == Step::Kind::kRecursive)
        return bad("invalid multiple recursive descent");
      at_ += 2;
      steps.push_back({Step::Kind::kRecursive});
      if (word(peek())) field(steps);
      return {};
    }
    const char c = peek();
    if (c == ' ' || c == '@' || c == '$') {
      ++at_;
      return {};
    }
    if (c == '[') return array(steps);
    if (c == '"' || c == '\'') return quoted(steps, c);
    if (c == '.') {
      ++at_;
      field(steps);
      return {};
    }
    if (c == '+' || c == '-' || digit(c)) return number(steps);
    if (word(c)) return identifier(steps);
    return bad(base::cat("unrecognized character in action: '", c, "'"));
  }

  void field(Steps& steps) {
    std::string name;
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        name += text_[++at_];
      } else if (ends_name(text_[at_])) {
        break;
      } else {
        name += text_[at_];
      }
    }
    if (name == "*") {
      steps.push_back({Step::Kind::kWildcard});
    } else {
      steps.push_back({Step::Kind::kField, std::move(name)});
    }
  }

  Status number(Steps& steps) {
    const size_t begin = at_;
    if (peek() == '+' || peek() == '-') ++at_;
    while (digit(peek()) || peek() == '.') ++at_;
    const std::string text(text_.substr(begin, at_ - begin));
    auto value = base::parse_json(text.front() == '+' ? text.substr(1) : text);
    if (!value.ok() || !value->is_number()) return bad(base::cat("cannot parse number ", text));
    Step step{Step::Kind::kValue};
    step.value = std::move(*value);
    steps.push_back(std::move(step));
    return {};
  }

  Status identifier(Steps& steps) {
    const size_t begin = at_;
    while (at_ < text_.size() && !ends_name(text_[at_])) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (name != "true" && name != "false") return bad(base::cat("unrecognized identifier ", name));
    Step step{Step::Kind::kValue};
    step.value = name == "true";
    steps.push_back(std::move(step));
    return {};
  }

  Status quoted(Steps& steps, char quote) {
    std::string text;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      text += text_[at_];
    }
    if (at_ == text_.size()) return bad("unterminated quoted string");
    ++at_;
    Step step{Step::Kind::kValue};
    step.value = std::move(text);
    steps.push_back(std::move(step));
    return {};
  }

  Status array(Steps& steps) {
    const size_t close = text_.find(']', at_);
    if (close == std::string_view::npos) return bad("unterminated array");
    std::string_view inside = text_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    if (inside == "*") inside = ":";
    if (inside.find(',') != std::string_view::npos) return parts(steps, inside);
    if (inside.size() >= 2 && (inside.front() == '\'' || inside.front() == '"') &&
        inside.back() == inside.front()) {
      JsonPathParser key(inside.substr(1, inside.size() - 2));
      key.field(steps);
      // A dotted key in quotes is a path within, as the library has it.
      while (key.at_ < key.text_.size()) ORCH_RETURN_IF_ERROR(key.next(steps));
      return {};
    }
    return indices(steps, inside);
  }

  Status parts(Steps& steps, std::string_view inside) {
    Step step{Step::Kind::kUnion};
    while (true) {
      const size_t comma = inside.find(',');
      std::string_view one = inside.substr(0, comma);
      while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
      while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
      auto part = JsonPathParser(base::cat("[", one, "]"), depth_ + 1).parse_owned();
      if (!part.ok()) return part.error();
      step.parts.push_back(std::move(*part));
      if (comma == std::string_view::npos) break;
      inside.remove_prefix(comma + 1);
    }
    steps.push_back(std::move(step));
    return {};
  }

  Result<Steps> parse_owned() { return parse(); }

  static Status indices(Steps& steps, std::string_view inside) {
    Step step{Step::Kind::kSlice};
    const std::string whole(inside);
    int part = 0;
    while (true) {
      const size_t colon = inside.find(':');
      const std::string_view text = inside.substr(0, colon);
      int64_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (!text.empty() && (error != std::errc() || end != text.data() + text.size()))
        return bad(base::cat("invalid array index ", whole));
      if (!text.empty() && part == 0) step.from = value;
      if (!text.empty() && part == 1) step.to = value;
      if (!text.empty() && part == 2) step.stride = value;
      ++part;
      if (colon == std::string_view::npos) break;
      inside.remove_prefix(colon + 1);
    }
    if (part > 3 || (part == 1 && !step.from)) return bad(base::cat("invalid array index ", whole));
    step.one = part == 1;
    steps.push_back(std::move(step));
    return {};
  }

  /// The end of a filter's expression: its closing parenthesis, outside of quotes.
  size_t filter_end() const {
    char quote = 0;
    for (size_t i = at_; i < text_.size(); ++i) {
      const char c = text_[i];
      if (quote != 0) {
        if (c == quote && text_[i - 1] != '\\') quote = 0;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == ')') {
        return i;
      }
    }
    return std::string_view::npos;
  }

  Status filter(Steps& steps) {
    at_ += 3;
    const size_t end = filter_end();
    if (end == std::string_view::npos) return bad("unterminated filter");
    if (end + 1 >= text_.size() || text_[end + 1] != ']') return bad("unclosed array expect ]");
    const std::string_view inside = text_.substr(at_, end - at_);
    at_ = end + 2;
    Step step{Step::Kind::kFilter};
    step.name = "exists";
    const size_t op = inside.find_first_of("!<>=");
    std::vector<std::string_view> sides = {inside};
    if (op != std::string_view::npos && op > 0) {
      const size_t after = inside.find_first_not_of("!<>=", op);
      if (after != std::string_view::npos) {
        step.name = inside.substr(op, after - op);
        sides = {inside.substr(0, op), inside.substr(after)};
      }
    }
    for (const std::string_view side : sides) {
      auto part = JsonPathParser(side, depth_ + 1).parse();
      if (!part.ok()) return part.error();
      step.parts.push_back(std::move(*part));
    }
    steps.push_back(std::move(step));
    return {};
  }

  std::string_view text_;
  const int depth_;
  size_t at_ = 0;
};

Result<std::shared_ptr<const JsonPath>> JsonPath::parse(std::string_view text) {
  auto steps = JsonPathParser(text).parse();
  if (!steps.ok()) return steps.error();
  return JsonPathParser::make(std::move(*steps));
}

}  // namespace orch::api::structural
