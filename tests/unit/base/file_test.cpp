#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "base/log.h"
#include "base/process.h"
#include "tests/catch.h"

using orch::base::Code;
using orch::base::FileLock;
using orch::base::ProcessOptions;
using orch::base::run_process;

namespace {

// A fresh folder, removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = "/tmp/orch-base-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { (void)orch::base::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

mode_t mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

}  // namespace

TEST_CASE("files are replaced whole, with their mode") {
  const Folder dir;
  const std::string path = dir / "f";
  REQUIRE(orch::base::write_file_atomic(path, "one").ok());
  CHECK(mode_of(path) == 0600);
  REQUIRE(orch::base::write_file_atomic(path, std::string(100000, 'x'), 0644).ok());
  CHECK(mode_of(path) == 0644);
  CHECK(*orch::base::read_file(path) == std::string(100000, 'x'));
  CHECK(*orch::base::list_dir(dir.path()) == std::vector<std::string>{"f"});  // nothing temporary stays
}

TEST_CASE("errors name the file and the reason") {
  const Folder dir;
  CHECK(orch::base::read_file(dir / "none").error().code() == Code::kNotFound);
  CHECK_THAT(orch::base::read_file(dir / "none").error().message(),
             orch::testing::contains("/none: No such file or directory"));
  CHECK(orch::base::read_file(dir.path()).error().code() == Code::kInternal);
  CHECK_FALSE(orch::base::write_file_atomic(dir / "no/f", "x").ok());
  CHECK(orch::base::list_dir(dir / "none").error().code() == Code::kNotFound);
}

TEST_CASE("folders are made and removed with all that is in them") {
  const Folder dir;
  REQUIRE(orch::base::make_dirs(dir / "a/b/c").ok());
  REQUIRE(orch::base::make_dirs(dir / "a/b/c/").ok());
  CHECK(mode_of(dir / "a/b/c") == 0700);
  REQUIRE(orch::base::write_file_atomic(dir / "a/b/f", "x").ok());
  CHECK_FALSE(orch::base::make_dirs(dir / "a/b/f").ok());
  CHECK_FALSE(orch::base::make_dirs(dir / "a/b/f/g").ok());
  REQUIRE(orch::base::remove_all(dir / "a").ok());
  CHECK_FALSE(orch::base::file_exists(dir / "a"));
  CHECK(orch::base::remove_all(dir / "a").ok());
}

TEST_CASE("a lock is exclusive and names its holder") {
  const Folder dir;
  auto lock = FileLock::acquire(dir / "lock");
  REQUIRE(lock.ok());
  const auto second = FileLock::acquire(dir / "lock");
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code() == Code::kConflict);
  CHECK_THAT(second.error().message(),
             orch::testing::contains("in use by process " + std::to_string(::getpid())));
  lock.value().reset();
  CHECK(FileLock::acquire(dir / "lock").ok());
}

TEST_CASE("a lock needs no space on the disk") {
  const Folder dir;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit none{0, 0};
    ::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &none);
    auto lock = FileLock::acquire(dir / "lock");
    ::_exit(lock.ok() && FileLock::acquire(dir / "lock").error().code() == Code::kConflict ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a process gets its input and gives its output and exit code") {
  ProcessOptions options;
  for (const size_t size : {0, 1, 65535, 65536, 65537, 300000}) {  // a pipe holds 65536
    INFO(size);
    options.input = std::string(size, 'y');
    const auto copy = run_process({"cat"}, options);
    REQUIRE(copy.ok());
    CHECK(copy->exit_code == 0);
    CHECK(copy->out == options.input);
  }

  options.input.clear();
  options.environment = {"ORCH_TEST=v", "PATH=/bin:/usr/bin"};
  const auto shell = run_process({"/bin/sh", "-c", "echo $ORCH_TEST; echo err >&2; exit 3"}, options);
  REQUIRE(shell.ok());
  CHECK(shell->exit_code == 3);
  CHECK(shell->out == "v\n");
  CHECK(shell->err == "err\n");

  CHECK(run_process({"/bin/sh", "-c", "kill -TERM $$"})->exit_code == 128 + 15);
  options.input = std::string(300000, 'y');
  CHECK(run_process({"true"}, options)->exit_code == 0);  // it never reads its input
  options.max_output = 10;
  CHECK(run_process({"cat"}, options)->out == std::string(10, 'y'));
}

