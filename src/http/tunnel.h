// Copies bytes both ways between two streams until both directions have ended.
#pragma once

#include <memory>

#include "http/message.h"

namespace orch::http {

/// Blocks; one direction runs on a thread of its own. When one side ends, the other is told (close_write) and
/// may still finish what it was saying; when a write fails, both are closed.
void tunnel(const std::shared_ptr<Stream>& a, const std::shared_ptr<Stream>& b);

}  // namespace orch::http
