// resource.k8s.io/v1 ResourceSlice: the devices that a driver says there are.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "api/go_text.h"
#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/device_validation.h"
#include "api/resources/kinds.h"
#include "api/resources/scheduling_validation.h"
#include "api/resources/traits.h"
#include "api/resources/tree.h"
#include "api/resources/volume_sources.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr size_t kMostDevices = 128;
constexpr size_t kMostAttributesAndCapacities = 32;
constexpr size_t kLongestValue = 64;
/// A domain, a slash and an identifier.
constexpr size_t kLongestAttributeName = 63 + 1 + 32;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_digits(std::string_view text) { return std::all_of(text.begin(), text.end(), is_digit); }

/// Takes the part up to the separator off the front; the whole if there is none.
std::string_view take_part(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view part = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return part;
}

/// Each dot-separated part is made of letters, digits and dashes; a number has no leading zero, if so wanted.
bool are_identifiers(std::string_view text, bool strict_numbers) {
  const auto fits = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  };
  for (bool more = true; more;) {
    more = text.find('.') != std::string_view::npos;
    const std::string_view part = take_part(text, '.');
    if (part.empty() || !std::all_of(part.begin(), part.end(), fits)) return false;
    if (strict_numbers && part.size() > 1 && part.front() == '0' && is_digits(part)) return false;
  }
  return true;
}

/// A version of semver.org 2.0.0: MAJOR.MINOR.PATCH[-prerelease][+build].
bool is_semantic_version(std::string_view text) {
  const bool has_build = text.find('+') != std::string_view::npos;
  std::string_view rest = text;
  std::string_view version = take_part(rest, '+');
  if (has_build && !are_identifiers(rest, false)) return false;
  const bool has_prerelease = version.find('-') != std::string_view::npos;
  rest = version;
  version = take_part(rest, '-');
  if (has_prerelease && !are_identifiers(rest, true)) return false;
  if (std::count(version.begin(), version.end(), '.') != 2) return false;
  while (!version.empty()) {
    if (version.back() == '.') return false;
    const std::string_view number = take_part(version, '.');
    if (number.empty() || !is_digits(number) || (number.size() > 1 && number.front() == '0')) return false;
  }
  return true;
}

/// With its middle left out where it is longer than any valid key.
std::string shortened(const std::string& key) {
  if (key.size() <= kLongestAttributeName) return key;
  const size_t remaining = kLongestAttributeName - 3;
  return key.substr(0, (remaining + 1) / 2) + "..." + key.substr(key.size() - remaining / 2);
}

void validate_attribute(const Json& attribute, const FieldPath& path, FieldErrors& errors) {
  const auto too_long = [&](const char* member) {
    if (text_of(attribute, member).size() > kLongestValue)
      errors.too_long(path.child(member), static_cast<int>(kLongestValue));
  };
  too_long("string");
  if (has(attribute, "version")) {
    const std::string_view version = text_of(attribute, "version");
    if (!is_semantic_version(version)) {
      add_invalid(errors, path.child("version"), version,
                  "must be a string compatible with semver.org spec 2.0.0");
    }
    too_long("version");
  }
  size_t values = 0;
  for (const char* member : {"bool", "int", "string", "version"}) values += has(attribute, member) ? 1 : 0;
  if (values == 1) return;
  if (values == 0) return add_invalid(errors, path, "", "exactly one value must be specified");
  // Kubernetes' own struct, in its order.
  const auto member = [&](const char* name) { return go_json(member_of(attribute, name)); };
  add_cause(errors, "FieldValueInvalid", path,
            base::cat("Invalid value: {\"IntValue\":", member("int"), ",\"BoolValue\":", member("bool"),
                      ",\"StringValue\":", member("string"), ",\"VersionValue\":", member("version"),
                      "}: exactly one value must be specified"));
}

void validate_device(const Json& device, const FieldPath& path, FieldErrors& errors) {
  validate_dns1123_label(text_of(device, "name"), path.child("name"), errors);
  const Json& attributes = map_of(device, "attributes");
  const Json& capacity = map_of(device, "capacity");
  const size_t size = attributes.size() + capacity.size();
  if (size > kMostAttributesAndCapacities) {
    errors.invalid(path, size,
                   base::cat("the total number of attributes and capacities must not exceed ",
                             kMostAttributesAndCapacities));
  }
  for (const auto& [name, attribute] : attributes.items()) {
    const FieldPath at = path.child("attributes").key(shortened(name));
    validate_device_attribute_name(name, at, errors);
    validate_attribute(attribute, at, errors);
  }
  for (const auto& [name, amount] : capacity.items())
    validate_device_attribute_name(name, path.child("capacity").key(shortened(name)), errors);
}

void validate_pool(const Json& pool, const FieldPath& path, FieldErrors& errors) {
  validate_pool_name(text_of(pool, "name"), path.child("name"), errors);
  const int64_t slices = number_of(pool, "resourceSliceCount");
  if (slices <= 0) errors.invalid(path.child("resourceSliceCount"), slices, "must be greater than zero");
  const int64_t generation = number_of(pool, "generation");
  if (generation < 0)
    errors.invalid(path.child("generation"), generation, "must be greater than or equal to zero");
}

