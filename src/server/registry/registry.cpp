#include "server/registry/registry.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <shared_mutex>
#include <unordered_map>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/custom_resource.h"
#include "api/resources/object_meta.h"
#include "base/json.h"
#include "base/log.h"
#include "pki/pki.h"
#include "server/registry/field_tracking.h"
#include "server/registry/object_versions.h"
#include "server/registry/registry_internal.h"

namespace orch::server {

using api::ObjectPtr;
using api::Resource;
using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view kRoot = "/registry/";

std::string cache_key(std::string_view group, std::string_view plural) {
  return base::cat(group, "/", plural);
}

base::StatusDetails details_of(const Resource& resource, std::string_view name) {
  base::StatusDetails details;
  details.name = name;
  details.group = resource.group;
  details.kind = resource.plural;
  return details;
}

uint64_t random_entropy() {
  const std::string bytes = pki::random_bytes(sizeof(uint64_t));
  uint64_t n = 0;
  std::memcpy(&n, bytes.data(), sizeof n);
  return n;
}

/// "/registry/<group>/<plural>/" of a key: what finds its cache.
std::string_view prefix_of(std::string_view key) {
  size_t a = key.find('/', kRoot.size());
  if (a == std::string_view::npos) return {};
  size_t b = key.find('/', a + 1);
  return b == std::string_view::npos ? std::string_view() : key.substr(0, b + 1);
}

}  // namespace

struct Registry::Rep {
  std::atomic<int64_t> progress{0};
  std::atomic<int64_t> delivered{0};  // behind progress while watches are being told
  mutable std::shared_mutex mutex;
  std::unordered_map<std::string, WatchCachePtr> by_resource;     // under mutex
  std::unordered_map<std::string_view, WatchCachePtr> by_prefix;  // under mutex, keys are the caches' own
  std::unordered_map<std::string, Hook> hooks;                    // set before start()
  std::unique_ptr<FieldTracking> tracking;                        // set by the constructor
  std::unique_ptr<RowVersions> versions;                          // set by the constructor
  std::unique_ptr<datastore::Subscription> subscription;

  WatchCachePtr find_prefix(std::string_view prefix) const {
    std::shared_lock lock(mutex);
    auto it = by_prefix.find(prefix);
    return it == by_prefix.end() ? nullptr : it->second;
  }

  /// The cache that was there before, if any.
  WatchCachePtr put(const WatchCachePtr& cache) {
    const api::Resource& r = cache->resource();
    std::unique_lock lock(mutex);
    WatchCachePtr& known = by_resource[cache_key(r.group, r.plural)];
    if (known != nullptr) by_prefix.erase(known->resource().key_prefix());
    by_prefix[r.key_prefix()] = cache;
    return std::exchange(known, cache);
  }
};

Registry::Registry(datastore::Store& store, const api::Schema& schema, api::ResourceTable& table,
                   const AdmissionChain& admission, const base::Clock& clock)
    : store_(store),
      schema_(schema),
      table_(table),
      admission_(admission),
      clock_(clock),
      rep_(std::make_unique<Rep>()),
      ids_{pki::make_uuid, random_entropy} {
  rep_->tracking = std::make_unique<FieldTracking>(schema_, table_, clock_);
  rep_->versions = std::make_unique<RowVersions>(schema_);
}

Registry::~Registry() { rep_->subscription.reset(); }

Status Registry::start() {
  // The state as of the oldest revision still readable, then the history since: so watches that were cut off
  // by a restart resume where they were.
  int64_t base_revision = store_.compacted();
  auto rows = table_.all();
  for (const auto& row : *rows) {
    if (!row->stored || !row->storage_version) continue;
    auto cache = std::make_shared<WatchCache>(row, rep_->progress);
    // Node leases are gone after a restart, and no event says so: their watches begin anew.
    cache->set_oldest(store_.history_begins(cache->resource().key_prefix()));
    rep_->put(cache);
  }
  // Revision 0 is before all history, but range() takes it for now.
  datastore::Range range;
  if (base_revision > 0) range = store_.range(kRoot, datastore::prefix_end(kRoot), base_revision, 0);
  if (range.outcome != datastore::Outcome::kOk) {
    return Status(Code::kInternal, base::cat("reading the store: ", range.message));
  }
  for (const auto& kv : range.items) {
    if (const WatchCachePtr cache = rep_->find_prefix(prefix_of(kv.key))) cache->load(kv);
  }
  range.items.clear();
  rep_->progress = base_revision;
  auto subscribed = store_.subscribe(
      kRoot, base_revision, [this](const std::vector<datastore::Event>& events) { on_events(events); });
  if (subscribed.outcome != datastore::Outcome::kOk) {
    return Status(Code::kInternal, base::cat("following the store: ", subscribed.message));
  }
  rep_->subscription = std::move(subscribed.subscription);
  // Nobody watches yet, so what the caches have is delivered.
  const int64_t now = store_.revision();
  for (auto* mark : {&rep_->progress, &rep_->delivered}) {
    int64_t seen = mark->load();
    while (seen < now && !mark->compare_exchange_weak(seen, now)) {
    }
  }
  return {};
}

