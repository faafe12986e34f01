#include "api/object.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "api/scan.h"
#include "base/json.h"
#include "base/json_tree.h"

namespace orch::api {
namespace {

constexpr size_t kMaxFields = 32;
/// Marks a span that points into the tail while the length of the served form is not known yet.
constexpr uint32_t kTail = 0x80000000U;
constexpr size_t kMaxObject = 0x40000000U;

template <typename Int>
Int parse_int(std::string_view text) {
  Int value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() ? value : 0;
}

base::Status not_stored_form(std::string_view what) {
  return {base::Code::kInternal, base::cat("not the stored form of an object: ", what)};
}

}  // namespace

/// One pass over the stored bytes. Offsets are those of the stored bytes until finish() moves what stands
/// behind the spliced-in resourceVersion.
struct Object::Scan {
  Scan(std::string_view stored, const IndexedFields& wanted, std::vector<Span>& label_spans)
      : text(stored), fields(wanted), scanner(stored), labels(label_spans) {}

  std::string_view text;
  const IndexedFields& fields;
  JsonScanner scanner;
  std::vector<Span>& labels;  // keys and values
  std::array<Span, kFixedCount> fixed{};
  std::array<Span, kMaxFields> values{};
  std::string tail;
  int64_t generation = 0;
  bool deleting = false;
  size_t metadata_key = 0;   // offset of `"metadata"`
  size_t metadata_open = 0;  // offset behind `"metadata":{`
  const char* problem = "broken JSON";

