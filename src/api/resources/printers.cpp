// Printer cells of core, apps, rbac, discovery and coordination; pods have a file of their own.
#include "api/resources/printers.h"

#include <algorithm>
#include <set>

#include "api/duration.h"
#include "api/go_text.h"
#include "api/resources/tree.h"
#include "api/selector.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMaxListed = 3;

std::string lower(std::string_view s) {
  std::string out(s);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
  return out;
}

std::string joined_texts(const Json& list, std::string_view separator) {
  std::vector<std::string> parts;
  for (const Json& item : list) parts.emplace_back(text(item));
  return join(parts, separator);
}

/// The first three, and how many more there are.
std::string first_of(const std::vector<std::string>& all) {
  if (all.size() <= kMaxListed) return join(all, ",");
  const std::vector<std::string> some(all.begin(), all.begin() + kMaxListed);
  return join(some, ",") + " + " + std::to_string(all.size() - kMaxListed) + " more...";
}

std::string host_port(std::string_view ip, int64_t port) {
  const bool v6 = ip.find(':') != std::string_view::npos;
  return (v6 ? "[" : "") + std::string(ip) + (v6 ? "]:" : ":") + std::to_string(port);
}

std::string ratio(int64_t a, int64_t b) { return std::to_string(a) + "/" + std::to_string(b); }

// --- Service -----------------------------------------------------------------------------------------

std::string balancer_addresses(const Json& service) {
  std::set<std::string> addresses;
  for (const Json& ingress : list_of(map_of(map_of(service, "status"), "loadBalancer"), "ingress")) {
    const std::string_view ip = text_of(ingress, "ip");
    const std::string_view host = text_of(ingress, "hostname");
    if (!ip.empty()) {
      addresses.emplace(ip);
    } else if (!host.empty()) {
      addresses.emplace(host);
    }
  }
  return join({addresses.begin(), addresses.end()}, ",");
}

std::string external_address(const Json& service) {
  const Json& spec = map_of(service, "spec");
  const std::string_view type = text_of(spec, "type");
  const std::string external = joined_texts(list_of(spec, "externalIPs"), ",");
  if (type == "ClusterIP" || type == "NodePort") return or_none(external);
  if (type == "ExternalName") return std::string(text_of(spec, "externalName"));
  if (type != "LoadBalancer") return "<unknown>";
  const std::string balancer = balancer_addresses(service);
  if (external.empty()) return or_none(balancer, "<pending>");
  return balancer.empty() ? external : balancer + "," + external;
}

std::string port_texts(const Json& ports) {
  std::vector<std::string> parts;
  for (const Json& port : ports) {
    std::string text = std::to_string(number_of(port, "port"));
    if (number_of(port, "nodePort") > 0) text += ":" + std::to_string(number_of(port, "nodePort"));
    parts.push_back(text + "/" + std::string(text_of(port, "protocol")));
  }
  return or_none(join(parts, ","));
}

// --- Node --------------------------------------------------------------------------------------------

std::string node_status(const Json& node) {
  std::string status = "Unknown";
  for (const Json& condition : list_of(map_of(node, "status"), "conditions")) {
    if (text_of(condition, "type") == "Ready") {
      status = text_of(condition, "status") == "True" ? "Ready" : "NotReady";
    }
  }
  if (flag_of(map_of(node, "spec"), "unschedulable")) status += ",SchedulingDisabled";
  return status;
}

std::string node_roles(const Json& node) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::set<std::string> roles;
  const Json& labels = labels_of(node);
  for (auto it = labels.begin(); it != labels.end(); ++it) {
    const std::string_view key = it.key();
    if (key.starts_with(kPrefix)) {
      if (key.size() > kPrefix.size()) roles.emplace(key.substr(kPrefix.size()));
    } else if (key == "kubernetes.io/role" && !text(*it).empty()) {
      roles.emplace(text(*it));
    }
  }
  return or_none(join({roles.begin(), roles.end()}, ","));
}

std::string node_address(const Json& node, std::string_view type) {
  for (const Json& address : list_of(map_of(node, "status"), "addresses")) {
    if (text_of(address, "type") == type) return std::string(text_of(address, "address"));
  }
  return "<none>";
}

// --- Workloads ---------------------------------------------------------------------------------------

const Json& template_pod(const Json& object) {
  return map_of(map_of(map_of(object, "spec"), "template"), "spec");
}

}  // namespace

Json name_cell(const Json& object) { return std::string(name_of(object)); }

