// The parts of a DaemonSet's plan: what is observed, the history of its templates, the rolling update. Not
// for other folders.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "server/controllers/controller.h"
#include "server/controllers/pods.h"
#include "server/controllers/revisions.h"

namespace orch::server {

inline constexpr const char* kPodGenerationLabel = "pod-template-generation";

/// Whether a node is for the daemon.
struct Fit {
  bool run = false;   // a pod should be there
  bool keep = false;  // a pod that is there may stay
};

struct DaemonNode {
  bool exists = false;  // otherwise only pods name it
  Fit fit;
  std::vector<const PodView*> pods;  // all but those that ended and are being deleted; oldest first
};

struct Daemon {
  api::ObjectPtr object;
  Json tree;
  std::string hash;        // label of the current template's revision
  std::string generation;  // of the template, as its pods carry it
  int64_t min_ready = 0;
  int64_t max_unavailable = 0, max_surge = 0;
  bool rolling = false;  // not OnDelete
  std::map<std::string, DaemonNode> nodes;

  bool is_new(const PodView& pod) const;
};

/// The pods of a node that are not being deleted, told apart by template. `clear` is false when there is more
/// than one of a kind, which the rest of the plan puts in order first.
struct Pair {
  const PodView *new_pod = nullptr, *old_pod = nullptr;
  bool clear = true;
};
Pair pair_on(const Daemon& d, const DaemonNode& node);

/// Makes sure the current template has its revision, the newest, and drops revisions beyond the limit that no
/// pod is of; sets d.hash. False: this has to be seen before anything else is planned: a name was taken by
/// another template, and the plan moves the collision count on; or revisions that say the same became one.
bool keep_history(const View& view, Daemon& d, const api::LabelSelector& selector,
                  const std::vector<PodView>& pods, Plan& plan);

/// What a rolling update does next.
struct RollingStep {
  std::vector<const PodView*> remove;
  std::vector<std::string> create;  // nodes
};
RollingStep roll(const Daemon& d, base::WallTime now);

}  // namespace orch::server
