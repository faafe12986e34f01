#include "server/flowcontrol/maintain.h"

#include <algorithm>

#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::server {
namespace {

constexpr const char* kAutoUpdate = "apf.kubernetes.io/autoupdate-spec";

/// As strconv.ParseBool.
std::optional<bool> parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::optional<bool> auto_update(const Json& object) {
  return parse_bool(api::text_of(api::annotations_of(object), kAutoUpdate));
}

/// What the spec should be. How many seats exempt requests lend is for people to say.
Json wanted_spec(const Json& current, const Json& builtin) {
  Json spec = builtin["spec"];
  const Json& own = api::map_of(api::map_of(current, "spec"), "exempt");
  if (spec.contains("exempt") && !own.empty()) spec["exempt"] = own;
  return spec;
}

bool is_named(const std::vector<Json>& objects, std::string_view name) {
  return std::any_of(objects.begin(), objects.end(),
                     [&](const Json& object) { return api::name_of(object) == name; });
}

}  // namespace

std::optional<Json> revise_flow_object(const Json* current, const Json& builtin, bool mandatory) {
  if (current == nullptr) return builtin;
  const std::optional<bool> said = auto_update(*current);
  // Without a word about it, what was never changed may be changed.
  const bool update = mandatory || said.value_or(base::int_at(*current, {"metadata", "generation"}) == 1);
  Json spec = wanted_spec(*current, builtin);
  const bool differs = update && !api::same(spec, api::map_of(*current, "spec"));
  if (said == update && !differs) return std::nullopt;
  Json revised = *current;
  if (differs) revised["spec"] = std::move(spec);
  revised["metadata"]["annotations"][kAutoUpdate] = update ? "true" : "false";
  return revised;
}

bool obsolete_flow_object(const Json& current, const api::FlowObjects& builtin) {
  const std::string_view name = api::name_of(current);
  return auto_update(current).value_or(false) && !is_named(builtin.mandatory, name) &&
         !is_named(builtin.suggested, name);
}

std::optional<Json> mark_dangling(const Json& schema, bool level_exists, base::WallTime now) {
  const std::string_view level = base::string_at(schema, {"spec", "priorityLevelConfiguration", "name"});
  const std::string message =
      base::cat("This FlowSchema references the PriorityLevelConfiguration object named \"", level,
                level_exists ? "\" and it exists" : "\" but there is no such object");
  const char* status = level_exists ? "False" : "True";
  const char* reason = level_exists ? "Found" : "NotFound";
  Json condition = {{"type", "Dangling"},
                    {"status", status},
                    {"reason", reason},
                    {"message", message},
                    {"lastTransitionTime", base::format_time(now)}};
  for (const Json& old : base::array_at(schema, {"status", "conditions"})) {
    if (api::text_of(old, "type") == "Dangling" && api::text_of(old, "status") == status &&
        api::text_of(old, "reason") == reason && api::text_of(old, "message") == message)
      return std::nullopt;
  }
  return Json{{"metadata", {{"name", base::string_at(schema, {"metadata", "name"})}}},
              {"status", {{"conditions", Json::array({std::move(condition)})}}}};
}

}  // namespace orch::server
