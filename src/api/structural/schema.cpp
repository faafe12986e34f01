#include "api/structural/schema.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstring>
#include <memory_resource>
#include <unordered_map>

#include "api/go_text.h"
#include "base/json.h"

namespace orch::api::structural {

namespace {

JsonType type_of(std::string_view name) {
  if (name == "object") return JsonType::kObject;
  if (name == "array") return JsonType::kArray;
  if (name == "string") return JsonType::kString;
  if (name == "integer") return JsonType::kInteger;
  if (name == "number") return JsonType::kNumber;
  if (name == "boolean") return JsonType::kBoolean;
  return JsonType::kAny;
}

re2::RE2::Options regex_options() {
  re2::RE2::Options options;
  options.set_log_errors(false);
  constexpr int64_t kMaxMemory = 1 << 20;
  options.set_max_mem(kMaxMemory);
  return options;
}

/// Go's word for RE2's error.
std::string_view go_regex_error(re2::RE2::ErrorCode code) {
  switch (code) {
    case re2::RE2::ErrorBadEscape:
      return "invalid escape sequence";
    case re2::RE2::ErrorBadCharClass:
      return "invalid character class";
    case re2::RE2::ErrorBadCharRange:
      return "invalid character class range";
    case re2::RE2::ErrorMissingBracket:
      return "missing closing ]";
    case re2::RE2::ErrorMissingParen:
      return "missing closing )";
    case re2::RE2::ErrorUnexpectedParen:
      return "unexpected )";
    case re2::RE2::ErrorTrailingBackslash:
      return "trailing backslash at end of expression";
    case re2::RE2::ErrorRepeatArgument:
      return "missing argument to repetition operator";
    case re2::RE2::ErrorRepeatSize:
      return "invalid repeat count";
    case re2::RE2::ErrorRepeatOp:
      return "invalid nested repetition operator";
    case re2::RE2::ErrorBadPerlOp:
      return "invalid or unsupported Perl syntax";
    case re2::RE2::ErrorBadUTF8:
      return "invalid UTF-8";
    case re2::RE2::ErrorBadNamedCapture:
      return "invalid named capture";
    default:
      return "expression too large";
  }
}

bool flag(const Json& schema, const char* key) { return base::bool_at(schema, {key}); }

const Json* present(const Json& schema, const char* key) {
  const auto it = schema.find(key);
  return it == schema.end() || it->is_null() ? nullptr : &*it;
}

}  // namespace

std::string_view type_name(JsonType type) {
  switch (type) {
    case JsonType::kObject:
      return "object";
    case JsonType::kArray:
      return "array";
    case JsonType::kString:
      return "string";
    case JsonType::kInteger:
      return "integer";
    case JsonType::kNumber:
      return "number";
    case JsonType::kBoolean:
      return "boolean";
    case JsonType::kAny:
      break;
  }
  return {};
}

Pattern::Pattern(std::string text) : text_(std::move(text)) {}
Pattern::~Pattern() = default;

bool Pattern::matches(std::string_view value) const {
  std::call_once(once_, [this] { compiled_ = std::make_unique<re2::RE2>(text_, regex_options()); });
  return compiled_->ok() && re2::RE2::PartialMatch({value.data(), value.size()}, *compiled_);
}

std::string Pattern::problem(std::string_view text) {
  const re2::RE2 regex({text.data(), text.size()}, regex_options());
  if (regex.ok()) return {};
  const std::string_view arg(regex.error_arg().data(), regex.error_arg().size());
  const bool whole = regex.error_code() == re2::RE2::ErrorMissingParen ||
                     regex.error_code() == re2::RE2::ErrorUnexpectedParen;
  if (regex.error_code() == re2::RE2::ErrorTrailingBackslash)
    return base::cat("error parsing regexp: ", go_regex_error(regex.error_code()), ": ``");
  return base::cat("error parsing regexp: ", go_regex_error(regex.error_code()), ": `", whole ? text : arg,
                   "`");
}

const Node* Node::property(std::string_view name) const {
  const Property* found = std::lower_bound(begin(), end(), name,
                                           [](const Property& p, std::string_view n) { return p.name < n; });
  return found != end() && found->name == name ? found->node : nullptr;
}

const Node* Node::member(std::string_view name) const {
  const Node* own = property(name);
  return own != nullptr ? own : additional;
}

struct Schemas::Rep {
  std::pmr::monotonic_buffer_resource arena;
  std::deque<Details> details;
  std::deque<Pattern> patterns;
  std::deque<Json> values;
  // While adding: what is there already.
  std::unordered_map<std::string_view, std::string_view> texts;
  std::unordered_map<std::string, const Node*> nodes;
  std::unordered_map<std::string_view, const Pattern*> known_patterns;
  size_t bytes = 0;

  std::string_view keep(std::string_view text) {
    if (const auto known = texts.find(text); known != texts.end()) return known->second;
    char* copy = static_cast<char*>(arena.allocate(text.size() + 1, 1));
    if (!text.empty()) std::memcpy(copy, text.data(), text.size());
    bytes += text.size() + 1;
    const std::string_view kept(copy, text.size());
    texts.emplace(kept, kept);
    return kept;
  }

