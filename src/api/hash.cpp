#include "api/hash.h"

#include "api/names.h"
#include "base/json.h"

namespace orch::api {

uint32_t fnv1a32(std::string_view bytes, uint32_t hash) {
  constexpr uint32_t kPrime = 16777619U;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  return hash;
}

uint32_t fnv1_32(std::string_view bytes, uint32_t hash) {
  constexpr uint32_t kPrime = 16777619U;
  for (const char c : bytes) hash = (hash * kPrime) ^ static_cast<unsigned char>(c);
  return hash;
}

uint64_t fnv1a64(std::string_view bytes) {
  constexpr uint64_t kPrime = 1099511628211ULL;
  uint64_t hash = 14695981039346656037ULL;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  return hash;
}

std::string template_hash(const Json& pod_template, std::optional<int64_t> collisions) {
  // Trees keep their keys sorted, so equal templates have equal dumps.
  uint32_t hash = fnv1a32(base::dump_json(pod_template));
  if (collisions) hash = fnv1a32(base::cat("#", *collisions), hash);
  return safe_encode(std::to_string(hash));
}

}  // namespace orch::api
