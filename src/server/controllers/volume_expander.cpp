#include "api/meta.h"
#include "api/quantity.h"
#include "base/json.h"
#include "server/controllers/persistent_volumes.h"
#include "server/controllers/pods.h"

namespace orch::server {
namespace {

const client::ResourceRef kVolumes{"", "v1", "persistentvolumes"};

api::Quantity asked(const Json& claim) {
  return api::Quantity::of(base::find_path(claim, {"spec", "resources", "requests", "storage"}));
}

api::Quantity has(const Json& claim) {
  return api::Quantity::of(base::find_path(claim, {"status", "capacity", "storage"}));
}

bool bound(const Json& claim) { return base::string_at(claim, {"status", "phase"}) == "Bound"; }

/// A claim that begins to ask for more, or is met with while it does.
Keys growing(const api::ObjectPtr& before, const api::ObjectPtr& after, const View&) {
  if (!after) return {};
  const Json is = after->tree();
  if (!bound(is) || asked(is) <= has(is)) return {};
  if (before) {
    const Json was = before->tree();
    if (asked(is) <= asked(was) && has(is) <= has(was)) return {};
  }
  return {Key{std::string(after->ns()), std::string(after->name())}};
}

Plan plan_growth(const View& view, const Key& key, base::WallTime) {
  Plan plan;
  const api::ObjectPtr claim = view.get(kClaims, key.ns, key.name);
  if (!claim) return plan;
  const Json tree = claim->tree();
  if (!bound(tree) || asked(tree) <= has(tree)) return plan;
  const api::ObjectPtr volume = view.get(kVolumes, "", base::string_at(tree, {"spec", "volumeName"}));
  if (!volume || base::string_at(volume->tree(), {"spec", "claimRef", "uid"}) != claim->uid()) return plan;
  plan.note(claim, "Normal", "ExternalExpanding", "waiting for an external controller to expand this PVC");
  return plan;
}

}  // namespace

Controller make_volume_expander_controller() {
  Controller c;
  c.name = "volume_expand";
  c.sources = {{kClaims, growing, {}}, {kVolumes, nullptr, {}}};
  c.plan = plan_growth;
  return c;
}

}  // namespace orch::server
