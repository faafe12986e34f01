#include "server/controllers/legacy_tokens.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"
#include "base/log.h"
#include "server/auth/node_graph.h"
#include "server/auth/service_account_tokens.h"
#include "server/controllers/pods.h"

namespace orch::server {

namespace {

constexpr std::string_view kTokenType = "kubernetes.io/service-account-token";
constexpr const char* kSystem = "kube-system";
constexpr const char* kTracking = "kube-apiserver-legacy-service-account-token-tracking";
constexpr std::chrono::minutes kBetweenMaps{30};
constexpr std::chrono::minutes kUnsetClock{1};
constexpr std::chrono::hours kDay{24};

/// Midnight of "2026-01-31".
std::optional<base::WallTime> parse_date(std::string_view text) {
  if (text.size() != 10) return std::nullopt;
  const base::Result<base::WallTime> when = base::parse_time(base::cat(text, "T00:00:00Z"));
  if (!when.ok()) return std::nullopt;
  return *when;
}

std::optional<base::WallTime> tracked_since(const api::Object& map) {
  const Json tree = map.tree();
  const std::string_view since = base::string_at(tree, {"data", "since"});
  if (since < kTokenTrackingBegan) return std::nullopt;
  return parse_date(since);
}

/// The kube-system namespace, which is always there, brings a controller of few objects to life.
Keys once(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  if (before || !after || after->name() != kSystem) return {};
  return {Key{kSystem, kTracking}};
}

Keys tracking_key(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  const api::Object& map = after ? *after : *before;
  if (map.ns() != kSystem || map.name() != kTracking) return {};
  return {Key{kSystem, kTracking}};
}

/// When a map was made last.
using LastMade = std::shared_ptr<std::optional<base::MonoTime>>;

Plan plan_tracking(const View& view, base::WallTime now, base::MonoTime mono, const LastMade& made) {
  Plan plan;
  const std::string today = token_date(now);
  // A machine without a clock boots in 1970 and learns the time later.
  if (today < kTokenTrackingBegan) return plan.again_after(kUnsetClock);
  if (const api::ObjectPtr map = view.get(kConfigMaps, kSystem, kTracking)) {
    if (map->deleting() || tracked_since(*map)) return plan;
    Json tree = map->tree();
    tree["data"]["since"] = today;
    return plan.update(kConfigMaps, std::move(tree));
  }
  if (*made && mono - **made < kBetweenMaps) return plan.again_after(**made + kBetweenMaps - mono);
  *made = mono;
  plan.create(kConfigMaps, kSystem,
              {{"kind", "ConfigMap"},
               {"apiVersion", "v1"},
               {"metadata", {{"name", kTracking}, {"namespace", kSystem}}},
               {"data", {{"since", today}}}});
  plan.otherwise = [made](const Write&, const base::Status&) {
    made->reset();
    return Plan();
  };
  return plan;
}

/// Names of the Secrets that pods use, by namespace: read when first asked for.
class UsedSecrets {
 public:
  explicit UsedSecrets(const View& view) : view_(view) {}
  bool has(const std::string& ns, std::string_view name) {
    const auto [it, fresh] = used_.try_emplace(ns);
    if (fresh) {
      for (const api::ObjectPtr& pod : view_.list(kPods, ns)) {
        for (const auto& [kind, used] : pod_references(pod->tree())) {
          if (kind == NodeObject::kSecret) it->second.insert(used);
        }
      }
    }
    return it->second.find(name) != it->second.end();
  }

