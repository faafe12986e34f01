#include "api/resources/resource.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "api/go_text.h"
#include "embed/builtin_rows.h"

namespace orch::api {
namespace {

bool is_row(const Resource& row, std::string_view group, std::string_view version, std::string_view plural) {
  return row.plural == plural && row.version == version && row.group == group;
}

}  // namespace

std::string Resource::group_resource() const {
  return group.empty() ? plural : base::cat(plural, ".", group);
}

const Subresource* Resource::subresource(std::string_view name) const {
  const auto found = std::find_if(subresources.begin(), subresources.end(),
                                  [&](const Subresource& one) { return one.name == name; });
  return found == subresources.end() ? nullptr : &*found;
}

bool Resource::has_verb(std::string_view verb) const {
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

void Resource::set_key_prefix() {
  const std::string& owner = storage_version ? group : storage_group;
  key_prefix_ = base::cat("/registry/", owner.empty() ? "core" : owner, "/", plural, "/");
}

std::string Resource::key(std::string_view ns, std::string_view name) const {
  return namespaced ? base::cat(key_prefix_, ns, "/", name) : base::cat(key_prefix_, name);
}

std::string Resource::unknown_field_message(std::string_view path) const {
  if (selectable_fields.empty() && custom == nullptr) {
    return base::cat(go_quote(path),
                     " is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
  }
  if (kind == "ResourceSlice") {
    return base::cat("field label not supported for ", api_version(), ", Kind=", kind, ": ", path);
  }
  return base::cat("field label not supported: ", path);
}

/// Finds rows by what requests name; every request asks.
struct ResourceTable::Index {
  explicit Index(std::shared_ptr<const std::vector<ResourcePtr>> of) : rows(std::move(of)) {
    for (const ResourcePtr& row : *rows) {
      by_plural[row->plural].push_back(&row);
      by_kind[row->kind].push_back(&row);
    }
  }

  template <typename Matches>
  static ResourcePtr first(const std::unordered_map<std::string_view, std::vector<const ResourcePtr*>>& map,
                           std::string_view key, const Matches& matches) {
    const auto known = map.find(key);
    if (known == map.end()) return nullptr;
    const auto found = std::find_if(known->second.begin(), known->second.end(),
                                    [&](const ResourcePtr* row) { return matches(**row); });
    return found == known->second.end() ? nullptr : **found;
  }

  std::shared_ptr<const std::vector<ResourcePtr>> rows;
  std::unordered_map<std::string_view, std::vector<const ResourcePtr*>> by_plural, by_kind;
};

std::unique_ptr<ResourceTable> ResourceTable::builtin(const Schema& schema) {
  auto rows = parse_rows(embedded::builtin_rows(), schema);
  if (!rows.ok()) {
    std::fprintf(stderr, "%s\n", rows.error().message().c_str());
    std::abort();
  }
  auto table = std::make_unique<ResourceTable>();
  table->publish(std::move(rows->rows));
  table->generation_ = 0;
  table->group_versions_ = std::move(rows->group_versions);
  return table;
}

void ResourceTable::publish(std::vector<ResourcePtr> rows) {
  rows_ = std::make_shared<const std::vector<ResourcePtr>>(std::move(rows));
  index_ = std::make_shared<const Index>(rows_);
  ++generation_;
}

std::shared_ptr<const std::vector<ResourcePtr>> ResourceTable::all() const {
  const std::shared_lock lock(mutex_);
  return rows_;
}

std::shared_ptr<const ResourceTable::Index> ResourceTable::index() const {
  static const auto none = std::make_shared<const Index>(std::make_shared<std::vector<ResourcePtr>>());
  const std::shared_lock lock(mutex_);
  return index_ != nullptr ? index_ : none;
}

ResourcePtr ResourceTable::find(std::string_view group, std::string_view version,
                                std::string_view plural) const {
  const auto now = index();
  return Index::first(now->by_plural, plural,
                      [&](const Resource& row) { return is_row(row, group, version, plural); });
}

ResourcePtr ResourceTable::find_kind(std::string_view group, std::string_view version,
                                     std::string_view kind) const {
  const auto now = index();
  return Index::first(now->by_kind, kind, [&](const Resource& row) {
    return row.served && row.version == version && row.group == group;
  });
}

ResourcePtr ResourceTable::storage(std::string_view group, std::string_view plural) const {
  const auto now = index();
  ResourcePtr any =
      Index::first(now->by_plural, plural, [&](const Resource& row) { return row.group == group; });
  if (any == nullptr || any->storage_version) return any;
  return Index::first(now->by_plural, plural, [&](const Resource& row) {
    return row.storage_version && row.key_prefix() == any->key_prefix();
  });
}

void ResourceTable::add(ResourcePtr row) {
  const std::unique_lock lock(mutex_);
  std::vector<ResourcePtr> rows = *rows_;
  const auto old = std::find_if(rows.begin(), rows.end(), [&](const ResourcePtr& one) {
    return is_row(*one, row->group, row->version, row->plural);
  });
  if (old != rows.end()) {
    *old = std::move(row);
  } else {
    rows.push_back(std::move(row));
  }
  publish(std::move(rows));
}

void ResourceTable::remove(std::string_view group, std::string_view version, std::string_view plural) {
  const std::unique_lock lock(mutex_);
  std::vector<ResourcePtr> rows = *rows_;
  if (std::erase_if(rows, [&](const ResourcePtr& one) { return is_row(*one, group, version, plural); }) == 0)
    return;
  publish(std::move(rows));
}

void ResourceTable::replace(std::string_view group, std::string_view plural, std::vector<ResourcePtr> rows) {
  const std::unique_lock lock(mutex_);
  std::vector<ResourcePtr> next = *rows_;
  std::erase_if(next, [&](const ResourcePtr& one) { return one->plural == plural && one->group == group; });
  std::move(rows.begin(), rows.end(), std::back_inserter(next));
  publish(std::move(next));
}

uint64_t ResourceTable::generation() const {
  const std::shared_lock lock(mutex_);
  return generation_;
}

}  // namespace orch::api
