#include "agent/kubelet/volume_payload.h"

#include "agent/kubelet/container_config.h"
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

constexpr int64_t kDefaultMode = 0644;
constexpr int64_t kDefaultTokenSeconds = 3600;

class Builder {
 public:
  Builder(const Pod& pod, const PayloadInput& input) : pod_(pod), input_(input) {}

  Result<VolumePayload> build(const Json& volume) {
    if (const Json* map = find_path(volume, {"configMap"})) {
      ORCH_RETURN_IF_ERROR(add_object(*map, string_at(*map, {"name"}), false, mode_of(*map)));
    } else if (const Json* secret = find_path(volume, {"secret"})) {
      ORCH_RETURN_IF_ERROR(add_object(*secret, string_at(*secret, {"secretName"}), true, mode_of(*secret)));
    } else if (const Json* fields = find_path(volume, {"downwardAPI"})) {
      ORCH_RETURN_IF_ERROR(add_downward(*fields, mode_of(*fields)));
    } else if (const Json* projected = find_path(volume, {"projected"})) {
      for (const Json& source : array_at(*projected, {"sources"})) {
        ORCH_RETURN_IF_ERROR(add_projection(source, mode_of(*projected)));
      }
    }
    return std::move(out_);
  }

 private:
  static mode_t mode_of(const Json& source) {
    return static_cast<mode_t>(int_at(source, {"defaultMode"}, kDefaultMode));
  }

  Status add_projection(const Json& source, mode_t mode) {
    if (const Json* map = find_path(source, {"configMap"})) {
      return add_object(*map, string_at(*map, {"name"}), false, mode);
    }
    if (const Json* secret = find_path(source, {"secret"})) {
      return add_object(*secret, string_at(*secret, {"name"}), true, mode);
    }
    if (const Json* fields = find_path(source, {"downwardAPI"})) return add_downward(*fields, mode);
    if (const Json* token = find_path(source, {"serviceAccountToken"})) return add_token(*token, mode);
    return {Code::kBadRequest, "unsupported projected volume source"};
  }

  Status add_object(const Json& source, std::string_view name, bool secret, mode_t mode) {
    const bool optional = bool_at(source, {"optional"});
    auto object =
        secret ? input_.objects.secret(pod_.ns(), name) : input_.objects.config_map(pod_.ns(), name);
    if (!object.ok()) {
      if (object.error().code() == Code::kNotFound && optional) return {};
      return object.error();
    }
    const Json tree = (*object)->tree();
    std::map<std::string, std::string> data;
    ORCH_RETURN_IF_ERROR(decode(tree, secret, data));
    const Json& items = array_at(source, {"items"});
    if (items.empty()) {
      for (auto& [key, value] : data) out_.files[key] = {std::move(value), mode, -1};
      return {};
    }
    for (const Json& item : items) {
      const std::string key(string_at(item, {"key"}));
      const auto it = data.find(key);
      if (it == data.end()) {
        if (optional) continue;
        return {Code::kNotFound,
                base::cat("references non-existent ", secret ? "secret" : "config", " key: ", key)};
      }
      const auto item_mode = static_cast<mode_t>(int_at(item, {"mode"}, mode));
      out_.files[std::string(string_at(item, {"path"}))] = {it->second, item_mode, -1};
    }
    return {};
  }

  static Status decode(const Json& tree, bool secret, std::map<std::string, std::string>& out) {
    for (const auto& [key, value] : object_at(tree, {"data"}).items()) {
      const std::string text = value.is_string() ? value.get<std::string>() : std::string();
      if (!secret) {
        out[key] = text;
        continue;
      }
      auto bytes = pki::base64_decode(text);
      if (!bytes.ok()) return bytes.error();
      out[key] = std::move(*bytes);
    }
    for (const auto& [key, value] : object_at(tree, {"binaryData"}).items()) {
      auto bytes = pki::base64_decode(value.is_string() ? value.get<std::string>() : std::string());
      if (!bytes.ok()) return bytes.error();
      out[key] = std::move(*bytes);
    }
    return {};
  }

  Status add_downward(const Json& source, mode_t mode) {
    for (const Json& item : array_at(source, {"items"})) {
      Result<std::string> value = std::string();
      if (const Json* field = find_path(item, {"fieldRef"})) {
        value = field_value(pod_, string_at(*field, {"fieldPath"}), input_.addresses);
      } else if (const Json* resource = find_path(item, {"resourceFieldRef"})) {
        value = resource_value(pod_, *resource, string_at(*resource, {"containerName"}), input_.node);
      }
      if (!value.ok()) return value.error();
      const auto item_mode = static_cast<mode_t>(int_at(item, {"mode"}, mode));
      out_.files[std::string(string_at(item, {"path"}))] = {std::move(*value), item_mode, -1};
    }
    return {};
  }

  Status add_token(const Json& source, mode_t mode) {
    const auto seconds = int_at(source, {"expirationSeconds"}, kDefaultTokenSeconds);
    auto token = input_.tokens.token(pod_, std::string(string_at(source, {"audience"})), seconds);
    if (!token.ok()) return token.error();
    FileContent file{std::move(token->text), mode, -1};
    const auto user = common_user(pod_);
    if (user) file.owner = *user;
    if (user || fs_group(pod_)) file.mode = 0600;
    out_.files[std::string(string_at(source, {"path"}))] = std::move(file);
    if (!out_.refresh_at || token->refresh_at < *out_.refresh_at) out_.refresh_at = token->refresh_at;
    return {};
  }

  const Pod& pod_;
  const PayloadInput& input_;
  VolumePayload out_;
};

}  // namespace

std::optional<int64_t> common_user(const Pod& pod) {
  std::optional<int64_t> user;
  for (const ContainerRef& c : pod.all_containers()) {
    const Json* own = security_setting(pod, c, "runAsUser");
    if (own == nullptr || !own->is_number_integer()) return std::nullopt;
    if (user && *user != own->get<int64_t>()) return std::nullopt;
    user = own->get<int64_t>();
  }
  return user;
}

Result<VolumePayload> volume_payload(const Pod& pod, const Json& volume, const PayloadInput& input) {
  return Builder(pod, input).build(volume);
}

}  // namespace orch::agent
