#include "api/resources/conversion.h"

#include <array>

#include "base/json.h"

namespace orch::api {
namespace {

// --- Events: events.k8s.io/v1 renames members of core/v1 ----------------------------------------------

struct Rename {
  const char *served, *stored;
};
constexpr std::array<Rename, 7> kEventMembers = {{{"regarding", "involvedObject"},
                                                  {"note", "message"},
                                                  {"reportingController", "reportingComponent"},
                                                  {"deprecatedSource", "source"},
                                                  {"deprecatedFirstTimestamp", "firstTimestamp"},
                                                  {"deprecatedLastTimestamp", "lastTimestamp"},
                                                  {"deprecatedCount", "count"}}};

void rename(Json& object, const char* from, const char* to) {
  const auto member = object.find(from);
  if (member == object.end()) return;
  Json value = std::move(*member);
  object.erase(member);
  object[to] = std::move(value);
}

void event_to_storage(Json& event) {
  for (const Rename& member : kEventMembers) rename(event, member.served, member.stored);
}

void event_from_storage(Json& event) {
  for (const Rename& member : kEventMembers) rename(event, member.stored, member.served);
}

}  // namespace

std::shared_ptr<const Conversion> conversion_for(std::string_view group, std::string_view version,
                                                 std::string_view kind) {
  if (group == "events.k8s.io" && kind == "Event") {
    return std::make_shared<const Conversion>(Conversion{event_to_storage, event_from_storage});
  }
  if (group == "autoscaling" && version == "v1" && kind == "HorizontalPodAutoscaler") {
    return std::make_shared<const Conversion>(autoscaler_conversion());
  }
  return nullptr;
}

}  // namespace orch::api
