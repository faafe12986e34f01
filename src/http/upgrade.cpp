#include "http/upgrade.h"

#include <algorithm>

#include "http/spdy.h"

namespace orch::http {
namespace {

using base::Code;
using base::Result;
using base::Status;

std::vector<std::string> listed(const std::vector<std::string_view>& values) {
  std::vector<std::string> out;
  for (std::string_view list : values) {
    while (!list.empty()) {
      const size_t comma = list.find(',');
      std::string_view item = list.substr(0, comma);
      while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
      while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
      if (!item.empty()) out.emplace_back(item);
      list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    }
  }
  return out;
}

template <typename List>
std::string bracketed(const List& items) {
  std::string out = "[";
  for (const auto& item : items) out += base::cat(out.size() > 1 ? " " : "", item);
  return out + "]";
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

}  // namespace

Status refuse_upgrade(Stream& stream, int status, std::string_view text, Headers headers) {
  headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
  headers.emplace_back("X-Content-Type-Options", "nosniff");
  headers.emplace_back("Content-Length", std::to_string(text.size() + 1));
  headers.emplace_back("Connection", "close");
  stream.write(base::cat(format_response_head(status, headers), text, "\n"));
  return {status == 403 ? Code::kForbidden : Code::kBadRequest, std::string(text)};
}

Result<std::string> accept_spdy_upgrade(const Request& request, Stream& stream,
                                        const std::vector<std::string_view>& supported) {
  const std::vector<std::string> offered = listed(request.header_values(kProtocolVersionHeader));
  if (offered.empty()) {
    return refuse_upgrade(stream, 400,
                          base::cat("unable to upgrade: header ", kProtocolVersionHeader,
                                    " does not exist in request with ", request.headers.size(), " headers"));
  }
  const auto chosen = std::find_if(offered.begin(), offered.end(), [&](const std::string& one) {
    return std::find(supported.begin(), supported.end(), one) != supported.end();
  });
  if (chosen == offered.end()) {
    Headers accepted;
    for (const auto& name : supported) accepted.emplace_back("X-Accepted-Stream-Protocol-Versions", name);
    return refuse_upgrade(stream, 403,
                          base::cat("unable to upgrade: unable to negotiate protocol: client supports ",
                                    bracketed(offered), ", server accepts ", bracketed(supported)),
                          std::move(accepted));
  }
  if (lower(request.header("Connection")).find("upgrade") == std::string::npos ||
      lower(request.header("Upgrade")).find("spdy/3.1") == std::string::npos) {
    return refuse_upgrade(stream, 400, "unable to upgrade: missing upgrade headers in request");
  }
  if (!stream.write(format_response_head(101, {{"Connection", "Upgrade"},
                                               {"Upgrade", std::string(kSpdy31)},
                                               {std::string(kProtocolVersionHeader), *chosen}}))) {
    return Status(Code::kCanceled, "the client is gone");
  }
  return *chosen;
}

Result<SpdyUpgrade> connect_spdy(const DialOptions& options, const std::string& target,
                                 const Headers& headers, const std::vector<std::string_view>& protocols,
                                 std::chrono::milliseconds timeout) {
  ClientRequest request;
  request.method = "POST";
  request.target = target;
  request.headers = headers;
  request.headers.emplace_back("Connection", "Upgrade");
  request.headers.emplace_back("Upgrade", kSpdy31);
  for (const auto& protocol : protocols) request.headers.emplace_back(kProtocolVersionHeader, protocol);
  auto exchange = ClientExchange::start(options, request, timeout);
  if (!exchange.ok()) return exchange.error();
  if ((*exchange)->status() != 101) {
    auto body = (*exchange)->read_all(1U << 20);
    return Status::from_response((*exchange)->status(), body.ok() ? *body : "");
  }
  SpdyUpgrade out;
  out.protocol = (*exchange)->header(kProtocolVersionHeader);
  out.stream = (*exchange)->upgraded();
  return out;
}

}  // namespace orch::http
