#include "base/json_tree.h"

#include <string>
#include <utility>

#include "base/json.h"
#include "base/json_tape.h"
#include "base/json_text.h"

namespace orch::base {
namespace {

class TreeReader {
 public:
  TreeReader(std::string_view text, std::string_view within, std::string_view left_out)
      : at_(text.data()), end_(text.data() + text.size()), within_(within), left_out_(left_out) {}

  bool run(Json& out) { return value(out, Level::kRoot) && peek() == '\0' && at_ == end_; }

 private:
  /// Where a value stands, as far as something is left out of it.
  enum class Level : uint8_t { kRoot, kWithin, kBelow };

  /// The next byte that is not space, 0 at the end.
  char peek() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
    return at_ == end_ ? '\0' : *at_;
  }

  bool consume(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  /// A string; the view is valid until the next one.
  bool string(std::string_view& out) {
    if (!consume('"')) return false;
    const char* const begin = at_;
    bool escaped = false;
    if (!skip_string(escaped)) return false;
    out = std::string_view(begin, static_cast<size_t>(at_ - begin - 1));
    if (escaped) out = JsonToken{out, 1, JsonToken::Kind::kString, true}.string(scratch_);
    return true;
  }

  bool value(Json& out, Level level) {
    switch (peek()) {
      case '{':
        out = Json(Json::value_t::object);
        return object(out.get_ref<Json::object_t&>(), level);
      case '[':
        out = Json(Json::value_t::array);
        return array(out.get_ref<Json::array_t&>());
      case '"': {
        std::string_view text;
        if (!string(text)) return false;
        out = Json(std::string(text));
        return true;
      }
      default:
        return scalar(out);
    }
  }

  bool object(Json::object_t& members, Level level) {
    ++at_;
    if (consume('}')) return true;
    do {
      std::string_view name;
      if (!string(name)) return false;
      if (level == Level::kWithin && name == left_out_) {
        if (!consume(':') || !skip()) return false;
        continue;
      }
      const Level below = level == Level::kRoot && name == within_ ? Level::kWithin : Level::kBelow;
      // What is stored is sorted, but for its first members. Of two of one name the last one counts.
      const auto member = members.emplace_hint(members.end(), name, nullptr);
      if (!consume(':') || !value(member->second, below)) return false;
    } while (consume(','));
    return consume('}');
  }

  bool array(Json::array_t& items) {
    ++at_;
    if (consume(']')) return true;
    do {
      if (!value(items.emplace_back(), Level::kBelow)) return false;
    } while (consume(','));
    return consume(']');
  }

  bool scalar(Json& out) {
    const char* const begin = at_;
    bool whole = true;
    for (; at_ != end_; ++at_) {
      const char c = *at_;
      if (c == ',' || c == ']' || c == '}' || c == ' ' || c == '\n' || c == '\r' || c == '\t') break;
      whole = whole && c != '.' && c != 'e' && c != 'E';
    }
    const JsonToken token{{begin, static_cast<size_t>(at_ - begin)}, 1, JsonToken::Kind::kNumber, false};
    if (token.text == "null") {
      out = nullptr;
    } else if (token.text == "true" || token.text == "false") {
      out = token.text == "true";
    } else if (const auto integer = whole ? token.integer() : std::nullopt) {
      out = *integer;
    } else if (const auto number = token.number()) {
      out = *number;
    } else {
      return false;
    }
    return true;
  }

  /// Steps over the rest of a string.
  bool skip_string(bool& escaped) {
    for (;; at_ += 2) {
      at_ = find_quote_or_backslash(at_, end_);
      if (at_ == end_) return false;
      if (*at_ == '"') break;
      escaped = true;
      if (end_ - at_ < 2) return false;
    }
    ++at_;
    return true;
  }

  /// Steps over a value, up to what may follow it.
  bool skip() {
    int64_t depth = 0;
    bool escaped = false;
    while (at_ != end_) {
      switch (*at_) {
        case '"':
          ++at_;
          if (!skip_string(escaped)) return false;
          continue;
        case ',':
          if (depth == 0) return true;
          break;
        case '{':
        case '[':
          ++depth;
          break;
        case '}':
        case ']':
          if (depth == 0) return true;
          --depth;
          break;
        default:
          break;
      }
      ++at_;
    }
    return false;
  }

  const char* at_;
  const char* const end_;
  const std::string_view within_, left_out_;
  std::string scratch_;
};

}  // namespace

Json read_tree(std::string_view text, std::string_view within, std::string_view left_out) {
  Json out;
  if (!TreeReader(text, within, left_out).run(out)) return {};
  return out;
}

}  // namespace orch::base
