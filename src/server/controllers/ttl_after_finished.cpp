#include "server/controllers/ttl_after_finished.h"

#include "api/scan.h"
#include "server/controllers/job_state.h"
#include "server/controllers/pods.h"

namespace orch::server {

Plan plan_ttl_after_finished(const View& view, const Key& key, base::WallTime now) {
  Plan plan;
  const api::ObjectPtr job = view.get(kJobs, key.ns, key.name);
  if (job == nullptr || job->deleting()) return plan;
  const Json tree = job->tree();
  const Json* ttl = base::find_path(tree, {"spec", "ttlSecondsAfterFinished"});
  const Json& status = base::object_at(tree, {"status"});
  const Json* ended = true_job_condition(status, "Complete");
  if (ended == nullptr) ended = true_job_condition(status, "Failed");
  if (ttl == nullptr || ttl->is_null() || ended == nullptr) return plan;
  const auto at = base::parse_time(base::string_at(*ended, {"lastTransitionTime"}));
  if (!at.ok()) return plan;
  const base::WallTime due = *at + std::chrono::seconds(ttl->get<int64_t>());
  if (due > now) return plan.again_after(due - now);
  client::DeleteOptions options;
  options.propagation = "Foreground";
  return plan.remove(kJobs, *job, options);
}

Controller make_ttl_after_finished_controller() {
  Controller c;
  c.name = "ttl-after-finished-controller";
  c.queue = "ttl_jobs_to_delete";
  auto mortal = [](const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
    // Most Jobs stay: those do not wake anybody.
    if (after == nullptr || !api::mentions(after->bytes(), "\"ttlSecondsAfterFinished\"")) return Keys();
    return own_key(before, after, view);
  };
  c.sources = {{kJobs, mortal, {}}};
  c.plan = plan_ttl_after_finished;
  return c;
}

}  // namespace orch::server
