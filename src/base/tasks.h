// Where work that may block runs: on threads, or, in a simulation, on the caller's own when it says so.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace orch::base {

/// Runs posted tasks, several at a time perhaps and in any order. Thread-safe.
class Tasks {
 public:
  /// What was posted has run, or never will.
  virtual ~Tasks() = default;
  virtual void post(std::function<void()> task) = 0;
  /// Waits until nothing is queued or running.
  virtual void drain() = 0;
};

/// Makes a component's Tasks, so that who composes components decides what they run on.
class TaskMaker {
 public:
  virtual ~TaskMaker() = default;
  virtual std::unique_ptr<Tasks> make(std::string name, size_t at_once) = 0;
};

/// A ThreadPool each (threads.h). Lives as long as the process.
TaskMaker& pools_of_threads();

}  // namespace orch::base
