#include "agent/kubelet/env.h"

#include <algorithm>

#include "base/json.h"
#include "pki/pki.h"

namespace orch::agent {
namespace {

using base::array_at;
using base::bool_at;
using base::Code;
using base::find_path;
using base::int_at;
using base::object_at;
using base::Result;
using base::Status;
using base::string_at;

using Variables = std::map<std::string, std::string>;

std::string variable_name(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c == '-') {
      c = '_';
    } else if (c >= 'a' && c <= 'z') {
      c = static_cast<char>(c - 'a' + 'A');
    }
  }
  return out;
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

void add_service(const Json& service, Variables& out) {
  const std::string ip(string_at(service, {"spec", "clusterIP"}));
  const Json& ports = array_at(service, {"spec", "ports"});
  if (ip.empty() || ip == "None" || ports.empty()) return;
  const std::string prefix = variable_name(string_at(service, {"metadata", "name"}));
  out[prefix + "_SERVICE_HOST"] = ip;
  out[prefix + "_SERVICE_PORT"] = std::to_string(int_at(ports[0], {"port"}));
  bool first = true;
  for (const Json& port : ports) {
    const std::string number = std::to_string(int_at(port, {"port"}));
    if (const auto name = string_at(port, {"name"}); !name.empty()) {
      out[base::cat(prefix, "_SERVICE_PORT_", variable_name(name))] = number;
    }
    const std::string protocol(string_at(port, {"protocol"}, "TCP"));
    const std::string host = ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
    const std::string url = base::cat(lower(protocol), "://", host, ":", number);
    if (first) out[prefix + "_PORT"] = url;
    first = false;
    const std::string port_prefix = base::cat(prefix, "_PORT_", number, "_", protocol);
    out[port_prefix] = url;
    out[port_prefix + "_PROTO"] = lower(protocol);
    out[port_prefix + "_PORT"] = number;
    out[port_prefix + "_ADDR"] = ip;
  }
}

/// Resolves one container's variables; objects are read once.
class Resolver {
 public:
  Resolver(const Pod& pod, const ContainerRef& container, ObjectSource& source, const EnvInput& input)
      : pod_(pod), container_(container), source_(source), input_(input) {}

  Result<Variables> resolve() {
    for (const Json& from : array_at(*container_.spec, {"envFrom"})) ORCH_RETURN_IF_ERROR(add_all(from));
    for (const Json& variable : array_at(*container_.spec, {"env"})) ORCH_RETURN_IF_ERROR(add(variable));
    for (const auto& [name, value] : input_.services) values_.emplace(name, value);
    return std::move(values_);
  }

 private:
  /// Null (and OK) when it is missing and optional.
  Status load(const Json& reference, bool secret, const Json** out) {
    const std::string name(string_at(reference, {"name"}));
    const std::string key = (secret ? "s/" : "c/") + name;
    auto it = loaded_.find(key);
    if (it == loaded_.end()) {
      auto object = secret ? source_.secret(pod_.ns(), name) : source_.config_map(pod_.ns(), name);
      if (!object.ok()) {
        *out = nullptr;
        if (object.error().code() == Code::kNotFound && bool_at(reference, {"optional"})) return {};
        return object.error();
      }
      it = loaded_.emplace(key, (*object)->tree()).first;
    }
    *out = &it->second;
    return {};
  }

  static Result<std::string> value_of(const Json& value, bool secret) {
    const std::string text = value.is_string() ? value.get<std::string>() : std::string();
    if (!secret) return text;
    return pki::base64_decode(text);
  }

  Status add_all(const Json& from) {
    const bool secret = from.contains("secretRef");
    const Json* reference = find_path(from, {secret ? "secretRef" : "configMapRef"});
    if (reference == nullptr) return {};
    const Json* object = nullptr;
    ORCH_RETURN_IF_ERROR(load(*reference, secret, &object));
    if (object == nullptr) return {};
    const std::string prefix(string_at(from, {"prefix"}));
    for (const auto& [key, value] : object_at(*object, {"data"}).items()) {
      auto text = value_of(value, secret);
      if (!text.ok()) return text.error();
      values_[prefix + key] = std::move(*text);
    }
    return {};
  }

  Status add_key(const std::string& name, const Json& reference, bool secret) {
    const Json* object = nullptr;
    ORCH_RETURN_IF_ERROR(load(reference, secret, &object));
    if (object == nullptr) return {};
    const auto key = string_at(reference, {"key"});
    const Json* value = find_path(*object, {"data", key});
    if (value == nullptr) {
      if (bool_at(reference, {"optional"})) return {};
      return {Code::kNotFound, base::cat("couldn't find key ", key, " in ", secret ? "Secret " : "ConfigMap ",
                                         pod_.ns(), "/", string_at(reference, {"name"}))};
    }
    auto text = value_of(*value, secret);
    if (!text.ok()) return text.error();
    values_[name] = std::move(*text);
    return {};
  }

  Status add(const Json& variable) {
    const std::string name(string_at(variable, {"name"}));
    const auto value = string_at(variable, {"value"});
    if (!value.empty()) {
      Variables known = input_.services;
      for (const auto& [k, v] : values_) known[k] = v;
      values_[name] = expand(value, known);
      return {};
    }
    const Json& from = object_at(variable, {"valueFrom"});
    if (const Json* field = find_path(from, {"fieldRef"})) {
      return set(name, field_value(pod_, string_at(*field, {"fieldPath"}), input_.addresses));
    }
    if (const Json* resource = find_path(from, {"resourceFieldRef"})) {
      return set(name, resource_value(pod_, *resource, container_.name(), input_.node));
    }
    if (const Json* reference = find_path(from, {"configMapKeyRef"})) return add_key(name, *reference, false);
    if (const Json* reference = find_path(from, {"secretKeyRef"})) return add_key(name, *reference, true);
    values_[name] = "";
    return {};
  }

  Status set(const std::string& name, Result<std::string> value) {
    if (!value.ok()) return value.error();
    values_[name] = std::move(*value);
    return {};
  }

  const Pod& pod_;
  const ContainerRef& container_;
  ObjectSource& source_;
  const EnvInput& input_;
  Variables values_;
  std::map<std::string, Json> loaded_;
};

}  // namespace

std::string expand(std::string_view text, const Variables& values) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char next = text[i + 1];
    if (next == '$') {
      out += '$';
      ++i;
      continue;
    }
    const size_t end = next == '(' ? text.find(')', i + 2) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += '$';
      continue;
    }
    const std::string name(text.substr(i + 2, end - i - 2));
    const auto it = values.find(name);
    out += it != values.end() ? it->second : base::cat("$(", name, ")");
    i = end;
  }
  return out;
}

Variables service_variables(const std::vector<api::ObjectPtr>& services, std::string_view ns, bool links) {
  Variables out;
  for (const api::ObjectPtr& service : services) {
    const bool own = service->ns() == ns;
    const bool kubernetes = service->ns() == "default" && service->name() == "kubernetes";
    if (kubernetes || (own && links)) add_service(service->tree(), out);
  }
  return out;
}

Result<std::vector<std::pair<std::string, std::string>>> container_env(const Pod& pod,
                                                                       const ContainerRef& container,
                                                                       ObjectSource& source,
                                                                       const EnvInput& input) {
  auto values = Resolver(pod, container, source, input).resolve();
  if (!values.ok()) return values.error();
  return std::vector<std::pair<std::string, std::string>>(values->begin(), values->end());
}

}  // namespace orch::agent
