// Runs every case in cases/*.yaml through the strategies and compares with what Kubernetes itself made of it
// (cases/*.expected.json, written by tools/strategyvectors). A new case needs no code.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "api/resources/object_meta.h"
#include "api/resources/resource.h"
#include "api/resources/tree.h"
#include "api/schema/decode.h"
#include "api/schema/defaults.h"
#include "api/yaml.h"
#include "base/json.h"
#include "tests/catch.h"

namespace orch::api {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = "tests/unit/api/resources/cases";

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<Json> documents(const fs::path& path) {
  auto parsed = parse_yaml_documents(read(path));
  INFO(path.string() << ": " << (parsed.ok() ? std::string() : parsed.error().message()));
  REQUIRE(parsed.ok());
  return *parsed;
}

std::map<std::string, Json> read_bases() {
  std::map<std::string, Json> bases;
  for (const Json& document : documents(kCases / "bases.yaml")) {
    for (auto it = document.begin(); it != document.end(); ++it) bases[it.key()] = *it;
  }
  return bases;
}

/// Puts a value at the rest of a JSON pointer, making objects on the way; null removes.
void set_at(Json& node, std::string_view pointer, const Json& value) {
  if (pointer.empty()) {
    node = value;
    return;
  }
  const size_t end = pointer.find('/', 1);
  std::string step(pointer.substr(1, end == std::string_view::npos ? end : end - 1));
  const std::string_view rest = end == std::string_view::npos ? std::string_view() : pointer.substr(end);
  for (const auto& [escaped, plain] : {std::pair{"~1", '/'}, std::pair{"~0", '~'}}) {
    for (size_t at = step.find(escaped); at != std::string::npos; at = step.find(escaped)) {
      step.replace(at, 2, 1, plain);
    }
  }
  if (node.is_array()) {
    const size_t index = std::stoul(step);
    if (index == node.size()) node.push_back(nullptr);
    return set_at(node.at(index), rest, value);
  }
  if (!node.is_object()) node = Json::object();
  if (rest.empty() && value.is_null()) {
    node.erase(step);
  } else {
    set_at(node[step], rest, value);
  }
}

Json build(const Json& base, const Json& patch, const Json& edit) {
  Json object = base;
  if (patch.is_object()) object.merge_patch(patch);
  for (auto it = edit.begin(); it != edit.end(); ++it) set_at(object, it.key(), *it);
  return object;
}

struct Outcome {
  std::string decode;
  std::set<std::string> errors;
  std::vector<std::string> warnings;
  Json object;
  Json cells = Json::array();
  std::function<void(Json&)> set_defaults;  // the kind's
};

class Judge {
 public:
  Judge() : schema_(Schema::builtin()), table_(ResourceTable::builtin(*schema_)) {}

  Outcome run(Json object, const Json* old_input, const std::string& subresource) {
    const auto [group, version] = split_api_version(text_of(object, "apiVersion"));
    const ResourcePtr row = table_->find_kind(group, version, text_of(object, "kind"));
    REQUIRE(row);
    Outcome out;
    if (!decode(*row, object, out)) return out;
    out.set_defaults = row->strategy->set_defaults;
    FieldErrors errors;
    std::vector<std::string> prepared;
    context_.warnings = &prepared;
    const Strategy& s = *row->strategy;
    if (!old_input) {
      if (s.prepare_create) s.prepare_create(object, context_);
      if (s.has_generation) put(child(object, "metadata"), "generation", 1);
      validate_object_meta(object, *row, errors);
      if (s.validate) s.validate(object, errors);
    } else {
      Json old = *old_input;
      if (!decode(*row, old, out)) return out;
      update(*row, object, old, subresource, errors);
    }
    for (const base::Cause& cause : errors.causes()) out.errors.insert(cause.field + ": " + cause.message);
    if (!errors.empty()) return out;
    if (s.warnings && subresource.empty()) out.warnings = s.warnings(object, old_input);
    out.warnings.insert(out.warnings.end(), prepared.begin(), prepared.end());
    std::sort(out.warnings.begin(), out.warnings.end());
    if (s.cells) {
      for (Json& cell : s.cells(object, {})) out.cells.push_back(std::move(cell));
    }
    schema::normalise(*schema_, *row->type, object);
    out.object = std::move(object);
    return out;
  }

 private:
  bool decode(const Resource& row, Json& object, Outcome& out) {
    const auto decoded = schema::decode(*schema_, *row.type, object);
    if (!decoded.ok()) {
      out.decode = decoded.error().message();
      return false;
    }
    schema::apply_defaults(*schema_, *row.type, object);
    if (row.strategy->set_defaults) row.strategy->set_defaults(object);
    return true;
  }

