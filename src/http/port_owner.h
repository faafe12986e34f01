// Which process listens on a TCP port: for the one message everybody meets when starting a second server.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace orch::http {

/// Inodes of sockets in state LISTEN on `port`, from the text of /proc/net/tcp or tcp6.
std::set<uint64_t> listening_inodes(std::string_view proc_net_tcp, uint16_t port);

/// "process 1234 (kube-apiserver)", or "another process" when it cannot be told (another user's, another
/// namespace's).
std::string describe_port_owner(uint16_t port);

}  // namespace orch::http
