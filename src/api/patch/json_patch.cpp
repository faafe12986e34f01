// RFC 6902 and RFC 7386.
#include <algorithm>
#include <charconv>
#include <optional>

#include "api/go_text.h"
#include "api/patch/patch.h"
#include "base/json.h"

namespace orch::api {
namespace {

using Path = std::vector<std::string>;

constexpr size_t kMaxOperations = 10000;
constexpr size_t kMaxCopied = 3UL << 20;
/// As deep as base::parse_json allows.
constexpr size_t kMaxDepth = 1000;

/// Why an operation does not apply.
base::Status failed(std::string why) { return {base::Code::kInvalid, std::move(why)}; }

base::Status rejected(const base::Status& why) {
  base::StatusDetails details;
  details.causes.push_back({"UnexpectedServerResponse", why.message(), ""});
  return {base::Code::kInvalid, "the server rejected our request due to an error in our request",
          std::move(details)};
}

const char* go_kind(const Json& value) {
  switch (value.type()) {
    case Json::value_t::object:
      return "object";
    case Json::value_t::array:
      return "array";
    case Json::value_t::string:
      return "string";
    case Json::value_t::boolean:
      return "bool";
    case Json::value_t::null:
      return "null";
    default:
      return "number";
  }
}

base::Status cannot_decode(const Json& value, std::string_view into) {
  return {base::Code::kBadRequest,
          base::cat("error decoding patch: json: cannot unmarshal ", go_kind(value), " into Go ", into)};
}

/// Levels of containers, counted as far as matters.
size_t depth(const Json& value) {
  size_t below = 0;
  for (const Json& one : value) {
    if (one.is_structured()) below = std::max(below, depth(one));
  }
  return below + 1;
}

/// The segments behind the first slash; nothing when there is no slash.
std::optional<Path> split_path(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  Path path;
  for (size_t at = slash; at != std::string_view::npos;) {
    const size_t next = text.find('/', at + 1);
    std::string& segment = path.emplace_back(text.substr(at + 1, next - at - 1));
    size_t from = 0;
    std::string plain;
    while (from < segment.size()) {
      const bool escape = segment[from] == '~' && from + 1 < segment.size() &&
                          (segment[from + 1] == '0' || segment[from + 1] == '1');
      plain += escape ? (segment[from + 1] == '1' ? '/' : '~') : segment[from];
      from += escape ? 2 : 1;
    }
    segment = std::move(plain);
    at = next;
  }
  return path;
}

/// As Go's strconv.Atoi.
std::optional<int64_t> parse_index(std::string_view text) {
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  int64_t index = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), index);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) return {};
  return index;
}

base::Status not_an_index(std::string_view key) {
  return failed(base::cat("strconv.Atoi: parsing ", go_quote(key), ": invalid syntax"));
}

/// The position that `key` means in a list of `size` elements.
base::Result<size_t> position(std::string_view key, size_t size) {
  const auto index = parse_index(key);
  if (!index) return not_an_index(key);
  const auto count = static_cast<int64_t>(size);
  if (*index >= count || *index < -count) {
    return failed(base::cat("Unable to access invalid index: ", *index, ": invalid index referenced"));
  }
  return static_cast<size_t>(*index < 0 ? *index + count : *index);
}

/// Where an operation takes effect: a container and the last segment of the path.
struct Place {
  Json* container = nullptr;  // null: a step on the way is missing
  std::string key;
  size_t depth = 0;
};

class Patcher {
 public:
  explicit Patcher(Json document) : document_(std::move(document)) {}

  base::Status apply(const Json& operation) {
    const std::string_view kind = base::string_at(operation, {"op"}, "unknown");
    if (kind == "add") return add(operation);
    if (kind == "remove") return remove(operation);
    if (kind == "replace") return replace(operation);
    if (kind == "move") return move(operation);
    if (kind == "copy") return copy(operation);
    if (kind == "test") return test(operation);
    return failed(base::cat("Unexpected kind: ", kind));
  }
  Json take() { return std::move(document_); }

 private:
  Place find(std::string_view text) {
    const auto path = split_path(text);
    if (!path) return {};
    Json* at = &document_;
    for (size_t i = 0; i + 1 < path->size(); ++i) {
      at = step(*at, (*path)[i]);
      if (at == nullptr || !at->is_structured()) return {};
    }
    return {at, path->back(), path->size()};
  }

  static Json* step(Json& container, const std::string& key) {
    if (container.is_object()) {
      const auto member = container.find(key);
      return member == container.end() ? nullptr : &*member;
    }
    const auto index = position(key, container.size());
    return index.ok() ? &container[index.value()] : nullptr;
  }

