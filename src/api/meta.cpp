#include "api/meta.h"

#include <algorithm>

#include "api/scan.h"
#include "base/json.h"

namespace orch::api {
namespace {

OwnerReference read_reference(const Json& tree) {
  OwnerReference reference;
  reference.api_version = base::string_at(tree, {"apiVersion"});
  reference.kind = base::string_at(tree, {"kind"});
  reference.name = base::string_at(tree, {"name"});
  reference.uid = base::string_at(tree, {"uid"});
  reference.controller = base::bool_at(tree, {"controller"});
  reference.block_owner_deletion = base::bool_at(tree, {"blockOwnerDeletion"});
  return reference;
}

bool scan_reference(JsonScanner& scanner, OwnerReference& reference) {
  return scan_object(scanner, [&](std::string_view key) {
    std::string_view raw;
    if (!scanner.value(raw)) return false;
    if (key == "apiVersion") reference.api_version = scalar_text(raw);
    if (key == "kind") reference.kind = scalar_text(raw);
    if (key == "name") reference.name = scalar_text(raw);
    if (key == "uid") reference.uid = scalar_text(raw);
    if (key == "controller") reference.controller = raw == "true";
    if (key == "blockOwnerDeletion") reference.block_owner_deletion = raw == "true";
    return true;
  });
}

OwnerReference pick_controller(std::vector<OwnerReference> references) {
  for (OwnerReference& reference : references) {
    if (reference.controller) return std::move(reference);
  }
  return {};
}

base::WallTime time_or_epoch(std::string_view text) {
  const auto time = base::parse_time(text);
  return time.ok() ? time.value() : base::WallTime();
}

Json::iterator find_in(Json& conditions, std::string_view type) {
  return std::find_if(conditions.begin(), conditions.end(),
                      [&](const Json& one) { return base::string_at(one, {"type"}) == type; });
}

}  // namespace

std::string_view raw_metadata(const Object& object) {
  constexpr std::string_view kKey = "\"metadata\":";
  JsonScanner scanner(object.bytes_from_metadata().substr(kKey.size()));
  std::string_view raw;
  scanner.value(raw);
  return raw;
}

std::vector<OwnerReference> owner_references(const Object& object) {
  std::vector<OwnerReference> out;
  const std::string_view raw = object.raw_owners();
  if (raw.empty()) return out;
  JsonScanner scanner(raw);
  scan_array(scanner, [&] { return scan_reference(scanner, out.emplace_back()); });
  return out;
}

std::vector<OwnerReference> owner_references(const Json& object) {
  std::vector<OwnerReference> out;
  for (const Json& one : base::array_at(object, {"metadata", "ownerReferences"}))
    out.push_back(read_reference(one));
  return out;
}

OwnerReference controller_of(const Object& object) { return pick_controller(owner_references(object)); }
OwnerReference controller_of(const Json& object) { return pick_controller(owner_references(object)); }

bool is_controlled_by(const Object& object, std::string_view uid) {
  return !uid.empty() && controller_of(object).uid == uid;
}

Json controller_reference(std::string_view api_version, std::string_view kind, std::string_view name,
                          std::string_view uid) {
  return {{"apiVersion", api_version}, {"kind", kind}, {"name", name}, {"uid", uid}, {"controller", true},
          {"blockOwnerDeletion", true}};
}

Json controller_reference(const Object& owner) {
  return controller_reference(owner.api_version(), owner.kind(), owner.name(), owner.uid());
}

bool has_finalizer(const Json& object, std::string_view finalizer) {
  const Json& list = base::array_at(object, {"metadata", "finalizers"});
  return std::find(list.begin(), list.end(), finalizer) != list.end();
}

bool add_finalizer(Json& object, std::string_view finalizer) {
  if (has_finalizer(object, finalizer)) return false;
  Json& list = object["metadata"]["finalizers"];
  if (!list.is_array()) list = Json::array();
  list.push_back(finalizer);
  return true;
}

bool remove_finalizer(Json& object, std::string_view finalizer) {
  if (!has_finalizer(object, finalizer)) return false;
  Json& list = object["metadata"]["finalizers"];
  list.erase(std::remove(list.begin(), list.end(), finalizer), list.end());
  if (list.empty()) object["metadata"].erase("finalizers");
  return true;
}

std::string_view annotation(const Json& object, std::string_view key) {
  return base::string_at(object, {"metadata", "annotations", key});
}

std::string annotation(const Object& object, std::string_view key) {
  return scalar_text(raw_value(raw_metadata(object), {"annotations", key}));
}

base::WallTime creation_time(const Json& object) {
  return time_or_epoch(base::string_at(object, {"metadata", "creationTimestamp"}));
}

base::WallTime creation_time(const Object& object) {
  return time_or_epoch(scalar_text(raw_value(raw_metadata(object), {"creationTimestamp"})));
}

std::string object_key(std::string_view ns, std::string_view name) {
  return ns.empty() ? std::string(name) : base::cat(ns, "/", name);
}

std::string object_key(const Object& object) { return object_key(object.ns(), object.name()); }

std::pair<std::string_view, std::string_view> split_key(std::string_view key) {
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos) return {{}, key};
  return {key.substr(0, slash), key.substr(slash + 1)};
}

