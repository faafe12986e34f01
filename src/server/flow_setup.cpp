#include "server/flow_setup.h"

#include "api/resources/flow_objects.h"
#include "base/json.h"
#include "server/flowcontrol/maintain.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

const client::ResourceRef kSchemas{"flowcontrol.apiserver.k8s.io", "v1", "flowschemas"};
const client::ResourceRef kLevels{"flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations"};

struct Kind {
  const client::ResourceRef& ref;
  const api::FlowObjects& builtin;
};

/// Levels first: a schema without its level is of no use.
std::vector<Kind> kinds() {
  return {{kLevels, api::builtin_priority_levels()}, {kSchemas, api::builtin_flow_schemas()}};
}

Keys everything(const api::ObjectPtr&, const api::ObjectPtr&, const View&) { return {Key{"", "all"}}; }

void plan_objects(const View& view, const Kind& kind, Plan& plan) {
  const auto keep = [&](const Json& builtin, bool mandatory) {
    const api::ObjectPtr have = view.get(kind.ref, "", base::string_at(builtin, {"metadata", "name"}));
    if (have != nullptr && have->deleting()) return;
    const Json current = have == nullptr ? Json() : have->tree();
    auto revised = revise_flow_object(have == nullptr ? nullptr : &current, builtin, mandatory);
    if (!revised) return;
    if (have == nullptr) {
      plan.create(kind.ref, "", std::move(*revised));
    } else {
      plan.update(kind.ref, std::move(*revised));
    }
  };
  for (const Json& builtin : kind.builtin.suggested) keep(builtin, false);
  for (const Json& builtin : kind.builtin.mandatory) keep(builtin, true);
  for (const api::ObjectPtr& object : view.list(kind.ref, "")) {
    if (!object->deleting() && obsolete_flow_object(object->tree(), kind.builtin))
      plan.remove(kind.ref, *object);
  }
}

}  // namespace

base::Result<std::unique_ptr<FlowControl>> make_flow_control(const ApiServerArgs& args,
                                                             const base::Clock& clock, base::Timers& timers,
                                                             base::Metrics& metrics) {
  std::unique_ptr<FlowControl> out;
  if (!args.enable_priority_and_fairness) return out;
  FlowControlOptions options;
  options.seats = args.max_requests_inflight.value_or(kDefaultInflight) +
                  args.max_mutating_requests_inflight.value_or(kDefaultMutatingInflight);
  if (options.seats <= 0)
    return Status(Code::kBadRequest,
                  "--kube-apiserver-arg max-requests-inflight and max-mutating-requests-inflight: their sum "
                  "must be more than 0 with enable-priority-and-fairness");
  options.clock = &clock;
  options.timers = &timers;
  options.metrics = &metrics;
  return std::make_unique<FlowControl>(options);
}

void FlowFeed::follow(client::InformerFactory& informers, FlowControl& control) {
  control_ = &control;
  informers.get(kLevels).on_change(
      [this](const api::ObjectPtr& before, const api::ObjectPtr& after) { changed(before, after, true); });
  informers.get(kSchemas).on_change(
      [this](const api::ObjectPtr& before, const api::ObjectPtr& after) { changed(before, after, false); });
}

void FlowFeed::changed(const api::ObjectPtr& before, const api::ObjectPtr& after, bool level) {
  const std::lock_guard lock(mutex_);
  const std::string name((after != nullptr ? after : before)->name());
  if (level) {
    levels_.erase(name);
    if (auto config = after == nullptr ? std::nullopt : parse_priority_level(after->tree()))
      levels_.emplace(name, std::move(*config));
  } else {
    schemas_.erase(name);
    if (after != nullptr) schemas_.emplace(name, parse_flow_schema(after->tree()));
  }
  std::vector<LevelConfig> levels;
  for (const auto& [own, config] : levels_) levels.push_back(config);
  std::vector<FlowSchema> schemas;
  for (const auto& [own, schema] : schemas_) schemas.push_back(schema);
  control_->configure(std::move(levels), std::move(schemas));
}

Status ensure_flow_objects(client::Client& client) {
  for (const Kind& kind : kinds()) {
    for (const auto* objects : {&kind.builtin.mandatory, &kind.builtin.suggested}) {
      for (const Json& object : *objects) {
        const std::string name(base::string_at(object, {"metadata", "name"}));
        if (client.get(kind.ref, "", name).ok()) continue;
        Status made = client.create(kind.ref, "", object).status();
        if (!made.ok() && made.code() != Code::kAlreadyExists) return std::move(made).with_context(name);
      }
    }
  }
  return {};
}

Controller make_flow_objects_controller() {
  Controller c;
  c.name = "priority-and-fairness-config-producer";
  c.sources = {{kLevels, everything, {}}, {kSchemas, everything, {}}};
  c.plan = [](const View& view, const Key&, base::WallTime) {
    Plan plan;
    for (const Kind& kind : kinds()) plan_objects(view, kind, plan);
    return plan;
  };
  return c;
}

Controller make_flow_status_controller() {
  Controller c;
  c.name = "priority-and-fairness-config-consumer";
  c.sources = {{kLevels, everything, {}}, {kSchemas, everything, {}}};
  c.plan = [](const View& view, const Key&, base::WallTime now) {
    Plan plan;
    for (const api::ObjectPtr& object : view.list(kSchemas, "")) {
      if (object->deleting()) continue;
      const Json schema = object->tree();
      const api::ObjectPtr level =
          view.get(kLevels, "", base::string_at(schema, {"spec", "priorityLevelConfiguration", "name"}));
      const bool exists = level != nullptr && parse_priority_level(level->tree()).has_value();
      if (auto marked = mark_dangling(schema, exists, now))
        plan.update(kSchemas, std::move(*marked), "status");
    }
    return plan;
  };
  return c;
}

std::vector<std::unique_ptr<ControllerLoop>> flow_keepers(
    const std::vector<std::unique_ptr<client::Client>>& clients, client::InformerFactory& informers,
    base::Timers& timers, const base::Clock& clock, base::Metrics& metrics) {
  std::vector<std::unique_ptr<ControllerLoop>> out;
  const auto add = [&](Controller controller, client::Client& client) {
    std::vector<Controller> one;
    one.push_back(std::move(controller));
    out.push_back(
        std::make_unique<ControllerLoop>(client, informers, timers, clock, metrics, std::move(one), 1));
  };
  add(make_flow_objects_controller(), *clients[0]);
  add(make_flow_status_controller(), *clients[1]);
  return out;
}

}  // namespace orch::server
