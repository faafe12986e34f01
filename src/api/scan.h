// A cursor over JSON text that allocates nothing: for finding a few members in objects that are held as
// bytes. It checks the structure only as far as it needs to step over values; text from outside goes through
// base::parse_json first.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

namespace orch::api {

/// Not thread-safe; the text must outlive it. Functions return false, and the cursor stays where it failed,
/// when the text is not what was asked for.
class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text)
      : begin_(text.data()), at_(text.data()), end_(text.data() + text.size()) {}

  size_t offset() const { return static_cast<size_t>(at_ - begin_); }
  /// The next byte that is not space, 0 at the end.
  char peek();
  bool at_end() { return peek() == 0; }
  /// Steps over `c` if it comes next.
  bool consume(char c);
  /// A string; `raw` is what stands between the quotes, still escaped.
  bool string(std::string_view& raw);
  /// `"key":`
  bool key(std::string_view& raw) { return string(raw) && consume(':'); }
  /// Any value; `raw` is its text.
  bool value(std::string_view& raw);
  bool skip_value();

 private:
  bool skip_string();
  bool skip_container();
  bool skip_scalar();

  const char* begin_;
  const char* at_;
  const char* end_;
};

/// Steps through an object; `on_member(raw_key)` must consume the value and return false to give up.
template <typename OnMember>
bool scan_object(JsonScanner& scanner, OnMember&& on_member) {
  if (!scanner.consume('{')) return false;
  if (scanner.consume('}')) return true;
  do {
    std::string_view key;
    if (!scanner.key(key) || !on_member(key)) return false;
  } while (scanner.consume(','));
  return scanner.consume('}');
}

/// Steps through an array; `on_item()` must consume the item and return false to give up.
template <typename OnItem>
bool scan_array(JsonScanner& scanner, OnItem&& on_item) {
  if (!scanner.consume('[')) return false;
  if (scanner.consume(']')) return true;
  do {
    if (!on_item()) return false;
  } while (scanner.consume(','));
  return scanner.consume(']');
}

/// The text of the value at a path of object keys; a view without data when there is none.
std::string_view raw_value(std::string_view json, std::initializer_list<std::string_view> path);
/// Whether `json` has `part` in it somewhere: a first look that costs little, before one at what it means.
bool mentions(std::string_view json, std::string_view part);
/// What a raw JSON value means as text: strings without quotes and escapes, other scalars as they stand,
/// "" for null, objects and arrays.
std::string scalar_text(std::string_view raw);
/// Resolves the escapes of a string's content. Broken escapes become U+FFFD.
std::string unescape_json(std::string_view content);
/// Appends `text` as a JSON string with quotes, escaped as dump_json does.
void append_json_string(std::string& out, std::string_view text);

}  // namespace orch::api