TEST_CASE("a process that cannot be started or does not end is an error that names it") {
  const auto missing = run_process({"orch-no-such-program"});
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code() == Code::kNotFound);
  CHECK_THAT(missing.error().message(), orch::testing::contains("orch-no-such-program: No such file"));
  CHECK_THAT(run_process({"/etc/passwd"}).error().message(), orch::testing::contains("Permission denied"));
  CHECK_FALSE(run_process({}).ok());
  ProcessOptions options;
  options.timeout = std::chrono::milliseconds(50);
  const auto slow = run_process({"sleep", "100"}, options);
  REQUIRE_FALSE(slow.ok());
  CHECK(slow.error().code() == Code::kTimeout);
  CHECK_THAT(slow.error().message(), orch::testing::contains("sleep: did not end within 50 ms"));
}

TEST_CASE("a process over is over, even if a child of it keeps the pipes") {
  const auto done = run_process({"/bin/sh", "-c", "sleep 3 & echo started"});
  REQUIRE(done.ok());
  CHECK(done->out == "started\n");
}

TEST_CASE("a spawned process logs to its file and outlives the thread that asked for it") {
  const Folder dir;
  for (const bool die_with_parent : {false, true}) {
    const std::string log = dir / (die_with_parent ? "a" : "b");
    pid_t pid = 0;
    std::thread([&] {
      const auto started = orch::base::spawn_process({"sh", "-c", "echo $X; read line; exit 7"}, {"X=hello"},
                                                     log, die_with_parent);
      if (started.ok()) pid = *started;
    }).join();
    REQUIRE(pid > 0);
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 7);
    CHECK(*orch::base::read_file(log) == "hello\n");
  }
  CHECK(orch::base::spawn_process({"orch-no-such-program"}, {}, dir / "c", true).error().code() ==
        Code::kNotFound);
  CHECK_FALSE(orch::base::spawn_process({"true"}, {}, dir / "no/c", false).ok());
}

// ThreadSanitizer does not survive threads that a forked child makes.
#ifndef __SANITIZE_THREAD__
TEST_CASE("a spawned process ends with its parent when asked to") {
  const Folder dir;
  int fds[2];
  REQUIRE(::pipe(fds) == 0);
  const pid_t parent = ::fork();
  REQUIRE(parent >= 0);
  if (parent == 0) {
    const auto pid = orch::base::spawn_process({"sleep", "1000"}, {}, dir / "log", true);
    const pid_t value = pid.ok() ? *pid : 0;
    const ssize_t n = ::write(fds[1], &value, sizeof value);
    ::_exit(n == sizeof value ? 0 : 1);
  }
  pid_t child = 0;
  REQUIRE(::read(fds[0], &child, sizeof child) == sizeof child);
  ::close(fds[0]);
  ::close(fds[1]);
  ::waitpid(parent, nullptr, 0);
  REQUIRE(child > 0);
  // Reaped by whoever adopted it; until then it is a zombie, which counts as ended.
  bool ended = false;
  for (int i = 0; i < 1000 && !ended; ++i) {
    const auto stat = orch::base::read_file("/proc/" + std::to_string(child) + "/stat");
    ended = !stat.ok() || stat->find(") Z") != std::string::npos;
    if (!ended) ::usleep(10000);
  }
  CHECK(ended);
}
#endif

TEST_CASE("log lines stay one line, with quoted values") {
  const Folder dir;
  const int saved = ::dup(STDERR_FILENO);
  const int file = ::open((dir / "log").c_str(), O_RDWR | O_CREAT, 0600);
  ::dup2(file, STDERR_FILENO);
  orch::base::log_info("store", "two\nlines", {{"a", "plain"}, {"b", "with space \"q\"\n"}, {"c", ""}});
  orch::base::log_debug("store", "hidden");
  orch::base::set_log_level(orch::base::LogLevel::kDebug);
  orch::base::log_debug("store", "shown");
  orch::base::set_log_level(orch::base::LogLevel::kError);
  orch::base::log_warning("store", "hidden");
  orch::base::set_log_level(orch::base::LogLevel::kInfo);
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
  ::close(file);
  const std::string text = *orch::base::read_file(dir / "log");
  CHECK_THAT(text, orch::testing::contains(
                       "Z info store two\\nlines a=plain b=\"with space \\\"q\\\"\\n\" c=\"\"\n"));
  CHECK_THAT(text, orch::testing::contains("Z debug store shown\n"));
  CHECK(text.find("hidden") == std::string::npos);
}
