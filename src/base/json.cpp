#include "base/json.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

template class nlohmann::basic_json<>;

namespace orch::base {
namespace {

// Builds the tree while the library's (non-recursive) parser reads, so that depth and repeated keys are
// seen as they happen.
class TreeBuilder {
 public:
  TreeBuilder(Json& root, const JsonParseOptions& options) : root_(root), options_(options) {}

  bool null() { return put(Json(nullptr)); }
  bool boolean(bool v) { return put(Json(v)); }
  bool number_integer(int64_t v) { return put(Json(v)); }
  bool number_unsigned(uint64_t v) {
    // Go decodes what does not fit int64 as a float; one integer type for all the rest.
    if (v > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return put(Json(static_cast<double>(v)));
    return put(Json(static_cast<int64_t>(v)));
  }
  bool number_float(double v, const std::string&) { return put(Json(v)); }
  bool string(std::string& v) { return put(Json(std::move(v))); }
  bool binary(Json::binary_t&) { return false; }

  bool start_object(size_t) { return open(Json(Json::value_t::object)); }
  bool start_array(size_t) { return open(Json(Json::value_t::array)); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Frame& top = stack_.back();
    auto& members = top.node->get_ref<Json::object_t&>();
    auto [it, inserted] = members.try_emplace(std::move(name));
    top.key = &it->first;
    top.slot = &it->second;
    if (!inserted && options_.duplicates) note_duplicate();
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) {
    position_ = position;
    out_of_range_ = e.id == 406;  // a number too large for a double
    return false;
  }

  size_t position() const { return position_; }
  bool out_of_range() const { return out_of_range_; }
  bool too_deep() const { return too_deep_; }

 private:
  struct Frame {
    Json* node;
    const std::string* key = nullptr;  // of the member being read, when node is an object
    Json* slot = nullptr;
  };

  Json* place(Json&& value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Frame& top = stack_.back();
    if (top.node->is_array()) {
      auto& items = top.node->get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    *top.slot = std::move(value);
    return top.slot;
  }

  bool put(Json&& value) {
    place(std::move(value));
    return true;
  }

  bool open(Json&& value) {
    if (stack_.size() >= static_cast<size_t>(options_.max_depth)) {
      too_deep_ = true;
      return false;
    }
    Json* node = place(std::move(value));
    stack_.push_back({node});
    return true;
  }

  bool close() {
    stack_.pop_back();
    return true;
  }

  // "spec.containers[0].name": as sigs.k8s.io/json names fields in strict errors.
  void note_duplicate() {
    constexpr size_t kMost = 100;
    if (options_.duplicates->size() >= kMost) return;
    std::string path;
    for (const Frame& frame : stack_) {
      if (frame.node->is_array()) {
        path += cat("[", frame.node->size() - 1, "]");
      } else {
        if (!path.empty()) path += '.';
        path += *frame.key;
      }
    }
    auto& all = *options_.duplicates;
    if (std::find(all.begin(), all.end(), path) == all.end()) all.push_back(std::move(path));
  }

  Json& root_;
  const JsonParseOptions& options_;
  std::vector<Frame> stack_;
  size_t position_ = 0;
  bool out_of_range_ = false;
  bool too_deep_ = false;
};

// Length of the valid UTF-8 sequence at text[i], 0 if there is none.
size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) -> unsigned {
    return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U;
  };
  const auto tail = [&](size_t k, unsigned low = 0x80, unsigned high = 0xBF) {
    return byte(k) >= low && byte(k) <= high;
  };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return tail(1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) {
    const unsigned low = b == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = b == 0xED ? 0x9F : 0xBF;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    const unsigned low = b == 0xF0 ? 0x90 : 0x80;
    const unsigned high = b == 0xF4 ? 0x8F : 0xBF;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

// The value of \uXXXX at text[i], or -1.
int escape_at(std::string_view text, size_t i) {
  if (i + 6 > text.size() || text[i] != '\\' || text[i + 1] != 'u') return -1;
  int v = 0;
  for (size_t k = i + 2; k < i + 6; ++k) {
    const char c = text[k];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    v = v * 16 + digit;
  }
  return v;
}

// Go's decoder takes invalid UTF-8 and lone surrogate escapes as U+FFFD; the library refuses them. Returns
// the text with both replaced, empty if there is nothing to replace.
std::string repaired(std::string_view text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  bool changed = false;
  out.reserve(text.size() + 16);
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\\') {
      const int first = escape_at(text, i);
      if (first >= 0xD800 && first <= 0xDFFF) {
        const int second = first < 0xDC00 ? escape_at(text, i + 6) : -1;
        if (second >= 0xDC00 && second <= 0xDFFF) {
          out += text.substr(i, 12);
          i += 12;
        } else {
          out += kReplacement;
          i += 6;
          changed = true;
        }
      } else {
        const size_t n = std::min<size_t>(2, text.size() - i);  // the escaped byte is not looked at again
        out += text.substr(i, n);
        i += n;
      }
      continue;
    }
    const size_t n = utf8_length(text, i);
    if (n == 0) {
      out += kReplacement;
      changed = true;
      ++i;
    } else {
      out += text.substr(i, n);
      i += n;
    }
  }
  return changed ? out : std::string();
}

std::string printable(char c) {
  const auto u = static_cast<unsigned char>(c);
  if (u >= 0x20 && u < 0x7F) return std::string(1, c);
  constexpr char kHex[] = "0123456789abcdef";
  return {'\\', 'x', kHex[u >> 4], kHex[u & 15]};
}

Status describe(std::string_view text, const TreeBuilder& builder) {
  if (builder.too_deep()) return Status(Code::kBadRequest, "exceeded max depth");
  const size_t at = builder.position() == 0 ? 0 : builder.position() - 1;
  if (builder.out_of_range()) {
    return Status(Code::kBadRequest, cat("number out of range in JSON before offset ", builder.position()));
  }
  if (at >= text.size()) {
    return Status(Code::kBadRequest, cat("unexpected end of JSON input at offset ", text.size()));
  }
  return Status(Code::kBadRequest,
                cat("invalid character '", printable(text[at]), "' in JSON at offset ", at));
}

Status parse_into(Json& tree, std::string_view text, const JsonParseOptions& options) {
  TreeBuilder builder(tree, options);
  try {
    if (Json::sax_parse(text.begin(), text.end(), &builder)) return {};
  } catch (const std::exception& e) {
    return Status(Code::kBadRequest, cat("invalid JSON: ", e.what()));
  }
  return describe(text, builder);
}

std::string as_the_library(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool stands_for_itself(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u >= 0x20 && u < 0x7F && c != '"' && c != '\\';
}

void write_string(std::string& out, const std::string& text) {
  if (!std::all_of(text.begin(), text.end(), stands_for_itself)) {
    out += as_the_library(text);
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

// What the library's dump() writes, which takes several times as long: it looks at each byte in turn.
void write_value(std::string& out, const Json& value) {
  switch (value.type()) {
    case Json::value_t::object: {
      char before = '{';
      for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
        out += std::exchange(before, ',');
        write_string(out, name);
        out += ':';
        write_value(out, member);
      }
      out += value.empty() ? "{}" : "}";
      break;
    }
    case Json::value_t::array: {
      char before = '[';
      for (const Json& item : value.get_ref<const Json::array_t&>()) {
        out += std::exchange(before, ',');
        write_value(out, item);
      }
      out += value.empty() ? "[]" : "]";
      break;
    }
    case Json::value_t::string:
      write_string(out, value.get_ref<const std::string&>());
      break;
    case Json::value_t::boolean:
      out += value.get<bool>() ? "true" : "false";
      break;
    case Json::value_t::number_integer:
      out += std::to_string(value.get<int64_t>());
      break;
    default:
      out += as_the_library(value);
  }
}

// Never destroyed: threads may still look at them while the process ends.
const Json& empty_array() {
  static const Json& empty = *new Json(Json::array());
  return empty;
}

const Json& empty_object() {
  static const Json& empty = *new Json(Json::object());
  return empty;
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonParseOptions& options) {
  // A byte order mark and a NUL are errors, as in Go; the library would skip the one and end at the other.
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    return Status(Code::kBadRequest, "invalid character '\\xef' in JSON at offset 0");
  }
  if (const size_t at = text.find('\0'); at != std::string_view::npos) {
    return Status(Code::kBadRequest, cat("invalid character '\\x00' in JSON at offset ", at));
  }
  Json tree;
  const size_t known = options.duplicates ? options.duplicates->size() : 0;
  Status status = parse_into(tree, text, options);
  if (status.ok()) return tree;
  const std::string better = repaired(text);
  if (better.empty()) return status;
  tree = nullptr;
  if (options.duplicates) options.duplicates->resize(known);
  if (parse_into(tree, better, options).ok()) return tree;
  return status;
}

std::string dump_json(const Json& tree) {
  std::string out;
  write_value(out, tree);
  return out;
}

const Json* find_path(const Json& tree, std::initializer_list<std::string_view> path) {
  const Json* at = &tree;
  for (const std::string_view step : path) {
    if (!at->is_object()) return nullptr;
    const auto& members = at->get_ref<const Json::object_t&>();
    const auto it = members.find(step);
    if (it == members.end()) return nullptr;
    at = &it->second;
  }
  return at;
}

std::string_view string_at(const Json& tree, std::initializer_list<std::string_view> path,
                           std::string_view fallback) {
  const Json* at = find_path(tree, path);
  return at && at->is_string() ? std::string_view(at->get_ref<const std::string&>()) : fallback;
}

int64_t int_at(const Json& tree, std::initializer_list<std::string_view> path, int64_t fallback) {
  const Json* at = find_path(tree, path);
  return at && at->is_number_integer() ? at->get<int64_t>() : fallback;
}

bool is_empty_text(const Json& value) {
  return value.is_string() && value.get_ref<const std::string&>().empty();
}

bool bool_at(const Json& tree, std::initializer_list<std::string_view> path, bool fallback) {
  const Json* at = find_path(tree, path);
  return at && at->is_boolean() ? at->get<bool>() : fallback;
}

const Json& array_at(const Json& tree, std::initializer_list<std::string_view> path) {
  const Json* at = find_path(tree, path);
  return at && at->is_array() ? *at : empty_array();
}

const Json& object_at(const Json& tree, std::initializer_list<std::string_view> path) {
  const Json* at = find_path(tree, path);
  return at && at->is_object() ? *at : empty_object();
}

}  // namespace orch::base
