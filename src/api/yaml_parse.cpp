#include <yaml.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "api/go_text.h"
#include "api/yaml.h"
#include "api/yaml_scalar.h"
#include "base/json.h"

namespace orch::api {
namespace {

/// As deep as base::parse_json allows.
constexpr size_t kMaxDepth = 1000;
/// What anchors and aliases may add to a document: room for any honest use, none for a bomb.
constexpr size_t kMaxCopied = 16UL << 20;
constexpr size_t kNodeCost = 100;

base::Status bad(std::string_view message) { return {base::Code::kBadRequest, base::cat("yaml: ", message)}; }

base::Status bad_at(size_t line, std::string_view message) {
  return bad(base::cat("line ", line + 1, ": ", message));
}

std::string_view view(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

/// Memory and depth of a value, to bound what copies of it cost.
struct Extent {
  size_t cost = kNodeCost;
  size_t depth = 0;
};

Extent extent_of(const Json& value) {
  Extent extent;
  if (value.is_string()) extent.cost += value.get_ref<const std::string&>().size();
  for (auto it = value.begin(); value.is_structured() && it != value.end(); ++it) {
    const Extent inner = extent_of(*it);
    extent.cost += inner.cost + (value.is_object() ? it.key().size() : 0);
    extent.depth = std::max(extent.depth, inner.depth);
  }
  if (value.is_structured()) ++extent.depth;
  return extent;
}

/// A value under a tag such as !!int; `tag` is empty when the value says itself what it is.
base::Result<Json> scalar(size_t line, std::string_view tag, std::string_view text, bool plain) {
  constexpr std::string_view kStandard = "tag:yaml.org,2002:";
  const bool standard = tag.starts_with(kStandard);
  const std::string_view type = standard ? tag.substr(kStandard.size()) : std::string_view();
  // A tag of the application means nothing here: the value is just text.
  if ((tag.empty() && !plain) || type == "str" || (!tag.empty() && !standard)) return Json(text);
  if (type == "binary") return bad_at(line, "!!binary values are not supported");
  auto value = yaml::resolve(text);
  if (value && value->is_number_float() && !std::isfinite(value->get<double>())) {
    return bad_at(line, base::cat("the value ", text, " has no form in JSON"));
  }
  const bool fits =
      tag.empty() || type == "timestamp" || (type == "int" && value && value->is_number_integer()) ||
      (type == "float" && value && value->is_number()) || (type == "bool" && value && value->is_boolean()) ||
      (type == "null" && value && value->is_null());
  if (!fits) return bad_at(line, base::cat("cannot decode `", text, "` as a !!", type));
  return value ? std::move(*value) : Json(text);
}

/// Makes a tree of the events of one document.
class Builder {
 public:
  Builder(std::vector<std::string>* duplicates, std::vector<size_t>* lines)
      : duplicates_(duplicates), lines_(lines) {}

  base::Status handle(const yaml_event_t& event) {
    const size_t line = event.start_mark.line;
    line_ = line;
    switch (event.type) {
      case YAML_ALIAS_EVENT:
        return alias(line, std::string(view(event.data.alias.anchor)));
      case YAML_SCALAR_EVENT:
        return on_scalar(event);
      case YAML_SEQUENCE_START_EVENT:
        return open(line, Json::array(), event.data.sequence_start.anchor);
      case YAML_MAPPING_START_EVENT:
        return open(line, Json::object(), event.data.mapping_start.anchor);
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        return close();
      default:
        return {};
    }
  }
  Json take() { return std::move(root_); }

 private:
  struct Frame {
    Json value;
    std::string anchor;
    size_t line = 0;
    std::string key = {};
    bool has_key = false;
    bool merging = false;
  };
  struct Anchored {
    Json value;
    Extent extent;
    bool open = false;  // the value is still being read
  };

  bool is_key() const {
    return !frames_.empty() && frames_.back().value.is_object() && !frames_.back().has_key;
  }

  base::Status alias(size_t line, const std::string& name) {
    const auto found = anchors_.find(name);
    if (found == anchors_.end()) return bad(base::cat("unknown anchor '", name, "' referenced"));
    if (found->second.open) return bad(base::cat("anchor '", name, "' value contains itself"));
    ORCH_RETURN_IF_ERROR(charge(found->second.extent));
    return put(line, found->second.value, {});
  }

  base::Status on_scalar(const yaml_event_t& event) {
    const auto& data = event.data.scalar;
    const std::string_view text(reinterpret_cast<const char*>(data.value), data.length);
    const bool plain = data.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && data.tag == nullptr && text == "<<" && is_key()) {
      Frame& frame = frames_.back();
      frame.key = text;
      frame.has_key = frame.merging = true;
      return {};
    }
    auto value = scalar(event.start_mark.line, view(data.tag), text, plain);
    if (!value.ok()) return value.error();
    return put(event.start_mark.line, std::move(value.value()), std::string(view(data.anchor)));
  }

  base::Status charge(const Extent& extent) {
    copied_ += extent.cost;
    if (copied_ > kMaxCopied) return bad("document contains excessive aliasing");
    return frames_.size() + extent.depth > kMaxDepth ? bad("exceeded max depth") : base::ok_status();
  }

  base::Status open(size_t line, Json value, const yaml_char_t* anchor) {
    if (is_key()) return bad_at(line, "unsupported map key");
    if (frames_.size() >= kMaxDepth) return bad_at(line, "exceeded max depth");
    const std::string name(view(anchor));
    if (!name.empty()) anchors_[name] = {nullptr, {}, true};
    frames_.push_back({std::move(value), name, line});
    return {};
  }

  base::Status close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    return put(frame.line, std::move(frame.value), frame.anchor);
  }

