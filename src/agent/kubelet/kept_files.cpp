#include "agent/kubelet/kept_files.h"

#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

namespace orch::agent {

void KeptFiles::write(std::string path, std::string content) {
  writer_.post([path = std::move(path), content = std::move(content)] {
    base::Status status = base::make_dirs(path.substr(0, path.rfind('/')));
    if (status.ok()) status = base::write_file_atomic(path, content);
    if (!status.ok()) base::log_warning("kubelet", "not kept on disk", {{"error", status.message()}});
  });
}

void KeptFiles::remove(std::string path) {
  writer_.post([path = std::move(path)] { ::unlink(path.c_str()); });
}

}  // namespace orch::agent