  const Json* keep_value(Json value) {
    bytes += sizeof(Json);
    return &values.emplace_back(std::move(value));
  }

  const Pattern* pattern(std::string_view text) {
    const std::string_view kept = keep(text);
    auto [it, fresh] = known_patterns.emplace(kept, nullptr);
    if (fresh) it->second = &patterns.emplace_back(std::string(kept));
    return it->second;
  }
};

/// One schema at a time. A node's key is its content, with the nodes below by address: equal keys are equal
/// schemas.
class Compiler {
 public:
  explicit Compiler(Schemas::Rep& rep) : rep_(rep) {}

  const Node* node(const Json& schema) {
    static const Json empty = Json::object();
    const Json& s = schema.is_object() ? schema : empty;
    Node node;
    Details details;
    basics(s, node);
    std::vector<Property> properties;
    for (const auto& [name, below] : base::object_at(s, {"properties"}).items())
      properties.push_back({rep_.keep(name), this->node(below)});
    if (const Json* items = present(s, "items"); items != nullptr && items->is_object())
      node.items = this->node(*items);
    if (const Json* more = present(s, "additionalProperties")) {
      node.has_additional = true;
      node.additional_allowed = !more->is_boolean() || more->get<bool>();
      if (more->is_object()) node.additional = this->node(*more);
    }
    const bool special = fill(s, node, details);
    derive(node, special ? &details : nullptr, properties);
    std::string key = key_of(node, properties, special ? &details : nullptr);
    if (const auto known = rep_.nodes.find(key); known != rep_.nodes.end()) return known->second;
    if (special) {
      if (!details.enum_json.empty()) details.enum_values = rep_.keep_value(*present(s, "enum"));
      if (!details.default_json.empty()) details.default_value = rep_.keep_value(*present(s, "default"));
      if (const Json* rules = present(s, "x-kubernetes-validations"); rules != nullptr && !rules->empty())
        details.rules = rep_.keep_value(*rules);
      node.details = &rep_.details.emplace_back(std::move(details));
      rep_.bytes += sizeof(Details);
    }
    const Node* made = store(node, properties);
    rep_.nodes.emplace(std::move(key), made);
    return made;
  }

 private:
  void basics(const Json& s, Node& node) {
    node.type = type_of(base::string_at(s, {"type"}));
    node.nullable = flag(s, "nullable");
    node.preserve_unknown = flag(s, "x-kubernetes-preserve-unknown-fields");
    node.embedded = flag(s, "x-kubernetes-embedded-resource");
    node.int_or_string = flag(s, "x-kubernetes-int-or-string");
    node.has_format = !base::string_at(s, {"format"}).empty();
    const std::string_view list = base::string_at(s, {"x-kubernetes-list-type"});
    if (list == "set") node.list_type = ListType::kSet;
    if (list == "map") node.list_type = ListType::kMap;
    if (list == "atomic") node.list_type = ListType::kAtomic;
    const std::string_view map = base::string_at(s, {"x-kubernetes-map-type"});
    if (map == "atomic") node.map_type = MapType::kAtomic;
    if (map == "granular") node.map_type = MapType::kGranular;
  }

  static void number(const Json& s, const char* key, std::optional<double>& out, bool& any) {
    if (const Json* value = present(s, key); value != nullptr && value->is_number()) {
      out = value->get<double>();
      any = true;
    }
  }
  static void count(const Json& s, const char* key, std::optional<int64_t>& out, bool& any) {
    if (const Json* value = present(s, key); value != nullptr && value->is_number()) {
      out = value->get<int64_t>();
      any = true;
    }
  }

  void branches(const Json& s, const char* key, std::vector<const Node*>& out, bool& any) {
    for (const Json& branch : base::array_at(s, {key})) out.push_back(node(branch));
    any = any || !out.empty();
  }

  void texts(const Json& s, const char* key, std::vector<std::string_view>& out, bool& any) {
    for (const Json& text : base::array_at(s, {key})) {
      if (text.is_string()) out.push_back(rep_.keep(text.get_ref<const std::string&>()));
    }
    any = any || !out.empty();
  }

