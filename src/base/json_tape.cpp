#include "base/json_tape.h"

#include <algorithm>
#include <charconv>

#include "base/json_text.h"

namespace orch::base {

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/// The end of a string that begins at `at`, where its closing quote is; npos if it has none.
size_t string_end(std::string_view text, size_t at, bool& escaped) {
  const char* const end = text.data() + text.size();
  for (const char* c = text.data() + at; (c = find_quote_or_backslash(c, end)) != end; c += 2) {
    if (*c == '"') return static_cast<size_t>(c - text.data());
    escaped = true;
    if (end - c < 2) break;
  }
  return std::string_view::npos;
}

JsonToken::Kind literal_kind(char first) {
  if (first == 'n') return JsonToken::Kind::kNull;
  return first == 't' || first == 'f' ? JsonToken::Kind::kBool : JsonToken::Kind::kNumber;
}

std::optional<uint32_t> hex4(std::string_view text, size_t at) {
  uint32_t out = 0;
  if (at + 4 > text.size()) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + 4, out, 16);
  if (error != std::errc() || end != text.data() + at + 4) return std::nullopt;
  return out;
}

void put_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
  out += static_cast<char>(kLead[more] | c >> (6 * more));
  for (int i = more; i-- > 0;) out += static_cast<char>(0x80 | (c >> (6 * i) & 0x3f));
}

/// A \u with what is behind it, a second one where both are one character. Where `at` is after it.
size_t put_unicode(std::string& out, std::string_view text, size_t at) {
  constexpr uint32_t kReplacement = 0xfffd;
  uint32_t c = hex4(text, at).value_or(kReplacement);
  at += 4;
  if (c >= 0xd800 && c < 0xdc00 && text.substr(at, 2) == "\\u") {
    const uint32_t low = hex4(text, at + 2).value_or(0);
    if (low >= 0xdc00 && low < 0xe000) {
      put_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
      return at + 6;
    }
  }
  put_utf8(out, c >= 0xd800 && c < 0xe000 ? kReplacement : c);
  return at;
}

}  // namespace

bool JsonTape::read(std::string_view text) {
  tokens_.clear();
  tokens_.reserve(text.size() / 16);  // about as many as there are in objects
  open_.clear();
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == ',' || c == ':' || is_space(c)) {
      ++at;
    } else if (c == '{' || c == '[') {
      open_.push_back(static_cast<uint32_t>(tokens_.size()));
      tokens_.push_back(
          {text.substr(at), 1, c == '{' ? JsonToken::Kind::kObject : JsonToken::Kind::kArray, false});
      ++at;
    } else if (c == '}' || c == ']') {
      if (open_.empty()) return false;
      JsonToken& container = tokens_[open_.back()];
      if ((c == '}') != (container.kind == JsonToken::Kind::kObject)) return false;
      ++at;
      container.text = container.text.substr(0, container.text.size() - (text.size() - at));
      container.span = static_cast<uint32_t>(tokens_.size()) - open_.back();
      open_.pop_back();
    } else if (c == '"') {
      bool escaped = false;
      const size_t end = string_end(text, at + 1, escaped);
      if (end == std::string_view::npos) return false;
      tokens_.push_back({text.substr(at + 1, end - at - 1), 1, JsonToken::Kind::kString, escaped});
      at = end + 1;
    } else {
      const size_t end = std::min(text.find_first_of(",]} \t\r\n", at), text.size());
      tokens_.push_back({text.substr(at, end - at), 1, literal_kind(c), false});
      at = end;
    }
  }
  return open_.empty() && !tokens_.empty() && tokens_.front().span == tokens_.size();
}

const JsonToken* JsonToken::member(std::string_view name) const {
  if (kind != Kind::kObject) return nullptr;
  const JsonToken* end = next();
  for (const JsonToken* key = first(); key + 1 < end; key = key[1].next()) {
    if (key->text == name) return key[1].kind == Kind::kNull ? nullptr : key + 1;
  }
  return nullptr;
}

std::string_view JsonToken::string(std::string& scratch) const {
  if (!escaped) return text;
  scratch.clear();
  for (size_t at = 0; at < text.size();) {
    const char c = text[at++];
    if (c != '\\' || at == text.size()) {
      scratch += c;
      continue;
    }
    const char what = text[at++];
    if (what == 'u') {
      at = put_unicode(scratch, text, at);
      continue;
    }
    constexpr std::string_view kNames = "bfnrt", kValues = "\b\f\n\r\t";
    const size_t place = kNames.find(what);
    scratch += place == std::string_view::npos ? what : kValues[place];
  }
  return scratch;
}

std::optional<int64_t> JsonToken::integer() const {
  int64_t out = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  if (kind != Kind::kNumber || error != std::errc() || stop != end) return std::nullopt;
  return out;
}

std::optional<double> JsonToken::number() const {
  double out = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  if (kind != Kind::kNumber || error != std::errc() || stop != end) return std::nullopt;
  return out;
}

const char* JsonToken::kind_name() const {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return "boolean";
    case Kind::kNumber:
      return "number";
    case Kind::kString:
      return "string";
    case Kind::kArray:
      return "array";
    case Kind::kObject:
      return "object";
  }
  return "null";
}

}  // namespace orch::base
