#include "api/appearance.h"

#include <algorithm>
#include <unordered_map>

#include "api/go_text.h"
#include "base/json.h"

namespace orch::api {
namespace {

/// Walks a document and names each member by its path.
class Walker {
 public:
  Walker(std::string_view text, std::unordered_map<std::string, size_t>& ranks)
      : text_(text), ranks_(ranks) {}

  void run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        string();
        continue;
      }
      ++at_;
      if (c == '{' || c == '[') {
        open(c == '[');
      } else if ((c == '}' || c == ']') && !frames_.empty()) {
        path_.resize(frames_.back().outer);
        frames_.pop_back();
      } else if (c == ',' && !frames_.empty()) {
        next();
      }
    }
  }

 private:
  struct Frame {
    bool array = false;
    bool name = true;  // the next string of an object is a member's name
    size_t index = 0;  // in an array
    size_t outer = 0;  // length of the path outside
  };

  void open(bool array) {
    frames_.push_back({array, true, 0, path_.size()});
    if (array) path_ += "[0]";
  }

  void next() {
    Frame& frame = frames_.back();
    path_.resize(frame.outer);
    frame.name = true;
    if (frame.array) path_ += base::cat("[", ++frame.index, "]");
  }

  void string() {
    const size_t begin = at_++;
    bool escaped = false;
    while (at_ < text_.size() && text_[at_] != '"') {
      escaped = escaped || text_[at_] == '\\';
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    at_ = std::min(at_ + 1, text_.size());
    if (frames_.empty() || frames_.back().array || !frames_.back().name) return;
    frames_.back().name = false;
    std::string name(text_.substr(begin + 1, at_ - begin - 2));
    if (escaped) {
      const auto parsed = base::parse_json(text_.substr(begin, at_ - begin));
      if (parsed.ok() && parsed->is_string()) name = parsed->get<std::string>();
    }
    if (!path_.empty()) path_ += '.';
    path_ += name;
    if (++seen_[path_] == 1)
      ranks_.try_emplace(base::cat("unknown field ", go_quote(path_)), count_++);
    else
      ranks_.try_emplace(base::cat("duplicate field \"", path_, "\""), count_++);
  }

  const std::string_view text_;
  std::unordered_map<std::string, size_t>& ranks_;
  std::unordered_map<std::string, size_t> seen_;
  std::vector<Frame> frames_;
  std::string path_;
  size_t at_ = 0, count_ = 0;
};

}  // namespace

void sort_by_appearance(std::string_view json, std::vector<std::string>& problems) {
  if (problems.size() < 2) return;
  std::unordered_map<std::string, size_t> ranks;
  Walker(json, ranks).run();
  const auto rank = [&](const std::string& problem) {
    const auto it = ranks.find(problem);
    return it == ranks.end() ? ranks.size() : it->second;
  };
  std::stable_sort(problems.begin(), problems.end(),
                   [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
}

}  // namespace orch::api
