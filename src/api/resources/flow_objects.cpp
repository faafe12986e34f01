#include "api/resources/flow_objects.h"

#include <memory>
#include <string>

#include "base/json.h"

namespace orch::api {
namespace {

struct LevelRow {
  const char* name;
  int shares, lendable;
  int queues, hand;  // 0: what is too much is refused at once
  bool mandatory = false, exempt = false;
};

constexpr LevelRow kLevels[] = {
    {"exempt", 0, 0, 0, 0, true, true}, {"catch-all", 5, 0, 0, 0, true},    {"system", 30, 33, 64, 6},
    {"node-high", 40, 25, 64, 6},       {"leader-election", 10, 0, 16, 4},  {"workload-high", 40, 50, 128, 6},
    {"workload-low", 100, 90, 128, 6},  {"global-default", 20, 50, 128, 6},
};
constexpr int kQueueLength = 50;

/// Subjects: U user, G group, S service accounts of a namespace. Rules: R resources, N paths; `*` stands for
/// one of each that lets everything through.
struct SchemaRow {
  const char* name;
  const char* level;
  int precedence;
  const char* distinguisher;
  const char* subjects;
  const char* rules;
  bool mandatory = false;
};

constexpr const char* kEverybody = "G system:unauthenticated;G system:authenticated";
constexpr const char* kEverything = "R *|*|*|1;N *|*";

constexpr SchemaRow kSchemas[] = {
    {"exempt", "exempt", 1, "", "G system:masters", kEverything, true},
    {"catch-all", "catch-all", 10000, "ByUser", kEverybody, kEverything, true},
    {"probes", "exempt", 2, "", kEverybody, "N get|/healthz,/readyz,/livez"},
    {"system-leader-election", "leader-election", 100, "ByUser",
     "U system:kube-controller-manager;U system:kube-scheduler;S kube-system",
     "R get,create,update|coordination.k8s.io|leases|0"},
    {"system-node-high", "node-high", 400, "ByUser", "G system:nodes",
     "R *||nodes,nodes/status|1;R *|coordination.k8s.io|leases|0"},
    {"system-nodes", "system", 500, "ByUser", "G system:nodes", kEverything},
    {"kube-controller-manager", "workload-high", 800, "ByNamespace", "U system:kube-controller-manager",
     kEverything},
    {"kube-scheduler", "workload-high", 800, "ByNamespace", "U system:kube-scheduler", kEverything},
    {"kube-system-service-accounts", "workload-high", 900, "ByNamespace", "S kube-system", kEverything},
    {"service-accounts", "workload-low", 9000, "ByUser", "G system:serviceaccounts", kEverything},
    {"global-default", "global-default", 9900, "ByUser", kEverybody, kEverything},
};

std::vector<std::string_view> parts(std::string_view text, char by) {
  std::vector<std::string_view> out;
  for (size_t end = 0; end != std::string_view::npos; text.remove_prefix(end + 1)) {
    end = text.find(by);
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
  }
  return out;
}

Json strings(std::string_view text) {
  Json out = Json::array();
  for (std::string_view one : parts(text, ',')) out.emplace_back(std::string(one));
  return out;
}

Json named(const char* kind, const char* name) {
  Json object = Json::object();
  object["apiVersion"] = "flowcontrol.apiserver.k8s.io/v1";
  object["kind"] = kind;
  object["metadata"]["name"] = name;
  object["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] = "true";
  return object;
}

Json level_of(const LevelRow& row) {
  Json object = named("PriorityLevelConfiguration", row.name);
  Json& spec = object["spec"];
  spec["type"] = row.exempt ? "Exempt" : "Limited";
  Json& part = spec[row.exempt ? "exempt" : "limited"];
  part["nominalConcurrencyShares"] = row.shares;
  part["lendablePercent"] = row.lendable;
  if (row.exempt) return object;
  Json& response = part["limitResponse"];
  response["type"] = row.queues > 0 ? "Queue" : "Reject";
  if (row.queues == 0) return object;
  Json& queuing = response["queuing"];
  queuing["queues"] = row.queues;
  queuing["handSize"] = row.hand;
  queuing["queueLengthLimit"] = kQueueLength;
  return object;
}

Json subject_of(std::string_view text) {
  Json subject = Json::object();
  const std::string name(text.substr(2));
  if (text[0] == 'U') {
    subject["kind"] = "User";
    subject["user"]["name"] = name;
  } else if (text[0] == 'G') {
    subject["kind"] = "Group";
    subject["group"]["name"] = name;
  } else {
    subject["kind"] = "ServiceAccount";
    subject["serviceAccount"]["namespace"] = name;
    subject["serviceAccount"]["name"] = "*";
  }
  return subject;
}

void add_rule(std::string_view text, Json& rule) {
  const auto fields = parts(text.substr(2), '|');
  Json one = Json::object();
  one["verbs"] = strings(fields[0]);
  if (text[0] == 'N') {
    one["nonResourceURLs"] = strings(fields[1]);
    rule["nonResourceRules"].push_back(std::move(one));
    return;
  }
  one["apiGroups"] = strings(fields[1]);
  one["resources"] = strings(fields[2]);
  one["namespaces"] = strings("*");
  if (fields[3] == "1") one["clusterScope"] = true;
  rule["resourceRules"].push_back(std::move(one));
}

Json schema_of(const SchemaRow& row) {
  Json object = named("FlowSchema", row.name);
  Json& spec = object["spec"];
  spec["priorityLevelConfiguration"]["name"] = row.level;
  spec["matchingPrecedence"] = row.precedence;
  if (*row.distinguisher != '\0') spec["distinguisherMethod"]["type"] = row.distinguisher;
  Json rule = Json::object();
  for (std::string_view subject : parts(row.subjects, ';')) rule["subjects"].push_back(subject_of(subject));
  for (std::string_view text : parts(row.rules, ';')) add_rule(text, rule);
  spec["rules"].push_back(std::move(rule));
  return object;
}

}  // namespace

// Never destroyed: a controller may look at them while the process ends.
const FlowObjects& builtin_priority_levels() {
  static const FlowObjects& objects = *[] {
    auto out = std::make_unique<FlowObjects>();
    for (const LevelRow& row : kLevels)
      (row.mandatory ? out->mandatory : out->suggested).push_back(level_of(row));
    return out.release();
  }();
  return objects;
}

const FlowObjects& builtin_flow_schemas() {
  static const FlowObjects& objects = *[] {
    auto out = std::make_unique<FlowObjects>();
    for (const SchemaRow& row : kSchemas)
      (row.mandatory ? out->mandatory : out->suggested).push_back(schema_of(row));
    return out.release();
  }();
  return objects;
}

const Json* mandatory_flow_object(const FlowObjects& objects, std::string_view name) {
  for (const Json& object : objects.mandatory) {
    if (base::string_at(object, {"metadata", "name"}) == name) return &object;
  }
  return nullptr;
}

}  // namespace orch::api
