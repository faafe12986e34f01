// Validation of metadata, the same for every kind (meta/v1 ObjectMeta;
// k8s.io/apimachinery/pkg/api/validation).
#pragma once

#include "api/field_error.h"
#include "api/resources/resource.h"
#include "base/json_fwd.h"

namespace orch::api {

/// Metadata of an object about to be created, after a name was generated: name (by the kind's own rule),
/// namespace, labels, annotations (256 KiB at most), finalizers, owner references, managed fields.
void validate_object_meta(const Json& object, const Resource& resource, FieldErrors& errors);

/// Metadata of an update: what is immutable is as it was, and no finalizer is added to an object that is
/// being deleted. Whether a resourceVersion must be given is the registry's question.
void validate_object_meta_update(const Json& object, const Json& old, const Resource& resource,
                                 FieldErrors& errors);

/// Labels, annotations, finalizers and owners as they were: what a write of status leaves alone where the
/// kind's strategy says so (metav1.ResetObjectMetaForStatus).
void keep_own_metadata(Json& object, const Json& old);

}  // namespace orch::api