  void update(const Resource& row, Json& object, const Json& old, const std::string& subresource,
              FieldErrors& errors) {
    const Strategy& s = *row.strategy;
    const int64_t generation = number_of(map_of(old, "metadata"), "generation");
    if (subresource == "status") {
      if (s.prepare_status_update) s.prepare_status_update(object, old, context_);
    } else if (!subresource.empty()) {
      s.subresource_updates.at(subresource).prepare(object, old, context_);
    } else if (s.prepare_update) {
      s.prepare_update(object, old, context_);
    }
    if (s.has_generation && subresource != "status") {
      const bool changed =
          s.generation_changed ? s.generation_changed(object, old) : !same_member(object, old, "spec");
      if (changed) put(child(object, "metadata"), "generation", generation + 1);
    }
    validate_object_meta_update(object, old, row, errors);
    if (subresource == "status") {
      if (s.validate_status_update) s.validate_status_update(object, old, errors);
    } else if (!subresource.empty()) {
      s.subresource_updates.at(subresource).validate(object, old, errors);
    } else if (s.validate_update) {
      s.validate_update(object, old, errors);
    }
  }

  std::unique_ptr<const Schema> schema_;
  std::unique_ptr<ResourceTable> table_;
  StrategyContext context_;
};

std::string joined(const std::set<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

std::set<std::string> text_set(const Json& list) {
  std::set<std::string> out;
  for (const Json& item : list) out.emplace(text(item));
  return out;
}

/// Go prints structs by the names and in the order of its internal types, which nobody parses: a value that
/// is a whole struct, and a diff, are left out of the comparison.
std::string without_structs(std::string error) {
  error = error.substr(0, error.find("\n@@"));
  static const std::string kValue = "Invalid value: ";
  const size_t value = error.find(kValue);
  if (value == std::string::npos) return error;
  const size_t begin = value + kValue.size();
  if (error.compare(begin, 1, "{") != 0 && error.compare(begin, 2, "[{") != 0) return error;
  int depth = 0;
  size_t end = begin;
  do {
    const char c = error[end++];
    depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
  } while (depth > 0 && end < error.size());
  return error.substr(0, begin) + "{}" + error.substr(end);
}

std::set<std::string> comparable(const std::set<std::string>& errors) {
  std::set<std::string> out;
  for (const std::string& error : errors) out.insert(without_structs(error));
  return out;
}

void compare(const Json& expected, const Outcome& out) {
  CHECK(out.decode.empty() == text_of(expected, "decode").empty());
  CHECK(joined(comparable(out.errors)) == joined(comparable(text_set(list_of(expected, "errors")))));
  if (!out.errors.empty() || !list_of(expected, "errors").empty()) return;
  const std::set<std::string> warnings(out.warnings.begin(), out.warnings.end());
  CHECK(joined(warnings) == joined(text_set(list_of(expected, "warnings"))));
  if (has(expected, "object")) {
    Json differences = Json::array();
    // The recorded object was not read back, which fills in defaults once more.
    Json wanted = member_of(expected, "object");
    if (out.set_defaults) out.set_defaults(wanted);
    for (const Json& d : Json::diff(wanted, out.object)) {
      // Times of conditions are those of the run.
      if (!text_of(d, "path").ends_with("/lastTransitionTime")) differences.push_back(d);
    }
    CHECK(differences.dump(1) == "[]");
  }
  Json cells = list_of(expected, "cells");
  if (out.cells.empty() || cells.empty()) return;
  for (size_t i = 0; i < cells.size() && i < out.cells.size(); ++i) {
    // An age: there is no "now" in this test.
    if (out.cells[i] == "<invalid>") cells[i] = out.cells[i];
  }
  CHECK(out.cells.dump() == cells.dump());
}

}  // namespace

TEST_CASE("strategies do what Kubernetes does") {
  const std::map<std::string, Json> bases = read_bases();
  Judge judge;
  size_t files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kCases)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".yaml" || path.filename() == "bases.yaml") continue;
    ++files;
    const auto expected = base::parse_json(read(fs::path(path).replace_extension(".expected.json")));
    REQUIRE(expected.ok());
    const std::vector<Json> cases = documents(path);
    REQUIRE(cases.size() == expected->size());
    for (size_t i = 0; i < cases.size(); ++i) {
      const Json& c = cases[i];
      INFO(path.filename().string() << ": " << text_of(c, "name"));
      const Json& base = bases.at(std::string(text_of(c, "base")));
      const Json object = build(base, member_of(c, "patch"), map_of(c, "edit"));
      const std::string subresource(text_of(c, "subresource"));
      const bool update = flag_of(c, "update") || !subresource.empty() || has(c, "old") || has(c, "oldEdit");
      const Json old = build(base, member_of(c, "old"), map_of(c, "oldEdit"));
      compare((*expected)[i], judge.run(object, update ? &old : nullptr, subresource));
    }
  }
  CHECK(files > 0);
}

}  // namespace orch::api