void Registry::on_events(const std::vector<datastore::Event>& events) {
  std::vector<WatchCachePtr> touched;
  const base::MonoTime now = clock_.mono();
  for (const auto& event : events) {
    WatchCachePtr cache = rep_->find_prefix(prefix_of(event.kv.key));
    if (cache == nullptr) continue;
    cache->apply(event, now);
    if (std::find(touched.begin(), touched.end(), cache) == touched.end())
      touched.push_back(std::move(cache));
  }
  if (!events.empty()) rep_->progress.store(events.back().kv.mod_revision, std::memory_order_release);
  for (const WatchCachePtr& cache : touched) cache->flush();
  if (!events.empty()) rep_->delivered.store(events.back().kv.mod_revision, std::memory_order_release);
}

int64_t Registry::revision() const { return rep_->progress.load(std::memory_order_acquire); }
int64_t Registry::delivered() const { return rep_->delivered.load(std::memory_order_acquire); }

WatchCachePtr Registry::cache(const Resource& resource) const {
  return cache(resource.group, resource.plural);
}

WatchCachePtr Registry::cache(std::string_view group, std::string_view plural) const {
  std::shared_lock lock(rep_->mutex);
  auto it = rep_->by_resource.find(cache_key(group, plural));
  return it == rep_->by_resource.end() ? nullptr : it->second;
}

Status Registry::open(const std::vector<api::ResourcePtr>& versions) {
  const auto stored = std::find_if(versions.begin(), versions.end(),
                                   [](const api::ResourcePtr& row) { return row->storage_version; });
  if (stored == versions.end()) return Status(Code::kInternal, "no version is the storage version");
  // What was written after the definition was read by its schema when it came. The rows are not held: later
  // ones with the same schemas take their place.
  const int64_t since = (*stored)->custom->definition->revision();
  std::vector<std::weak_ptr<const Resource>> rows(versions.begin(), versions.end());
  auto reread = [this, rows = std::move(rows), group = (*stored)->group, plural = (*stored)->plural, since](
                    std::string text, int64_t revision) {
    if (revision > since) return text;
    std::vector<api::ResourcePtr> known;
    for (const auto& row : rows) {
      if (auto own = row.lock()) known.push_back(std::move(own));
    }
    if (known.size() != rows.size()) {
      known.clear();
      const auto served = table_.all();  // a table that changes drops them
      for (const auto& row : *served) {
        if (row->plural == plural && row->group == group) known.push_back(row);
      }
    }
    return api::reread_stored(known, std::move(text));
  };
  // Versions differ in what can be selected by: what is kept is by its path.
  auto kept = std::make_shared<Resource>(**stored);
  kept->custom.reset();
  kept->strategy.reset();
  kept->selectable_fields = api::by_path(std::move(kept->selectable_fields));
  auto cache = std::make_shared<WatchCache>(std::move(kept), rep_->progress, std::move(reread));
  cache->begin_filling();
  const WatchCachePtr before = rep_->put(cache);
  const std::string prefix = (*stored)->key_prefix();
  // The history since the definition is read by it: watches that were cut off by a restart resume.
  int64_t from = std::max(since, store_.compacted());
  datastore::Range range = store_.range(prefix, datastore::prefix_end(prefix), from, 0);
  if (range.outcome == datastore::Outcome::kCompacted) {  // it has just gone
    from = store_.revision();
    range = store_.range(prefix, datastore::prefix_end(prefix), from, 0);
  }
  if (range.outcome != datastore::Outcome::kOk) {
    return Status(Code::kInternal, base::cat("reading the store: ", range.message));
  }
  for (const auto& kv : range.items) cache->load(kv);
  // For its history alone: the live events of all kinds come by on_events().
  auto history = store_.subscribe(prefix, from, [&](const std::vector<datastore::Event>& events) {
    for (const auto& event : events) cache->apply(event, clock_.mono());
  });
  if (history.outcome != datastore::Outcome::kOk) {
    return Status(Code::kInternal, base::cat("reading the store's history: ", history.message));
  }
  history.subscription.reset();
  cache->end_filling(from);
  if (before != nullptr) before->close();
  return {};
}

