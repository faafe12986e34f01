#include "api/cel/device.h"

#include <map>

#include "api/cel/functions.h"
#include "api/cel/type.h"
#include "api/cel/value.h"
#include "base/json.h"

namespace orch::api::cel {

namespace {

// resource.k8s.io/v1: DeviceMaxDomainLength and its like.
constexpr int64_t kDomain = 63, kId = 32, kValue = 64, kMembers = 32;

Type limited(const Type& type, int64_t most) {
  auto node = std::make_shared<TypeNode>(*type);
  node->max_elements = most;
  return node;
}

Type any_type() {
  auto node = std::make_shared<TypeNode>();
  node->kind = TypeKind::kAny;
  node->name = "any";
  return node;
}

Type by_domain(const Type& value) {
  const Type inner = limited(map_type(limited(string_type(), kId), value), kMembers);
  return limited(map_type(limited(string_type(), kDomain), inner), kMembers);
}

Type make_device_type(bool with_sharing) {
  std::vector<std::pair<std::string, Type>> fields = {
      {"driver", limited(string_type(), kDomain)},
      {"attributes", by_domain(limited(any_type(), kValue))},
      {"capacity", by_domain(parse_type("kubernetes.Quantity"))}};
  // Of DRAConsumableCapacity, which is off: stored selectors may name it all the same; it is false.
  if (with_sharing) fields.emplace_back("allowMultipleAllocations", limited(bool_type(), 1));
  return object_type("kubernetes.DRADevice", std::move(fields));
}

const Type& device_type() {
  static const Type type = make_device_type(true);
  return type;
}

const Environment& environment(SelectorOrigin origin) {
  if (origin == SelectorOrigin::kNew) {
    static const Environment made(
        Environment::Options{.variables = {{"device", make_device_type(false)}}, .bindings = true});
    return made;
  }
  static const Environment made(
      Environment::Options{.variables = {{"device", device_type()}}, .bindings = true});
  return made;
}

using Domains = std::map<std::string, std::vector<std::pair<std::string, Value>>, std::less<>>;

void put(Domains& out, std::string_view driver, const std::string& name, Value value) {
  const size_t slash = name.find('/');
  const bool plain = slash == std::string::npos;
  out[std::string(plain ? driver : std::string_view(name).substr(0, slash))].emplace_back(
      plain ? name : name.substr(slash + 1), std::move(value));
}

Value with_default(Domains&& domains) {
  auto rep = std::make_shared<MapRep>();
  for (auto& [domain, members] : domains) map_set(*rep, Value::of(domain), Value::map(std::move(members)));
  static const auto empty = std::make_shared<const Value>(Value::map({}));
  rep->otherwise = empty;
  return ValueAccess::make(Value::Kind::kMap, std::move(rep));
}

base::Status unusable(const std::string& attribute, std::string_view why) {
  return {base::Code::kBadRequest, base::cat("attribute ", attribute, ": ", why)};
}

base::Result<Value> attribute_value(const std::string& name, const Json& attribute) {
  const auto given = [&](const char* kind) {
    const Json* value = base::find_path(attribute, {kind});
    return value != nullptr && !value->is_null() ? value : nullptr;
  };
  if (const Json* v = given("int"); v != nullptr && v->is_number_integer())
    return Value::of(v->get<int64_t>());
  if (const Json* v = given("bool"); v != nullptr && v->is_boolean()) return Value::of(v->get<bool>());
  if (const Json* v = given("string"); v != nullptr && v->is_string())
    return Value::of(v->get<std::string>());
  if (const Json* v = given("version"); v != nullptr && v->is_string()) {
    Value version = semver_value(v->get<std::string>());
    if (version.is_error())
      return unusable(name, base::cat("parse semantic version: ", version.error_message()));
    return version;
  }
  return unusable(name, "unsupported attribute value");
}

}  // namespace

base::Result<Value> device_value(std::string_view driver, const Json& device) {
  Domains attributes, capacity;
  for (const auto& [name, attribute] : base::object_at(device, {"attributes"}).items()) {
    base::Result<Value> value = attribute_value(name, attribute);
    if (!value.ok()) return value.status();
    put(attributes, driver, name, std::move(*value));
  }
  for (const auto& [name, entry] : base::object_at(device, {"capacity"}).items()) {
    const Json* amount = base::find_path(entry, {"value"});
    const std::string text = amount == nullptr     ? "0"
                             : amount->is_string() ? amount->get<std::string>()
                                                   : amount->dump();
    put(capacity, driver, name, quantity_value(text));
  }
  return Value::map({{"driver", Value::of(driver)},
                     {"allowMultipleAllocations", Value::of(false)},
                     {"attributes", with_default(std::move(attributes))},
                     {"capacity", with_default(std::move(capacity))}});
}

DeviceSelector::DeviceSelector(std::string_view expression, SelectorOrigin origin) {
  Compilation compiled = environment(origin).compile(expression);
  if (compiled.program == nullptr) {
    internal_ = compiled.error.empty();
    error_ = compiled.error.empty() ? "program instantiation failed: " + compiled.instantiation_error
                                    : "compilation failed: " + compiled.error;
    return;
  }
  const Type& type = compiled.program->output_type();
  if (!is_bool(type) && type->kind != TypeKind::kAny) {
    error_ = base::cat("must evaluate to bool or the unknown type, not ", type_name(type));
    return;
  }
  program_ = std::move(compiled.program);
}

uint64_t DeviceSelector::max_cost() const { return program_->estimate_cost(device_type()).max; }

base::Result<bool> DeviceSelector::matches(const Value& device) const {
  Activation variables;
  variables.set("device", device);
  const Evaluation result = program_->evaluate(variables, {.cost_limit = kDeviceSelectorCost});
  if (!result.ok()) return base::Status(base::Code::kInternal, result.error);
  if (const std::optional<bool> matches = result.value.as_bool()) return *matches;
  const std::string type = value_type_name(result.value);
  return base::Status(
      base::Code::kInternal,
      base::cat("CEL result of type ", type,
                " could not be converted to bool: unsupported native conversion from ", type, " to 'bool'"));
}

}  // namespace orch::api::cel
