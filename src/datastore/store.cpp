#include "datastore/store.h"

#include <memory>
#include <utility>

#include "base/threads.h"

namespace orch::datastore {

WriteResult Store::write_sync(Write write) {
  struct Answer {
    std::shared_ptr<base::Arrival> arrival = std::make_shared<base::Arrival>();
    WriteResult result;
  };
  const auto answer = std::make_shared<Answer>();
  this->write(std::move(write), [answer](const WriteResult& result) {
    answer->result = result;
    answer->arrival->come();
  });
  answer->arrival->wait();
  return std::move(answer->result);
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