  /// True if there is anything to keep.
  bool fill(const Json& s, const Node&, Details& d) {
    bool any = false;
    number(s, "maximum", d.maximum, any);
    number(s, "minimum", d.minimum, any);
    number(s, "multipleOf", d.multiple_of, any);
    count(s, "maxLength", d.max_length, any);
    count(s, "minLength", d.min_length, any);
    count(s, "maxItems", d.max_items, any);
    count(s, "minItems", d.min_items, any);
    count(s, "maxProperties", d.max_properties, any);
    count(s, "minProperties", d.min_properties, any);
    d.exclusive_maximum = flag(s, "exclusiveMaximum");
    d.exclusive_minimum = flag(s, "exclusiveMinimum");
    d.unique_items = flag(s, "uniqueItems");
    d.format = format_of(base::string_at(s, {"format"}));
    any = any || d.unique_items || d.format != Format::kNone;
    if (const std::string_view pattern = base::string_at(s, {"pattern"}); !pattern.empty()) {
      d.pattern = rep_.pattern(pattern);
      any = true;
    }
    texts(s, "required", d.required, any);
    texts(s, "x-kubernetes-list-map-keys", d.map_keys, any);
    branches(s, "allOf", d.all_of, any);
    branches(s, "anyOf", d.any_of, any);
    branches(s, "oneOf", d.one_of, any);
    if (const Json* negation = present(s, "not"); negation != nullptr && negation->is_object()) {
      d.negation = node(*negation);
      any = true;
    }
    const auto text_of = [&](const char* key) -> std::string_view {
      const Json* value = present(s, key);
      if (value == nullptr || (value->is_array() && value->empty() && key != std::string_view("default")))
        return {};
      any = true;
      return rep_.keep(base::dump_json(*value));
    };
    d.enum_json = text_of("enum");
    d.default_json = text_of("default");
    rules_json_ = text_of("x-kubernetes-validations");
    return any;
  }

  void derive(Node& node, const Details* d, const std::vector<Property>& properties) {
    node.has_defaults = d != nullptr && !d->default_json.empty();
    node.has_rules = !rules_json_.empty();
    node.has_embedded = node.embedded;
    node.has_keyed_lists = node.list_type == ListType::kSet || node.list_type == ListType::kMap;
    const auto below = [&node](const Node* n) {
      if (n == nullptr) return;
      node.has_defaults = node.has_defaults || n->has_defaults;
      node.has_rules = node.has_rules || n->has_rules;
      node.has_embedded = node.has_embedded || n->has_embedded;
      node.has_keyed_lists = node.has_keyed_lists || n->has_keyed_lists;
    };
    for (const Property& p : properties) below(p.node);
    below(node.items);
    below(node.additional);
  }

  template <typename T>
  static void raw(std::string& key, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    key.append(reinterpret_cast<const char*>(&value),
               sizeof(T));  // NOLINT(bugprone-sizeof-expression): its bytes
  }
  template <typename T>
  static void optional(std::string& key, const std::optional<T>& value) {
    key += value ? 'y' : 'n';
    if (value) raw(key, *value);
  }
  static void view(std::string& key, std::string_view text) { raw(key, text.data()), raw(key, text.size()); }
  template <typename T>
  static void each(std::string& key, const std::vector<T>& values) {
    raw(key, values.size());
    for (const auto& value : values) {
      if constexpr (std::is_pointer_v<T>) {
        raw(key, value);
      } else {
        view(key, value);
      }
    }
  }

  std::string key_of(const Node& n, const std::vector<Property>& properties, const Details* d) {
    std::string key;
    raw(key, n.type);
    for (const bool bit :
         {bool(n.nullable), bool(n.preserve_unknown), bool(n.embedded), bool(n.int_or_string),
          bool(n.has_additional), bool(n.additional_allowed), bool(n.has_format)}) {
      key += bit ? '1' : '0';
    }
    raw(key, n.list_type);
    raw(key, n.map_type);
    raw(key, n.items);
    raw(key, n.additional);
    raw(key, properties.size());
    for (const Property& p : properties) view(key, p.name), raw(key, p.node);
    if (d == nullptr) return key;
    for (const auto* value : {&d->maximum, &d->minimum, &d->multiple_of}) optional(key, *value);
    for (const auto* value : {&d->max_length, &d->min_length, &d->max_items, &d->min_items,
                              &d->max_properties, &d->min_properties}) {
      optional(key, *value);
    }
    for (const bool bit : {d->exclusive_maximum, d->exclusive_minimum, d->unique_items})
      key += bit ? '1' : '0';
    raw(key, d->format);
    raw(key, d->pattern);
    each(key, d->required);
    each(key, d->map_keys);
    each(key, d->all_of);
    each(key, d->any_of);
    each(key, d->one_of);
    raw(key, d->negation);
    view(key, d->enum_json);
    view(key, d->default_json);
    view(key, rules_json_);
    return key;
  }

  const Node* store(Node node, const std::vector<Property>& properties) {
    if (!properties.empty()) {
      const size_t size = properties.size() * sizeof(Property);
      void* memory = rep_.arena.allocate(size, alignof(Property));
      auto* copy = new (memory) Property[properties.size()];
      std::copy(properties.begin(), properties.end(), copy);
      node.properties = copy;
      node.property_count = static_cast<uint32_t>(properties.size());
      rep_.bytes += size;
    }
    rep_.bytes += sizeof(Node);
    return new (rep_.arena.allocate(sizeof(Node), alignof(Node))) Node(node);
  }

  Schemas::Rep& rep_;
  std::string_view rules_json_;  // of the node at hand, once what is below it is done
};

Schemas::Schemas() : rep_(std::make_unique<Rep>()) {}
Schemas::~Schemas() = default;

const Node* Schemas::add(const Json& schema) { return Compiler(*rep_).node(schema); }

void Schemas::finish() {
  rep_->texts = {};
  rep_->nodes = {};
  rep_->known_patterns = {};
}

size_t Schemas::memory() const { return rep_->bytes; }

}  // namespace orch::api::structural
