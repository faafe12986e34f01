// Writes JSON text front to back, for documents too large to be worth a tree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace orch::api::schema {

/// Commas are put where they belong; braces are the caller's business.
class JsonText {
 public:
  JsonText& open(char bracket) {
    separate();
    out_ += bracket;
    first_ = true;
    return *this;
  }
  JsonText& close(char bracket) {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  JsonText& key(std::string_view name) {
    text(name);
    out_ += ':';
    first_ = true;
    return *this;
  }
  JsonText& text(std::string_view value) {
    separate();
    out_ += '"';
    for (char c : value) {
      if (c == '"' || c == '\\') out_ += '\\';
      if (static_cast<unsigned char>(c) >= 0x20)
        out_ += c;  // names and enum values have no control characters
    }
    out_ += '"';
    return *this;
  }
  /// JSON as it is.
  JsonText& raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
  }
  JsonText& member(std::string_view name, std::string_view value) { return key(name).text(value); }
  JsonText& raw_member(std::string_view name, std::string_view json) { return key(name).raw(json); }

  std::string& str() { return out_; }

 private:
  void separate() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  std::string out_;
  bool first_ = true;
};

}  // namespace orch::api::schema
