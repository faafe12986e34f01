#include "agent/kubelet/net_actions.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace orch::agent {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr size_t kMaxBody = 10 * 1024;

size_t append_body(char* data, size_t size, size_t count, void* out) {
  auto& body = *static_cast<std::string*>(out);
  const size_t n = size * count;
  body.append(data, std::min(n, kMaxBody - std::min(kMaxBody, body.size())));
  return n;  // the rest is read and dropped
}

std::string go_error(const HttpAction& action, CURLcode code, long os_error) {
  const std::string start = base::cat("Get \"", action.url(), "\": ");
  const std::string dial = base::cat("dial tcp ", action.host, ":", action.port, ": ");
  switch (code) {
    case CURLE_COULDNT_CONNECT: {
      if (os_error == ECONNREFUSED) return start + dial + "connect: connection refused";
      if (os_error == EHOSTUNREACH) return start + dial + "connect: no route to host";
      return start + dial +
             "connect: " + (os_error != 0 ? std::strerror(static_cast<int>(os_error)) : "failed");
    }
    case CURLE_COULDNT_RESOLVE_HOST:
      return start + "dial tcp: lookup " + action.host + ": no such host";
    case CURLE_OPERATION_TIMEDOUT:
      return start + "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    case CURLE_GOT_NOTHING:
      return start + "EOF";
    case CURLE_RECV_ERROR:
      return start + "read: connection reset by peer";
    default:
      return start + curl_easy_strerror(code);
  }
}

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

}  // namespace

Result<HttpReply> http_get(const HttpAction& action, std::chrono::seconds timeout) {
  const std::unique_ptr<CURL, CurlDeleter> curl(curl_easy_init());
  if (curl == nullptr) return Status(Code::kInternal, "no HTTP client");
  HttpReply reply;
  std::unique_ptr<curl_slist, CurlDeleter> headers;
  const auto add_header = [&](const std::string& line) {
    headers.reset(curl_slist_append(headers.release(), line.c_str()));
  };
  bool user_agent = false, accept = false;
  for (const auto& [name, value] : action.headers) {
    user_agent = user_agent || strcasecmp(name.c_str(), "User-Agent") == 0;
    accept = accept || strcasecmp(name.c_str(), "Accept") == 0;
    // A header without a value needs curl's own spelling.
    add_header(value.empty() ? base::cat(name, ";") : base::cat(name, ": ", value));
  }
  if (!user_agent) add_header("User-Agent: kube-probe/1.35");
  if (!accept) add_header("Accept: */*");
  add_header("Connection: close");
  const std::string url = action.url();
  CURL* c = curl.get();
  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count() * 1000));
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
  curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
  curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, append_body);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &reply.body);
  std::string at = url;
  for (int redirects = 0;; ++redirects) {
    reply.body.clear();
    const CURLcode code = curl_easy_perform(c);
    if (code != CURLE_OK) {
      long os_error = 0;
      curl_easy_getinfo(c, CURLINFO_OS_ERRNO, &os_error);
      return Status(code == CURLE_OPERATION_TIMEDOUT ? Code::kTimeout : Code::kServiceUnavailable,
                    go_error(action, code, os_error));
    }
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    reply.status = static_cast<int>(status);
    const char* next = nullptr;
    if (status < 300 || status >= 400 || curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &next) != CURLE_OK ||
        next == nullptr) {
      return reply;
    }
    const std::string target = next;
    const std::string authority =
        "://" + (action.host.find(':') == std::string::npos ? action.host : "[" + action.host + "]");
    const size_t host = target.find(authority);
    const char after = host == std::string::npos ? 'x' : target.c_str()[host + authority.size()];
    // Elsewhere, the redirect itself counts as an answer.
    if (host == std::string::npos || (after != ':' && after != '/' && after != '\0')) return reply;
    if (redirects == 10) {
      return Status(Code::kUnknown, base::cat("Get \"", target, "\": stopped after 10 redirects"));
    }
    at = target;
    curl_easy_setopt(c, CURLOPT_URL, at.c_str());
  }
}

Status tcp_connect(const std::string& host, int port, std::chrono::seconds timeout) {
  const auto failed = [&](std::string_view why) {
    return Status(Code::kServiceUnavailable, base::cat("dial tcp ", host, ":", port, ": ", why));
  };
  sockaddr_storage address{};
  socklen_t length = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
  if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    length = sizeof(*v4);
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    length = sizeof(*v6);
  } else if (host == "localhost") {
    return tcp_connect("127.0.0.1", port, timeout);
  } else {
    return failed("no such host");
  }
  const int fd = ::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(std::strerror(errno));
  int error = 0;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) error = errno;
  if (error == EINPROGRESS) {
    pollfd waiter{fd, POLLOUT, 0};
    const int ready = ::poll(&waiter, 1, static_cast<int>(timeout.count() * 1000));
    socklen_t size = sizeof(error);
    if (ready == 0) {
      error = ETIMEDOUT;
    } else {
      ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
  }
  ::close(fd);
  if (error == 0) return {};
  if (error == ETIMEDOUT) return failed("i/o timeout");
  if (error == ECONNREFUSED) return failed("connect: connection refused");
  return failed(base::cat("connect: ", std::strerror(error)));
}

}  // namespace orch::agent
