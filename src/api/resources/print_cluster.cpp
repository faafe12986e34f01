// Printer cells of networking, policies, admission, priorities and other kinds of a cluster's operators.
#include <algorithm>
#include <chrono>
#include <set>

#include "api/duration.h"
#include "api/go_text.h"
#include "api/resources/printers.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxHosts = 3;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
  return text;
}

std::string ingress_hosts(const Json& rules) {
  std::vector<std::string> hosts;
  bool more = false;
  for (const Json& rule : rules) {
    more = more || hosts.size() == kMaxHosts;
    if (!more && has_items(rule, "host")) hosts.emplace_back(text_of(rule, "host"));
  }
  if (hosts.empty()) return "*";
  return join(hosts, ",") +
         (more ? " + " + std::to_string(rules.size() - kMaxHosts) + " more..." : std::string());
}

std::string ingress_addresses(const Json& ingress) {
  std::set<std::string> addresses;
  for (const Json& point : list_of(map_of(map_of(ingress, "status"), "loadBalancer"), "ingress")) {
    const char* key = has_items(point, "ip") ? "ip" : "hostname";
    if (has_items(point, key)) addresses.emplace(text_of(point, key));
  }
  return join({addresses.begin(), addresses.end()}, ",");
}

std::string signing_request_status(const Json& status) {
  std::set<std::string, std::less<>> types;
  for (const Json& condition : list_of(status, "conditions")) types.emplace(text_of(condition, "type"));
  std::string shown = types.contains("Denied")     ? "Denied"
                      : types.contains("Approved") ? "Approved"
                                                   : "Pending";
  if (types.contains("Failed")) shown += ",Failed";
  if (has_items(status, "certificate")) shown += ",Issued";
  return shown;
}

/// "resource: used/hard", those of limits apart from the others.
std::string quota_usage(const Json& status, bool limits) {
  std::vector<std::string> shown;
  const Json& hard = map_of(status, "hard");
  const Json& used = map_of(status, "used");
  for (auto it = hard.begin(); it != hard.end(); ++it) {
    if (it.key().starts_with("limits.") != limits) continue;
    shown.push_back(it.key() + ": " + or_none(text_of(used, it.key()), "0") + "/" + std::string(text(*it)));
  }
  return join(shown, ", ");
}

std::string param_kind(const Json& spec) {
  if (!has(spec, "paramKind")) return "<unset>";
  const Json& kind = map_of(spec, "paramKind");
  return std::string(text_of(kind, "apiVersion")) + "/" + std::string(text_of(kind, "kind"));
}

/// A selector as Go prints its struct.
std::string selector_struct(const Json& selector) {
  const Json& labels = map_of(selector, "matchLabels");
  std::string out = "&LabelSelector{MatchLabels:map[string]string{";
  for (auto it = labels.begin(); it != labels.end(); ++it) {
    out += it.key() + ": " + std::string(text(*it)) + ",";
  }
  out += "},MatchExpressions:[]LabelSelectorRequirement{";
  for (const Json& rule : list_of(selector, "matchExpressions")) {
    out += "LabelSelectorRequirement{Key:" + std::string(text_of(rule, "key")) +
           ",Operator:" + std::string(text_of(rule, "operator")) + ",Values:[";
    std::vector<std::string> values;
    for (const Json& value : list_of(rule, "values")) values.emplace_back(text(value));
    out += join(values, " ") + "],},";
  }
  return out + "},}";
}

std::string param_ref(const Json& spec) {
  const Json& ref = map_of(spec, "paramRef");
  const std::string name(text_of(ref, "name"));
  if (!name.empty()) return or_none(text_of(ref, "namespace"), "*") + "/" + name;
  return has(ref, "selector") ? selector_struct(map_of(ref, "selector")) : "<unset>";
}

}  // namespace

Cells named_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), age_cell(object, now)};
}

Cells ingress_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  return {name_cell(object),
          has(spec, "ingressClassName") ? std::string(text_of(spec, "ingressClassName")) : "<none>",
          ingress_hosts(list_of(spec, "rules")),
          ingress_addresses(object),
          has_items(spec, "tls") ? "80, 443" : "80",
          age_cell(object, now)};
}

Cells ingress_class_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  std::string parameters = "<none>";
  if (has(spec, "parameters")) {
    const Json& ref = map_of(spec, "parameters");
    parameters = std::string(text_of(ref, "kind"));
    if (has(ref, "apiGroup")) parameters += "." + std::string(text_of(ref, "apiGroup"));
    parameters += "/" + std::string(text_of(ref, "name"));
  }
  return {name_cell(object), std::string(text_of(spec, "controller")), parameters, age_cell(object, now)};
}

