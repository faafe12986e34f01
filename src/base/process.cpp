#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <future>
#include <memory>
#include <system_error>
#include <utility>

#include "base/threads.h"

extern "C" char** environ;  // NOLINT(readability-redundant-declaration): unistd.h has it only for GNU

namespace orch::base {
namespace {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { close(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

struct Pipe {
  Fd read, write;
};

Status failed(std::string_view what, int error) {
  return Status(Code::kInternal, cat(what, ": ", std::generic_category().message(error)));
}

Result<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return failed("pipe", errno);
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

// Everything the child needs between fork and exec, made before the fork: there only plain system calls are
// allowed.
struct Plan {
  std::vector<std::string> paths;  // what to try, in PATH's order
  std::vector<char*> argv, envp;
  int in = -1, out = -1, err = -1;
  bool session = false, die_with_parent = false;
  pid_t parent = 0;
};

std::vector<std::string> search_path(const std::string& program) {
  if (program.find('/') != std::string::npos) return {program};
  const char* variable = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nobody here sets it
  std::string_view rest =
      variable ? variable : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  std::vector<std::string> found;
  while (true) {
    const size_t colon = rest.find(':');
    const std::string_view folder = rest.substr(0, colon);
    found.push_back(cat(folder.empty() ? std::string_view(".") : folder, "/", program));
    if (colon == std::string_view::npos) return found;
    rest.remove_prefix(colon + 1);
  }
}

[[noreturn]] void child(const Plan& plan, int report) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGQUIT, SIGUSR1, SIGUSR2}) {
    ::signal(signal, SIG_DFL);
  }
  if (plan.session) {
    ::setsid();
  } else {
    ::setpgid(0, 0);
  }
  if (plan.die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != plan.parent) ::_exit(127);  // it went away before the line above
  }
  ::dup2(plan.in, 0);
  ::dup2(plan.out, 1);
  ::dup2(plan.err, 2);
#ifdef SYS_close_range
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
#endif
  int error = ENOENT;
  for (const std::string& path : plan.paths) {
    ::execve(path.c_str(), plan.argv.data(), plan.envp.data());
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
  }
  [[maybe_unused]] const ssize_t n = ::write(report, &error, sizeof error);
  ::_exit(127);
}

