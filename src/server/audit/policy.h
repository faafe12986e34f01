// AuditPolicy: which requests are written down, and how much of them (audit.k8s.io/v1 Policy).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/auth/auth.h"

namespace orch::server {

enum class AuditLevel : uint8_t { kNone, kMetadata, kRequest, kRequestResponse };
enum class AuditStage : uint8_t { kRequestReceived, kResponseStarted, kResponseComplete, kPanic };
/// "Metadata"; "ResponseComplete".
std::string_view audit_level_name(AuditLevel level);
std::string_view audit_stage_name(AuditStage stage);

/// What the policy says of one request.
struct AuditRule {
  AuditLevel level = AuditLevel::kNone;
  unsigned omitted = 0;  // bits 1 << stage
  bool omit_managed_fields = false;
  bool omits(AuditStage stage) const { return (omitted >> static_cast<unsigned>(stage) & 1U) != 0; }
};

/// Immutable, thread-safe.
class AuditPolicy {
 public:
  /// From YAML or JSON. kBadRequest in Kubernetes' words for what is not valid.
  static base::Result<AuditPolicy> parse(std::string_view text);
  /// The first rule that matches decides; none: nothing is written.
  AuditRule evaluate(const Attributes& attributes) const;

 private:
  struct Resources {
    std::string group;
    std::vector<std::string> resources, names;
  };
  struct Rule {
    AuditRule outcome;
    std::vector<std::string> users, groups, verbs, namespaces, paths;
    std::vector<Resources> resources;
  };
  static bool matches(const Rule& rule, const Attributes& a);
  static bool matches_resource(const Rule& rule, const Attributes& a);

  AuditRule otherwise_;
  std::vector<Rule> rules_;
};

}  // namespace orch::server