  /// Null for a missing member of an object; an error for a bad index.
  static base::Result<const Json*> get(const Place& place) {
    if (place.container->is_object()) {
      const auto member = place.container->find(place.key);
      return member == place.container->end() ? nullptr : &*member;
    }
    const auto index = position(place.key, place.container->size());
    if (!index.ok()) return index.error();
    return &(*place.container)[index.value()];
  }

  static base::Status put(const Place& place, Json value) {
    if (place.depth + (value.is_structured() ? depth(value) : 0) > kMaxDepth)
      return failed("exceeded max depth");
    Json& container = *place.container;
    if (container.is_object()) {
      container[place.key] = std::move(value);
      return {};
    }
    if (place.key == "-") {
      container.push_back(std::move(value));
      return {};
    }
    if (!parse_index(place.key)) {
      return failed(base::cat("value was not a proper array index: '", place.key, "'"));
    }
    const auto index = position(place.key, container.size() + 1);
    if (!index.ok()) return index.error();
    container.insert(container.begin() + static_cast<std::ptrdiff_t>(index.value()), std::move(value));
    return {};
  }

  static base::Status take_out(const Place& place) {
    if (place.container->is_object()) {
      if (place.container->erase(place.key) != 0) return {};
      return failed(base::cat("Unable to remove nonexistent key: ", place.key, ": missing value"));
    }
    const auto index = position(place.key, place.container->size());
    if (!index.ok()) return index.error();
    place.container->erase(index.value());
    return {};
  }

  static const Json* path_of(const Json& operation, const char* key) {
    const auto found = operation.find(key);
    return found != operation.end() && found->is_string() ? &*found : nullptr;
  }
  static Json value_of(const Json& operation) {
    const auto found = operation.find("value");
    return found == operation.end() ? Json() : *found;
  }
  static base::Status no_path(std::string_view op, std::string_view what) {
    return failed(base::cat(op, " operation failed to decode ", what, ": missing value"));
  }
  static base::Status in_path(std::string_view text, std::string_view op, const base::Status& status) {
    return status.ok() ? status
                       : failed(base::cat("error in ", op, " for path: '", text, "': ", status.message()));
  }
  static base::Status missing(std::string_view op, std::string_view what, std::string_view text) {
    return failed(base::cat(op, " operation does not apply: ", what, ": ", text, ": missing value"));
  }

  base::Status add(const Json& operation) {
    const Json* text = path_of(operation, "path");
    if (text == nullptr) return no_path("add", "path");
    const std::string& path = text->get_ref<const std::string&>();
    const Place place = find(path);
    if (place.container == nullptr) return missing("add", "doc is missing path", base::cat("\"", path, "\""));
    return in_path(path, "add", put(place, value_of(operation)));
  }

  base::Status remove(const Json& operation) {
    const Json* text = path_of(operation, "path");
    if (text == nullptr) return no_path("remove", "path");
    const std::string& path = text->get_ref<const std::string&>();
    const Place place = find(path);
    if (place.container == nullptr)
      return missing("remove", "doc is missing path", base::cat("\"", path, "\""));
    return in_path(path, "remove", take_out(place));
  }

  base::Status replace(const Json& operation) {
    const Json* text = path_of(operation, "path");
    if (text == nullptr) return no_path("replace", "path");
    const std::string& path = text->get_ref<const std::string&>();
    if (path.empty()) {
      Json value = value_of(operation);
      if (!value.is_structured()) return failed("replace operation value must be object or array");
      document_ = std::move(value);
      return {};
    }
    const Place place = find(path);
    if (place.container == nullptr) return missing("replace", "doc is missing path", path);
    if (place.container->is_object()) return put(place, value_of(operation));
    const auto index = position(place.key, place.container->size());
    if (!index.ok()) return missing("replace", "doc is missing key", path);
    Json value = value_of(operation);
    if (place.depth + (value.is_structured() ? depth(value) : 0) > kMaxDepth)
      return failed("exceeded max depth");
    (*place.container)[index.value()] = std::move(value);
    return {};
  }

  base::Status move(const Json& operation) {
    const Json* from_text = path_of(operation, "from");
    if (from_text == nullptr) return no_path("move", "from");
    const std::string& from = from_text->get_ref<const std::string&>();
    const Place source = find(from);
    if (source.container == nullptr) return missing("move", "doc is missing from path", from);
    const auto value = get(source);
    if (!value.ok()) return in_path(source.key, "move", value.status());
    Json moved = *value == nullptr ? Json() : **value;
    const base::Status removed = take_out(source);
    if (!removed.ok()) return in_path(source.key, "move", removed);
    const Json* text = path_of(operation, "path");
    if (text == nullptr) return no_path("move", "path");
    const std::string& path = text->get_ref<const std::string&>();
    const Place place = find(path);
    if (place.container == nullptr) return missing("move", "doc is missing destination path", path);
    return in_path(path, "move", put(place, std::move(moved)));
  }

