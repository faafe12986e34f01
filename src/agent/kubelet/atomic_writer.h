// AtomicWriter: a folder of files that changes all at once, as pods see configMap, secret, projected and
// downwardAPI volumes.
//
// The files lie in a folder with a time stamp; `..data` is a symbolic link to it that one rename switches
// over; what the pod opens are links through `..data`.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "base/clock.h"
#include "base/status.h"

namespace orch::agent {

struct FileContent {
  std::string data;
  mode_t mode = 0644;
  int64_t owner = -1;  // user id, -1: root
  friend bool operator==(const FileContent&, const FileContent&) = default;
};

/// Relative path ("a/b.txt", never with "..") -> content.
using Payload = std::map<std::string, FileContent>;

/// Makes `folder` hold exactly `payload`; nothing is touched when it does already. `group`: an fsGroup that
/// owns the files and may read them, or -1. `now` names the new folder.
base::Status write_payload(const std::string& folder, const Payload& payload, int64_t group,
                           base::WallTime now);

/// "" or why a relative path is not acceptable.
std::string path_problem(std::string_view path);

}  // namespace orch::agent
