// FileWatch: tells when a file may have changed, without looking while nothing happens.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"

namespace orch::base {

class FileWatch {
 public:
  /// `changed` runs on a thread of the watch when something in the file's folder was written, moved or
  /// removed: whoever is called compares the content. Replacing by rename, and the links by which volumes are
  /// updated, are seen as well. kInternal when the folder cannot be watched.
  static Result<std::unique_ptr<FileWatch>> start(const std::string& path, std::function<void()> changed);
  /// Afterwards `changed` does not run.
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

 private:
  struct Rep;
  explicit FileWatch(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::base