  base::Status put(size_t line, Json value, const std::string& anchor) {
    if (!anchor.empty()) {
      const Extent extent = extent_of(value);
      ORCH_RETURN_IF_ERROR(charge(extent));
      anchors_[anchor] = {value, extent, false};
    }
    if (frames_.empty()) {
      root_ = std::move(value);
      return {};
    }
    Frame& frame = frames_.back();
    if (frame.value.is_array()) {
      frame.value.push_back(std::move(value));
      return {};
    }
    if (!frame.has_key) {
      if (value.is_null() || value.is_structured()) return bad_at(line, "unsupported map key");
      frame.key = value.is_string() ? value.get<std::string>() : base::dump_json(value);
      frame.has_key = true;
      return {};
    }
    frame.has_key = false;
    if (std::exchange(frame.merging, false)) return merge(line, value);
    if (frame.value.contains(frame.key)) note_duplicate();
    frame.value[frame.key] = std::move(value);
    return {};
  }

  /// `<<: *a` and `<<: [*a, *b]`: of several maps the earlier one wins.
  base::Status merge(size_t line, const Json& value) {
    Json& into = frames_.back().value;
    if (value.is_object()) {
      into.update(value);
      return {};
    }
    const bool maps = value.is_array() && std::all_of(value.begin(), value.end(),
                                                      [](const Json& one) { return one.is_object(); });
    if (!maps) return bad_at(line, "map merge requires map or sequence of maps as the value");
    for (auto it = value.rbegin(); it != value.rend(); ++it) into.update(*it);
    return {};
  }

  void note_duplicate() {
    constexpr size_t kMost = 100;
    if (duplicates_ == nullptr || duplicates_->size() >= kMost) return;
    std::string path;
    for (const Frame& frame : frames_) {
      if (frame.value.is_array()) {
        path += base::cat("[", frame.value.size(), "]");
      } else {
        path += base::cat(path.empty() ? "" : ".", frame.key);
      }
    }
    if (std::find(duplicates_->begin(), duplicates_->end(), path) == duplicates_->end()) {
      duplicates_->push_back(std::move(path));
      if (lines_ != nullptr) lines_->push_back(line_ + 1);
    }
  }

  std::vector<std::string>* duplicates_;
  std::vector<size_t>* lines_;
  size_t line_ = 0;  // of the event at hand
  std::vector<Frame> frames_;
  std::unordered_map<std::string, Anchored> anchors_;
  size_t copied_ = 0;
  Json root_;
};

/// libyaml's parser and its current event.
class Events {
 public:
  explicit Events(std::string_view text) {
    ready_ = yaml_parser_initialize(&parser_) != 0;
    if (!ready_) return;
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
  }
  ~Events() {
    yaml_event_delete(&event_);
    if (ready_) yaml_parser_delete(&parser_);
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  base::Status next() {
    yaml_event_delete(&event_);
    if (ready_ && yaml_parser_parse(&parser_, &event_) != 0) return {};
    // The line that Go's port of this library reports.
    size_t line = parser_.problem_mark.line;
    if (line == 0) {
      line = parser_.context_mark.line;
    } else if (parser_.error == YAML_SCANNER_ERROR) {
      ++line;
    }
    const std::string_view problem = parser_.problem == nullptr
                                         ? std::string_view("unknown problem parsing YAML content")
                                         : parser_.problem;
    return line == 0 ? bad(problem) : bad(base::cat("line ", line, ": ", problem));
  }
  const yaml_event_t& event() const { return event_; }

 private:
  yaml_parser_t parser_{};
  yaml_event_t event_{};
  bool ready_ = false;
};

/// YAML is printable Unicode.
base::Status check_bytes(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7F) {
      return bad("control characters are not allowed");
    }
  }
  return is_utf8(text) ? base::ok_status() : bad("invalid UTF-8");
}

/// Gives each document's tree to `on_document` until it returns false.
template <typename OnDocument>
base::Status parse(std::string_view text, std::vector<std::string>* duplicates, std::vector<size_t>* lines,
                   const OnDocument& on_document) {
  ORCH_RETURN_IF_ERROR(check_bytes(text));
  Events events(text);
  Builder builder(duplicates, lines);
  for (;;) {
    ORCH_RETURN_IF_ERROR(events.next());
    switch (events.event().type) {
      case YAML_DOCUMENT_START_EVENT:
        builder = Builder(duplicates, lines);
        break;
      case YAML_DOCUMENT_END_EVENT:
        if (!on_document(builder.take())) return {};
        break;
      case YAML_STREAM_END_EVENT:
        return {};
      default:
        ORCH_RETURN_IF_ERROR(builder.handle(events.event()));
        break;
    }
  }
}

}  // namespace

base::Result<Json> parse_yaml(std::string_view text, std::vector<std::string>* duplicates,
                              std::vector<size_t>* lines) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '{') {
    base::JsonParseOptions options;
    options.duplicates = duplicates;
    auto json = base::parse_json(text, options);
    if (json.ok()) return json;
    if (duplicates != nullptr) duplicates->clear();
  }
  Json out;
  const base::Status status = parse(text, duplicates, lines, [&](Json tree) {
    out = std::move(tree);
    return false;
  });
  if (!status.ok()) return status;
  return out;
}

base::Result<std::vector<Json>> parse_yaml_documents(std::string_view text) {
  std::vector<Json> out;
  const base::Status status = parse(text, nullptr, nullptr, [&](Json tree) {
    if (!tree.is_null()) out.push_back(std::move(tree));
    return true;
  });
  if (!status.ok()) return status;
  return out;
}

}  // namespace orch::api
