// CustomResources: keeps the table of resources and the registry's caches in step with the
// CustomResourceDefinitions there are, their status with the rules (crd_plan.h), and takes their instances
// away before they go.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/resources/converter.h"
#include "api/resources/resource.h"
#include "base/status.h"
#include "base/timer.h"
#include "server/auth/auth.h"
#include "server/registry/registry.h"

namespace orch::server {

struct CustomResourcesOptions {
  /// As whom status is written and instances are deleted.
  UserInfo user;
  /// Converters of strategy Webhook; empty: such conversions fail.
  api::ConverterFactory webhook;
  /// The stored row of a resource that is served from now on (also when it was before, with another schema);
  /// of one that is not any more. Called by the thread that works, one call at a time.
  std::function<void(const api::Resource&row)> opened, closed;
};

/// Thread-safe.
class CustomResources {
 public:
  /// All must outlive this.
  CustomResources(Registry& registry, base::Timers& timers, CustomResourcesOptions options);
  /// Ends what is under way.
  ~CustomResources();
  CustomResources(const CustomResources&) = delete;
  CustomResources& operator=(const CustomResources&) = delete;

  /// After Registry::start(): serves what is established, then follows.
  base::Status start();
  /// From now on opened and closed are called too, at once for what is served already.
  void set_listeners(std::function<void(const api::Resource&)> opened,
                     std::function<void(const api::Resource&)> closed);
  /// Ends what is under way and follows no more; what is served stays so. Listeners are not called any more.
  void stop();
  /// Waits until every definition that was written before this call is served as it says; at most two
  /// seconds. Takes no lock when nothing is to be waited for.
  void settle();

 private:
  struct Rep;
  std::shared_ptr<Rep> rep_;
};

}  // namespace orch::server
