#include "server/scheduler/device_search.h"

#include <algorithm>

#include "base/json.h"
#include "base/status.h"

namespace orch::server::scheduler {

namespace {

/// resource.k8s.io/v1 AllocationResultsMaxSize: devices of one claim.
constexpr int64_t kMostDevices = 32;
constexpr const char* kTooManyText = "allocation max size exceeded";

bool holds(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

/// The attribute by its full name; those of the driver itself may be there without their domain.
const std::string* find_attribute(const Device& device, const std::string& driver, const std::string& name) {
  if (const auto found = device.attributes.find(name); found != device.attributes.end())
    return &found->second;
  const size_t slash = name.find('/');
  if (slash == std::string::npos || name.compare(0, slash, driver) != 0) return nullptr;
  const auto found = device.attributes.find(std::string_view(name).substr(slash + 1));
  return found == device.attributes.end() ? nullptr : &found->second;
}

}  // namespace

std::string DeviceSearch::Wanted::name() const {
  return parent == nullptr ? request->name : base::cat(*parent, "/", request->name);
}

bool DeviceSearch::Match::concerns(const Wanted& wanted) const {
  const std::vector<std::string>& names = constraint->requests;
  if (names.empty()) return true;
  return holds(names, wanted.name()) || (wanted.parent != nullptr && holds(names, *wanted.parent));
}

bool DeviceSearch::Match::add(const Wanted& wanted, const Candidate& c) {
  if (!concerns(wanted)) return true;
  const std::string* found = find_attribute(*c.device, c.slice->driver, constraint->match_attribute);
  if (found == nullptr) return false;
  if (devices == 0) {
    value = *found;
    devices = 1;
    return true;
  }
  if (found->empty() || *found != value) return false;
  ++devices;
  return true;
}

DeviceSearch::DeviceSearch(const Devices& devices, const std::vector<DevicePool>& pools,
                           const std::unordered_set<std::string>& taken,
                           const std::vector<ResourceClaimPtr>& claims,
                           std::optional<base::MonoTime> deadline)
    : devices_(devices),
      pools_(pools),
      taken_(taken),
      claims_(claims),
      deadline_(deadline),
      matches_(claims.size()),
      chosen_(claims.size()) {}

std::string DeviceSearch::text_of(size_t claim) const {
  return base::cat("claim ", claims_[claim]->ns, "/", claims_[claim]->name);
}

DeviceSearch::Step DeviceSearch::fail(std::string message) {
  failed_ = std::move(message);
  return Step::kStop;
}

// --- What is asked for ----------------------------------------------------------------------------------

bool DeviceSearch::prepare_claim(size_t claim, int64_t& least) {
  const ResourceClaim& c = *claims_[claim];
  for (size_t i = 0; i < c.requests.size(); ++i) {
    if (!prepare_request(claim, i, least)) return false;
  }
  if (least > kMostDevices) {
    fail(base::cat(text_of(claim), ": number of requested devices ", least, " exceeds the claim limit of ",
                   kMostDevices));
    return false;
  }
  for (size_t i = 0; i < c.constraints.size(); ++i) {
    if (c.constraints[i].match_attribute.empty()) {
      fail(base::cat(text_of(claim), ", constraint #", i,
                     ": empty constraint (unsupported constraint type?)"));
      return false;
    }
    matches_[claim].push_back({&c.constraints[i], {}, 0});
  }
  return true;
}

bool DeviceSearch::prepare_request(size_t claim, size_t request, int64_t& least) {
  const ResourceClaim::Request& r = claims_[claim]->requests[request];
  if (r.first_available.empty()) {
    Wanted& wanted = wanted_[{claim, request, 0}];
    if (!r.exactly) {
      fail(base::cat(text_of(claim), ", request ", r.name, ": unknown request type"));
      return false;
    }
    if (!prepare(*r.exactly, nullptr, {claim, request, 0}, wanted)) return false;
    least += wanted.count;
    return true;
  }
  int64_t smallest = INT64_MAX;
  for (size_t i = 0; i < r.first_available.size(); ++i) {
    // Kubernetes v1.35 looks selections up under the subrequest before this one: of two that want all
    // devices, the second sees what the selectors of the first said.
    const Key asked{claim, request, i == 0 ? 0 : i - 1};
    Wanted wanted;
    if (!prepare(r.first_available[i], &r.name, asked, wanted)) return false;
    smallest = std::min(smallest, wanted.count);
    wanted_[{claim, request, i}] = std::move(wanted);
  }
  least += smallest;
  return true;
}

bool DeviceSearch::prepare(const DeviceRequest& request, const std::string* parent, const Key& key,
                           Wanted& out) {
  out.request = &request;
  out.parent = parent;
  const auto complain = [&](const std::string& what) {
    fail(base::cat(text_of(std::get<0>(key)), ", request ", request.name, what));
    return false;
  };
  for (size_t i = 0; i < request.selectors.size(); ++i) {
    if (!request.selectors[i])
      return complain(base::cat(", selector #", i, ": CEL expression empty (unsupported selector type?)"));
  }
  if (request.device_class.empty())
    return complain(": missing device class name (unsupported request type?)");
  out.cls = devices_.device_class(request.device_class);
  if (out.cls == nullptr) {
    return complain(base::cat(": could not retrieve device class ", request.device_class,
                              ": deviceclass.resource.k8s.io \"", request.device_class, "\" not found"));
  }
  if (request.mode == "ExactCount") {
    out.count = request.count;
    return true;
  }
  if (request.mode != "All") return complain(base::cat(": unsupported count mode ", request.mode));
  for (const DevicePool& pool : pools_) {
    if (pool.incomplete || pool.invalid) {
      return complain(base::cat(": asks for all devices, but resource pool ", pool.text(), " is currently ",
                                pool.incomplete ? "being updated" : "invalid"));
    }
    for (const ResourceSlice* slice : pool.slices) {
      for (const Device& device : slice->devices) {
        const std::optional<bool> fits = selectable(key, out, {slice, &device});
        if (!fits) return false;
        if (*fits) out.devices.push_back({slice, &device});
      }
    }
  }
  out.count = static_cast<int64_t>(out.devices.size());
  return true;
}

// --- Selectors ------------------------------------------------------------------------------------------

std::optional<bool> DeviceSearch::selectable(const Key& key, const Wanted& wanted, const Candidate& c) {
  if (c.device->has_binding_conditions) return false;
  if (const auto known = selectable_.find({key, c.device}); known != selectable_.end()) return known->second;
  std::optional<bool> fits = matches(wanted.cls->selectors, base::cat("class ", wanted.cls->name), c);
  if (fits && *fits) fits = matches(wanted.request->selectors, text_of(std::get<0>(key)), c);
  if (fits) selectable_[{key, c.device}] = *fits;
  return fits;
}

std::optional<bool> DeviceSearch::matches(const std::vector<std::optional<std::string>>& selectors,
                                          const std::string& whose, const Candidate& c) {
  for (size_t i = 0; i < selectors.size(); ++i) {
    const SelectorPtr selector = devices_.selector(selectors[i].value_or(""));
    const auto complain = [&](const char* when, std::string_view why) {
      fail(base::cat(whose, ": selector #", i, ": CEL ", when, " error: ", why));
      return std::nullopt;
    };
    if (!selector->error().empty()) return complain("compile", selector->error());
    if (!c.device->broken.empty()) return complain("runtime", c.device->broken);
    const base::Result<bool> fits = selector->matches(c.device->value);
    if (!fits.ok()) return complain("runtime", fits.status().message());
    if (!*fits) return false;
  }
  return true;
}

// --- The search -----------------------------------------------------------------------------------------

DeviceSearch::Step DeviceSearch::next(Place at, bool in_sub) {
  constexpr size_t kBetweenLooks = 256;
  if (deadline_ && ++steps_ % kBetweenLooks == 0 && devices_.now() > *deadline_) {
    timed_out_ = true;
    return Step::kStop;
  }
  if (at.claim >= claims_.size()) return Step::kDone;
  if (at.request >= claims_[at.claim]->requests.size()) {
    const Step step = next({at.claim + 1, 0, 0, 0}, false);
    // With other devices for this claim, the next one may need fewer.
    return step == Step::kTooMany ? Step::kNo : step;
  }
  const Key key{at.claim, at.request, at.sub};
  const Wanted& wanted = wanted_.at(key);
  if (!in_sub && wanted.parent != nullptr) return first_available(at, key);
  const bool all = wanted.request->mode == "All";
  if (all && wanted.devices.empty()) return Step::kNo;
  if (at.device >= wanted.count) return next({at.claim, at.request + 1, 0, 0}, false);
  const auto already = static_cast<int64_t>(chosen_[at.claim].size());
  if (already + wanted.count - at.device > kMostDevices) return Step::kTooMany;
  return all ? take_all(at, wanted, in_sub) : take_any(at, wanted, in_sub);
}

DeviceSearch::Step DeviceSearch::first_available(Place at, const Key& key) {
  bool always_too_many = true;
  for (size_t sub = 0; wanted_.count({at.claim, at.request, sub}) != 0; ++sub) {
    at.sub = sub;
    const Step step = next(at, true);
    if (step == Step::kTooMany) continue;
    always_too_many = false;
    if (step == Step::kStop) return step;
    if (step != Step::kDone) continue;
    wanted_.at(key).selected = sub;
    return step;
  }
  return always_too_many ? Step::kTooMany : Step::kNo;
}

DeviceSearch::Step DeviceSearch::take_all(const Place& at, const Wanted& wanted, bool in_sub) {
  const Candidate& c = wanted.devices[static_cast<size_t>(at.device)];
  if (const Step step = take(at, wanted, c, true); step != Step::kDone) return step;
  // Kubernetes v1.35 goes on with the first subrequest, whichever this one was.
  const Step step = next({at.claim, at.request, 0, at.device + 1}, in_sub);
  if (step != Step::kDone) give_back(at, wanted, c);
  return step;
}

DeviceSearch::Step DeviceSearch::take_any(const Place& at, const Wanted& wanted, bool in_sub) {
  const Key key{at.claim, at.request, at.sub};
  for (const DevicePool& pool : pools_) {
    if (pool.incomplete || pool.invalid) continue;
    for (const ResourceSlice* slice : pool.slices) {
      for (const Device& device : slice->devices) {
        const Candidate c{slice, &device};
        if (in_use(wanted, at.claim, c)) continue;
        const std::optional<bool> fits = selectable(key, wanted, c);
        if (!fits) return Step::kStop;
        if (!*fits) continue;
        const Step taken = take(at, wanted, c, false);
        if (taken == Step::kStop) return taken;
        if (taken != Step::kDone) continue;
        const Step step = next({at.claim, at.request, at.sub, at.device + 1}, in_sub);
        if (step == Step::kDone) return step;
        give_back(at, wanted, c);
        if (step != Step::kNo) return step;
      }
    }
  }
  return Step::kNo;
}

bool DeviceSearch::in_use(const Wanted& wanted, size_t claim, const Candidate& c) const {
  const auto found = allocating_.find(c.device->id);
  const bool here = found != allocating_.end() && !found->second.empty();
  // Whoever administrates devices shares them with others, but a claim has each but once.
  if (wanted.request->admin_access) return here && found->second.count(claim) != 0;
  return here || taken_.count(c.device->id) != 0;
}

DeviceSearch::Step DeviceSearch::take(const Place& at, const Wanted& wanted, const Candidate& c, bool must) {
  if (in_use(wanted, at.claim, c) || c.device->consumes_counters) return Step::kNo;
  std::vector<Match>& constraints = matches_[at.claim];
  for (size_t i = 0; i < constraints.size(); ++i) {
    if (constraints[i].add(wanted, c)) continue;
    if (must) {
      return fail(base::cat(text_of(at.claim), ", request ", wanted.request->name, ": cannot add device ",
                            c.device->id, " because a claim constraint would not be satisfied"));
    }
    for (size_t j = 0; j < i; ++j) constraints[j].remove(wanted);
    return Step::kNo;
  }
  allocating_[c.device->id].insert(at.claim);
  chosen_[at.claim].push_back({c, wanted.name(), wanted.request});
  return Step::kDone;
}

void DeviceSearch::give_back(const Place& at, const Wanted& wanted, const Candidate& c) {
  for (Match& m : matches_[at.claim]) m.remove(wanted);
  allocating_[c.device->id].erase(at.claim);
  chosen_[at.claim].pop_back();
}

// --- The answer -----------------------------------------------------------------------------------------

namespace {

bool same_requirement(const Json& a, const Json& b) {
  const auto values = [](const Json& r) {
    std::set<std::string> out;
    for (const Json& v : base::array_at(r, {"values"})) out.insert(v.get<std::string>());
    return out;
  };
  return base::string_at(a, {"key"}) == base::string_at(b, {"key"}) &&
         base::string_at(a, {"operator"}) == base::string_at(b, {"operator"}) && values(a) == values(b);
}

void add_requirements(const Json& term, const char* list, Json& out) {
  for (const Json& r : base::array_at(term, {list})) {
    Json& there = out[list];
    if (std::none_of(there.begin(), there.end(),
                     [&](const Json& known) { return same_requirement(known, r); }))
      there.push_back(r);
  }
}

/// Where all of the slices' devices can be reached: one term, null for everywhere.
Json node_selector_of(const std::vector<const ResourceSlice*>& slices) {
  Json term = Json::object();
  for (const ResourceSlice* slice : slices) {
    if (!slice->node_name.empty()) {
      const Json name = {{"key", "metadata.name"}, {"operator", "In"}, {"values", {slice->node_name}}};
      term = {{"matchFields", Json::array({name})}};
      break;
    }
    if (slice->selector_term == nullptr) continue;
    add_requirements(*slice->selector_term, "matchFields", term);
    add_requirements(*slice->selector_term, "matchExpressions", term);
  }
  if (term.empty()) return {};
  return {{"nodeSelectorTerms", Json::array({std::move(term)})}};
}

Json configuration(const Json& config, const char* source, const Json& requests) {
  Json out = config;
  out["source"] = source;
  out.erase("requests");
  if (!requests.empty()) out["requests"] = requests;
  return out;
}

}  // namespace

/// First what the classes say, each class once, then what the claim says.
Json DeviceSearch::configs_of(size_t claim) {
  const ResourceClaim& c = *claims_[claim];
  Json out = Json::array();
  std::map<std::string, std::pair<size_t, size_t>> of_class;
  const auto picked = [&](size_t request) -> const Wanted& {
    const Wanted& first = wanted_.at({claim, request, 0});
    return first.parent == nullptr ? first : wanted_.at({claim, request, first.selected});
  };
  for (size_t i = 0; i < c.requests.size(); ++i) {
    const Wanted& wanted = picked(i);
    const auto [range, fresh] = of_class.try_emplace(wanted.cls->name, out.size(), out.size());
    if (!fresh) {
      for (size_t k = range->second.first; k < range->second.second; ++k)
        out[k]["requests"].push_back(wanted.name());
      continue;
    }
    if (wanted.cls->config == nullptr) continue;
    for (const Json& config : *wanted.cls->config)
      out.push_back(configuration(config, "FromClass", Json::array({wanted.name()})));
    range->second.second = out.size();
  }
  if (c.config == nullptr) return out;
  for (const Json& config : *c.config) {
    const Json& requests = base::array_at(config, {"requests"});
    const auto names = [&](const std::string& name) {
      return std::any_of(requests.begin(), requests.end(), [&](const Json& r) { return r == name; });
    };
    if (requests.empty()) out.push_back(configuration(config, "FromClaim", requests));
    for (size_t i = 0; i < c.requests.size(); ++i) {
      const Wanted& wanted = picked(i);
      // Once for each request it is for, as Kubernetes does.
      if (names(c.requests[i].name) || (wanted.parent != nullptr && names(wanted.name())))
        out.push_back(configuration(config, "FromClaim", requests));
    }
  }
  return out;
}

Json DeviceSearch::result_of(size_t claim) {
  Json results = Json::array();
  std::vector<const ResourceSlice*> slices;
  for (const Chosen& chosen : chosen_[claim]) {
    slices.push_back(chosen.what.slice);
    Json r = {{"request", chosen.request},
              {"driver", chosen.what.slice->driver},
              {"pool", chosen.what.slice->pool},
              {"device", chosen.what.device->name}};
    if (chosen.wanted->admin_access) r["adminAccess"] = true;
    if (chosen.wanted->tolerations != nullptr) r["tolerations"] = *chosen.wanted->tolerations;
    results.push_back(std::move(r));
  }
  Json out = {{"devices", Json::object()}};
  if (!results.empty()) out["devices"]["results"] = std::move(results);
  if (Json configs = configs_of(claim); !configs.empty()) out["devices"]["config"] = std::move(configs);
  if (Json selector = node_selector_of(slices); !selector.is_null())
    out["nodeSelector"] = std::move(selector);
  return out;
}

DeviceAnswer DeviceSearch::run() {
  using Kind = DeviceAnswer::Kind;
  for (size_t i = 0; i < claims_.size(); ++i) {
    int64_t least = 0;
    if (!prepare_claim(i, least)) return {Kind::kFailed, failed_, {}};
  }
  selectable_.clear();
  switch (next({}, false)) {
    case Step::kStop:
      if (timed_out_) return {Kind::kTimedOut, {}, {}};
      return {Kind::kFailed, failed_, {}};
    case Step::kTooMany:
      return {Kind::kFailed, kTooManyText, {}};
    case Step::kNo:
      if (std::any_of(pools_.begin(), pools_.end(), [](const DevicePool& p) { return p.invalid; }))
        return {Kind::kNone, "invalid resource pools were encountered", {}};
      return {Kind::kNone, {}, {}};
    case Step::kDone:
      break;
  }
  DeviceAnswer out{Kind::kFound, {}, {}};
  for (size_t i = 0; i < claims_.size(); ++i) out.allocations.push_back(result_of(i));
  return out;
}

}  // namespace orch::server::scheduler