void Registry::close(std::string_view group, std::string_view plural) {
  WatchCachePtr cache;
  {
    std::unique_lock lock(rep_->mutex);
    const auto it = rep_->by_resource.find(cache_key(group, plural));
    if (it == rep_->by_resource.end()) return;
    cache = std::move(it->second);
    rep_->by_resource.erase(it);
    rep_->by_prefix.erase(cache->resource().key_prefix());
  }
  cache->close();
}

Result<Json> Registry::tree_of(const Resource& r, const api::Object& object, bool owners) const {
  Json tree = owners ? whole_tree(object) : object.tree();
  if (r.custom) ORCH_RETURN_IF_ERROR(api::to_version(r, tree));
  return tree;
}

Result<std::string> Registry::stored_text(const Resource& r, const Json& object,
                                          std::string_view owners) const {
  if (!r.custom || r.storage_version) return with_managed_fields(api::to_stored(object), owners);
  const api::ResourcePtr storage = table_.storage(r.group, r.plural);
  if (storage == nullptr) return not_found(r, base::string_at(object, {"metadata", "name"}));
  Json converted = object;
  ORCH_RETURN_IF_ERROR(api::to_version(*storage, converted));
  return with_managed_fields(api::to_stored(converted), owners);
}

void Registry::add_hook(std::string group_resource, Hook hook) {
  rep_->hooks[std::move(group_resource)] = std::move(hook);
}

const Registry::Hook* Registry::hook(const Resource& r) const {
  auto it = rep_->hooks.find(r.group_resource());
  return it == rep_->hooks.end() ? nullptr : &it->second;
}

Status Registry::not_found(const Resource& resource, std::string_view name) {
  return Status(Code::kNotFound, base::cat(resource.group_resource(), " ", api::go_quote(name), " not found"),
                details_of(resource, name));
}

Result<ObjectPtr> Registry::get(const Resource& resource, std::string_view ns, std::string_view name) const {
  const WatchCachePtr c = cache(resource);
  ObjectPtr object = c != nullptr ? c->get(ns, name) : nullptr;
  if (object == nullptr) return not_found(resource, name);
  return object;
}

const FieldTracking& Registry::tracking() const { return *rep_->tracking; }

Result<Json> Registry::apply(const Resource& r, const WriteContext& context, std::string_view subresource,
                             const Json* live, const Json& patch, bool force) const {
  const FieldTracking::Place place{r, context.asked != nullptr ? *context.asked : r, subresource};
  return tracking().apply(place, live, {patch, context.manager ? *context.manager : "", force});
}

AdmissionRequest Registry::admission_request(const VirtualRequest& request,
                                             const WriteContext& context) const {
  AdmissionRequest out;
  out.operation = request.operation;
  out.resource = &request.resource;
  out.asked = context.asked;
  out.subresource = request.subresource;
  out.ns = request.ns;
  out.name = request.name;
  out.user = context.user;
  out.dry_run = context.dry_run;
  out.warnings = context.warnings;
  out.options = context.options;
  out.versions = rep_->versions.get();
  out.part = context.part;
  out.verbatim = context.verbatim;
  out.audit = context.audit;
  return out;
}

Status Registry::mutate(AdmissionRequest& request, const WriteContext& context) const {
  return context.skip_admission ? Status() : admission_.admit(request);
}

Status Registry::validate(const AdmissionRequest& request, const WriteContext& context) const {
  return context.skip_admission ? Status() : admission_.validate(request);
}

Status Registry::admit(const VirtualRequest& virtual_request, Json& object,
                       const WriteContext& context) const {
  AdmissionRequest request = admission_request(virtual_request, context);
  request.object = &object;
  request.object_kind = base::string_at(object, {"kind"});
  request.object_api_version = base::string_at(object, {"apiVersion"});
  ORCH_RETURN_IF_ERROR(mutate(request, context));
  return validate(request, context);
}

