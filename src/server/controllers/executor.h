// apply_plan: carries out what a controller decided.
#pragma once

#include <cstddef>
#include <vector>

#include "base/status.h"
#include "base/tasks.h"
#include "client/client.h"
#include "server/controllers/controller.h"

namespace orch::server {

/// What became of a plan's writes.
struct Applied {
  std::vector<char> succeeded;  // one per write; those after the failure were not tried, but for its batch
  size_t done = 0;              // how many succeeded
  size_t failed = 0;            // the first write that failed, unless `status` is ok
  base::Status status;          // what the API answered to that
  /// The last of the first `count` writes succeeded, and so did everything it had to wait for.
  bool reached(size_t count) const { return count == 0 || succeeded[count - 1] != 0; }
};

/// Carries out a plan's writes in order, and those of a batch side by side: on this thread and on threads of
/// `helpers`, which must not be a pool this thread belongs to; without helpers one after the other. Ends at
/// the first failure. Missing objects on delete, and existing ones on create with a name of their own, are
/// fine.
Applied apply_plan(client::Client& client, const Plan& plan, base::Tasks* helpers = nullptr);

}  // namespace orch::server
