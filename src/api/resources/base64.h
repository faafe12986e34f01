// Base64 with padding (RFC 4648 section 4), as bytes are written in JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace orch::api {

std::string base64_encode(std::string_view bytes);
/// Nothing if `text` is not base64. Line breaks are skipped, as Go's decoder does.
std::optional<std::string> base64_decode(std::string_view text);
/// The number of bytes a valid text stands for.
size_t base64_decoded_size(std::string_view text);

}  // namespace orch::api
