#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <sstream>
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

base::Status bad(std::string message) { return {base::Code::kBadRequest, base::cat("yaml: ", message)}; }

/// Ends parsing from inside yaml-cpp's callbacks; caught in parse().
struct Refused {
  int line;
  std::string why;
};

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

/// Makes a tree of the events of one document.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(std::vector<std::string>* duplicates) : duplicates_(duplicates) {}

  bool has_content() const { return has_content_; }
  Json take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { put(mark, nullptr, anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused{mark.line, "anchor value contains itself"};
    charge(mark, found->second.extent);
    put(mark, found->second.value, 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (tag == "?" && text == "<<" && is_key()) {
      frames_.back().merging = true;
      frames_.back().key = text;
      frames_.back().has_key = true;
      return;
    }
    put(mark, scalar(mark, tag, text), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, Json::array(), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, Json::object(), anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Json value;
    YAML::anchor_t anchor;
    YAML::Mark mark;
    std::string key;
    bool has_key = false;
    bool merging = false;
  };
  struct Anchored {
    Json value;
    Extent extent;
  };

  bool is_key() const {
    return !frames_.empty() && frames_.back().value.is_object() && !frames_.back().has_key;
  }

  static Json scalar(const YAML::Mark& mark, const std::string& tag, const std::string& text) {
    constexpr std::string_view kStandard = "tag:yaml.org,2002:";
    if (tag == "!") return text;  // quoted
    const bool standard = tag.starts_with(kStandard);
    const std::string_view type =
        standard ? std::string_view(tag).substr(kStandard.size()) : std::string_view();
    if (type == "str") return text;
    if (type == "binary") throw Refused{mark.line, "!!binary values are not supported"};
    if (tag != "?" && !standard) return text;  // a tag of the application: its value is just text
    auto value = yaml::resolve(text);
    if (value && value->is_number_float() && !std::isfinite(value->get<double>())) {
      throw Refused{mark.line, base::cat("the value ", text, " has no form in JSON")};
    }
    const bool fits =
        tag == "?" || type == "timestamp" || (type == "int" && value && value->is_number_integer()) ||
        (type == "float" && value && value->is_number()) ||
        (type == "bool" && value && value->is_boolean()) || (type == "null" && value && value->is_null());
    if (!fits) throw Refused{mark.line, base::cat("cannot decode `", text, "` as a !!", type)};
    return value ? std::move(*value) : Json(text);
  }

  static std::string key_text(const YAML::Mark& mark, const Json& key) {
    if (key.is_string()) return key.get<std::string>();
    if (key.is_null() || key.is_structured()) throw Refused{mark.line, "unsupported map key"};
    return base::dump_json(key);
  }

  void charge(const YAML::Mark& mark, const Extent& extent) {
    copied_ += extent.cost;
    if (copied_ > kMaxCopied) throw Refused{mark.line, "document contains excessive aliasing"};
    if (frames_.size() + extent.depth > kMaxDepth) throw Refused{mark.line, "exceeded max depth"};
  }

  void open(const YAML::Mark& mark, Json value, YAML::anchor_t anchor) {
    if (is_key()) throw Refused{mark.line, "unsupported map key"};
    if (frames_.size() >= kMaxDepth) throw Refused{mark.line, "exceeded max depth"};
    frames_.push_back({std::move(value), anchor, mark, {}, false, false});
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    put(frame.mark, std::move(frame.value), frame.anchor);
  }

  void put(const YAML::Mark& mark, Json value, YAML::anchor_t anchor) {
    if (anchor != 0) {
      const Extent extent = extent_of(value);
      charge(mark, extent);
      anchors_[anchor] = {value, extent};
    }
    has_content_ = true;
    if (frames_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.value.is_array()) {
      frame.value.push_back(std::move(value));
    } else if (!frame.has_key) {
      frame.key = key_text(mark, value);
      frame.has_key = true;
    } else if (frame.merging) {
      merge(mark, value);
      frame.has_key = frame.merging = false;
    } else {
      if (frame.value.contains(frame.key)) note_duplicate();
      frame.value[frame.key] = std::move(value);
      frame.has_key = false;
    }
  }

  /// `<<: *a` and `<<: [*a, *b]`: of several maps the earlier one wins.
  void merge(const YAML::Mark& mark, const Json& value) {
    Json& into = frames_.back().value;
    if (value.is_object()) {
      into.update(value);
      return;
    }
    const bool maps = value.is_array() && std::all_of(value.begin(), value.end(),
                                                      [](const Json& one) { return one.is_object(); });
    if (!maps) throw Refused{mark.line, "map merge requires map or sequence of maps as the value"};
    for (auto it = value.rbegin(); it != value.rend(); ++it) into.update(*it);
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
    }
  }

  std::vector<std::string>* duplicates_;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, Anchored> anchors_;
  size_t copied_ = 0;
  Json root_;
  bool has_content_ = false;
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
base::Status parse(std::string_view text, std::vector<std::string>* duplicates,
                   const OnDocument& on_document) {
  ORCH_RETURN_IF_ERROR(check_bytes(text));
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    for (;;) {
      Builder builder(duplicates);
      if (!parser.HandleNextDocument(builder)) return {};
      if (!on_document(builder.take())) return {};
    }
  } catch (const Refused& refused) {
    return bad(base::cat("line ", refused.line + 1, ": ", refused.why));
  } catch (const YAML::Exception& error) {
    return bad(base::cat("line ", error.mark.line + 1, ": ", error.msg));
  } catch (const std::exception& error) {
    return bad(error.what());
  }
}

}  // namespace

base::Result<Json> parse_yaml(std::string_view text, std::vector<std::string>* duplicates) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '{') {
    base::JsonParseOptions options;
    options.duplicates = duplicates;
    auto json = base::parse_json(text, options);
    if (json.ok()) return json;
    if (duplicates != nullptr) duplicates->clear();
  }
  Json out;
  const base::Status status = parse(text, duplicates, [&](Json tree) {
    out = std::move(tree);
    return false;
  });
  if (!status.ok()) return status;
  return out;
}

base::Result<std::vector<Json>> parse_yaml_documents(std::string_view text) {
  std::vector<Json> out;
  const base::Status status = parse(text, nullptr, [&](Json tree) {
    if (!tree.is_null()) out.push_back(std::move(tree));
    return true;
  });
  if (!status.ok()) return status;
  return out;
}

}  // namespace orch::api