  base::Status copy(const Json& operation) {
    const Json* from_text = path_of(operation, "from");
    if (from_text == nullptr) return no_path("copy", "from");
    const std::string& from = from_text->get_ref<const std::string&>();
    const Place source = find(from);
    if (source.container == nullptr) return missing("copy", "doc is missing from path", from);
    const auto value = get(source);
    if (!value.ok())
      return failed(base::cat("error in copy for from: '", from, "': ", value.error().message()));
    Json copied = *value == nullptr ? Json() : **value;
    const Json* text = path_of(operation, "path");
    if (text == nullptr) return no_path("copy", "path");
    const std::string& path = text->get_ref<const std::string&>();
    const Place place = find(path);
    if (place.container == nullptr) return missing("copy", "doc is missing destination path", path);
    copied_ += base::dump_json(copied).size();
    if (copied_ > kMaxCopied) {
      return failed(base::cat("Unable to complete the copy, the accumulated size increase of copy is ",
                              copied_, ", exceeding the limit ", kMaxCopied));
    }
    const base::Status status = put(place, std::move(copied));
    return status.ok() ? status : failed("error while adding value during copy: " + status.message());
  }

  base::Status test(const Json& operation) {
    const Json* text = path_of(operation, "path");
    if (text == nullptr) return no_path("test", "path");
    const std::string& path = text->get_ref<const std::string&>();
    const Json* have = &document_;
    if (!path.empty()) {
      const Place place = find(path);
      if (place.container == nullptr) return missing("test", "is missing path", path);
      const auto value = get(place);
      if (!value.ok()) return in_path(path, "test", value.status());
      have = *value;
    }
    // Compared as text: 1 and 1.0 are different numbers here.
    const bool equal =
        base::dump_json(have == nullptr ? Json() : *have) == base::dump_json(value_of(operation));
    return equal ? base::ok_status() : failed(base::cat("testing value ", path, " failed: test failed"));
  }

  Json document_;
  size_t copied_ = 0;
};

/// Removes members that are null from objects, inside lists too.
void prune_nulls(Json& value) {
  if (value.is_object()) {
    for (auto it = value.begin(); it != value.end();) {
      if (it->is_null()) {
        it = value.erase(it);
      } else {
        prune_nulls(*it);
        ++it;
      }
    }
  } else if (value.is_array()) {
    for (Json& one : value) prune_nulls(one);
  }
}

void merge(Json& document, const Json& patch) {
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null()) {
      document.erase(key);
      continue;
    }
    const auto current = document.find(key);
    if (current != document.end() && current->is_object()) {
      if (value.is_object()) {
        merge(*current, value);
      } else {
        *current = value;
      }
      continue;
    }
    Json added = value;
    prune_nulls(added);
    document[key] = std::move(added);
  }
}

}  // namespace

base::Result<Json> json_patch(const Json& document, const Json& patch) {
  if (!patch.is_array()) return cannot_decode(patch, "value of type []handlers.jsonPatchOp");
  for (const Json& operation : patch) {
    if (!operation.is_object()) return cannot_decode(operation, "value of type handlers.jsonPatchOp");
    for (const char* key : {"op", "path", "from"}) {
      const auto found = operation.find(key);
      if (found == operation.end() || found->is_string() || found->is_null()) continue;
      return cannot_decode(*found, base::cat("struct field jsonPatchOp.", key, " of type string"));
    }
  }
  if (patch.size() > kMaxOperations) {
    return base::Status(
        base::Code::kRequestEntityTooLarge,
        base::cat("Request entity too large: The allowed maximum operations in a JSON patch is ",
                  kMaxOperations, ", got ", patch.size()));
  }
  Patcher patcher(document);
  for (const Json& operation : patch) {
    const base::Status status = patcher.apply(operation);
    if (!status.ok()) return rejected(status);
  }
  return patcher.take();
}

std::vector<std::string> json_patch_unknown_fields(const Json& patch) {
  std::vector<std::string> errors;
  for (size_t i = 0; patch.is_array() && i < patch.size(); ++i) {
    if (!patch[i].is_object()) continue;
    for (const auto& [key, value] : patch[i].items()) {
      if (key == "op" || key == "path" || key == "from" || key == "value") continue;
      errors.push_back(base::cat("json patch unknown field \"[", i, "].", key, "\""));
    }
  }
  return errors;
}

base::Result<Json> merge_patch(const Json& document, const Json& patch) {
  if (!patch.is_object()) return cannot_decode(patch, "value of type map[string]interface {}");
  Json out = document.is_object() ? document : Json::object();
  merge(out, patch);
  return out;
}

}  // namespace orch::api
