// Simulated nodes: what a kubelet tells about itself, as JSON. Their names are sim-0, sim-1, …
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "client/load.h"

namespace orch::bench {

/// Now, in UTC and whole seconds, without the Z: "2006-01-02T15:04:05".
std::string timestamp();
/// A machine of a usual size that reports to be ready, in one of three zones.
std::string node(size_t i);
/// Its lease, renewed now.
std::string lease(size_t i);

/// A pod of a usual size, named pod-0, pod-1, …
std::string usual_pod(size_t i);

/// POSTs body(0) to body(count - 1); dies when one is refused.
void create(const Target& target, const std::string& path, size_t count, size_t connections,
            const std::function<std::string(size_t)>& body);
/// Until none of `nodes` simulated nodes carries a taint: the node controller has seen that they are ready.
void wait_ready(const Target& target, size_t nodes);
/// The nodes, ready, and their leases. A node without a renewed lease is given up after 50 seconds.
void create_nodes(const Target& target, size_t nodes);

/// What a list or watch answers, line by line. False when `take` had enough.
bool follow(const Target& target, const std::string& path,
            const std::function<bool(std::string_view line)>& take);

}  // namespace orch::bench