Cells network_policy_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), format_selector(map_of(map_of(object, "spec"), "podSelector")),
          age_cell(object, now)};
}

Cells ip_address_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  std::string parent = "<none>";
  if (has(spec, "parentRef")) {
    const Json& ref = map_of(spec, "parentRef");
    parent = std::string(text_of(ref, "resource"));
    if (has_items(ref, "group")) parent += "." + std::string(text_of(ref, "group"));
    parent = lower(std::move(parent));
    if (has_items(ref, "namespace")) parent += "/" + std::string(text_of(ref, "namespace"));
    parent += "/" + std::string(text_of(ref, "name"));
  }
  return {name_cell(object), parent, age_cell(object, now)};
}

Cells service_cidr_cells(const Json& object, base::WallTime now) {
  std::vector<std::string> cidrs;
  for (const Json& cidr : list_of(map_of(object, "spec"), "cidrs")) cidrs.emplace_back(text(cidr));
  return {name_cell(object), join(cidrs, ","), age_cell(object, now)};
}

Cells priority_class_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), number_of(object, "value"), flag_of(object, "globalDefault"),
          age_cell(object, now), std::string(text_of(object, "preemptionPolicy"))};
}

Cells runtime_class_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), std::string(text_of(object, "handler")), age_cell(object, now)};
}

Cells signing_request_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  std::string requested = "<none>";
  if (has(spec, "expirationSeconds")) {
    requested = human_duration(std::chrono::seconds(number_of(spec, "expirationSeconds")));
  }
  return {name_cell(object),
          age_cell(object, now),
          or_none(text_of(spec, "signerName")),
          std::string(text_of(spec, "username")),
          requested,
          signing_request_status(map_of(object, "status"))};
}

Cells resource_quota_cells(const Json& object, base::WallTime now) {
  const Json& status = map_of(object, "status");
  return {name_cell(object), quota_usage(status, false), quota_usage(status, true), age_cell(object, now)};
}

Cells webhooks_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), list_of(object, "webhooks").size(), age_cell(object, now)};
}

Cells admission_policy_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  return {name_cell(object), list_of(spec, "validations").size(), param_kind(spec), age_cell(object, now)};
}

Cells admission_policy_binding_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  return {name_cell(object), std::string(text_of(spec, "policyName")), param_ref(spec),
          age_cell(object, now)};
}

Cells flow_schema_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  std::string missing = "?";
  for (const Json& condition : list_of(map_of(object, "status"), "conditions")) {
    if (text_of(condition, "type") == "Dangling" && missing == "?") missing = text_of(condition, "status");
  }
  return {name_cell(object),
          std::string(text_of(map_of(spec, "priorityLevelConfiguration"), "name")),
          number_of(spec, "matchingPrecedence"),
          has(spec, "distinguisherMethod") ? std::string(text_of(map_of(spec, "distinguisherMethod"), "type"))
                                           : "<none>",
          age_cell(object, now),
          missing};
}

Cells priority_level_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& limited = map_of(spec, "limited");
  const Json& response = map_of(limited, "limitResponse");
  const bool queues = has(response, "queuing");
  const Json& queuing = map_of(response, "queuing");
  const auto count = [](bool known, const Json& from, const char* key) {
    return known ? Json(number_of(from, key)) : Json("<none>");
  };
  return {name_cell(object),
          std::string(text_of(spec, "type")),
          count(has(spec, "limited"), limited, "nominalConcurrencyShares"),
          count(queues, queuing, "queues"),
          count(queues, queuing, "handSize"),
          count(queues, queuing, "queueLengthLimit"),
          age_cell(object, now)};
}

Cells resource_claim_cells(const Json& object, base::WallTime now) {
  const bool deleted = has(map_of(object, "metadata"), "deletionTimestamp");
  const Json& status = map_of(object, "status");
  std::vector<std::string> states;
  if (deleted) states.emplace_back("deleted");
  if (has(status, "allocation")) {
    states.emplace_back("allocated");
    if (has_items(status, "reservedFor")) states.emplace_back("reserved");
  } else if (!deleted) {
    states.emplace_back("pending");
  }
  return {name_cell(object), join(states, ","), age_cell(object, now)};
}

Cells resource_slice_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  return {name_cell(object), std::string(text_of(spec, "nodeName")), std::string(text_of(spec, "driver")),
          std::string(text_of(map_of(spec, "pool"), "name")), age_cell(object, now)};
}

}  // namespace orch::api