namespace {

void drop_empty_metadata(Json& meta) {
  for (const char* key : {"labels", "annotations", "finalizers", "ownerReferences"}) {
    auto it = meta.find(key);
    if (it != meta.end() && (it->is_null() || it->empty())) meta.erase(it);
  }
}

}  // namespace

void finish_tree(Json& object) { drop_empty_metadata(object["metadata"]); }

Status conflict_status(const Resource& r, std::string_view name, std::string_view why) {
  base::StatusDetails details;
  details.name = name;
  details.group = r.group;
  details.kind = r.plural;
  return Status(Code::kConflict,
                base::cat("Operation cannot be fulfilled on ", r.group_resource(), " \"", name, "\": ", why),
                details);
}

Status write_failure(const datastore::WriteResult& result) {
  if (result.outcome == datastore::Outcome::kReadOnly) return Status(Code::kStoreReadOnly, result.message);
  return Status(Code::kInternal, base::cat("storage: ", result.message));
}

Status Registry::fill_metadata_for_create(const Resource& r, std::string_view ns, Json& object) const {
  Json& meta = object["metadata"];
  if (!meta.is_object()) meta = Json::object();
  std::string_view own = base::string_at(meta, {"namespace"});
  if (r.namespaced) {
    if (!own.empty() && own != ns) {
      return Status(Code::kBadRequest,
                    "the namespace of the provided object does not match the namespace sent on the request");
    }
    meta["namespace"] = std::string(ns);
  } else {
    meta.erase("namespace");
  }
  for (const char* key : {"resourceVersion", "selfLink", "managedFields", "deletionTimestamp",
                          "deletionGracePeriodSeconds", "uid", "creationTimestamp"}) {
    meta.erase(key);
  }
  // Of kinds that count none it is the client's to say.
  if (r.strategy->has_generation) meta.erase("generation");
  return {};
}

const api::Strategy& demands_of(const Resource& r, const WriteContext& context) {
  const Resource* asked = context.asked;
  return asked != nullptr && asked->group != r.group && asked->strategy ? *asked->strategy : *r.strategy;
}

/// What mutating admission does not see yet.
void Registry::fill_system_metadata(const Resource& r, Json& object) const {
  Json& meta = object["metadata"];
  std::string_view name = base::string_at(meta, {"name"});
  std::string_view generate = base::string_at(meta, {"generateName"});
  if (name.empty() && !generate.empty()) meta["name"] = api::generate_name(generate, ids_.name());
  meta["uid"] = ids_.uid();
  meta["creationTimestamp"] = base::format_time(clock_.now());
  if (r.strategy->has_generation) meta["generation"] = 1;
}

Result<ObjectPtr> Registry::create(const Resource& r, std::string_view ns, Json object,
                                   const WriteContext& context) {
  // A generated name may be taken: Kubernetes tries 8 times before it tells the client.
  if (!base::string_at(object, {"metadata", "name"}).empty())
    return create_once(r, ns, std::move(object), context);
  for (int attempt = 0;; ++attempt) {
    auto result = create_once(r, ns, object, context);
    if (result.ok() || result.error().code() != Code::kAlreadyExists || attempt == 7) return result;
  }
}

