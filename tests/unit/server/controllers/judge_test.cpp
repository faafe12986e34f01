// What the garbage collector does with an object, by the states of its owners.
#include "server/controllers/garbage_collector.h"
#include "tests/catch.h"

namespace orch::testing {
namespace {

using server::Judgement;
using server::OwnerState;
using Action = Judgement::Action;

OwnerState owner(const char* uid, bool exists, bool waiting = false) {
  OwnerState s;
  s.reference.uid = uid;
  s.exists = exists;
  s.waiting_for_dependents = waiting;
  return s;
}

TEST_CASE("judgements") {
  const OwnerState solid = owner("solid", true), gone = owner("gone", false),
                   waiting = owner("waiting", true, true);
  struct Case {
    const char* what;
    std::vector<OwnerState> owners;
    std::vector<std::string> finalizers;
    bool has_dependents;
    Action action;
    std::vector<std::string> drop;
    std::string propagation;
  };
  const std::vector<Case> cases = {
      {"no owners", {}, {}, false, Action::kKeep, {}, ""},
      {"an owner that is there", {solid}, {}, false, Action::kKeep, {}, ""},
      {"its owner is gone", {gone}, {}, false, Action::kDelete, {"gone"}, "Background"},
      {"all owners are gone", {gone, gone}, {}, true, Action::kDelete, {"gone", "gone"}, "Background"},
      {"one of two is gone", {solid, gone}, {}, false, Action::kDropReferences, {"gone"}, ""},
      {"one of two waits", {waiting, solid}, {}, true, Action::kDropReferences, {"waiting"}, ""},
      {"its owner waits", {waiting}, {}, false, Action::kDelete, {"waiting"}, "Background"},
      {"its owner waits, others wait for it",
       {waiting},
       {},
       true,
       Action::kDelete,
       {"waiting"},
       "Foreground"},
      {"its dependents are to be orphaned", {gone}, {"orphan"}, true, Action::kDelete, {"gone"}, "Orphan"},
      {"it is under foreground deletion",
       {gone},
       {"foregroundDeletion"},
       true,
       Action::kDelete,
       {"gone"},
       "Foreground"},
      {"other finalizers say nothing",
       {gone},
       {"example.com/x"},
       false,
       Action::kDelete,
       {"gone"},
       "Background"},
      {"gone and waiting", {gone, waiting}, {}, true, Action::kDelete, {"gone", "waiting"}, "Foreground"},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    const Judgement j = server::judge(c.owners, c.finalizers, c.has_dependents);
    CHECK(j.action == c.action);
    CHECK(j.propagation == c.propagation);
    if (c.action == Action::kDropReferences) CHECK(j.drop_uids == c.drop);
  }
}

}  // namespace
}  // namespace orch::testing