Json age_cell(const Json& object, base::WallTime now) {
  return age_text(text_of(map_of(object, "metadata"), "creationTimestamp"), now);
}

std::string or_none(std::string_view value, std::string_view none) {
  return std::string(value.empty() ? none : value);
}

std::string format_labels(const Json& labels) {
  std::vector<std::string> parts;
  if (labels.is_object()) {
    for (auto it = labels.begin(); it != labels.end(); ++it)
      parts.push_back(it.key() + "=" + std::string(text(*it)));
  }
  return or_none(join(parts, ","));
}

std::string format_selector(const Json& selector) {
  const auto parsed = LabelSelector::from_tree(selector);
  return parsed.ok() ? or_none(parsed->text()) : "<error>";
}

std::pair<std::string, std::string> container_cells(const Json& pod_spec) {
  std::vector<std::string> names;
  std::vector<std::string> images;
  for (const Json& container : list_of(pod_spec, "containers")) {
    names.emplace_back(text_of(container, "name"));
    images.emplace_back(text_of(container, "image"));
  }
  return {join(names, ","), join(images, ",")};
}

Cells default_cells(const Json& object, base::WallTime) {
  return {name_cell(object), std::string(text_of(map_of(object, "metadata"), "creationTimestamp"))};
}

Cells pod_template_cells(const Json& object, base::WallTime) {
  const Json& pod_template = map_of(object, "template");
  const auto [names, images] = container_cells(map_of(pod_template, "spec"));
  return {name_cell(object), names, images, format_labels(labels_of(pod_template))};
}

Cells service_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& ips = list_of(spec, "clusterIPs");
  return {name_cell(object),
          std::string(text_of(spec, "type")),
          ips.empty() ? std::string("<none>") : std::string(text(ips[0])),
          external_address(object),
          port_texts(list_of(spec, "ports")),
          age_cell(object, now),
          format_labels(map_of(spec, "selector"))};
}

Cells endpoints_cells(const Json& object, base::WallTime now) {
  std::vector<std::string> all;
  const Json& subsets = list_of(object, "subsets");
  for (const Json& subset : subsets) {
    const Json& ports = list_of(subset, "ports");
    for (const Json& address : ports.empty() ? list_of(subset, "addresses") : Json::array()) {
      all.emplace_back(text_of(address, "ip"));
    }
    for (const Json& port : ports) {
      for (const Json& address : list_of(subset, "addresses")) {
        all.push_back(host_port(text_of(address, "ip"), number_of(port, "port")));
      }
    }
  }
  return {name_cell(object), subsets.empty() ? std::string("<none>") : first_of(all), age_cell(object, now)};
}

Cells endpoint_slice_cells(const Json& object, base::WallTime now) {
  std::vector<std::string> ports;
  for (const Json& port : list_of(object, "ports")) {
    if (has(port, "port")) {
      ports.push_back(std::to_string(number_of(port, "port")));
    } else {
      ports.push_back(has(port, "name") ? std::string(text_of(port, "name")) : std::string("*"));
    }
  }
  std::vector<std::string> addresses;
  for (const Json& endpoint : list_of(object, "endpoints")) {
    for (const Json& address : list_of(endpoint, "addresses")) addresses.emplace_back(text(address));
  }
  return {name_cell(object), std::string(text_of(object, "addressType")), or_none(first_of(ports), "<unset>"),
          or_none(first_of(addresses), "<unset>"), age_cell(object, now)};
}

Cells namespace_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), std::string(text_of(map_of(object, "status"), "phase")), age_cell(object, now)};
}

Cells node_cells(const Json& object, base::WallTime now) {
  const Json& info = map_of(map_of(object, "status"), "nodeInfo");
  return {name_cell(object),
          node_status(object),
          node_roles(object),
          age_cell(object, now),
          std::string(text_of(info, "kubeletVersion")),
          node_address(object, "InternalIP"),
          node_address(object, "ExternalIP"),
          or_none(text_of(info, "osImage"), "<unknown>"),
          or_none(text_of(info, "kernelVersion"), "<unknown>"),
          or_none(text_of(info, "containerRuntimeVersion"), "<unknown>")};
}

Cells config_map_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), map_of(object, "data").size() + map_of(object, "binaryData").size(),
          age_cell(object, now)};
}

Cells secret_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), std::string(text_of(object, "type")), map_of(object, "data").size(),
          age_cell(object, now)};
}

Cells service_account_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), age_cell(object, now)};
}

