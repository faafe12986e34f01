// Reads the field table; tools/fieldtable/README.md describes its records.
#include <charconv>
#include <optional>
#include <unordered_map>

#include "api/schema/schema.h"
#include "embed/kubernetes_schema.h"

namespace orch::api {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end == std::string_view::npos ? end : end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

std::optional<ValueKind> scalar_kind(std::string_view word) {
  static constexpr std::pair<std::string_view, ValueKind> kWords[] = {
      {"string", ValueKind::kString},
      {"bool", ValueKind::kBool},
      {"int32", ValueKind::kInt32},
      {"int64", ValueKind::kInt64},
      {"double", ValueKind::kDouble},
      {"bytes", ValueKind::kBytes},
      {"quantity", ValueKind::kQuantity},
      {"time", ValueKind::kTime},
      {"microtime", ValueKind::kMicroTime},
      {"duration", ValueKind::kDuration},
      {"intorstring", ValueKind::kIntOrString},
      {"any", ValueKind::kAny},
  };
  for (const auto& [name, kind] : kWords) {
    if (name == word) return kind;
  }
  return std::nullopt;
}

std::optional<ValueKind> schema_union(std::string_view word) {
  if (word == "schemaorbool") return ValueKind::kSchemaOrBool;
  if (word == "schemaorarray") return ValueKind::kSchemaOrArray;
  if (word == "schemaorstrings") return ValueKind::kSchemaOrStrings;
  return std::nullopt;
}

std::optional<MapType> map_type(std::string_view word) {
  if (word == "granular") return MapType::kGranular;
  if (word == "atomic") return MapType::kAtomic;
  return std::nullopt;
}

std::optional<ListType> list_type(std::string_view word) {
  if (word == "atomic") return ListType::kAtomic;
  if (word == "set") return ListType::kSet;
  if (word == "map") return ListType::kMap;
  return std::nullopt;
}

bool strip(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string_view dash(std::string_view word) { return word == "-" ? std::string_view() : word; }

}  // namespace

/// One reading of one table. Two passes, because fields refer to types that come later.
class TableReader {
 public:
  explicit TableReader(std::string_view text) : lines_(split(text, '\n')), schema_(new Schema()) {}

  base::Result<std::unique_ptr<const Schema>> read() {
    bool good = each_line(&TableReader::read_name) && each_line(&TableReader::read_content);
    if (!good) {
      return base::Status(base::Code::kInternal, base::cat("field table, line ", line_, ": ", problem_));
    }
    schema_->set_.finish();
    schema_->index();
    return std::unique_ptr<const Schema>(std::move(schema_));
  }

 private:
  using Words = std::vector<std::string_view>;

  bool fail(std::string_view problem) {
    problem_ = problem;
    return false;
  }

  bool each_line(bool (TableReader::*reader)(const Words&)) {
    for (line_ = 1; line_ <= lines_.size(); ++line_) {
      std::string_view line = lines_[line_ - 1];
      if (line.empty() || line[0] == '#') continue;
      if (!(this->*reader)(split(line, '\t'))) return false;
    }
    return true;
  }

  /// First pass: prefixes and the names of types.
  bool read_name(const Words& words) {
    if (words[0] == "P") {
      if (words.size() != 3) return fail("a prefix has two fields");
      prefixes_[words[1]] = words[2];
    } else if (words[0] == "T") {
      if (words.size() < 2) return fail("a type has a name");
      size_t dot = words[1].rfind('.');
      auto prefix = prefixes_.find(words[1].substr(0, dot == std::string_view::npos ? 0 : dot));
      if (prefix == prefixes_.end()) return fail("unknown prefix");
      std::string name = base::cat(prefix->second, words[1].substr(dot));
      if (!names_.emplace(words[1], &schema_->set_.add_type(std::move(name))).second) {
        return fail("the type is there already");
      }
    }
    return true;
  }

  bool read_content(const Words& words) {
    if (words[0] == "P") return true;
    if (words[0] == "K") return read_kind(words);
    if (words[0] == "T") return read_type(words);
    if (words[0] == "F") return read_field(words);
    return fail("unknown record");
  }

  bool read_kind(const Words& words) {
    if (words.size() < 5) return fail("a kind has four fields");
    auto type = names_.find(words[4]);
    if (type == names_.end()) return fail("unknown type");
    bool is_list = words.size() > 5 && words[5] == "list";
    schema_->kinds_.push_back({dash(words[1]), words[2], words[3], type->second, is_list});
    return true;
  }

  bool read_type(const Words& words) {
    current_ = names_.at(words[1]);
    for (size_t i = 2; i < words.size(); ++i) {
      std::string_view word = words[i];
      if (strip(word, "map=")) {
        auto type = map_type(word);
        if (!type) return fail("unknown map type");
        current_->map_type = *type;
      } else if (strip(word, "union=")) {
        for (std::string_view one : split(word, ' ')) {
          if (!read_union(one)) return false;
        }
      } else {
        return fail("unknown attribute of a type");
      }
    }
    return true;
  }

