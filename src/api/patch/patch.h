// The three ways to patch an object: JSON patch, merge patch, strategic merge patch. All are pure: they
// return the patched tree or why there is none, so a patch that fails half-way changes nothing.
//
// Trees come from base::parse_json, so they are at most its max_depth deep; the results are too.
#pragma once

#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

struct Type;

/// RFC 6902, with the leniencies of the library kube-apiserver uses: negative indices count from the end, and
/// replacing a missing member of an object adds it.
/// kBadRequest: not a list of operations. kRequestEntityTooLarge: more than 10,000 operations.
/// kInvalid: an operation does not apply, or copies add up to more than 3 MiB; the message is the general one
/// of Kubernetes, the cause says what is wrong.
base::Result<Json> json_patch(const Json& document, const Json& patch);
/// What is in the operations besides op, path, from and value, worded as kube-apiserver's strict errors.
std::vector<std::string> json_patch_unknown_fields(const Json& patch);

/// RFC 7386. kBadRequest when the patch is not an object.
base::Result<Json> merge_patch(const Json& document, const Json& patch);

/// k8s.io/apimachinery/pkg/util/strategicpatch: lists merge by the merge keys of `type`; directives $patch,
/// $retainKeys, $deleteFromPrimitiveList and $setElementOrder. Where the type is unknown (null, free-form
/// maps) objects merge and lists are replaced. Errors are kBadRequest, kInvalid or kUnknown (500) as
/// kube-apiserver answers them.
base::Result<Json> strategic_merge_patch(const Json& document, const Json& patch, const Type* type);

}  // namespace orch::api
