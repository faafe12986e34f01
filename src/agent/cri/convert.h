// Between our plain structs and the CRI messages; no I/O.
#pragma once

#include "agent/cri/runtime.h"
#include "cri/runtime.pb.h"

namespace orch::agent::cri {

void to_message(const SandboxConfig& config, ::runtime::v1::PodSandboxConfig* out);
void to_message(const ContainerConfig& config, ::runtime::v1::ContainerConfig* out);
/// Only the resource members of `config`.
void resources_to_message(const ContainerConfig& config, ::runtime::v1::LinuxContainerResources* out);

SandboxStatus from_message(const ::runtime::v1::PodSandboxStatus& m);
SandboxStatus from_message(const ::runtime::v1::PodSandbox& m);
ContainerStatus from_message(const ::runtime::v1::ContainerStatus& m);
ContainerStatus from_message(const ::runtime::v1::Container& m);
ImageInfo from_message(const ::runtime::v1::Image& m);
ContainerStats from_message(const ::runtime::v1::ContainerStats& m);

}  // namespace orch::agent::cri