  bool read_union(std::string_view text) {
    size_t bar = text.find('|');
    if (bar == std::string_view::npos) return fail("a union has a bar");
    Union& result = current_->unions.emplace_back();
    result.discriminator = text.substr(0, bar);
    for (std::string_view pair : split(text.substr(bar + 1), ',')) {
      size_t colon = pair.find(':');
      if (colon == std::string_view::npos) return fail("a union's field has a value");
      result.values.emplace_back(pair.substr(0, colon), pair.substr(colon + 1));
    }
    return true;
  }

  bool read_field(const Words& words) {
    if (current_ == nullptr) return fail("a field before any type");
    if (words.size() < 4) return fail("a field has three fields");
    Field field;
    field.name = words[1];
    unsigned number = 0;
    auto [end, error] = std::from_chars(words[2].data(), words[2].data() + words[2].size(), number);
    if (error != std::errc() || end != words[2].data() + words[2].size() || number > UINT16_MAX) {
      return fail("the protobuf number is none");
    }
    field.number = static_cast<uint16_t>(number);
    field.value = value(words[3]);
    if (field.value == nullptr) return fail("unknown type of a field");
    FieldNotes notes;
    bool has_notes = false;
    for (size_t i = 4; i < words.size(); ++i) {
      if (!read_flag(words[i], field)) {
        if (!read_note(words[i], field, notes)) return false;
        has_notes = true;
      }
    }
    if (has_notes) field.notes = schema_->set_.notes(std::move(notes));
    if (field.is_inline) {
      if (field.value->kind != ValueKind::kMessage) return fail("an inline field is a message");
      field.name = field.value->type->short_name();
    }
    current_->fields.push_back(field);
    return true;
  }

  static bool read_flag(std::string_view word, Field& field) {
    if (word == "inline") return field.is_inline = true;
    if (word == "req") return field.required = true;
    if (word == "always") return field.always = true;
    if (word == "ptr") return field.pointer = true;
    return false;
  }

  bool read_note(std::string_view word, Field& field, FieldNotes& notes) {
    if (strip(word, "list=")) {
      auto type = list_type(word);
      field.list_type = type.value_or(ListType::kUnset);
      return type ? true : fail("unknown list type");
    }
    if (strip(word, "map=")) {
      auto type = map_type(word);
      field.map_type = type.value_or(MapType::kUnset);
      return type ? true : fail("unknown map type");
    }
    if (strip(word, "keys=")) return notes.map_keys = split(word, ','), true;
    if (strip(word, "merge=")) return notes.merge_key = word, true;
    if (strip(word, "enum=")) return notes.enum_values = split(word, '|'), true;
    if (strip(word, "default=")) return notes.default_json = word, true;
    if (strip(word, "format=")) return notes.format = word, true;
    if (strip(word, "go=")) return notes.go_type = word, true;
    if (strip(word, "strategy=")) {
      for (std::string_view one : split(word, ',')) {
        (one == "merge" ? notes.merge : one == "replace" ? notes.replace : notes.retain_keys) = true;
      }
      return true;
    }
    return fail("unknown attribute of a field");
  }

  const Value* value(std::string_view text) {
    TypeSet& set = schema_->set_;
    bool wrapped = strip(text, "wrap");
    if (wrapped || text.substr(0, 2) == "[]") {
      if (!strip(text, "[]")) return nullptr;
      const Value* element = value(text);
      return element != nullptr ? set.list(element, wrapped) : nullptr;
    }
    if (strip(text, "map:")) {
      const Value* element = value(text);
      return element != nullptr ? set.map(element) : nullptr;
    }
    if (auto kind = scalar_kind(text)) return set.scalar(*kind);
    if (auto kind = schema_union(text)) {
      auto props = names_.find("apiextensions.v1.JSONSchemaProps");
      return props != names_.end() ? set.message(*props->second, *kind) : nullptr;
    }
    auto type = names_.find(text);
    return type != names_.end() ? set.message(*type->second) : nullptr;
  }

  std::vector<std::string_view> lines_;
  std::unique_ptr<Schema> schema_;
  std::unordered_map<std::string_view, std::string_view> prefixes_;
  std::unordered_map<std::string_view, Type*> names_;
  Type* current_ = nullptr;
  size_t line_ = 0;
  std::string_view problem_;
};

base::Result<std::unique_ptr<const Schema>> Schema::parse(std::string_view text) {
  return TableReader(text).read();
}

std::unique_ptr<const Schema> Schema::builtin() {
  auto schema = parse(embedded::kubernetes_schema());
  return std::move(schema.value());
}

}  // namespace orch::api
