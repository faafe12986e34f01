// The standard and extended string functions.
#include "api/cel/format_text.h"
#include "api/cel/functions.h"

namespace orch::api::cel {

namespace {

using Kind = Value::Kind;
using A = ValueAccess;

int64_t integer(const Value& v) { return A::integer(v); }

Value out_of_range(int64_t index) { return Value::error("index out of range: " + std::to_string(index)); }

// These three take any values and tell themselves what they can do.
bool two_texts(const Value* a) { return a[0].kind() == Kind::kString && a[1].kind() == Kind::kString; }
Value contains_text(const Value* a, size_t) {
  if (!two_texts(a)) return no_such_overload();
  return Value::of(text_of(a[0]).find(text_of(a[1])) != std::string::npos);
}
Value starts_with(const Value* a, size_t) {
  return two_texts(a) ? Value::of(text_of(a[0]).starts_with(text_of(a[1]))) : no_such_overload();
}
Value ends_with(const Value* a, size_t) {
  return two_texts(a) ? Value::of(text_of(a[0]).ends_with(text_of(a[1]))) : no_such_overload();
}

Value char_at(const Value* a, size_t) {
  const std::u32string runes = runes_of(text_of(a[0]));
  const int64_t i = integer(a[1]);
  if (i < 0 || i > static_cast<int64_t>(runes.size())) return out_of_range(i);
  return Value::of(utf8_of(runes.substr(static_cast<size_t>(i), 1)));
}

Value index_of(const Value* a, size_t count) {
  const std::u32string runes = runes_of(text_of(a[0]));
  const std::u32string wanted = runes_of(text_of(a[1]));
  const int64_t from = count == 3 ? integer(a[2]) : 0;
  if (wanted.empty()) return Value::of(from);
  if (from < 0) return out_of_range(from);
  if (from >= static_cast<int64_t>(runes.size())) return Value::of(int64_t{-1});
  const size_t at = runes.find(wanted, static_cast<size_t>(from));
  return Value::of(at == std::u32string::npos ? int64_t{-1} : static_cast<int64_t>(at));
}

Value last_index_of(const Value* a, size_t count) {
  const std::u32string runes = runes_of(text_of(a[0]));
  const std::u32string wanted = runes_of(text_of(a[1]));
  const auto size = static_cast<int64_t>(runes.size());
  if (wanted.empty()) return Value::of(count == 3 ? integer(a[2]) : size);
  if (count == 2 && text_of(a[0]).size() < text_of(a[1]).size()) return Value::of(int64_t{-1});
  const int64_t from = count == 3 ? integer(a[2]) : size - 1;
  if (from < 0) return out_of_range(from);
  if (from >= size) return Value::of(int64_t{-1});
  const size_t at = runes.rfind(wanted, static_cast<size_t>(from));
  return Value::of(at == std::u32string::npos ? int64_t{-1} : static_cast<int64_t>(at));
}

Value change_case(const Value& text, char first, char last, int by) {
  std::string out = text_of(text);
  for (char& c : out) {
    if (c >= first && c <= last) c = static_cast<char>(c + by);
  }
  return Value::of(std::move(out));
}
Value lower(const Value* a, size_t) { return change_case(a[0], 'A', 'Z', 32); }
Value upper(const Value* a, size_t) { return change_case(a[0], 'a', 'z', -32); }

/// Length in bytes of the character at a place.
size_t rune_length(const std::string& text, size_t at) {
  size_t length = 1;
  while (at + length < text.size() && (static_cast<unsigned char>(text[at + length]) & 0xC0) == 0x80)
    ++length;
  return length;
}

Value replace(const Value* a, size_t count) {
  const std::string& text = text_of(a[0]);
  const std::string& old = text_of(a[1]);
  const std::string& with = text_of(a[2]);
  int64_t left = count == 4 ? integer(a[3]) : -1;
  if (left < 0) left = INT64_MAX;
  std::string out;
  size_t at = 0;
  if (old.empty()) {  // between all characters
    while (left > 0) {
      out += with;
      --left;
      if (at >= text.size()) break;
      const size_t length = rune_length(text, at);
      out += text.substr(at, length);
      at += length;
    }
    return Value::of(out + text.substr(std::min(at, text.size())));
  }
  while (left-- > 0) {
    const size_t found = text.find(old, at);
    if (found == std::string::npos) break;
    out += text.substr(at, found - at) + with;
    at = found + old.size();
  }
  return Value::of(out + text.substr(at));
}

Value split(const Value* a, size_t count) {
  const std::string& text = text_of(a[0]);
  const std::string& separator = text_of(a[1]);
  int64_t most = count == 3 ? integer(a[2]) : -1;
  std::vector<Value> parts;
  if (most == 0) return Value::list({});
  if (most < 0) most = INT64_MAX;
  size_t at = 0;
  if (separator.empty()) {
    while (at < text.size() && static_cast<int64_t>(parts.size()) + 1 < most) {
      const size_t length = rune_length(text, at);
      parts.push_back(Value::of(text.substr(at, length)));
      at += length;
    }
    if (at < text.size()) parts.push_back(Value::of(text.substr(at)));
    return Value::list(std::move(parts));
  }
  while (static_cast<int64_t>(parts.size()) + 1 < most) {
    const size_t found = text.find(separator, at);
    if (found == std::string::npos) break;
    parts.push_back(Value::of(text.substr(at, found - at)));
    at = found + separator.size();
  }
  parts.push_back(Value::of(text.substr(at)));
  return Value::list(std::move(parts));
}

Value join(const Value* a, size_t count) {
  const std::string separator = count == 2 ? text_of(a[1]) : "";
  std::string out;
  for (size_t i = 0; i < static_cast<size_t>(*size_of(a[0])); ++i) {
    const Value item = list_item(a[0], i);
    if (item.kind() != Kind::kString) return Value::error("join: invalid input: " + plain_text(item));
    if (i > 0) out += separator;
    out += text_of(item);
  }
  return Value::of(std::move(out));
}

Value substring(const Value* a, size_t count) {
  const std::u32string runes = runes_of(text_of(a[0]));
  const auto size = static_cast<int64_t>(runes.size());
  const int64_t start = integer(a[1]);
  const int64_t end = count == 3 ? integer(a[2]) : size;
  if (count == 3 && start > end) {
    return Value::error("invalid substring range. start: " + std::to_string(start) +
                        ", end: " + std::to_string(end));
  }
  if (start < 0 || start > size) return out_of_range(start);
  if (end < 0 || end > size) return out_of_range(end);
  return Value::of(utf8_of(runes.substr(static_cast<size_t>(start), static_cast<size_t>(end - start))));
}

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

Value trim(const Value* a, size_t) {
  const std::u32string runes = runes_of(text_of(a[0]));
  size_t begin = 0;
  size_t end = runes.size();
  while (begin < end && is_space(runes[begin])) ++begin;
  while (end > begin && is_space(runes[end - 1])) --end;
  return Value::of(utf8_of(runes.substr(begin, end - begin)));
}

Value quote(const Value* a, size_t) {
  std::string out = "\"";
  for (const char c : utf8_of(runes_of(text_of(a[0])))) {
    static constexpr std::string_view kSpecial = "\a\b\f\n\r\t\v\\\"";
    static constexpr std::string_view kNames = "abfnrtv\\\"";
    const size_t special = kSpecial.find(c);
    if (special != std::string_view::npos) {
      out += '\\';
      out += kNames[special];
    } else {
      out += c;
    }
  }
  return Value::of(out + "\"");
}

Value format(const Value* a, size_t) { return format_values(text_of(a[0]), a[1]); }

Value escape_key(const Value* a, size_t) {
  std::string out;
  for (const char c : text_of(a[0])) {
    if (c == '/') {
      out += "~1";
    } else if (c == '~') {
      out += "~0";
    } else {
      out += c;
    }
  }
  return Value::of(std::move(out));
}

constexpr Binding kBindings[] = {
    {"contains_string", contains_text},
    {"starts_with_string", starts_with},
    {"ends_with_string", ends_with},
    {"string_char_at_int", char_at},
    {"string_index_of_string", index_of},
    {"string_index_of_string_int", index_of},
    {"string_last_index_of_string", last_index_of},
    {"string_last_index_of_string_int", last_index_of},
    {"string_lower_ascii", lower},
    {"string_upper_ascii", upper},
    {"string_replace_string_string", replace},
    {"string_replace_string_string_int", replace},
    {"string_split_string", split},
    {"string_split_string_int", split},
    {"list_join", join},
    {"list_join_string", join},
    {"string_substring_int", substring},
    {"string_substring_int_int", substring},
    {"string_trim", trim},
    {"strings_quote", quote},
    {"string_format", format},
    {"string_jsonpatch_escapeKey_string", escape_key},
};

}  // namespace

std::span<const Binding> string_bindings() { return kBindings; }

}  // namespace orch::api::cel
