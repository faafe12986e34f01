// The ciphers that values are stored under. Pure but for random numbers; thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace orch::datastore {

// Each seals with a fresh random nonce, which it puts in front of the result; open is the inverse and gives
// kInternal, never wrong data, for anything that was not sealed under this key (and `context`) — except CBC,
// which has no authentication: there only the padding tells.

/// AES-128, -192 or -256 in GCM by the key's length; 12 bytes of nonce, 16 of tag.
base::Result<std::string> seal_aes_gcm(std::string_view key, std::string_view plain,
                                       std::string_view context);
base::Result<std::string> open_aes_gcm(std::string_view key, std::string_view sealed,
                                       std::string_view context);
/// AES in CBC with PKCS #7 padding; 16 bytes of initialisation vector.
base::Result<std::string> seal_aes_cbc(std::string_view key, std::string_view plain);
base::Result<std::string> open_aes_cbc(std::string_view key, std::string_view sealed);
/// NaCl's secretbox: XSalsa20 and Poly1305 with a key of 32 bytes; 24 bytes of nonce, 16 of tag.
base::Result<std::string> seal_secretbox(std::string_view key, std::string_view plain);
base::Result<std::string> open_secretbox(std::string_view key, std::string_view sealed);
/// The box without its nonce, for known nonces (test vectors).
base::Result<std::string> box(std::string_view key, std::string_view nonce, std::string_view plain);
/// HKDF-Expand (RFC 5869) with SHA-256 of a seed, to a key of `size` bytes.
base::Result<std::string> expand_key(std::string_view seed, std::string_view info, size_t size);

}  // namespace orch::datastore
