#include <algorithm>
#include <array>

#include "api/meta.h"
#include "api/scan.h"
#include "server/controllers/node.h"
#include "server/controllers/pods.h"

namespace orch::server {
namespace {

constexpr const char* kAnnotation = "node.alpha.kubernetes.io/ttl";

/// Sizes of a cluster, and how many seconds its nodes may keep what they read. They overlap, so that a
/// cluster at an edge does not go back and forth.
struct Size {
  size_t least, most;
  std::string_view seconds;
};
constexpr auto kSizes = std::to_array<Size>({{0, 100, "0"},
                                             {90, 500, "15"},
                                             {450, 1000, "30"},
                                             {900, 2000, "60"},
                                             {1800, static_cast<size_t>(-1), "300"}});

/// What a node that says `now` has to say in a cluster of that many.
std::string_view seconds_for(size_t nodes, std::string_view now) {
  for (const Size& size : kSizes) {
    if (size.seconds == now && nodes >= size.least && nodes <= size.most) return now;
  }
  for (const Size& size : kSizes) {
    if (nodes <= size.most) return size.seconds;
  }
  return {};
}

/// One node more or less leads beyond a size.
bool passes_edge(size_t nodes, bool grew) {
  return std::any_of(kSizes.begin(), kSizes.end(), [&](const Size& size) {
    return grew ? nodes == size.most + 1 : nodes + 1 == size.least;
  });
}

Keys keys(const api::ObjectPtr& before, const api::ObjectPtr& after, const View& view) {
  Keys out;
  if (before && after) {
    if (!api::mentions(after->bytes(), kAnnotation)) out.push_back({"", std::string(after->name())});
    return out;
  }
  const std::vector<api::ObjectPtr> nodes = view.list(kNodes, "");
  if (passes_edge(nodes.size(), after != nullptr)) {
    for (const api::ObjectPtr& node : nodes) out.push_back({"", std::string(node->name())});
  }
  if (after) out.push_back({"", std::string(after->name())});
  return out;
}

Plan plan_node(const View& view, const Key& key, base::WallTime) {
  Plan plan;
  const api::ObjectPtr node = view.get(kNodes, "", key.name);
  if (!node) return plan;
  const std::string now = api::annotation(*node, kAnnotation);
  const std::string_view wanted = seconds_for(view.list(kNodes, "").size(), now);
  if (now != wanted)
    plan.patch(kNodes, "", key.name, {{"metadata", {{"annotations", {{kAnnotation, wanted}}}}}});
  return plan;
}

}  // namespace

Controller make_node_ttl_controller() {
  Controller c;
  c.name = "ttl-controller";
  c.queue = "ttlcontroller";
  c.sources = {{kNodes, keys, {}}};
  c.plan = plan_node;
  return c;
}

}  // namespace orch::server
