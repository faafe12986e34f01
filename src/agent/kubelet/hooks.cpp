#include "agent/kubelet/hooks.h"

#include <algorithm>
#include <thread>

#include "agent/kubelet/images.h"
#include "agent/kubelet/net_actions.h"
#include "api/go_text.h"
#include "base/json.h"

namespace orch::agent {

using base::Code;
using base::Status;

Status run_hook(Runtime& runtime, const std::string& container_id, const ContainerRef& container,
                const Json& handler, const std::string& pod_ip, std::chrono::seconds timeout) {
  if (const Json* exec = base::find_path(handler, {"exec"})) {
    std::vector<std::string> command;
    for (const Json& word : base::array_at(*exec, {"command"})) command.push_back(word.get<std::string>());
    const auto result = runtime.exec_sync(container_id, command, timeout);
    if (!result.ok()) return {result.error().code(), runtime_message(result.error())};
    if (result->exit_code == 0) return {};
    return {Code::kUnknown, base::cat("Exec lifecycle hook ([", api::join(command, " "),
                                      "]) for Container \"", container.name(), "\" failed - error: command '",
                                      api::join(command, " "), "' exited with ", result->exit_code, ": ",
                                      result->err, ", message: ", api::go_quote(result->out + result->err))};
  }
  if (const Json* get = base::find_path(handler, {"httpGet"})) {
    const auto action = http_action(container, *get, pod_ip);
    if (!action) return {Code::kBadRequest, "the hook names a port that does not exist"};
    auto reply = http_get(*action, timeout);
    if (!reply.ok() && action->scheme == "https") {
      // Servers that were reached over plain HTTP before the scheme was honoured still are.
      HttpAction plain = *action;
      plain.scheme = "http";
      reply = http_get(plain, timeout);
    }
    if (!reply.ok()) return {Code::kUnknown, reply.error().message()};
    return {};
  }
  if (const Json* sleep = base::find_path(handler, {"sleep"})) {
    const std::chrono::seconds wanted(base::int_at(*sleep, {"seconds"}));
    std::this_thread::sleep_for(std::min(wanted, timeout));
    return {};
  }
  return {};
}

}  // namespace orch::agent
