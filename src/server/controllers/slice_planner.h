// SlicePlanner: brings EndpointSlices of one owner and address family to hold given endpoints with few
// writes. Shared by the controllers that make slices.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "server/controllers/controller.h"

namespace orch::server {

inline constexpr const char* kServiceLabel = "kubernetes.io/service-name";
inline constexpr const char* kManagedBy = "endpointslice.kubernetes.io/managed-by";

/// Endpoints behind one set of ports.
struct SliceGroup {
  Json ports;
  std::map<std::string, Json> wanted;  // by what identifies them
  void add(Json endpoint);
};

/// Groups by the text of their ports.
using SliceGroups = std::map<std::string, SliceGroup>;

class SlicePlanner {
 public:
  struct Owner {
    const api::ObjectPtr& object;  // slices are named after it, and go with it
    Json labels;                   // of every slice
    Json annotations;              // of every slice; null: none of ours, others may have added some
  };
  SlicePlanner(const View& view, Owner owner, std::string family, Plan& plan)
      : view_(view), owner_(std::move(owner)), family_(std::move(family)), plan_(plan) {}

  /// `existing` are all slices the controller made for the owner; those of other families are left alone.
  /// What is still wanted stays where it is, what is missing fills the gaps, and a new slice is begun only
  /// when all are full. `at_least_one`: an empty slice stays, or is made, when there is no endpoint.
  void reconcile(SliceGroups groups, const std::vector<Json>& existing, bool at_least_one);

 private:
  void fill(SliceGroup group, std::vector<Json> existing, bool keep_one);
  void remove(const Json& slice);
  Json fresh(const Json& ports, size_t number);

  const View& view_;
  const Owner owner_;
  const std::string family_;
  Plan& plan_;
};

}  // namespace orch::server
