// Warnings about the volumes of a pod: deprecated kinds, and files that hide one another.
#include "api/go_text.h"
#include "api/resources/pod_warnings.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

struct DeprecatedKind {
  const char* member;
  const char* shown;
  const char* message;
};
constexpr DeprecatedKind kDeprecated[] = {
    {"photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
    {"gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
    {"scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
    {"flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"},
    {"storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
    {"quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
    {"glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
    {"cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
    {"rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"},
};

/// A file of a volume and where it comes from ("" within a volume of one source).
struct File {
  std::string path;
  std::string source;
  bool operator==(const File&) const = default;
};

std::string shown(const File& file) {
  return go_quote(file.path) + (file.source.empty() ? "" : " (" + file.source + ")");
}

File file_of(std::string_view path, std::string source) {
  while (path.ends_with('/')) path.remove_suffix(1);
  return {std::string(path), std::move(source)};
}

bool inside(const std::string& path, const std::string& folder) {
  return (path + "/").starts_with(folder + "/");
}

/// One file is another, or stands where the other needs a folder.
bool overlap(const File& a, const File& b) {
  if (a.path.empty() || b.path.empty()) return false;
  return a == b || inside(a.path, b.path) || inside(b.path, a.path);
}

void add_file(std::vector<File>& files, File file, const std::string& prefix, Warnings& warnings) {
  for (const File& other : files) {
    if (overlap(other, file)) warnings.push_back(prefix + shown(file) + " with " + shown(other));
  }
  files.push_back(std::move(file));
}

std::string prefix_of(const Json& volume, const std::string& what) {
  return "volume " + go_quote(text_of(volume, "name")) + " (" + what + "): overlapping paths: ";
}

void warn_items(const Json& volume, const char* member, const char* name_member, const char* kind,
                Warnings& warnings) {
  const Json& source = map_of(volume, member);
  std::string what = kind;
  if (name_member) what += " " + go_quote(text_of(source, name_member));
  std::vector<File> files;
  for (const Json& item : list_of(source, "items")) {
    add_file(files, file_of(text_of(item, "path"), ""), prefix_of(volume, what), warnings);
  }
}

void warn_projected(const Json& volume, Warnings& warnings) {
  std::vector<File> files;
  const std::string prefix = prefix_of(volume, "Projected");
  for (const Json& source : list_of(map_of(volume, "projected"), "sources")) {
    if (source.empty()) {
      warnings.push_back("volume " + go_quote(text_of(volume, "name")) +
                         " (Projected) has no sources provided");
      continue;
    }
    const auto add_items = [&](const char* member, const std::string& what) {
      for (const Json& item : list_of(map_of(source, member), "items")) {
        add_file(files, file_of(text_of(item, "path"), what), prefix, warnings);
      }
    };
    if (has(map_of(source, "configMap"), "items")) {
      add_items("configMap", "ConfigMap " + go_quote(text_of(map_of(source, "configMap"), "name")));
    } else if (has(map_of(source, "secret"), "items")) {
      add_items("secret", "Secret " + go_quote(text_of(map_of(source, "secret"), "name")));
    } else if (has(map_of(source, "downwardAPI"), "items")) {
      add_items("downwardAPI", "DownwardAPI");
    } else if (has(source, "serviceAccountToken")) {
      add_file(files, file_of(text_of(map_of(source, "serviceAccountToken"), "path"), "ServiceAccountToken"),
               prefix, warnings);
    }
  }
}

}  // namespace

void warn_volumes(const Json& volumes, const FieldPath& path, Warnings& warnings) {
  for (size_t i = 0; i < volumes.size(); ++i) {
    const FieldPath at = path.index(i);
    for (const DeprecatedKind& kind : kDeprecated) {
      if (has(volumes[i], kind.member)) warnings.push_back(at.child(kind.shown).text() + ": " + kind.message);
    }
    const Json& ephemeral = map_of(volumes[i], "ephemeral");
    if (has(ephemeral, "volumeClaimTemplate")) {
      warn_claim_spec(map_of(map_of(ephemeral, "volumeClaimTemplate"), "spec"),
                      at.child("ephemeral").child("volumeClaimTemplate").child("spec"), warnings);
    }
  }
  for (const Json& volume : volumes) {
    warn_items(volume, "configMap", "name", "ConfigMap", warnings);
    warn_items(volume, "secret", "secretName", "Secret", warnings);
    warn_items(volume, "downwardAPI", nullptr, "DownwardAPI", warnings);
    warn_projected(volume, warnings);
  }
}

}  // namespace orch::api
