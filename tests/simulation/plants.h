// Bugs put in on purpose.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "client/client.h"
#include "server/controllers/controller.h"
#include "tests/simulation/weather.h"

namespace orch::simulation {

class World;

struct PlantName {
  std::string_view name;
  Plant plant;
  std::string_view rule;  // which has to find it
};
/// All there are, by the names they are chosen by.
const std::vector<PlantName>& plants();

void plant_in_controllers(World& world, std::vector<server::Controller>& controllers);
/// What a controller with such a bug does when it does not learn that its write happened.
void plant_after_loss(World& world, client::Client& api, const client::ResourceRef& r,
                      const std::string& what);
/// Whether an object is a pod of a ReplicaSet.
bool is_set_pod(const Json& object);
bool takes_finalizer_off(const Json& patch);
std::string first_node(client::Client& api);

}  // namespace orch::simulation
