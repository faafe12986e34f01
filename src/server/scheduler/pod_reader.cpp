#include "server/scheduler/pod_reader.h"

#include "api/scan.h"

namespace orch::server::scheduler {

namespace {

bool same_labels(const api::Object& a, const api::Object& b) {
  if (a.label_count() != b.label_count()) return false;
  for (size_t i = 0; i < a.label_count(); ++i) {
    if (a.label(i) != b.label(i)) return false;
  }
  return true;
}

/// While a pod is resized its status says what counts.
bool speaks_of_resources(const api::Object& pod) {
  const std::string_view status = api::raw_value(pod.bytes(), {"status"});
  return api::mentions(status, "\"resources\"") || api::mentions(status, "\"allocatedResources\"");
}

std::string text_at(const api::Object& pod, std::initializer_list<std::string_view> path) {
  return api::scalar_text(api::raw_value(pod.bytes(), path));
}

}  // namespace

PodPtr reread_pod(const PodPtr& before, const api::ObjectPtr& after) {
  // The generation counts changes of the spec, but not that of its node. Of labels only spreading has made
  // something, and a binding may add some: those of the node's place.
  if (before == nullptr || before->object->uid() != after->uid() ||
      before->object->generation() != after->generation() || after->generation() == 0 || after->deleting() ||
      before->deleting || (!before->spread.empty() && !same_labels(*before->object, *after)) ||
      speaks_of_resources(*after) || speaks_of_resources(*before->object)) {
    return read_pod(after);
  }
  auto pod = std::make_shared<PodInfo>(*before);
  pod->object = after;
  pod->node_name = text_at(*after, {"spec", "nodeName"});
  pod->nominated_node = text_at(*after, {"status", "nominatedNodeName"});
  const std::string phase = text_at(*after, {"status", "phase"});
  pod->finished = phase == "Succeeded" || phase == "Failed";
  const auto started = base::parse_time(text_at(*after, {"status", "startTime"}));
  pod->started = started.ok() ? *started : base::WallTime::max();
  return pod;
}

}  // namespace orch::server::scheduler
