#include "server/registry/field_tracking.h"

#include "api/resources/custom_resource.h"
#include "api/schema/decode.h"
#include "api/schema/defaults.h"
#include "base/json.h"
#include "base/json_tree.h"

namespace orch::server {

using api::FieldSet;
using api::Resource;
using base::Code;
using base::Result;
using base::Status;

namespace {

FieldSet fields(std::initializer_list<std::vector<std::string_view>> paths) {
  FieldSet out;
  for (const auto& path : paths) out.insert(path);
  return out;
}

/// What writes through a subresource leave as it is (the strategies' GetResetFields in
/// k8s.io/kubernetes/pkg/registry), which nobody comes to own by sending it.
const FieldSet* reset_fields(const Resource& r, std::string_view subresource) {
  static const FieldSet status = fields({{"f:status"}});
  static const FieldSet spec = fields({{"f:spec"}});
  static const FieldSet both = fields({{"f:spec"}, {"f:status"}});
  static const FieldSet pod_status =
      fields({{"f:spec"}, {"f:metadata", "f:deletionTimestamp"}, {"f:metadata", "f:ownerReferences"}});
  static const FieldSet deployment_status = fields({{"f:spec"}, {"f:metadata", "f:labels"}});
  static const FieldSet all_but_status = fields({{"f:spec"}, {"f:metadata"}});
  static const FieldSet request_status = fields({{"f:spec"}, {"f:status", "f:conditions"}});
  static const FieldSet request_approval = fields({{"f:spec"}, {"f:status", "f:certificate"}});
  const bool request = r.kind == "CertificateSigningRequest" && r.group == "certificates.k8s.io";
  if (subresource.empty()) {
    if (request) return &both;
    if (r.group == "networking.k8s.io" && r.kind == "ServiceCIDR") return nullptr;
    return r.subresource("status") != nullptr ? &status : nullptr;
  }
  if (subresource == "finalize") return &status;
  if (subresource == "approval") return &request_approval;
  if (subresource != "status") return nullptr;
  if (request) return &request_status;
  if (r.group.empty() && r.kind == "Pod") return &pod_status;
  if (r.group == "apps" && r.kind == "Deployment") return &deployment_status;
  for (const char* kind : {"ValidatingAdmissionPolicy", "FlowSchema", "PriorityLevelConfiguration",
                           "ResourceClaim", "VolumeAttachment", "CustomResourceDefinition", "APIService"}) {
    if (r.kind == kind) return &all_but_status;
  }
  return &spec;
}

Json as_storage(const Resource& asked, const Resource& storage, Json tree) {
  if (&asked == &storage || asked.storage_version || asked.custom) return tree;
  if (asked.conversion) asked.conversion->to_storage(tree);
  tree["kind"] = storage.kind;
  tree["apiVersion"] = storage.api_version();
  return tree;
}

Json as_asked(const Resource& asked, const Resource& storage, Json tree) {
  if (&asked == &storage || asked.storage_version || asked.custom) return tree;
  if (asked.conversion) asked.conversion->from_storage(tree);
  tree["kind"] = asked.kind;
  tree["apiVersion"] = asked.api_version();
  return tree;
}

/// The entries of the list without their times.
Json timeless(std::string_view text) {
  auto tree = base::parse_json(text.empty() ? "[]" : text);
  if (!tree.ok() || !tree->is_array()) return {};
  for (Json& entry : *tree) {
    if (entry.is_object()) entry.erase("time");
  }
  return std::move(*tree);
}

/// As errors of conversion name an object.
std::string object_text(const Json& tree) {
  const auto [group, version] = api::split_api_version(base::string_at(tree, {"apiVersion"}));
  return base::cat(base::string_at(tree, {"metadata", "namespace"}), "/",
                   base::string_at(tree, {"metadata", "name"}), "; ", group, "/", version,
                   ", Kind=", base::string_at(tree, {"kind"}));
}

}  // namespace

Json whole_tree(const api::Object& object) { return base::read_tree(object.bytes()); }

Json take_managed_fields(Json& tree) {
  Json out;
  const auto meta = tree.find("metadata");
  if (meta == tree.end() || !meta->is_object()) return out;
  const auto managed = meta->find("managedFields");
  if (managed == meta->end()) return out;
  out = std::move(*managed);
  meta->erase(managed);
  return out;
}

std::string with_managed_fields(std::string stored, std::string_view managed_fields) {
  if (managed_fields.empty()) return stored;
  constexpr std::string_view kOpen = ",\"metadata\":{";
  const size_t at = stored.find(kOpen) + kOpen.size();
  stored.insert(at, base::cat("\"managedFields\":", managed_fields, stored[at] == '}' ? "" : ","));
  return stored;
}

bool same_managed_fields(std::string_view a, std::string_view b) {
  return a == b || timeless(a) == timeless(b);
}

struct FieldTracking::Context {
  api::FieldContext fields;
  Json empty;  // of rows that may go away
};

const Json& FieldTracking::empty_of(const Resource& row) const {
  const std::string key = base::cat(row.api_version(), " ", row.kind);
  std::lock_guard lock(mutex_);
  auto& known = empty_[key];
  if (!known) {
    Json tree = {{"kind", row.kind}, {"apiVersion", row.api_version()}, {"metadata", Json::object()}};
    api::schema::normalise(schema_, *row.type, tree);
    known = std::make_unique<const Json>(std::move(tree));
  }
  return *known;
}

api::TypeRef FieldTracking::type_of(const Resource& row) const {
  if (!row.custom) return api::TypeRef::of(row.type);
  const api::Type& metadata = *schema_.type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
  return api::TypeRef::of(row.custom->node(), metadata, row.custom->keep_unknown);
}

void FieldTracking::fill(const Place& place, Context& out) const {
  const Resource& asked = place.asked;
  out.fields.type = type_of(asked);
  out.fields.api_version = asked.api_version();
  out.fields.kind = asked.kind;
  out.fields.subresource = place.subresource;
  out.fields.reset = reset_fields(asked, place.subresource);
  out.fields.now = base::format_time(clock_.now());
  if (asked.type != nullptr) {
    out.fields.empty = &empty_of(asked);
  } else {
    out.empty = {{"kind", asked.kind}, {"apiVersion", asked.api_version()}, {"metadata", Json::object()}};
    out.fields.empty = &out.empty;
  }
  out.fields.convert = [this, &place](const Json& tree,
                                      std::string_view version) -> std::optional<api::VersionedTree> {
    const auto row_of = [&](std::string_view api_version) {
      const auto [group, name] = api::split_api_version(api_version);
      return table_.find(group, name, place.storage.plural);
    };
    const auto from = row_of(base::string_at(tree, {"apiVersion"}));
    const auto to = row_of(version);
    if (!from || !to) return std::nullopt;
    if (to->custom) {
      Json converted = tree;
      if (!api::to_version(*to, converted).ok()) return std::nullopt;
      return api::VersionedTree{type_of(*to), std::move(converted)};
    }
    return api::VersionedTree{api::TypeRef::of(to->type),
                              as_asked(*to, place.storage, as_storage(*from, place.storage, tree))};
  };
}

std::string FieldTracking::update(const Place& place, const Json* before, const Json& after, const Json& sent,
                                  std::string_view stored, std::string_view manager) const {
  Json next = as_asked(place.asked, place.storage, after);
  // Who sends an empty list says something, if only that it is empty.
  if (place.asked.type != nullptr)
    api::schema::normalise(schema_, *place.asked.type, next, api::schema::Empty::kKept);
  if (before != nullptr) {
    next["metadata"]["resourceVersion"] = base::string_at(*before, {"metadata", "resourceVersion"});
    if (sent.is_null() && next == *before) return std::string(stored);
  }
  auto known =
      api::choose_managed_fields(sent.is_null() ? nullptr : &sent, stored, !place.subresource.empty());
  if (known.empty() && before != nullptr) return {};
  Context context;
  fill(place, context);
  if (&place.asked == &place.storage || before == nullptr)
    return api::track_update(context.fields, before, next, std::move(known), manager);
  const Json old = as_asked(place.asked, place.storage, *before);
  return api::track_update(context.fields, &old, next, std::move(known), manager);
}

Result<Json> FieldTracking::apply(const Place& place, const Json* live, const Patch& patch) const {
  Context context;
  fill(place, context);
  Json current;
  std::string stored;
  if (live != nullptr) {
    current = as_asked(place.asked, place.storage, *live);
    if (const Json managed = take_managed_fields(current); !managed.is_null())
      stored = base::dump_json(managed);
    // It is part of every object but of no version of one.
    current["metadata"].erase("resourceVersion");
  }
  auto applied = api::apply_fields(context.fields, live == nullptr ? nullptr : &current, stored, patch.tree,
                                   patch.manager, patch.force);
  if (!applied.ok()) return applied.error();
  Json next = std::move(applied->object);
  const std::string name = object_text(patch.tree);
  if (place.asked.type != nullptr) {
    if (auto decoded = api::schema::decode(schema_, *place.asked.type, next); !decoded.ok()) {
      return Status(Code::kUnknown, base::cat("failed to convert new object (", name,
                                              ") to proper version: ", decoded.error().message()));
    }
  }
  if (place.asked.custom) {
    if (auto decoded = api::decode_custom(place.asked, next); !decoded.ok()) {
      return Status(Code::kUnknown, base::cat("failed to convert new object (", name,
                                              ") to proper version: ", decoded.error().message()));
    }
  }
  next = as_storage(place.asked, place.storage, std::move(next));
  Json& meta = next["metadata"];
  if (!meta.is_object()) meta = Json::object();
  if (!applied->managed_fields.empty()) {
    auto managed = base::parse_json(applied->managed_fields);
    if (managed.ok()) meta["managedFields"] = std::move(*managed);
  }
  return next;
}

}  // namespace orch::server
