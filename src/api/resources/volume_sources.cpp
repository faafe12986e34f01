#include "api/resources/volume_sources.h"

#include <algorithm>
#include <string>
#include <vector>

#include "api/names.h"
#include "api/resources/common_validation.h"
#include "api/resources/pod_parts.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

void require(const Json& source, const std::vector<const char*>& members, const FieldPath& path,
             FieldErrors& errors) {
  for (const char* key : members) {
    if (!has_items(source, key)) errors.required(path.child(key));
  }
}

void require_secret_ref(const Json& source, bool persistent, const FieldPath& path, FieldErrors& errors) {
  if (!has(source, "secretRef")) return;
  const Json& ref = map_of(source, "secretRef");
  require(ref, {"name"}, path.child("secretRef"), errors);
  if (persistent) require(ref, {"namespace"}, path.child("secretRef"), errors);
}

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// iqn.2001-04.com.example:storage, eui. and 16, naa. and 32 letters or digits.
bool valid_initiator(std::string_view name) {
  if (name.starts_with("eui") || name.starts_with("naa")) {
    const size_t length = name.starts_with("eui") ? 16 : 32;
    return name.size() == 4 + length && std::all_of(name.begin() + 4, name.end(), is_alnum);
  }
  const size_t at = name.find("iqn.");
  if (at == std::string_view::npos) return false;
  const std::string_view rest = name.substr(at + 4);
  if (rest.size() < 10 || !std::all_of(rest.begin(), rest.begin() + 4, is_digit) || rest[4] != '-' ||
      !is_digit(rest[5]) || !is_digit(rest[6]) || rest[7] != '.') {
    return false;
  }
  const std::string_view domain = rest.substr(8);
  const size_t colon = domain.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == domain.size()) return false;
  const auto domain_ok = [](char c) { return is_alnum(c) || c == '-' || c == '.'; };
  if (!std::all_of(domain.begin(), domain.begin() + static_cast<std::ptrdiff_t>(colon), domain_ok))
    return false;
  return domain.find_first_of(",;*&$| \t\n\r\f\v", colon) == std::string_view::npos;
}

bool known_initiator_kind(std::string_view name) {
  return name.starts_with("iqn") || name.starts_with("eui") || name.starts_with("naa");
}

void validate_initiator(std::string_view name, bool persistent, const FieldPath& path, FieldErrors& errors) {
  if (!known_initiator_kind(name)) {
    add_invalid(errors, path, name,
                persistent ? "must be valid format" : "must be valid format starting with iqn, eui, or naa");
  } else if (!valid_initiator(name)) {
    add_invalid(errors, path, name, "must be valid format");
  }
}

void validate_lun(int64_t lun, const FieldPath& path, FieldErrors& errors) {
  if (lun < 0 || lun > 255) errors.invalid(path, lun, range_problem(0, 255));
}

bool is_host_port(std::string_view pair) {
  const size_t colon = pair.rfind(':');
  if (colon == std::string_view::npos) return false;
  if (pair.starts_with('[')) return pair.find("]:") == colon - 1;
  return pair.substr(0, colon).find(':') == std::string_view::npos;
}

}  // namespace

bool validate_simple_source(std::string_view kind, const Json& source, bool persistent, const FieldPath& path,
                            FieldErrors& errors) {
  struct Rule {
    std::string_view kind;
    std::vector<const char*> members;
  };
  static const Rule rules[] = {
      {"glusterfs", {"endpoints", "path"}},
      {"persistentVolumeClaim", {"claimName"}},
      {"rbd", {"monitors", "image"}},
      {"cinder", {"volumeID"}},
      {"cephfs", {"monitors"}},
      {"azureFile", {"secretName", "shareName"}},
      {"vsphereVolume", {"volumePath"}},
      {"photonPersistentDisk", {"pdID"}},
      {"portworxVolume", {"volumeID"}},
      {"scaleIO", {"gateway", "system", "volumeName"}},
  };
  for (const Rule& rule : rules) {
    if (rule.kind != kind) continue;
    require(source, rule.members, path, errors);
    if (kind == "cinder") require_secret_ref(source, persistent, path, errors);
    if (kind == "azureFile" && persistent && has(source, "secretNamespace")) {
      require(source, {"secretNamespace"}, path, errors);
    }
    if (kind == "glusterfs" && persistent && has(source, "endpointsNamespace")) {
      const std::string_view ns = text_of(source, "endpointsNamespace");
      const FieldPath at = path.child("endpointsNamespace");
      if (ns.empty()) {
        add_invalid(errors, at, ns, "if the endpointnamespace is set, it must be a valid namespace name");
      } else {
        validate_dns1123_label(ns, at, errors);
      }
    }
    return true;
  }
  return false;
}

