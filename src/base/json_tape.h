// JSON text as a flat list of its values: for those who read it once, in place, and need no tree of their
// own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace orch::base {

/// One value of a JsonTape. An object's members follow it as key, value, key, value; an array's items follow
/// it.
struct JsonToken {
  enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

  /// As it stands in the text; of a string what is between its quotes.
  std::string_view text;
  /// How many tokens it is, with all that is in it: the next value begins so many further on.
  uint32_t span = 1;
  Kind kind = Kind::kNull;
  /// The string has backslashes in it.
  bool escaped = false;

  const JsonToken* first() const { return this + 1; }
  const JsonToken* next() const { return this + span; }
  /// The member of that name, if it is there and not null; null too if this is no object.
  const JsonToken* member(std::string_view name) const;
  /// A string's value: `text` itself, or `scratch` where there is something to replace.
  std::string_view string(std::string& scratch) const;
  /// A number that is whole and fits.
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;
  bool is_true() const { return kind == Kind::kBool && text.front() == 't'; }
  /// As error messages name it: "object", "string", ...
  const char* kind_name() const;
};

/// The values of one text. The text must outlive it; memory is used again by the next read(). Not
/// thread-safe.
class JsonTape {
 public:
  /// False if `text` is not one JSON value. Meant for what this process has written itself: it stays within
  /// the text whatever that holds, but is no judge of grammar. Text from outside goes through parse_json().
  bool read(std::string_view text);
  /// The whole value; valid until the next read().
  const JsonToken& root() const { return tokens_.front(); }

 private:
  std::vector<JsonToken> tokens_;
  std::vector<uint32_t> open_;
};

}  // namespace orch::base
