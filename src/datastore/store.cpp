#include "datastore/store.h"

#include <future>
#include <utility>

#include "base/threads.h"

namespace orch::datastore {

WriteResult Store::write_sync(Write write) {
  // Shared: the writer may still be inside set_value() when the waiting thread goes on.
  auto promise = std::make_shared<std::promise<WriteResult>>();
  std::future<WriteResult> result = promise->get_future();
  this->write(std::move(write), [promise](const WriteResult& r) { promise->set_value(r); });
  const base::ThreadPool::Waiting waiting;
  return result.get();
}

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty()) {
    const auto last = static_cast<unsigned char>(end.back());
    if (last != 0xFF) {
      end.back() = static_cast<char>(last + 1);
      return end;
    }
    end.pop_back();
  }
  return {'\0'};
}

}  // namespace orch::datastore
