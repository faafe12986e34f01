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
using api::read_pod;
using api::Resources;
using api::Taint;

}  // namespace orch::server::scheduler
