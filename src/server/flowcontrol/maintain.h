// How the objects of flow control are kept (kube-apiserver pkg/registry/flowcontrol/ensurer and the config
// consumer's status): what is written next, from what is there. Pure.
#pragma once

#include <optional>

#include "api/resources/flow_objects.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace orch::server {

/// A built-in object as it must be written now; none when it is right. `current`: null when there is none.
/// Mandatory ones always get their spec back; of a suggested one people keep what they made of it, once they
/// changed it or its annotation apf.kubernetes.io/autoupdate-spec says false.
std::optional<Json> revise_flow_object(const Json* current, const Json& builtin, bool mandatory);
/// An object that an older server made and nobody needs any more: it has the annotation, but is not built in.
bool obsolete_flow_object(const Json& current, const api::FlowObjects& builtin);
/// What is to be applied to the status of a FlowSchema: the condition Dangling as it must be, whether the
/// level that it names exists. None when it says so already.
std::optional<Json> mark_dangling(const Json& schema, bool level_exists, base::WallTime now);

}  // namespace orch::server
