// What scheduling decides on, by the names of api/placement.h.
#pragma once

#include "api/placement.h"

namespace orch::server::scheduler {

using api::HostPort;
using api::NodeInfo;
using api::NodeRequirement;
using api::NodeTerm;
using api::PodInfo;
using api::PodPtr;
using api::PodTerm;
using api::PodTerms;
using api::PodVolume;
using api::read_pod;
using api::Resources;
using api::SpreadConstraint;
using api::Taint;
using api::WeightedPodTerm;

/// Nodes of the cluster as one decision sees them, by name; pointers live through it.
using Snapshot = std::vector<const NodeInfo*>;

}  // namespace orch::server::scheduler
