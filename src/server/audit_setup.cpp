#include "server/audit_setup.h"

#include "base/file.h"
#include "base/log.h"
#include "client/kubeconfig.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

Status bad(std::string_view argument, std::string_view why) {
  return {Code::kBadRequest, base::cat("--kube-apiserver-arg ", argument, ": ", why)};
}

AuditBatchOptions batch_options(const ApiServerArgs& a) {
  AuditBatchOptions o;
  o.buffer = static_cast<size_t>(a.audit_webhook_batch_buffer_size.value_or(static_cast<int64_t>(o.buffer)));
  o.max_batch =
      static_cast<size_t>(a.audit_webhook_batch_max_size.value_or(static_cast<int64_t>(o.max_batch)));
  o.max_wait = a.audit_webhook_batch_max_wait.value_or(o.max_wait);
  o.per_second = static_cast<double>(a.audit_webhook_batch_throttle_qps.value_or(10));
  o.burst = static_cast<int>(a.audit_webhook_batch_throttle_burst.value_or(o.burst));
  o.initial_backoff = a.audit_webhook_initial_backoff.value_or(o.initial_backoff);
  return o;
}

}  // namespace

Result<std::unique_ptr<AuditLog>> make_audit_log(const ApiServerArgs& args, const base::Clock& clock,
                                                 base::Metrics& metrics) {
  std::unique_ptr<AuditLog> none;
  const bool anywhere = !args.audit_log_path.empty() || !args.audit_webhook_config_file.empty();
  if (args.audit_policy_file.empty()) {
    if (anywhere) base::log_warning("audit", "no audit policy file provided: no events will be recorded");
    return none;
  }
  auto text = base::read_file(args.audit_policy_file);
  if (!text.ok()) return bad("audit-policy-file", text.error().message());
  auto policy = AuditPolicy::parse(*text);
  if (!policy.ok())
    return bad("audit-policy-file", base::cat(args.audit_policy_file, ": ", policy.error().message()));
  if (!anywhere) return none;

  std::vector<std::unique_ptr<AuditBackend>> backends;
  if (!args.audit_log_path.empty()) {
    AuditLogOptions o;
    o.path = args.audit_log_path;
    o.max_age_days = static_cast<int>(args.audit_log_maxage.value_or(0));
    o.max_backups = static_cast<int>(args.audit_log_maxbackup.value_or(0));
    // Zero is the size that files have unless told.
    const int64_t size = args.audit_log_maxsize.value_or(0);
    if (size > 0) o.max_size_megabytes = static_cast<int>(size);
    auto& errors =
        metrics.counter("apiserver_audit_error_total",
                        "Counter of audit events that failed to be audited properly.", {{"plugin", "log"}});
    auto file = AuditLogFile::open(std::move(o), clock, errors);
    if (!file.ok()) return bad("audit-log-path", file.error().message());
    backends.push_back(std::move(*file));
  }
  if (!args.audit_webhook_config_file.empty()) {
    auto remote = client::read_kubeconfig(args.audit_webhook_config_file);
    if (!remote.ok()) return bad("audit-webhook-config-file", remote.error().message());
    const AuditBatchOptions options = batch_options(args);
    if (options.max_batch == 0 || options.buffer < options.max_batch || options.per_second <= 0 ||
        options.burst < 1)
      return bad("audit-webhook-batch-*", "batches need a size, a buffer that holds one, and a rate");
    auto send = [options = std::move(*remote)](const std::string& list) {
      return client::raw_request(options, "POST", "", "application/json", list).status();
    };
    auto& dropped = metrics.counter("apiserver_audit_error_total",
                                    "Counter of audit events that failed to be audited properly.",
                                    {{"plugin", "webhook"}});
    backends.push_back(std::make_unique<AuditBatches>(options, std::move(send), dropped));
  }
  return std::make_unique<AuditLog>(std::move(*policy), std::move(backends), clock);
}

}  // namespace orch::server