// Forks and waits until the child has executed its program or said why not.
Result<pid_t> start(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                    Plan& plan) {
  if (argv.empty() || argv[0].empty()) return Status(Code::kBadRequest, "no program to run");
  plan.paths = search_path(argv[0]);
  for (const std::string& a : argv) plan.argv.push_back(const_cast<char*>(a.c_str()));
  plan.argv.push_back(nullptr);
  for (char** e = environ; e && *e; ++e) {
    const std::string_view entry = *e;
    const std::string_view name = entry.substr(0, entry.find('=') + 1);
    bool replaced = false;
    for (const std::string& added : environment) replaced = replaced || added.starts_with(name);
    if (!replaced) plan.envp.push_back(*e);
  }
  for (const std::string& e : environment) plan.envp.push_back(const_cast<char*>(e.c_str()));
  plan.envp.push_back(nullptr);
  plan.parent = ::getpid();

  Result<Pipe> report = make_pipe();
  if (!report.ok()) return report.error();
  const pid_t pid = ::fork();
  if (pid < 0) return failed(cat("start ", argv[0]), errno);
  if (pid == 0) child(plan, report->write.get());
  report->write.close();
  int error = 0;
  ssize_t n = 0;
  while ((n = ::read(report->read.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (n != sizeof error) return pid;
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  const std::string text = cat(argv[0], ": ", std::generic_category().message(error));
  return Status(Code::kNotFound, cat("cannot start ", text));
}

int exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

void make_non_blocking(const Fd& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

// Puts what the pipe holds of the input into it, and closes it after all of it. Before there is a child,
// which then finds its input there instead of waiting for this process to be scheduled again.
size_t feed_ahead(Pipe& pipe, const std::string& input) {
  make_non_blocking(pipe.write);
  size_t fed = 0;
  while (fed < input.size()) {
    const ssize_t n = ::write(pipe.write.get(), input.data() + fed, input.size() - fed);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fed;
    fed += static_cast<size_t>(n);
  }
  pipe.write.close();
  return fed;
}

// Moves bytes between the pipes and the output until the child has ended.
class Conversation {
 public:
  /// `in` is closed when all of the input, or still open when only `fed` bytes of it, are in the pipe.
  Conversation(pid_t pid, const ProcessOptions& options, Fd in, size_t fed, Fd out, Fd err)
      : pid_(pid),
        options_(options),
        in_(std::move(in)),
        out_(std::move(out)),
        err_(std::move(err)),
        fed_(fed) {
    make_non_blocking(out_);
    make_non_blocking(err_);
    exit_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  }

  Result<ProcessOutput> run() {
    const MonoTime deadline = SystemClock().mono() + options_.timeout;
    while (true) {
      // A child that left its pipes to a daemon is over all the same.
      int status = 0;
      const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
      if (ended < 0 && errno != EINTR) return failed("wait", errno);
      if (ended == pid_) {
        drain(out_, output_.out);
        drain(err_, output_.err);
        output_.exit_code = exit_code(status);
        return std::move(output_);
      }
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SystemClock().mono());
      if (left.count() <= 0) return give_up();
      step(static_cast<int>(std::min<int64_t>(left.count(), exit_.open() ? 1000000 : 20)));
    }
  }

 private:
  void step(int timeout_ms) {
    std::array<pollfd, 4> fds = {pollfd{in_.get(), POLLOUT, 0}, pollfd{out_.get(), POLLIN, 0},
                                 pollfd{err_.get(), POLLIN, 0}, pollfd{exit_.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), timeout_ms) <= 0) return;
    if (fds[0].revents != 0) feed();
    if (fds[1].revents != 0) drain(out_, output_.out);
    if (fds[2].revents != 0) drain(err_, output_.err);
  }

  void feed() {
    // MSG_NOSIGNAL has no counterpart for pipes: block SIGPIPE for this thread and take it off again.
    sigset_t pipe_signal;
    sigset_t before;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    const ssize_t n = ::write(in_.get(), options_.input.data() + fed_, options_.input.size() - fed_);
    const int error = errno;
    if (n < 0 && error == EPIPE) {
      const timespec zero{};
      ::sigtimedwait(&pipe_signal, nullptr, &zero);
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (n > 0) fed_ += static_cast<size_t>(n);
    if (fed_ == options_.input.size() || (n < 0 && error != EAGAIN && error != EINTR)) in_.close();
  }

  void drain(Fd& fd, std::string& into) {
    std::array<char, 16384> part{};
    while (fd.open()) {
      const ssize_t n = ::read(fd.get(), part.data(), part.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) {
        fd.close();
        return;
      }
      const size_t room = options_.max_output - std::min(options_.max_output, into.size());
      into.append(part.data(), std::min(room, static_cast<size_t>(n)));
    }
  }

  Status give_up() {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    return Status(
        Code::kTimeout,
        cat("did not end within ",
            std::chrono::duration_cast<std::chrono::milliseconds>(options_.timeout).count(), " ms"));
  }

  const pid_t pid_;
  const ProcessOptions& options_;
  Fd in_, out_, err_, exit_;
  size_t fed_;
  ProcessOutput output_;
};

}  // namespace

Result<ProcessOutput> run_process(const std::vector<std::string>& argv, const ProcessOptions& options) {
  Result<Pipe> in = make_pipe();
  if (!in.ok()) return in.error();
  Result<Pipe> out = make_pipe();
  if (!out.ok()) return out.error();
  Result<Pipe> err = make_pipe();
  if (!err.ok()) return err.error();
  Plan plan;
  plan.in = in->read.get();
  plan.out = out->write.get();
  plan.err = err->write.get();
  const size_t fed = feed_ahead(*in, options.input);
  const Result<pid_t> pid = start(argv, options.environment, plan);
  if (!pid.ok()) return pid.error();
  in->read.close();
  out->write.close();
  err->write.close();
  Result<ProcessOutput> result =
      Conversation(*pid, options, std::move(in->write), fed, std::move(out->read), std::move(err->read))
          .run();
  if (!result.ok()) return result.error().with_context(argv[0]);
  return result;
}

Result<pid_t> spawn_process(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                            const std::string& log_path, bool die_with_parent) {
  const Fd log(::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.open()) return failed(cat("open ", log_path), errno);
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.open()) return failed("open /dev/null", errno);
  Plan plan;
  plan.in = null.get();
  plan.out = plan.err = log.get();
  plan.session = true;
  plan.die_with_parent = die_with_parent;
  if (!die_with_parent) return start(argv, environment, plan);

  // The kernel ties such a child to the thread that forked it, not to the process. So that it does not end
  // with some short-lived caller, a thread of its own forks it and stays until it has ended, leaving it to be
  // reaped by whoever owns it.
  auto started = std::make_shared<std::promise<Result<pid_t>>>();
  std::future<Result<pid_t>> result = started->get_future();
  std::thread keeper = start_thread("child-keeper", [&argv, &environment, plan, started]() mutable {
    Result<pid_t> pid = start(argv, environment, plan);
    const pid_t child = pid.ok() ? *pid : -1;
    started->set_value(std::move(pid));  // from here on the caller's variables are gone
    if (child < 0) return;
    siginfo_t info;
    while (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
  });
  keeper.detach();
  return result.get();
}

}  // namespace orch::base