Cells event_cells(const Json& object, base::WallTime now) {
  const std::string event_time = age_text(text_of(object, "eventTime"), now);
  const std::string_view first_seen = text_of(object, "firstTimestamp");
  const std::string first = first_seen.empty() ? event_time : age_text(first_seen, now);
  const std::string_view last_seen = text_of(object, "lastTimestamp");
  std::string last = last_seen.empty() ? first : age_text(last_seen, now);
  int64_t count = number_of(object, "count");
  if (has(object, "series")) {
    const Json& series = map_of(object, "series");
    last = age_text(text_of(series, "lastObservedTime"), now);
    count = number_of(series, "count");
  } else if (count == 0) {
    count = 1;
  }
  const Json& about = map_of(object, "involvedObject");
  std::string target = lower(text_of(about, "kind"));
  if (!text_of(about, "name").empty()) target += "/" + std::string(text_of(about, "name"));
  const Json& source = map_of(object, "source");
  const auto first_text = [](std::string_view a, std::string_view b) {
    return std::string(a.empty() ? b : a);
  };
  std::string from = first_text(text_of(source, "component"), text_of(object, "reportingComponent"));
  const std::string instance = first_text(text_of(source, "host"), text_of(object, "reportingInstance"));
  if (!instance.empty()) from += ", " + instance;
  std::string_view message = text_of(object, "message");
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = message.find_first_not_of(kSpace);
  message = begin == std::string_view::npos
                ? std::string_view()
                : message.substr(begin, message.find_last_not_of(kSpace) - begin + 1);
  return {last,
          std::string(text_of(object, "type")),
          std::string(text_of(object, "reason")),
          target,
          std::string(text_of(about, "fieldPath")),
          from,
          std::string(message),
          first,
          count,
          name_cell(object)};
}

Cells lease_cells(const Json& object, base::WallTime now) {
  return {name_cell(object), std::string(text_of(map_of(object, "spec"), "holderIdentity")),
          age_cell(object, now)};
}

Cells deployment_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& status = map_of(object, "status");
  const auto [names, images] = container_cells(template_pod(object));
  const auto selector = LabelSelector::from_tree(member_of(spec, "selector"));
  return {name_cell(object),
          ratio(number_of(status, "readyReplicas"), number_of(spec, "replicas")),
          number_of(status, "updatedReplicas"),
          number_of(status, "availableReplicas"),
          age_cell(object, now),
          names,
          images,
          selector.ok() ? selector->text() : std::string("<invalid>")};
}

Cells replica_set_cells(const Json& object, base::WallTime now) {
  const Json& spec = map_of(object, "spec");
  const Json& status = map_of(object, "status");
  const auto [names, images] = container_cells(template_pod(object));
  return {name_cell(object),
          number_of(spec, "replicas"),
          number_of(status, "replicas"),
          number_of(status, "readyReplicas"),
          age_cell(object, now),
          names,
          images,
          format_selector(member_of(spec, "selector"))};
}

Cells daemon_set_cells(const Json& object, base::WallTime now) {
  const Json& status = map_of(object, "status");
  const auto [names, images] = container_cells(template_pod(object));
  return {name_cell(object),
          number_of(status, "desiredNumberScheduled"),
          number_of(status, "currentNumberScheduled"),
          number_of(status, "numberReady"),
          number_of(status, "updatedNumberScheduled"),
          number_of(status, "numberAvailable"),
          format_labels(map_of(template_pod(object), "nodeSelector")),
          age_cell(object, now),
          names,
          images,
          format_selector(member_of(map_of(object, "spec"), "selector"))};
}

Cells binding_cells(const Json& object, base::WallTime now) {
  const Json& ref = map_of(object, "roleRef");
  std::vector<std::string> users;
  std::vector<std::string> groups;
  std::vector<std::string> accounts;
  for (const Json& subject : list_of(object, "subjects")) {
    const std::string_view kind = text_of(subject, "kind");
    const std::string name(text_of(subject, "name"));
    if (kind == "ServiceAccount") accounts.push_back(std::string(text_of(subject, "namespace")) + "/" + name);
    if (kind == "User") users.push_back(name);
    if (kind == "Group") groups.push_back(name);
  }
  return {name_cell(object),     std::string(text_of(ref, "kind")) + "/" + std::string(text_of(ref, "name")),
          age_cell(object, now), join(users, ", "),
          join(groups, ", "),    join(accounts, ", ")};
}

}  // namespace orch::api
