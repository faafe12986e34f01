// DeviceSearch: the search for devices of one pod on one node. Inside of DeviceAllocator.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "server/scheduler/device_allocator.h"

namespace orch::server::scheduler {

class DeviceSearch {
 public:
  DeviceSearch(const Devices& devices, const std::vector<DevicePool>& pools,
               const std::unordered_set<std::string>& taken, const std::vector<ResourceClaimPtr>& claims,
               std::optional<base::MonoTime> deadline);
  DeviceAnswer run();

 private:
  struct Candidate {
    const ResourceSlice* slice;
    const Device* device;
  };
  /// A request or a subrequest: which claim, request, subrequest (0 for requests).
  using Key = std::tuple<size_t, size_t, size_t>;
  struct Wanted {
    const DeviceRequest* request = nullptr;
    const std::string* parent = nullptr;  // name of the request that a subrequest belongs to
    DeviceClassPtr cls;
    int64_t count = 0;
    size_t selected = 0;             // of subrequest 0: the one that was picked
    std::vector<Candidate> devices;  // of mode All
    std::string name() const;
  };
  struct Place {
    size_t claim = 0, request = 0, sub = 0;
    int64_t device = 0;
  };
  enum class Step : uint8_t {
    kDone,
    kNo,
    kTooMany,  // more devices than one claim can have, whatever is tried before
    kStop,     // failed_ says why
  };
  struct Chosen {
    Candidate what;
    std::string request;  // with its parent
    const DeviceRequest* wanted;
  };
  /// All devices of some requests share the value of an attribute.
  struct Match {
    const ResourceClaim::Constraint* constraint;
    std::string value;
    int64_t devices = 0;
    bool concerns(const Wanted& wanted) const;
    bool add(const Wanted& wanted, const Candidate& c);
    void remove(const Wanted& wanted) { devices -= concerns(wanted) ? 1 : 0; }
  };

  // Each false when failed_ says why.
  bool prepare_claim(size_t claim, int64_t& least);
  bool prepare_request(size_t claim, size_t request, int64_t& least);
  bool prepare(const DeviceRequest& request, const std::string* parent, const Key& key, Wanted& out);
  /// Nothing: failed.
  std::optional<bool> selectable(const Key& key, const Wanted& wanted, const Candidate& c);
  std::optional<bool> matches(const std::vector<std::optional<std::string>>& selectors,
                              const std::string& whose, const Candidate& c);

  Step next(Place at, bool in_sub);
  Step first_available(Place at, const Key& key);
  Step take_all(const Place& at, const Wanted& wanted, bool in_sub);
  Step take_any(const Place& at, const Wanted& wanted, bool in_sub);
  /// kDone: it is allocated.
  Step take(const Place& at, const Wanted& wanted, const Candidate& c, bool must);
  void give_back(const Place& at, const Wanted& wanted, const Candidate& c);
  bool in_use(const Wanted& wanted, size_t claim, const Candidate& c) const;
  Step fail(std::string message);

  Json result_of(size_t claim);
  Json configs_of(size_t claim);
  std::string text_of(size_t claim) const;

  const Devices& devices_;
  const std::vector<DevicePool>& pools_;
  const std::unordered_set<std::string>& taken_;
  const std::vector<ResourceClaimPtr>& claims_;
  const std::optional<base::MonoTime> deadline_;
  size_t steps_ = 0;
  bool timed_out_ = false;
  std::string failed_;
  std::map<Key, Wanted> wanted_;
  std::map<std::pair<Key, const Device*>, bool> selectable_;
  std::vector<std::vector<Match>> matches_;                       // by claim
  std::vector<std::vector<Chosen>> chosen_;                       // by claim
  std::unordered_map<std::string, std::set<size_t>> allocating_;  // claims by device id
};

}  // namespace orch::server::scheduler
