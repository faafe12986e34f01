// What FlowSchemas and PriorityLevelConfigurations say, as plain values, and what follows from them: which
// level a request belongs to, which flow within it, and how many seats each level has.
// k8s.io/apiserver pkg/util/flowcontrol, KEP-1040. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "server/auth/auth.h"

namespace orch::server {

/// What a request is told apart by; views into what its owner keeps.
struct FlowRequest {
  const UserInfo* user = nullptr;
  bool resource_request = false;
  std::string_view verb, group, resource, subresource, ns, path;
  bool patient = false;  // of a user who takes much: leaves some seats of its level to others
};

struct FlowSubject {
  enum class Kind : uint8_t { kUser, kGroup, kServiceAccount };
  Kind kind = Kind::kUser;
  std::string ns, name;  // name "*": all
};

/// One resource rule, or (with `paths`) one rule for what is no resource.
struct FlowAccess {
  std::vector<std::string> verbs, groups, resources, namespaces, paths;
  bool cluster_scope = false;
};

struct FlowRule {
  std::vector<FlowSubject> subjects;
  std::vector<FlowAccess> resources, paths;
};

struct FlowSchema {
  enum class By : uint8_t { kNothing, kUser, kNamespace };
  std::string name, uid, level;
  int64_t precedence = 0;
  By by = By::kNothing;
  std::vector<FlowRule> rules;
};

struct QueueShape {
  int queues = 0;  // 0: none, what is too much is refused
  int length = 0, hand = 0;
};

struct LevelConfig {
  std::string name, uid;
  bool exempt = false;
  int64_t shares = 0, lendable_percent = 0;
  std::optional<int64_t> borrowing_percent;  // none: without a bound
  QueueShape shape;
};

FlowSchema parse_flow_schema(const Json& object);
/// None for what no server could use: its parts do not go together.
std::optional<LevelConfig> parse_priority_level(const Json& object);

bool matches(const FlowSchema& schema, const FlowRequest& request);
/// The user or the namespace, as the schema tells its flows apart.
std::string_view distinguisher(const FlowSchema& schema, const FlowRequest& request);
/// Source of a flow's hand of queues: the first eight bytes of a SHA-256, little-endian.
uint64_t flow_hash(std::string_view schema, std::string_view distinguisher);
/// `hand` different numbers below `deck`, by `hash` alone.
void deal(uint64_t hash, int deck, int hand, std::vector<int>& out);

/// In the order they are asked, without those whose level does not exist; the mandatory ones are there.
struct FlowPlan {
  std::vector<FlowSchema> schemas;
  std::vector<LevelConfig> levels;
};
FlowPlan plan_flows(std::vector<LevelConfig> levels, std::vector<FlowSchema> schemas);

/// Seats of one level: what is its own by its share, what it keeps when others borrow, what it may grow to.
struct SeatLimits {
  int64_t nominal = 0, least = 0, most = 0;
};
/// Of each level, in order, when the server has `total` seats. Rounded up, so that the sum may be a bit more.
std::vector<SeatLimits> divide_seats(const std::vector<LevelConfig>& levels, int64_t total);
/// The most seats one request of the level may be estimated to need; 0: no bound of its own.
int64_t widest_request(const LevelConfig& level, int64_t nominal);

}  // namespace orch::server
