#include <array>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "tests/catch.h"

namespace orch::base {
namespace {

/// Freed knowing its size, or not.
struct Block {
  unsigned char* at;
  size_t size;
  void drop(bool sized) const { sized ? ::operator delete(at, size) : ::operator delete(at); }
};

Block make(size_t size, unsigned char fill) {
  Block out{static_cast<unsigned char*>(::operator new(size)), size};
  std::memset(out.at, fill, size);
  return out;
}

bool holds(const Block& block, unsigned char fill) {
  for (size_t i = 0; i < block.size; ++i) {
    if (block.at[i] != fill) return false;
  }
  return true;
}

TEST_CASE("blocks of all sizes are apart from each other, however often they were freed") {
  std::vector<std::pair<Block, unsigned char>> kept;
  unsigned char fill = 0;
  for (int round = 0; round < 3; ++round) {
    for (size_t size = 0; size < 400; ++size) {
      for (int i = 0; i < 4; ++i) kept.emplace_back(make(size, ++fill), fill);
    }
    bool good = true, aligned = true;
    for (const auto& [block, wanted] : kept) {
      good = good && holds(block, wanted);
      aligned = aligned && reinterpret_cast<uintptr_t>(block.at) % __STDCPP_DEFAULT_NEW_ALIGNMENT__ == 0;
    }
    CHECK(good);
    CHECK(aligned);
    for (const auto& [block, wanted] : kept) block.drop(wanted % 2 == 0);
    kept.clear();
  }
}

TEST_CASE("what one thread makes another may free, and threads may end in between") {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::unique_ptr<std::array<char, 40>>> blocks;
    std::thread([&] {
      for (int i = 0; i < 2000; ++i) blocks.push_back(std::make_unique<std::array<char, 40>>());
    }).join();
    std::thread([&] { blocks.clear(); }).join();
  }
}

/// Lives longer than what the thread keeps, which is made later, and so goes first.
struct Late {
  std::unique_ptr<std::string> text;
  ~Late() { text = std::make_unique<std::string>(30, 'x'); }
};

TEST_CASE("objects of a thread that end last may still make and free") {
  std::thread([] {
    thread_local Late late;
    late.text = std::make_unique<std::string>(30, 'y');
    late.text = nullptr;
  }).join();
}

}  // namespace
}  // namespace orch::base