 private:
  const View& view_;
  std::map<std::string, std::set<std::string, std::less<>>> used_;
};

/// Whether the Secret was made for the account by itself, as Kubernetes did before v1.24.
bool made_for_account(const View& view, const api::Object& secret, const Json& tree) {
  const std::string_view name = api::annotation(tree, "kubernetes.io/service-account.name");
  if (name.empty()) return false;
  const api::ObjectPtr account = view.get(kServiceAccounts, secret.ns(), name);
  if (!account) return false;
  const std::string_view uid = api::annotation(tree, "kubernetes.io/service-account.uid");
  if (!uid.empty() && uid != account->uid()) return false;
  const Json owner = account->tree();
  const Json& listed = base::array_at(owner, {"secrets"});
  return std::any_of(listed.begin(), listed.end(),
                     [&](const Json& one) { return base::string_at(one, {"name"}) == secret.name(); });
}

void plan_secret(const View& view, const api::Object& secret, base::WallTime now, base::Duration period,
                 UsedSecrets& used, Plan& plan) {
  const base::WallTime edge = now - std::chrono::duration_cast<base::WallTime::duration>(period);
  const std::string edge_date = token_date(edge);
  const Json tree = secret.tree();
  if (base::string_at(tree, {"type"}) != kTokenType) return;
  const base::Result<base::WallTime> created =
      base::parse_time(base::string_at(tree, {"metadata", "creationTimestamp"}));
  if (!created.ok() || *created >= edge) return;
  // Without the label it has not been used since uses are written down.
  if (const std::string_view last = secret.label(kTokenLastUsed); last.data() != nullptr) {
    if (!parse_date(last) || last >= std::string_view(edge_date)) return;
  }
  if (!made_for_account(view, secret, tree) || used.has(std::string(secret.ns()), secret.name())) return;
  const std::string_view invalid = secret.label(kTokenInvalidSince);
  if (!parse_date(invalid)) {
    plan.patch(kSecrets, secret.ns(), secret.name(),
               {{"metadata",
                 {{"uid", std::string(secret.uid())},
                  {"labels", {{std::string(kTokenInvalidSince), token_date(now)}}}}}});
  } else if (invalid < std::string_view(edge_date)) {
    client::DeleteOptions options;
    options.resource_version = std::to_string(secret.revision());
    plan.remove(kSecrets, secret, options);
  }
}

Plan plan_cleaning(const View& view, base::WallTime now, base::Duration period) {
  Plan plan;
  plan.again_after(kDay);
  const api::ObjectPtr map = view.get(kConfigMaps, kSystem, kTracking);
  const auto since = map ? tracked_since(*map) : std::nullopt;
  // The whole day is in doubt.
  if (!since || now - (*since + kDay) < period) return plan;
  UsedSecrets used(view);
  for (const api::ObjectPtr& secret : view.list(kSecrets, "")) {
    if (secret->deleting() || !api::mentions(secret->bytes(), kTokenType)) continue;
    plan_secret(view, *secret, now, period, used, plan);
  }
  // One that cannot be written keeps no other from it.
  plan.batch(0);
  return plan;
}

}  // namespace

Controller make_legacy_token_tracking_controller(const base::Clock& clock) {
  Controller c;
  c.name = "legacy-token-tracking-controller";
  c.queue = "legacy_token_tracking_controller";
  c.sources = {{kConfigMaps, tracking_key, {}}, {kNamespaces, once, {}}};
  c.plan = [made = std::make_shared<std::optional<base::MonoTime>>(), &clock](const View& view, const Key&,
                                                                              base::WallTime now) {
    return plan_tracking(view, now, clock.mono(), made);
  };
  return c;
}

void mark_token_used(client::Client& client, const api::Object& secret, const std::string& date) {
  const base::Status done =
      client
          .patch(kSecrets, secret.ns(), secret.name(), client::PatchType::kMerge,
                 {{"metadata",
                   {{"uid", std::string(secret.uid())}, {"labels", {{std::string(kTokenLastUsed), date}}}}}})
          .status();
  if (done.ok() || done.code() == base::Code::kNotFound || done.code() == base::Code::kConflict) return;
  base::log_warning("auth", "the use of a token is not written down",
                    {{"secret", api::object_key(secret)}, {"error", done.message()}});
}

Controller make_legacy_token_cleaner_controller(base::Duration period) {
  Controller c;
  c.name = "legacy-service-account-token-cleaner";
  c.sources = {{kNamespaces, once, {}},
               {kConfigMaps, nullptr, {}},
               {kSecrets, nullptr, {}},
               {kServiceAccounts, nullptr, {}},
               {kPods, nullptr, {}}};
  c.plan = [period](const View& view, const Key&, base::WallTime now) {
    return plan_cleaning(view, now, period);
  };
  return c;
}

}  // namespace orch::server
