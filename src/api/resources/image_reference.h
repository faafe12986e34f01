// Container image references, as far as the API looks into them.
#pragma once

#include <string_view>

namespace orch::api {

/// The tag of an image reference (github.com/distribution/reference grammar): "latest" when it has neither
/// tag nor digest, "" when it has only a digest or is not a valid reference. Decides the default pull policy.
std::string_view image_tag(std::string_view image);

}  // namespace orch::api
