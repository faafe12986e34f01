// EventFlow: keeps a component from flooding the API with events about one object, as client-go's correlator
// does: many that differ only in their message become one, and beyond a burst most are dropped.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace orch::client {

/// Not thread-safe; bounded.
class EventFlow {
 public:
  enum class Answer : uint8_t {
    kAsItIs,
    kCombined,  // one event stands for all of the group
    kDrop,
  };
  /// `object` names source and object; `group` those, type and reason.
  Answer pass(const std::string& object, const std::string& group, const std::string& message,
              base::WallTime now);

 private:
  struct Group {
    std::set<std::string> messages;
    base::WallTime last;
  };
  struct Budget {
    double left = 0;
    base::WallTime at;
  };
  bool spend(const std::string& object, base::WallTime now);

  std::unordered_map<std::string, Group> groups_;
  std::unordered_map<std::string, Budget> budgets_;
};

}  // namespace orch::client
