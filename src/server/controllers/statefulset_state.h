// The parts of a StatefulSet's plan: what is observed, the set's pods and the claims they use. Not for other
// folders.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "server/controllers/controller.h"
#include "server/controllers/pods.h"
#include "server/controllers/revisions.h"

namespace orch::server {

/// A pod of the set, or one that should be. `object` is null for a pod that is not there.
struct Member {
  api::ObjectPtr object;
  Json tree;
  int64_t ordinal = -1;
  bool created() const;      // the API server has it, with a phase
  bool terminating() const;  // its deletion has begun
  std::string_view name() const;
  std::string_view phase() const;
  std::string_view revision() const;  // name of the revision it was made from
};

struct Stateful {
  const View& view;
  base::WallTime now;
  Plan& plan;
  api::ObjectPtr object;
  Json tree;
  Revision current = {}, update = {};
  int64_t collisions = 0;
  int64_t start = 0, replicas = 1, min_ready = 0;
  bool ordered = true;                 // not Parallel
  std::vector<Member> members = {};    // by ordinal, from `start`
  std::vector<Member> condemned = {};  // highest ordinal first

  bool in_range(int64_t ordinal) const { return ordinal >= start && ordinal < start + replicas; }
  bool available(const Member& m) const;
  bool unavailable(const Member& m) const { return !available(m) || m.terminating(); }
};

/// Parent and ordinal of a pod's name "<parent>-<ordinal>"; ordinal -1 when it has none.
std::pair<std::string_view, int64_t> split_member_name(std::string_view pod);

/// The pod of this ordinal as it is to be made: from the current template while an update has not got there,
/// else from the new one.
Json new_member(const Stateful& s, int64_t ordinal);
/// The pod has the name, labels and volumes of its ordinal.
bool identity_matches(const Stateful& s, const Member& m);
bool storage_matches(const Stateful& s, const Member& m);
void fix_identity(const Stateful& s, Json& pod, int64_t ordinal);
void fix_storage(const Stateful& s, Json& pod, int64_t ordinal);

/// Claims of a pod's templates that are missing are made. False: one is being deleted, so the pod cannot be
/// made; the plan tells.
bool make_claims(Stateful& s, const Member& m, const char* verb);
/// The owners of the pod's claims are what the retention policy asks for.
bool claims_match_retention(const Stateful& s, const Member& m);
/// Brings them there.
void fix_claim_owners(Stateful& s, const Member& m);
/// A claim still belongs to an earlier pod of this name and goes with it: the new pod must wait.
bool claim_is_stale(const Stateful& s, const Member& m);

/// The event about something done to a pod; `verb` is "Create", "Update" or "Delete".
void note_done(Stateful& s, const char* verb, std::string_view pod);
void note_failed(Plan& plan, const api::ObjectPtr& set, std::string_view verb, std::string_view pod,
                 std::string_view why);

}  // namespace orch::server