void validate_host_path(const Json& source, const FieldPath& path, FieldErrors& errors) {
  const std::string_view value = text_of(source, "path");
  if (value.empty()) return errors.required(path.child("path"));
  validate_no_backsteps(value, path.child("path"), errors);
  static const std::vector<std::string> types = {
      "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"};
  const std::string_view type = text_of(source, "type");
  if (std::find(types.begin(), types.end(), type) == types.end()) {
    errors.not_supported(path.child("type"), type, types);
  }
}

void validate_nfs(const Json& source, const FieldPath& path, FieldErrors& errors) {
  require(source, {"server", "path"}, path, errors);
  const std::string_view value = text_of(source, "path");
  if (!value.starts_with('/')) add_invalid(errors, path.child("path"), value, "must be an absolute path");
}

void validate_iscsi(const Json& source, std::string_view owner, bool persistent, const FieldPath& path,
                    FieldErrors& errors) {
  require(source, {"targetPortal"}, path, errors);
  const std::string_view portal = text_of(source, "targetPortal");
  constexpr const char* kTooLong =
      "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName "
      "is "
      "specified.";
  const bool too_long = has(source, "initiatorName") && owner.size() + 1 + portal.size() > 64;
  if (persistent && too_long) add_invalid(errors, path.child("targetportal"), portal, kTooLong);
  const std::string_view iqn = text_of(source, "iqn");
  if (iqn.empty()) {
    errors.required(path.child("iqn"));
  } else {
    validate_initiator(iqn, persistent, path.child("iqn"), errors);
  }
  validate_lun(number_of(source, "lun"), path.child("lun"), errors);
  const bool chap = flag_of(source, "chapAuthDiscovery") || flag_of(source, "chapAuthSession");
  if (chap && !has(source, "secretRef")) errors.required(path.child("secretRef"));
  if (persistent && has(source, "secretRef")) {
    require(map_of(source, "secretRef"), {"name"}, path.child("secretRef"), errors);
  }
  if (has(source, "initiatorName")) {
    validate_initiator(text_of(source, "initiatorName"), persistent, path.child("initiatorname"), errors);
  }
}

void validate_fc(const Json& source, const FieldPath& path, FieldErrors& errors) {
  const Json& targets = list_of(source, "targetWWNs");
  const FieldPath at = path.child("targetWWNs");
  if (targets.empty() && !has_items(source, "wwids")) {
    errors.required(at, "must specify either targetWWNs or wwids, but not both");
  }
  if (targets.empty()) return;
  if (has_items(source, "wwids")) {
    errors.invalid(at, targets, "targetWWNs and wwids can not be specified simultaneously");
  }
  if (!has(source, "lun")) {
    errors.required(path.child("lun"), "lun is required if targetWWNs is specified");
  } else {
    validate_lun(number_of(source, "lun"), path.child("lun"), errors);
  }
}