Result<ObjectPtr> Registry::create_once(const Resource& r, std::string_view ns, Json object,
                                        const WriteContext& context) {
  const api::Strategy& strategy = *r.strategy;
  api::StrategyContext sc{clock_.now(), context.user != nullptr ? context.user->name : std::string_view(),
                          nullptr};
  if (r.custom && r.custom->terminating) {
    return Status(
        Code::kForbidden,
        base::cat(r.group_resource(), " \"", base::string_at(object, {"metadata", "name"}),
                  "\" is forbidden: create not allowed while custom resource definition is terminating"),
        details_of(r, base::string_at(object, {"metadata", "name"})));
  }
  const Json sent = take_managed_fields(object);
  const std::string version(base::string_at(object, {"metadata", "resourceVersion"}));
  const bool versioned = !version.empty();
  ORCH_RETURN_IF_ERROR(fill_metadata_for_create(r, ns, object));
  std::string name(base::string_at(object, {"metadata", "name"}));
  apply_defaults(schema_, r, object);
  std::string owners;
  if (context.applied) {
    if (!sent.is_null()) owners = base::dump_json(sent);
  } else if (context.manager) {
    const FieldTracking::Place place{r, context.asked != nullptr ? *context.asked : r};
    owners = tracking().update(place, nullptr, object, sent, {}, *context.manager);
  }
  AdmissionRequest request =
      admission_request({r, "", AdmissionRequest::Operation::kCreate, ns, name}, context);
  request.object = &object;
  request.owners = &owners;
  ORCH_RETURN_IF_ERROR(mutate(request, context));
  // What webhooks say of these counts no more than what clients do.
  if (request.changed_outside) ORCH_RETURN_IF_ERROR(fill_metadata_for_create(r, ns, object));
  fill_system_metadata(r, object);
  apply_defaults(schema_, r, object);
  if (r.subresource("status") != nullptr && !strategy.keep_status_on_create) object.erase("status");
  if (strategy.prepare_create) strategy.prepare_create(object, sc);
  name = base::string_at(object, {"metadata", "name"});
  finish_tree(object);
  Allocation allocation(hook(r), nullptr, object);
  ORCH_RETURN_IF_ERROR(allocation.begin(context.dry_run));

  api::FieldErrors errors;
  validate_namespace_grants(*this, r, object, nullptr, {}, errors);
  const bool asked_otherwise = context.asked != nullptr && context.asked->group != r.group;
  api::validate_object_meta(object, asked_otherwise ? *context.asked : r, errors);
  if (const auto& demands = demands_of(r, context).validate) demands(object, errors);
  ORCH_RETURN_IF_ERROR(errors.to_status(r.group, r.kind, name));
  collect_warnings(strategy, object, nullptr, context);
  ORCH_RETURN_IF_ERROR(validate(request, context));
  // It is the store that minds.
  if (versioned && !context.dry_run)
    return Status(Code::kUnknown, "resourceVersion should not be set on objects to be created");

  normalise(schema_, r, object);
  const auto text = stored_text(r, object, owners);
  if (!text.ok()) return text.error();
  const std::string& stored = *text;
  const Resource& named = context.asked != nullptr ? *context.asked : r;
  if (context.dry_run) {
    const WatchCachePtr c = cache(r);
    if (c != nullptr && c->get(ns, name) != nullptr) return already_exists(named, name);
    // Nothing assigned it another.
    const int64_t revision = versioned ? std::strtoll(version.c_str(), nullptr, 10) : 0;
    return api::Object::from_stored(stored, revision, r.selectable_fields);
  }
  datastore::WriteResult written =
      store_.write_sync({datastore::Write::Type::kPut, r.key(ns, name), stored, 0});
  if (written.outcome != datastore::Outcome::kOk) {
    if (written.outcome == datastore::Outcome::kConflict) return already_exists(named, name);
    return write_failure(written);
  }
  allocation.keep();
  return committed(r, ns, name, stored, written.revision);
}

ObjectPtr Registry::committed_or_null(const Resource& r, std::string_view ns, std::string_view name,
                                      int64_t revision) const {
  const WatchCachePtr c = cache(r);
  ObjectPtr object = c != nullptr ? c->get(ns, name) : nullptr;
  return object != nullptr && object->revision() == revision ? object : nullptr;
}

Result<ObjectPtr> Registry::committed(const Resource& r, std::string_view ns, std::string_view name,
                                      const std::string& stored, int64_t revision) const {
  // The cache has the object already, unless somebody wrote it again in between.
  if (ObjectPtr object = committed_or_null(r, ns, name, revision)) return object;
  return api::Object::from_stored(stored, revision, r.selectable_fields);
}

Status already_exists(const Resource& r, std::string_view name) {
  base::StatusDetails details;
  details.name = name;
  details.group = r.group;
  details.kind = r.plural;
  return Status(Code::kAlreadyExists, base::cat(r.group_resource(), " \"", name, "\" already exists"),
                details);
}

void collect_warnings(const api::Strategy& strategy, const Json& object, const Json* old,
                      const WriteContext& context) {
  if (context.warnings == nullptr || !strategy.warnings) return;
  for (auto& w : strategy.warnings(object, old)) context.warnings->push_back(std::move(w));
}

}  // namespace orch::server
