#include "api/resources/custom_resource.h"

#include <algorithm>
#include <charconv>

#include "api/meta.h"
#include "api/resources/crd_rules.h"
#include "api/resources/custom_strategy.h"
#include "api/scan.h"
#include "api/structural/object.h"
#include "base/json.h"

namespace orch::api {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// Strategy None: only apiVersion changes.
class NoConverter final : public Converter {
 public:
  Status convert(std::string_view api_version, std::vector<Json>& trees) const override {
    for (Json& tree : trees) tree["apiVersion"] = std::string(api_version);
    return {};
  }
  bool remote() const override { return false; }
};

/// Strategy Webhook where nobody can call one.
class FailingConverter final : public Converter {
 public:
  explicit FailingConverter(std::string kind) : kind_(std::move(kind)) {}
  Status convert(std::string_view api_version, std::vector<Json>& trees) const override {
    for (const Json& tree : trees) {
      if (base::string_at(tree, {"apiVersion"}) != api_version) {
        return {Code::kInternal, base::cat("conversion webhook for ", kind_,
                                           " failed: this server has no client for webhooks")};
      }
    }
    return {};
  }
  bool remote() const override { return false; }

 private:
  const std::string kind_;
};

std::string text_at(const Json& object, const char* key) {
  return std::string(base::string_at(object, {key}));
}

std::vector<std::string> texts(const Json& list) {
  std::vector<std::string> out;
  for (const Json& text : list) out.push_back(text.get<std::string>());
  return out;
}

std::vector<std::string> split_path(std::string_view path) {
  if (!path.empty() && path.front() == '.') path.remove_prefix(1);
  std::vector<std::string> out;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    out.emplace_back(path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return out;
}

std::optional<ScalePaths> scale_of(const Json& version) {
  const Json* scale = base::find_path(version, {"subresources", "scale"});
  if (scale == nullptr || !scale->is_object()) return std::nullopt;
  ScalePaths out;
  out.spec_text = text_at(*scale, "specReplicasPath");
  out.status_text = text_at(*scale, "statusReplicasPath");
  out.selector_text = text_at(*scale, "labelSelectorPath");
  out.spec_replicas = split_path(out.spec_text);
  out.status_replicas = split_path(out.status_text);
  out.label_selector = split_path(out.selector_text);
  return out;
}

std::string deprecation_of(const Json& spec, const Json& version) {
  if (!base::bool_at(version, {"deprecated"})) return {};
  if (version.contains("deprecationWarning")) return text_at(version, "deprecationWarning");
  const std::string group = text_at(spec, "group"), name = text_at(version, "name");
  const std::string kind(base::string_at(spec, {"names", "kind"}));
  std::string best;
  for (const Json& other : base::array_at(spec, {"versions"})) {
    const std::string candidate = text_at(other, "name");
    if (!base::bool_at(other, {"served"}) || base::bool_at(other, {"deprecated"})) continue;
    if (version_before(candidate, name) && (best.empty() || version_before(candidate, best)))
      best = candidate;
  }
  const std::string message = base::cat(group, "/", name, " ", kind, " is deprecated");
  return best.empty() ? message : base::cat(message, "; use ", group, "/", best, " ", kind);
}

/// What can be selected by in some version, in one order for all.
std::vector<std::string> selectable_paths(const Json& spec) {
  std::vector<std::string> out;
  for (const Json& version : base::array_at(spec, {"versions"})) {
    for (const Json& field : base::array_at(version, {"selectableFields"})) {
      std::string path = text_at(field, "jsonPath");
      if (!path.empty() && path.front() == '.') path.erase(0, 1);
      if (std::find(out.begin(), out.end(), path) == out.end()) out.push_back(std::move(path));
    }
  }
  return out;
}

IndexedFields selectable_of(const std::vector<std::string>& paths, const Json& version) {
  IndexedFields out;
  for (const std::string& path : paths) {
    const Json& fields = base::array_at(version, {"selectableFields"});
    const bool own = std::any_of(fields.begin(), fields.end(), [&](const Json& field) {
      return text_at(field, "jsonPath") == path || text_at(field, "jsonPath") == "." + path;
    });
    out.emplace_back(own ? path : std::string(), path);
  }
  return out;
}

std::vector<PrinterColumn> columns_of(const Json& version) {
  std::vector<PrinterColumn> out = {{"Name", "string", "name", "", 0}};
  const Json& columns = base::array_at(version, {"additionalPrinterColumns"});
  if (columns.empty()) out.push_back({"Age", "date", "", "Time since the object was created", 0});
  for (const Json& column : columns) {
    PrinterColumn one;
    one.name = text_at(column, "name");
    one.type = text_at(column, "type");
    one.format = text_at(column, "format");
    one.description = text_at(column, "description");
    if (one.description.empty()) {
      one.description = base::cat("Custom resource definition column (in JSONPath format): ",
                                  base::string_at(column, {"jsonPath"}));
    }
    one.priority = static_cast<int>(base::int_at(column, {"priority"}));
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<Subresource> subresources_of(const Resource& row, const Json& version) {
  std::vector<Subresource> out;
  const std::vector<std::string> verbs = {"get", "patch", "update"};
  if (base::find_path(version, {"subresources", "status"}) != nullptr)
    out.push_back({"status", row.group, row.version, row.kind, verbs});
  if (base::find_path(version, {"subresources", "scale"}) != nullptr)
    out.push_back({"scale", "autoscaling", "v1", "Scale", verbs});
  return out;
}

std::shared_ptr<const Converter> converter_of(const Json& tree, const ConverterFactory& webhook) {
  if (base::string_at(tree, {"spec", "conversion", "strategy"}) != "Webhook")
    return std::make_shared<NoConverter>();
  if (webhook) return webhook(tree);
  return std::make_shared<FailingConverter>(base::cat(
      base::string_at(tree, {"spec", "group"}), ", Kind=", base::string_at(tree, {"spec", "names", "kind"})));
}

/// "v2beta1" as (kind, number, number): later ones are greater.
struct VersionRank {
  int stability = -1;  // 2 stable, 1 beta, 0 alpha, -1 no version name
  int64_t major = 0, minor = 0;
};

VersionRank rank(std::string_view name) {
  VersionRank out;
  if (name.empty() || name.front() != 'v') return out;
  const char* at = name.data() + 1;
  const char* end = name.data() + name.size();
  auto [after, error] = std::from_chars(at, end, out.major);
  if (error != std::errc() || after == at || out.major == 0 || *at == '0') return VersionRank();
  const std::string_view rest(after, static_cast<size_t>(end - after));
  if (rest.empty()) {
    out.stability = 2;
    return out;
  }
  const bool beta = rest.substr(0, 4) == "beta";
  if (!beta && rest.substr(0, 5) != "alpha") return VersionRank();
  const std::string_view number = rest.substr(beta ? 4 : 5);
  const auto [last, bad] = std::from_chars(number.data(), number.data() + number.size(), out.minor);
  if (number.empty() || bad != std::errc() || last != end || number.front() == '0') return VersionRank();
  out.stability = beta ? 1 : 0;
  return out;
}

}  // namespace

bool version_before(std::string_view a, std::string_view b) {
  const VersionRank x = rank(a), y = rank(b);
  if (x.stability < 0 && y.stability < 0) return a < b;
  return std::tie(x.stability, x.major, x.minor) > std::tie(y.stability, y.major, y.minor);
}

IndexedFields by_path(IndexedFields fields) {
  for (IndexedField& field : fields) field.name = field.path;
  return fields;
}

CustomSchemas::CustomSchemas(ObjectPtr definition) : definition_(std::move(definition)) {}
CustomSchemas::~CustomSchemas() = default;

void CustomSchemas::compile() const {
  std::call_once(once_, [this] {
    const Json tree = definition_->tree();
    for (const Json& version : base::array_at(tree, {"spec", "versions"})) {
      const Json* schema = base::find_path(version, {"schema", "openAPIV3Schema"});
      const structural::Node* node = schema != nullptr ? schemas_.add(*schema) : nullptr;
      nodes_.push_back(node);
      rules_.push_back(node != nullptr && node->has_rules
                           ? RuleSet::compile(std::make_shared<const Json>(*schema))
                           : nullptr);
    }
    schemas_.finish();
  });
}

const structural::Node* CustomSchemas::node(size_t version) const {
  compile();
  return version < nodes_.size() ? nodes_[version] : nullptr;
}

const RuleSet* CustomSchemas::rules(size_t version) const {
  compile();
  return version < rules_.size() ? rules_[version].get() : nullptr;
}

std::string_view CustomSchemas::text(size_t version) const {
  const std::string_view versions = raw_value(definition_->bytes(), {"spec", "versions"});
  JsonScanner scanner(versions);
  std::string_view found;
  size_t index = 0;
  scan_array(scanner, [&] {
    std::string_view item;
    if (!scanner.value(item)) return false;
    if (index++ == version) found = raw_value(item, {"schema", "openAPIV3Schema"});
    return true;
  });
  return found;
}

std::vector<ResourcePtr> custom_rows(const Schema& builtin, const ObjectPtr& definition, const Json& tree,
                                     const ConverterFactory& webhook) {
  std::vector<ResourcePtr> rows;
  const Json& spec = base::object_at(tree, {"spec"});
  const Json& names = base::object_at(tree, {"status", "acceptedNames"});
  const auto schemas = std::make_shared<const CustomSchemas>(definition);
  const auto converter = converter_of(tree, webhook);
  const std::vector<std::string> paths = selectable_paths(spec);
  const bool terminating = condition_is_true(tree, "Terminating");
  size_t index = 0;
  for (const Json& version : base::array_at(spec, {"versions"})) {
    const size_t own = index++;
    const bool stored = base::bool_at(version, {"storage"}), served = base::bool_at(version, {"served"});
    if (!stored && !served) continue;
    auto kind = std::make_shared<CustomKind>();
    kind->builtin = &builtin;
    kind->definition = definition;
    kind->schemas = schemas;
    kind->version = own;
    kind->keep_unknown = base::bool_at(spec, {"preserveUnknownFields"});
    kind->terminating = terminating;
    kind->deprecation = deprecation_of(spec, version);
    kind->scale = scale_of(version);
    kind->converter = converter;
    auto row = std::make_shared<Resource>();
    row->group = text_at(spec, "group");
    row->version = text_at(version, "name");
    row->kind = text_at(names, "kind");
    row->list_kind = text_at(names, "listKind");
    row->plural = text_at(names, "plural");
    row->singular = text_at(names, "singular");
    row->short_names = texts(base::array_at(names, {"shortNames"}));
    row->categories = texts(base::array_at(names, {"categories"}));
    row->verbs = {"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"};
    row->namespaced = text_at(spec, "scope") == "Namespaced";
    row->storage_version = stored;
    row->storage_group = row->group;
    row->served = served;
    row->set_key_prefix();
    row->subresources = subresources_of(*row, version);
    row->columns = columns_of(version);
    row->selectable_fields = selectable_of(paths, version);
    row->strategy = custom_strategy(*row, kind, version);
    row->custom = std::move(kind);
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::vector<std::string>> decode_custom(const Resource& row, Json& tree, bool stored) {
  const CustomKind& kind = *row.custom;
  std::vector<std::string> unknown;
  for (const char* key : {"kind", "apiVersion"}) {
    const auto it = tree.find(key);
    if (it == tree.end() || it->is_string()) continue;
    return Status(Code::kBadRequest, base::cat(".", key, " accessor error: expected string"));
  }
  structural::normalise_numbers(tree);
  if (const auto meta = tree.find("metadata"); meta != tree.end())
    ORCH_RETURN_IF_ERROR(structural::coerce_metadata(*kind.builtin, *meta, {}, stored, &unknown));
  const structural::Node* node = kind.node();
  if (!kind.keep_unknown) {
    structural::prune(node, tree, true, &unknown);
    structural::drop_nulls(node, tree);
  }
  if (node != nullptr)
    ORCH_RETURN_IF_ERROR(structural::coerce_embedded(*kind.builtin, *node, tree, stored, &unknown));
  return unknown;
}

Status to_version(const Resource& row, std::vector<Json>& trees) {
  const std::string wanted = row.api_version();
  const auto is_other = [&](const Json& tree) { return base::string_at(tree, {"apiVersion"}) != wanted; };
  std::vector<size_t> others;
  std::vector<Json> moved;
  for (size_t i = 0; i < trees.size(); ++i) {
    if (!is_other(trees[i])) continue;
    others.push_back(i);
    moved.push_back(std::move(trees[i]));
  }
  if (others.empty()) return {};
  ORCH_RETURN_IF_ERROR(row.custom->converter->convert(wanted, moved));
  for (size_t i = 0; i < others.size(); ++i) {
    if (auto decoded = decode_custom(row, moved[i]); !decoded.ok())
      return {Code::kInternal, decoded.error().message()};
    trees[others[i]] = std::move(moved[i]);
  }
  return {};
}

Status to_version(const Resource& row, Json& tree) {
  if (base::string_at(tree, {"apiVersion"}) == row.api_version()) return {};
  std::vector<Json> one;
  one.push_back(std::move(tree));
  Status status = to_version(row, one);
  tree = std::move(one.front());
  return status;
}

std::string reread_stored(const std::vector<ResourcePtr>& versions, std::string stored) {
  const std::string version = scalar_text(raw_value(stored, {"apiVersion"}));
  const Resource* own = nullptr;
  for (const ResourcePtr& one : versions) {
    if (one->api_version() == version) own = one.get();
  }
  // A version that is neither served nor stored any more has no schema to go by.
  if (own == nullptr) return stored;
  auto tree = base::parse_json(stored);
  if (!tree.ok() || !tree->is_object()) return stored;
  const Json before = *tree;
  if (!decode_custom(*own, *tree, true).ok()) return stored;
  if (const structural::Node* node = own->custom->node()) structural::apply_defaults(*node, *tree);
  return *tree == before ? stored : to_stored(*tree);
}

}  // namespace orch::api
