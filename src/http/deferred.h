// Answers that come later, without a worker waiting for them.
#pragma once

#include <functional>
#include <memory>

#include "http/message.h"

namespace orch::http {

/// A request whose answer has to wait for something: its connection keeps it, no thread does.
struct Deferred {
  /// Called once, on the worker that deferred. `ready` may be called from any thread, once, also before this
  /// returns; the server waits for it when it stops.
  std::function<void(std::function<void()> ready)> wait;
  /// Called once, on some worker, after `ready`: the answer. May block, and may defer() again.
  std::function<Response()> answer;
  /// The answer has time: see ServerOptions::patient_workers.
  bool patient = false;
};

/// For a handler or an answer, on the thread it was called on: the request is answered by `deferred`, and
/// what the handler returns is dropped. The handler may keep what it moved out of its Request.
void defer(std::shared_ptr<Deferred> deferred);

}  // namespace orch::http
