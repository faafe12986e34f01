#include "cli/scheduler_args.h"

#include "base/file.h"
#include "cli/component_args.h"
#include "server/scheduler/plugins/config.h"

namespace orch::cli {

base::Status apply_scheduler_args(const std::vector<std::string>& args, server::ServerConfig& config) {
  constexpr const char* kOption = "--kube-scheduler-arg";
  std::string file;
  ORCH_RETURN_IF_ERROR(apply_component_args(kOption, args, {text_flag("config", file)}));
  if (file.empty()) return {};
  auto fail = [&](const std::string& why) {
    return base::Status(base::Code::kBadRequest, base::cat(kOption, ": config=", file, ": ", why));
  };
  auto text = base::read_file(file);
  if (!text.ok()) return fail(text.error().message());
  if (auto read = server::scheduler::read_config(*text); !read.ok()) return fail(read.error().message());
  config.scheduler_config = std::move(*text);
  return {};
}

}  // namespace orch::cli
