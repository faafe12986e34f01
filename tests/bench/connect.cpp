// What a request costs by one address and by another, in turn: a new connection each time, a short GET, its
// answer until the server closes. Prints one JSON line with the medians and their ratio.
//
//   bench_connect --a 10.42.0.7:8080 --b 10.43.12.5:80 --path / --requests 2000
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/load.h"

namespace {

using namespace orch;
using namespace orch::bench;

sockaddr_in address_of(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) die("an address is ADDRESS:PORT, not " + text);
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<uint16_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 10)));
  if (inet_pton(AF_INET, text.substr(0, colon).c_str(), &out.sin_addr) != 1)
    die("not an IPv4 address: " + text);
  return out;
}

uint32_t ask(const sockaddr_in& address, const std::string& request) {
  const auto begin = Clock::now();
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("cannot connect");
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    die("cannot send");
  char buffer[16384];
  ssize_t n = 0;
  size_t total = 0;
  while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0) total += static_cast<size_t>(n);
  if (total == 0) die("no answer");
  close(fd);
  return static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count());
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv);
  const sockaddr_in a = address_of(options.text("--a")), b = address_of(options.text("--b"));
  const std::string request =
      base::cat("GET ", options.text("--path", "/"), " HTTP/1.0\r\nHost: bench\r\n\r\n");
  std::vector<uint32_t> of_a, of_b;
  const size_t count = options.number("--requests", 2000);
  for (size_t i = 0; i < count; ++i) {
    // Who goes first changes, so that neither profits.
    if (i % 2 == 0) of_a.push_back(ask(a, request));
    of_b.push_back(ask(b, request));
    if (i % 2 == 1) of_a.push_back(ask(a, request));
  }
  std::sort(of_a.begin(), of_a.end());
  std::sort(of_b.begin(), of_b.end());
  std::printf("{\"bench\":\"connect\",\"requests\":%zu,\"a_p50_ms\":%.3f,\"b_p50_ms\":%.3f,\"ratio\":%.3f}\n",
              count, percentile_ms(of_a, 0.5), percentile_ms(of_b, 0.5),
              percentile_ms(of_b, 0.5) / percentile_ms(of_a, 0.5));
  return 0;
}