  /// The span of a raw string content, moved to the tail if it has escapes.
  Span text_span(std::string_view content) {
    if (content.find('\\') == std::string_view::npos) {
      return {static_cast<uint32_t>(content.data() - text.data()), static_cast<uint32_t>(content.size())};
    }
    return tail_span(unescape_json(content));
  }
  Span tail_span(std::string_view plain) {
    const Span span{kTail | static_cast<uint32_t>(tail.size()), static_cast<uint32_t>(plain.size())};
    tail += plain;
    return span;
  }
  bool string_member(Fixed which) {
    std::string_view content;
    if (!scanner.string(content)) return false;
    fixed[which] = text_span(content);
    return true;
  }
  bool head(std::string_view name, Fixed which, char open) {
    std::string_view key;
    return scanner.consume(open) && scanner.key(key) && key == name && string_member(which);
  }
  bool run();
  bool scan_metadata();
  bool metadata_member(std::string_view key);
  bool scan_labels();
  bool field_member(std::string_view key, size_t prefix, uint64_t candidates);
  void capture(size_t candidate, std::string_view raw);
  std::string_view path(size_t candidate) const {
    return candidate < kMaxFields ? std::string_view(fields[candidate].path)
                                  : std::string_view(fields[candidate - kMaxFields].fallback);
  }
  ObjectPtr finish(int64_t revision);
};

bool Object::Scan::scan_labels() {
  if (scanner.peek() != '{') return scanner.skip_value();
  return scan_object(scanner, [&](std::string_view key) {
    std::string_view value;
    const bool is_string = scanner.peek() == '"';
    if (!(is_string ? scanner.string(value) : scanner.skip_value())) return false;
    labels.push_back(text_span(key));
    labels.push_back(is_string ? text_span(value) : Span{});
    return true;
  });
}

bool Object::Scan::metadata_member(std::string_view key) {
  const bool is_string = scanner.peek() == '"';
  if (key == "name" && is_string) return string_member(kName);
  if (key == "namespace" && is_string) return string_member(kNamespace);
  if (key == "uid" && is_string) return string_member(kUid);
  if (key == "labels") return scan_labels();
  if (key == "ownerReferences") {
    std::string_view raw;
    if (!scanner.value(raw)) return false;
    fixed[kOwners] = {static_cast<uint32_t>(raw.data() - text.data()), static_cast<uint32_t>(raw.size())};
    return true;
  }
  if (key == "deletionTimestamp") {
    deleting = is_string;
    return scanner.skip_value();
  }
  if (key == "generation") {
    std::string_view raw;
    if (!scanner.value(raw)) return false;
    generation = parse_int<int64_t>(raw);
    return true;
  }
  if (key == "resourceVersion") {
    problem = "it has a resourceVersion";
    return false;
  }
  return scanner.skip_value();
}

bool Object::Scan::scan_metadata() {
  std::string_view key;
  if (!scanner.consume(',')) return false;
  metadata_key = scanner.offset();
  if (!scanner.key(key) || key != "metadata" || scanner.peek() != '{') return false;
  metadata_open = scanner.offset() + 1;
  return scan_object(scanner, [&](std::string_view member) { return metadata_member(member); });
}

void Object::Scan::capture(size_t candidate, std::string_view raw) {
  const bool fallback = candidate >= kMaxFields;
  const size_t i = fallback ? candidate - kMaxFields : candidate;
  if (raw.front() == '{' || raw.front() == '[' || raw == "null" || raw == "\"\"") return;
  if (fallback && values[i].length != 0) return;  // the first path has a value
  const bool quoted = raw.front() == '"';
  values[i] = text_span(quoted ? raw.substr(1, raw.size() - 2) : raw);
}

/// Consumes the value of a member of an object at depth `prefix` of the paths: captures it for the candidates
/// (bits) whose path ends here, and looks inside for those whose path goes on.
bool Object::Scan::field_member(std::string_view key, size_t prefix, uint64_t candidates) {
  uint64_t below = 0;
  uint64_t here = 0;
  for (uint64_t rest = candidates; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<size_t>(__builtin_ctzll(rest));
    const std::string_view wanted = path(i).substr(prefix);
    if (!wanted.starts_with(key)) continue;
    if (wanted.size() == key.size()) {
      here |= uint64_t{1} << i;
    } else if (wanted[key.size()] == '.') {
      below |= uint64_t{1} << i;
    }
  }
  if (below != 0 && scanner.peek() == '{') {
    const size_t deeper = prefix + key.size() + 1;
    return scan_object(scanner, [&](std::string_view member) { return field_member(member, deeper, below); });
  }
  if (here == 0) return scanner.skip_value();
  std::string_view raw;
  if (!scanner.value(raw)) return false;
  for (; here != 0; here &= here - 1) capture(static_cast<size_t>(__builtin_ctzll(here)), raw);
  return true;
}

bool Object::Scan::run() {
  if (!head("kind", kKind, '{') || !head("apiVersion", kApiVersion, ',') || !scan_metadata()) return false;
  uint64_t candidates = 0;
  for (size_t i = 0; i < fields.size(); ++i) {
    candidates |= uint64_t{1} << i;
    if (!fields[i].fallback.empty()) candidates |= uint64_t{1} << (i + kMaxFields);
  }
  while (scanner.consume(',')) {
    std::string_view key;
    if (!scanner.key(key) || !field_member(key, 0, candidates)) return false;
  }
  return scanner.consume('}') && scanner.at_end();
}

ObjectPtr Object::Scan::finish(int64_t revision) {
  std::string splice;
  if (revision != 0) {
    splice = base::cat("\"resourceVersion\":\"", revision, text[metadata_open] == '}' ? "\"" : "\",");
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    if (values[i].length == 0 && !fields[i].absent.empty()) values[i] = tail_span(fields[i].absent);
  }
  auto object = std::make_shared<Object>(Private{});
  const auto served = static_cast<uint32_t>(text.size() + splice.size());
  object->bytes_.reserve(served + tail.size());
  object->bytes_.append(text.substr(0, metadata_open))
      .append(splice)
      .append(text.substr(metadata_open))
      .append(tail);
  object->size_ = served;
  object->revision_ = revision;
  object->generation_ = generation;
  object->metadata_offset_ = static_cast<uint32_t>(metadata_key);
  object->deleting_ = deleting;
  object->label_count_ = static_cast<uint32_t>(labels.size() / 2);
  object->span_count_ = static_cast<uint32_t>(kFixedCount + labels.size() + fields.size());
  object->spans_ = std::make_unique_for_overwrite<Span[]>(object->span_count_);
  Span* out = object->spans_.get();
  const auto moved = [&](Span span) {
    if ((span.offset & kTail) != 0) {
      span.offset = (span.offset & ~kTail) + served;
    } else if (span.offset >= metadata_open) {
      span.offset += static_cast<uint32_t>(splice.size());
    }
    return span;
  };
  out = std::transform(fixed.begin(), fixed.end(), out, moved);
  out = std::transform(labels.begin(), labels.end(), out, moved);
  std::transform(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(fields.size()), out, moved);
  return object;
}

base::Result<ObjectPtr> Object::from_stored(std::string_view stored, int64_t revision,
                                            const IndexedFields& fields) {
  if (fields.size() > kMaxFields) return not_stored_form("too many indexed fields");
  if (stored.size() > kMaxObject) return not_stored_form("too long");
  thread_local std::vector<Span> labels;
  labels.clear();
  Scan scan(stored, fields, labels);
  if (!scan.run()) return not_stored_form(base::cat(scan.problem, " at byte ", scan.scanner.offset()));
  return scan.finish(revision);
}

base::Result<ObjectPtr> Object::from_tree(const Json& tree, const IndexedFields& fields) {
  if (base::string_at(tree, {"kind"}).empty() || base::string_at(tree, {"apiVersion"}).empty()) {
    return not_stored_form("kind or apiVersion is missing");
  }
  return from_stored(to_stored(tree),
                     parse_int<int64_t>(base::string_at(tree, {"metadata", "resourceVersion"})), fields);
}

std::pair<std::string_view, std::string_view> Object::label(size_t i) const {
  return {view(kFixedCount + 2 * i), view(kFixedCount + 2 * i + 1)};
}

std::string_view Object::label(std::string_view key) const {
  for (size_t i = 0; i < label_count_; ++i) {
    if (view(kFixedCount + 2 * i) == key) return view(kFixedCount + 2 * i + 1);
  }
  return {};
}

std::string_view Object::field(size_t i) const {
  const size_t at = kFixedCount + 2 * static_cast<size_t>(label_count_) + i;
  return at < span_count_ ? view(at) : std::string_view();
}

Json Object::tree() const { return base::read_tree(bytes(), "metadata", "managedFields"); }

size_t Object::memory() const {
  constexpr size_t kControlBlock = 16;
  return kControlBlock + sizeof(Object) + bytes_.capacity() + 1 + span_count_ * sizeof(Span);
}

std::string to_stored(const Json& tree) {
  std::string out = "{\"kind\":";
  append_json_string(out, base::string_at(tree, {"kind"}));
  out += ",\"apiVersion\":";
  append_json_string(out, base::string_at(tree, {"apiVersion"}));
  out += ",\"metadata\":{";
  const auto append = [&out](const std::string& key, const Json& value) {
    if (out.back() != '{') out += ',';
    append_json_string(out, key);
    out += ':';
    out += base::dump_json(value);
  };
  for (const auto& [key, value] : base::object_at(tree, {"metadata"}).items()) {
    if (key != "resourceVersion" && key != "selfLink") append(key, value);
  }
  out += '}';
  for (const auto& [key, value] : tree.items()) {
    if (key != "kind" && key != "apiVersion" && key != "metadata") append(key, value);
  }
  out += '}';
  return out;
}

std::string make_api_version(std::string_view group, std::string_view version) {
  return group.empty() ? std::string(version) : base::cat(group, "/", version);
}

std::pair<std::string_view, std::string_view> split_api_version(std::string_view api_version) {
  const size_t slash = api_version.find('/');
  if (slash == std::string_view::npos) return {{}, api_version};
  return {api_version.substr(0, slash), api_version.substr(slash + 1)};
}

}  // namespace orch::api