Json object_reference(const Object& object) {
  Json out = {{"kind", object.kind()},
              {"apiVersion", object.api_version()},
              {"name", object.name()},
              {"uid", object.uid()}};
  if (!object.ns().empty()) out["namespace"] = object.ns();
  if (object.revision() != 0) out["resourceVersion"] = std::to_string(object.revision());
  return out;
}

const Json* find_condition(const Json& object, std::string_view type) {
  for (const Json& one : base::array_at(object, {"status", "conditions"})) {
    if (base::string_at(one, {"type"}) == type) return &one;
  }
  return nullptr;
}

bool condition_is_true(const Json& object, std::string_view type) {
  const Json* condition = find_condition(object, type);
  return condition != nullptr && base::string_at(*condition, {"status"}) == "True";
}

bool set_condition(Json& object, const Condition& condition, base::WallTime now, ConditionTimes times) {
  Json& status = object["status"];
  if (!status.is_object()) status = Json::object();
  Json& conditions = status["conditions"];
  if (!conditions.is_array()) conditions = Json::array();
  auto found = find_in(conditions, condition.type);
  const bool is_new = found == conditions.end();
  if (is_new) {
    conditions.push_back({{"type", condition.type}});
    found = std::prev(conditions.end());
  }
  Json& one = *found;
  const bool same_status = !is_new && base::string_at(one, {"status"}) == condition.status;
  if (same_status && base::string_at(one, {"reason"}) == condition.reason &&
      base::string_at(one, {"message"}) == condition.message) {
    return false;
  }
  const std::string time = base::format_time(now);
  if (!same_status || !one.contains("lastTransitionTime")) one["lastTransitionTime"] = time;
  one["status"] = condition.status;
  const auto set_or_clear = [&](const char* key, std::string_view value) {
    if (value.empty()) {
      one.erase(key);
    } else {
      one[key] = value;
    }
  };
  set_or_clear("reason", condition.reason);
  set_or_clear("message", condition.message);
  if (times == ConditionTimes::kUpdate) one["lastUpdateTime"] = time;
  if (times == ConditionTimes::kHeartbeat) one["lastHeartbeatTime"] = time;
  if (times == ConditionTimes::kProbe && !one.contains("lastProbeTime")) one["lastProbeTime"] = nullptr;
  return true;
}

bool remove_condition(Json& object, std::string_view type) {
  if (find_condition(object, type) == nullptr) return false;
  Json& conditions = object["status"]["conditions"];
  conditions.erase(find_in(conditions, type));
  return true;
}

}  // namespace orch::api
