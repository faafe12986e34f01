// operator new and delete, with free small blocks kept by the thread that freed them.
//
// An object's tree is hundreds of small blocks that one thread makes and drops again:
// docs/adr/0009-blocks-kept-by-threads.md. Blocks come from malloc in just the sizes glibc cuts anyway, and
// any of them may go back there.
#include <malloc.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <new>

#ifndef ORCH_SANITIZED  // sanitizers bring their own

namespace orch::base {
namespace {

/// What glibc cuts: 16 bytes times the class, and 8.
constexpr size_t kClasses = 17;
constexpr size_t kStep = 16, kRest = 8;
constexpr size_t kLargest = kStep * (kClasses - 1) + kRest;
/// Of one size a thread keeps so much.
constexpr size_t kKept = 24U << 10;

size_t class_of(size_t bytes) { return bytes <= kRest ? 1 : (bytes + kRest - 1) / kStep; }

struct Free {
  Free* next;
};

/// Trivial, so that nothing has to be made or looked at before it is used.
struct Cache {
  enum class State : uint8_t { kFresh, kOpen, kClosed };
  std::array<Free*, kClasses> free;
  std::array<uint32_t, kClasses> bytes;
  State state;
};

constinit thread_local Cache cache{};

/// What a thread keeps ends with it. Others of its thread-local objects may go after that: they find it
/// closed.
struct End {
  ~End() {
    cache.state = Cache::State::kClosed;
    for (Free*& first : cache.free) {
      while (first != nullptr) {
        Free* next = first->next;
        std::free(first);
        first = next;
      }
    }
  }
};

[[gnu::noinline]] bool open() {
  if (cache.state != Cache::State::kFresh) return false;
  cache.state = Cache::State::kOpen;  // registering the end allocates
  [[maybe_unused]] thread_local const End end;
  return true;
}

// Part of both kinds of delete, of which there are millions a second.
[[gnu::always_inline]] inline bool keep(void* block, size_t which) {
  if (cache.state != Cache::State::kOpen && !open()) return false;
  const size_t bytes = kStep * which + kRest;
  if (cache.bytes[which] + bytes > kKept) return false;
  cache.bytes[which] += static_cast<uint32_t>(bytes);
  cache.free[which] = new (block) Free{cache.free[which]};
  return true;
}

void* allocate(size_t bytes) {
  while (true) {
    if (void* block = std::malloc(bytes); block != nullptr) return block;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

}  // namespace
}  // namespace orch::base

// Not inlined: whoever is compiled together with them would be told that what is made by new goes to free.
[[gnu::noinline]] void* operator new(size_t bytes) {
  using namespace orch::base;
  if (bytes > kLargest) return allocate(bytes);
  const size_t which = class_of(bytes);
  const size_t taken = kStep * which + kRest;
  Free* first = cache.free[which];
  if (first == nullptr) return allocate(taken);
  cache.free[which] = first->next;
  cache.bytes[which] -= static_cast<uint32_t>(taken);
  return first;
}

[[gnu::noinline]] void operator delete(void* block, size_t bytes) noexcept {
  using namespace orch::base;
  if (block == nullptr) return;
  if (bytes > kLargest || !keep(block, class_of(bytes))) std::free(block);
}

[[gnu::noinline]] void operator delete(void* block) noexcept {
  using namespace orch::base;
  if (block == nullptr) return;
  const size_t bytes = malloc_usable_size(block);
  if (bytes > kLargest || !keep(block, bytes / kStep)) std::free(block);
}

#endif
