// The small authorizers, and the union that asks several in turn.
#pragma once

#include <vector>

#include "server/auth/auth.h"

namespace orch::server {

/// Allows everything to members of system:masters, before any policy is read.
class MastersAuthorizer final : public Authorizer {
 public:
  Verdict authorize(const Attributes& attributes) override;
};

/// Allows everybody, also the unauthenticated, to get /healthz, /livez, /readyz and /version, so that probes
/// work before the roles are loaded.
class HealthAuthorizer final : public Authorizer {
 public:
  Verdict authorize(const Attributes& attributes) override;
};

/// Allows everything, or says of everything that it is forbidden (without denying: others may allow).
class ConstantAuthorizer final : public Authorizer {
 public:
  explicit ConstantAuthorizer(bool allow) : allow_(allow) {}
  Verdict authorize(const Attributes& attributes) override;

 private:
  const bool allow_;
};

/// The first that allows or denies decides; else kNoOpinion with the reasons of all, one a line.
class UnionAuthorizer final : public Authorizer {
 public:
  /// The authorizers are not owned and must outlive this.
  explicit UnionAuthorizer(std::vector<Authorizer*> authorizers) : authorizers_(std::move(authorizers)) {}
  Verdict authorize(const Attributes& attributes) override;

 private:
  const std::vector<Authorizer*> authorizers_;
};

}  // namespace orch::server
