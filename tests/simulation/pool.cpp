// Memory of worlds. They make and drop small pieces of JSON trees all their life, each on one thread: lists
// of free pieces by size, one set of them per thread, cost a fraction of what the C library's allocator
// takes, which has to have other programs in mind.
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

// Sanitizers have to see every piece.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

constexpr size_t kStep = 16;  // sizes are multiples of it, and so are addresses
constexpr size_t kClasses = 40;
constexpr size_t kBlock = size_t{1} << 18U;

/// Stands before each piece.
struct alignas(kStep) Header {
  size_t size_class;  // 0: from malloc
};

struct Piece {
  Piece* next;
};

struct Pool {
  Piece* free[kClasses + 1];
  char *at, *end;  // of the block that pieces are cut from
};

thread_local constinit Pool pool{};

void* cut(size_t size_class) {
  const size_t size = size_class * kStep;
  if (static_cast<size_t>(pool.end - pool.at) < size) {
    pool.at = static_cast<char*>(std::malloc(kBlock));
    if (pool.at == nullptr) return nullptr;
    pool.end = pool.at + kBlock;
  }
  return std::exchange(pool.at, pool.at + size);
}

void* take(size_t size_class) {
  Piece* const piece = pool.free[size_class];
  if (piece == nullptr) return cut(size_class);
  pool.free[size_class] = piece->next;
  return piece;
}

}  // namespace

void* operator new(size_t n) {
  const size_t needed = (n + sizeof(Header) + kStep - 1) / kStep;
  const size_t size_class = needed <= kClasses ? needed : 0;
  void* const piece = size_class != 0 ? take(size_class) : std::malloc(n + sizeof(Header));
  if (piece == nullptr) throw std::bad_alloc();
  auto* const header = static_cast<Header*>(piece);
  header->size_class = size_class;
  return header + 1;
}

void operator delete(void* p) noexcept {
  if (p == nullptr) return;
  Header* const header = static_cast<Header*>(p) - 1;
  const size_t size_class = header->size_class;
  if (size_class == 0) return std::free(header);
  auto* const piece = reinterpret_cast<Piece*>(header);
  piece->next = pool.free[size_class];
  pool.free[size_class] = piece;
}

void operator delete(void* p, size_t /*n*/) noexcept { operator delete(p); }

#endif
