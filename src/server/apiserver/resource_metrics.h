// metrics.k8s.io/v1beta1: NodeMetrics and PodMetrics, what metrics-server serves; read-only and stored
// nowhere.
#pragma once

#include <string_view>
#include <vector>

#include "api/resources/resource.h"
#include "server/apiserver/node_figures.h"
#include "server/registry/registry.h"

namespace orch::server {

inline constexpr std::string_view kMetricsGroup = "metrics.k8s.io";

/// Adds the rows of the group.
void add_metrics_rows(api::ResourceTable& table);

/// The objects of one of those rows, made on demand from what the kubelets tell. Thread-safe.
class ResourceMetrics {
 public:
  ResourceMetrics(Registry& registry, NodeFigures& figures) : registry_(registry), figures_(figures) {}
  /// `row` is one of the group's; the filter's selectors go by the nodes and pods themselves.
  std::vector<api::ObjectPtr> list(const api::Resource& row, const Filter& filter) const;
  /// kNotFound worded as metrics-server does.
  base::Result<api::ObjectPtr> get(const api::Resource& row, std::string_view ns,
                                   std::string_view name) const;

 private:
  std::vector<api::ObjectPtr> of_nodes(const std::vector<api::ObjectPtr>& nodes) const;
  std::vector<api::ObjectPtr> of_pods(const std::vector<api::ObjectPtr>& pods) const;

  Registry& registry_;
  NodeFigures& figures_;
};

}  // namespace orch::server