/// Which nodes have the devices: one way to say it. (perDeviceNodeSelection is among the ways that the
/// message names but does not get here.)
void validate_nodes(const Json& spec, const FieldPath& path, FieldErrors& errors) {
  std::vector<std::string> ways;
  if (has(spec, "nodeName")) {
    const std::string_view name = text_of(spec, "nodeName");
    if (name.empty()) {
      add_invalid(errors, path.child("nodeName"), name, "must be either unset or set to a non-empty string");
    } else {
      ways.emplace_back("`nodeName`");
      add_problems(errors, path.child("nodeName"), name, check_name_is_subdomain(name, false));
    }
  }
  if (has(spec, "nodeSelector")) {
    ways.emplace_back("`nodeSelector`");
    const FieldPath at = path.child("nodeSelector");
    validate_node_selector(map_of(spec, "nodeSelector"), false, at, errors);
    const Json& terms = member_of(map_of(spec, "nodeSelector"), "nodeSelectorTerms");
    if (terms.size() != 1)
      errors.invalid(at.child("nodeSelectorTerms"), terms, "must have exactly one node selector term");
  }
  if (has(spec, "allNodes")) {
    if (flag_of(spec, "allNodes")) {
      ways.emplace_back("`allNodes`");
    } else {
      errors.invalid(path.child("allNodes"), false, "must be either unset or set to true");
    }
  }
  constexpr std::string_view kOne =
      "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  if (ways.empty()) {
    errors.required(path, kOne);
  } else if (ways.size() > 1) {
    add_invalid(errors, path, base::cat("{", join(ways, ", "), "}"),
                base::cat(kOne, ", but multiple fields are set"));
  }
}

void validate_slice(const Json& object, const Json* old, FieldErrors& errors) {
  const FieldPath path("spec");
  const Json& spec = map_of(object, "spec");
  validate_csi_driver_name(text_of(spec, "driver"), path.child("driver"), errors);
  validate_pool(map_of(spec, "pool"), path.child("pool"), errors);
  if (old != nullptr) {
    const Json& before = map_of(*old, "spec");
    validate_immutable_member(map_of(spec, "pool"), map_of(before, "pool"), "name", path.child("pool"),
                              errors);
    validate_immutable_member(spec, before, "driver", path, errors);
    if (!same_member(spec, before, "nodeName"))
      errors.invalid(path.child("nodeName"), member_of(spec, "nodeName"), "field is immutable");
  }
  validate_nodes(spec, path, errors);
  validate_device_set(
      list_of(spec, "devices"), kMostDevices, path.child("devices"), errors,
      [&](const Json& device, const FieldPath& at) { validate_device(device, at, errors); },
      [](const Json& device) { return std::string(text_of(device, "name")); });
}

/// Takes out what belongs to DRADeviceTaints, DRAPartitionableDevices, DRADeviceBindingConditions and
/// DRAConsumableCapacity.
void drop_disabled(Json& slice) {
  Json& spec = child(slice, "spec");
  drop(spec, "sharedCounters");
  drop(spec, "perDeviceNodeSelection");
  each(spec, "devices", [](Json& device) {
    for (const char* member :
         {"taints", "consumesCounters", "nodeName", "nodeSelector", "allNodes", "bindsToNode",
          "bindingConditions", "bindingFailureConditions", "allowMultipleAllocations"})
      drop(device, member);
    Json* capacity = object_in(device, "capacity");
    if (capacity == nullptr) return;
    for (auto& [name, amount] : capacity->items()) {
      if (amount.is_object()) drop(amount, "requestPolicy");
    }
  });
}

}  // namespace

Strategy resource_slice_strategy() {
  Strategy s = traits_of("resource.k8s.io", "ResourceSlice");
  s.prepare_create = [](Json& object, const StrategyContext&) { drop_disabled(object); };
  s.prepare_update = [](Json& object, const Json& old, const StrategyContext&) {
    // Kubernetes compares before it drops: who sends what is off makes a new generation each time.
    const bool changed = !same_member(object, old, "spec");
    drop_disabled(object);
    if (changed) {
      child(object, "metadata")["generation"] = number_of(map_of(old, "metadata"), "generation") + 1;
    }
  };
  s.generation_changed = [](const Json&, const Json&) { return false; };  // done above
  s.validate = [](const Json& object, FieldErrors& errors) { validate_slice(object, nullptr, errors); };
  s.validate_update = [](const Json& object, const Json& old, FieldErrors& errors) {
    validate_slice(object, &old, errors);
  };
  s.warnings = [](const Json& object, const Json*) -> std::vector<std::string> {
    const std::string_view driver = text_of(map_of(object, "spec"), "driver");
    if (std::none_of(driver.begin(), driver.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) return {};
    return {base::cat("spec.driver: driver names should be lowercase; ", go_quote(driver),
                      " contains uppercase characters")};
  };
  return s;
}

}  // namespace orch::api
