// Objects over informers: what they hold, without copies. Reads are thread-safe.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "client/informer.h"
#include "server/scheduler/objects.h"

namespace orch::server::scheduler {

class InformerObjects final : public Objects {
 public:
  /// The informers must outlive it. To be made before they start.
  explicit InformerObjects(client::InformerFactory& informers);
  api::ObjectPtr get(Kind kind, std::string_view ns, std::string_view name) const override;
  std::vector<api::ObjectPtr> list(Kind kind, std::string_view ns) const override;
  client::Informer& informer(Kind kind) const { return *informers_[static_cast<size_t>(kind)]; }

 private:
  std::array<client::Informer*, kKinds> informers_;
};

}  // namespace orch::server::scheduler