void validate_flocker(const Json& source, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = text_of(source, "datasetName");
  const std::string_view uuid = text_of(source, "datasetUUID");
  if (name.empty() && uuid.empty()) errors.required(path, "one of datasetName and datasetUUID is required");
  if (!name.empty() && !uuid.empty()) {
    add_invalid(errors, path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
  }
  if (name.find('/') != std::string_view::npos) {
    add_invalid(errors, path.child("datasetName"), name, "must not contain '/'");
  }
}

void validate_quobyte(const Json& source, const FieldPath& path, FieldErrors& errors) {
  constexpr const char* kPairs = "must be a host:port pair or multiple pairs separated by commas";
  const std::string_view registry = text_of(source, "registry");
  if (registry.empty()) {
    errors.required(path.child("registry"), kPairs);
  } else if (text_of(source, "tenant").size() >= 65) {
    errors.required(path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters");
  } else {
    std::string_view rest = registry;
    while (true) {
      const size_t comma = rest.find(',');
      if (!is_host_port(rest.substr(0, comma))) add_invalid(errors, path.child("registry"), registry, kPairs);
      if (comma == std::string_view::npos) break;
      rest = rest.substr(comma + 1);
    }
  }
  require(source, {"volume"}, path, errors);
}

void validate_azure_disk(const Json& source, const FieldPath& path, FieldErrors& errors) {
  require(source, {"diskName", "diskURI"}, path, errors);
  const std::string_view caching = text_of(source, "cachingMode");
  const bool caching_ok = caching == "None" || caching == "ReadOnly" || caching == "ReadWrite";
  if (has(source, "cachingMode") && !caching_ok) {
    errors.not_supported(path.child("cachingMode"), caching, {"None", "ReadOnly", "ReadWrite"});
  }
  if (!has(source, "kind")) return;
  const std::string_view kind = text_of(source, "kind");
  const std::string_view uri = text_of(source, "diskURI");
  if (kind != "Shared" && kind != "Dedicated" && kind != "Managed") {
    errors.not_supported(path.child("kind"), kind, {"Dedicated", "Managed", "Shared"});
  }
  if (kind == "Managed" && !uri.starts_with("/subscriptions/")) {
    errors.not_supported(
        path.child("diskURI"), uri,
        {"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"});
  }
  if (kind != "Managed" && !uri.starts_with("https://")) {
    errors.not_supported(path.child("diskURI"), uri,
                         {"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"});
  }
}

void validate_flex_volume(const Json& source, const FieldPath& path, FieldErrors& errors) {
  require(source, {"driver"}, path, errors);
  const Json& options = map_of(source, "options");
  for (auto it = options.begin(); it != options.end(); ++it) {
    std::string domain = "." + it.key().substr(0, it.key().find('/'));
    std::transform(domain.begin(), domain.end(), domain.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
    if (domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io")) {
      add_invalid(errors, path.child("options").key(it.key()), it.key(),
                  "kubernetes.io and k8s.io namespaces are reserved");
    }
  }
}

void validate_storage_os(const Json& source, bool persistent, const FieldPath& path, FieldErrors& errors) {
  const std::string_view name = text_of(source, "volumeName");
  if (name.empty()) {
    errors.required(path.child("volumeName"));
  } else {
    validate_dns1123_label(name, path.child("volumeName"), errors);
  }
  const std::string_view ns = text_of(source, "volumeNamespace");
  if (!ns.empty()) validate_dns1123_label(ns, path.child("volumeNamespace"), errors);
  require_secret_ref(source, persistent, path, errors);
}

void validate_disk_partition(const Json& source, const char* id_member, const FieldPath& path,
                             FieldErrors& errors) {
  require(source, {id_member}, path, errors);
  const int64_t partition = number_of(source, "partition");
  if (partition < 0 || partition > 255)
    errors.invalid(path.child("partition"), partition, range_problem(1, 255));
}

void validate_csi_driver_name(std::string_view name, const FieldPath& path, FieldErrors& errors) {
  if (name.empty()) return errors.required(path);
  if (name.size() > kMaxLabelLength) errors.too_long(path, static_cast<int>(kMaxLabelLength));
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; });
  add_problems(errors, path, name, check_dns1123_subdomain(lower));
}

}  // namespace orch::api
