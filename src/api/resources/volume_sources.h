// Volume sources that pods and persistent volumes share: which members each must have.
#pragma once

#include <string_view>

#include "api/field_error.h"
#include "base/json_fwd.h"

namespace orch::api {

/// A source that is valid as soon as its required members are there; false if the kind is not one of those.
/// `persistent`: in a PersistentVolume, where references to secrets carry a namespace.
bool validate_simple_source(std::string_view kind, const Json& source, bool persistent, const FieldPath& path,
                            FieldErrors& errors);
void validate_host_path(const Json& source, const FieldPath& path, FieldErrors& errors);
void validate_nfs(const Json& source, const FieldPath& path, FieldErrors& errors);
/// `owner` is the volume's name, part of the target's name where initiatorName is given.
void validate_iscsi(const Json& source, std::string_view owner, bool persistent, const FieldPath& path,
                    FieldErrors& errors);
void validate_fc(const Json& source, const FieldPath& path, FieldErrors& errors);
void validate_flocker(const Json& source, const FieldPath& path, FieldErrors& errors);
void validate_quobyte(const Json& source, const FieldPath& path, FieldErrors& errors);
void validate_azure_disk(const Json& source, const FieldPath& path, FieldErrors& errors);
void validate_flex_volume(const Json& source, const FieldPath& path, FieldErrors& errors);
void validate_storage_os(const Json& source, bool persistent, const FieldPath& path, FieldErrors& errors);
void validate_disk_partition(const Json& source, const char* id_member, const FieldPath& path,
                             FieldErrors& errors);
/// PersistentVolumeSpec of a VolumeAttachment.
void validate_inline_volume_spec(const Json& spec, const FieldPath& path, FieldErrors& errors);
void validate_csi_driver_name(std::string_view name, const FieldPath& path, FieldErrors& errors);

}  // namespace orch::api
