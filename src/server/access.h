// Who may ask for what: the authorizers and the policy they read, put together from arguments.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file_watch.h"
#include "base/latest.h"
#include "client/informer.h"
#include "server/api_server_args.h"
#include "server/auth/authorizers.h"
#include "server/auth/node_authorizer.h"
#include "server/auth/rbac.h"
#include "server/authentication.h"

namespace orch::server {

/// Thread-safe once open() has returned.
class Access {
 public:
  /// `args` and `clock` must outlive this.
  Access(const ApiServerArgs& args, const base::Clock& clock) : args_(args), clock_(clock) {}
  /// Before anybody asks: who authorizes, in the order that is configured. kBadRequest naming what cannot be
  /// used. From then on authorization-config is followed: a file that is not valid changes nothing.
  base::Status open();
  /// Policy follows the caches: whoever reads it after a write of a role sees that write. Before the
  /// informers start; this outlives them.
  void follow(client::InformerFactory& informers);

  /// Usable from the start; before open() it allows nothing.
  Authorizer& authorizer() { return authorizer_; }
  RbacAuthorizer& rbac() { return rbac_; }
  /// SubjectAccessReview and its kin, TokenReview, SelfSubjectReview: the object with its status.
  base::Result<Json> review(std::string_view kind, const Json& body, const UserInfo& user,
                            const Authentication& authentication);

 private:
  base::Result<std::shared_ptr<Authorizer>> make_chain();

  /// Whoever decides, made when the server starts, after those that refer to it.
  class Late final : public Authorizer {
   public:
    void set(std::shared_ptr<Authorizer> inner) { inner_.set(std::move(inner)); }
    Verdict authorize(const Attributes& a) override {
      const auto inner = inner_.get();
      return inner ? inner->authorize(a) : Verdict{};
    }

   private:
    base::Latest<Authorizer> inner_;
  };

  const ApiServerArgs& args_;
  const base::Clock& clock_;
  RbacAuthorizer rbac_;
  NodeGraph graph_;
  MastersAuthorizer masters_;
  HealthAuthorizer health_;
  NodeAuthorizer nodes_{graph_};
  ConstantAuthorizer everything_{true}, nothing_{false};
  Late authorizer_;
  std::string read_;                        // of authorization-config; open(), then the watch's thread
  std::unique_ptr<base::FileWatch> watch_;  // last: it calls the others
};

}  // namespace orch::server
