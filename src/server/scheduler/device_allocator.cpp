#include "server/scheduler/device_allocator.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "server/scheduler/device_search.h"

namespace orch::server::scheduler {

namespace {

bool names_repeat(const std::vector<const ResourceSlice*>& slices) {
  std::set<std::string_view> names;
  for (const ResourceSlice* slice : slices) {
    for (const Device& d : slice->devices) {
      if (!names.insert(d.name).second) return true;
    }
  }
  return false;
}

/// A driver replaces a pool slice by slice: only those of the latest generation count.
void add_slice(DevicePool& pool, const ResourceSlice& slice) {
  if (!pool.slices.empty() && slice.generation < pool.slices[0]->generation) return;
  if (!pool.slices.empty() && slice.generation > pool.slices[0]->generation) pool.slices.clear();
  pool.slices.push_back(&slice);
}

}  // namespace

DeviceAllocator::DeviceAllocator(const Devices& devices, base::Duration limit)
    : devices_(devices), limit_(limit), slices_(devices.slices()), taken_(devices.taken()) {
  for (size_t i = 0; i < slices_.size(); ++i) {
    const ResourceSlice& s = *slices_[i];
    of_pool_[{s.driver, s.pool}].push_back(i);
    if (s.needs_partitions) continue;
    if (s.node_name.empty()) {
      shared_.push_back(i);
    } else {
      local_[s.node_name].push_back(i);
    }
  }
}

std::vector<DevicePool> DeviceAllocator::pools_of(const NodeInfo& node) const {
  std::vector<size_t> near = shared_;
  if (const auto own = local_.find(node.name); own != local_.end()) {
    near.insert(near.end(), own->second.begin(), own->second.end());
    std::sort(near.begin(), near.end());
  }
  std::vector<DevicePool> pools;
  std::map<std::pair<std::string_view, std::string_view>, size_t> known;
  for (const size_t i : near) {
    const ResourceSlice& slice = *slices_[i];
    if (!slice.reachable_from(node)) continue;
    const auto [at, fresh] = known.try_emplace({slice.driver, slice.pool}, pools.size());
    if (fresh) pools.push_back({slice.driver, slice.pool, false, false, {}});
    add_slice(pools[at->second], slice);
  }
  std::erase_if(pools, [&](DevicePool& pool) {
    const int64_t generation = pool.slices[0]->generation, wanted = pool.slices[0]->slices_of_pool;
    if (static_cast<int64_t>(pool.slices.size()) != wanted) {
      // Slices of other nodes count too.
      int64_t all = 0;
      for (const size_t i : of_pool_.at({pool.driver, pool.name})) {
        if (slices_[i]->generation > generation) return true;  // what is here is on its way out
        all += slices_[i]->generation == generation ? 1 : 0;
      }
      pool.incomplete = all != wanted;
    }
    pool.invalid = !pool.incomplete && names_repeat(pool.slices);
    return false;
  });
  return pools;
}

DeviceAnswer DeviceAllocator::allocate(const NodeInfo& node,
                                       const std::vector<ResourceClaimPtr>& claims) const {
  const std::vector<DevicePool> pools = pools_of(node);
  std::optional<base::MonoTime> deadline;
  if (limit_.count() > 0) deadline = devices_.now() + limit_;
  return DeviceSearch(devices_, pools, taken_, claims, deadline).run();
}

}  // namespace orch::server::scheduler
