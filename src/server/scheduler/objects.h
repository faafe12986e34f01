// Objects: what plugins look at besides pods and nodes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/object.h"

namespace orch::server::scheduler {

enum class Kind : uint8_t {
  kNamespace,
  kService,
  kReplicationController,
  kReplicaSet,
  kStatefulSet,
  kClaim,
  kVolume,
  kStorageClass,
  kCsiNode,
  kCsiDriver,
  kCsiCapacity,
  kAttachment,
  kBudget,
  kResourceClaim,
  kResourceSlice,
  kDeviceClass,
};
inline constexpr size_t kKinds = 16;

/// A view of the cluster's other objects; reads only what is there already.
class Objects {
 public:
  virtual ~Objects() = default;
  /// Null when there is none. `ns` "" for kinds without namespaces.
  virtual api::ObjectPtr get(Kind kind, std::string_view ns, std::string_view name) const = 0;
  /// Of one namespace, or all when `ns` is "".
  virtual std::vector<api::ObjectPtr> list(Kind kind, std::string_view ns = {}) const = 0;
};

/// Remembers what was read from an object as long as others hold that object. Not thread-safe.
template <typename T>
class Parsed {
 public:
  using Reader = T (*)(const api::Object&);
  explicit Parsed(Reader reader) : reader_(reader) {}
  std::shared_ptr<const T> of(const api::ObjectPtr& object) const {
    if (known_.size() >= limit_) forget_gone();
    auto [it, fresh] = known_.try_emplace(object.get());
    if (fresh) it->second = {object, std::make_shared<const T>(reader_(*object))};
    return it->second.second;
  }

 private:
  static constexpr size_t kAtLeast = 1024;
  void forget_gone() const {
    std::erase_if(known_, [](const auto& entry) { return entry.second.first.use_count() == 1; });
    limit_ = std::max(kAtLeast, 2 * known_.size());
  }

  Reader reader_;
  mutable size_t limit_ = kAtLeast;
  mutable std::unordered_map<const api::Object*, std::pair<api::ObjectPtr, std::shared_ptr<const T>>> known_;
};

}  // namespace orch::server::scheduler
