#include "client/hook_client.h"

#include <openssl/x509_vfy.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "api/go_text.h"
#include "base/json.h"
#include "base/threads.h"
#include "client/curl_handle.h"

namespace orch::client {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMostAnswer = 16U << 20;  // of one call, in memory
constexpr size_t kMostIdle = 4;            // sets of connections kept

struct MultiDelete {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
/// Holds the connections of earlier calls.
using MultiHandle = std::unique_ptr<CURLM, MultiDelete>;

/// One call under way.
struct Exchange {
  CurlHandle handle;
  HeaderList headers, connect_to;
  std::string answer;
  CURLcode code = CURLE_FAILED_INIT;
  bool too_long = false;
  char error[CURL_ERROR_SIZE] = {};
};

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto* exchange = static_cast<Exchange*>(user);
  const size_t n = size * count;
  if (exchange->answer.size() + n > kMostAnswer) {
    exchange->too_long = true;
    return 0;
  }
  exchange->answer.append(data, n);
  return n;
}

/// "host:port" of a URL, the port that of HTTPS when it has none.
std::string host_of(std::string_view url) {
  const size_t scheme = url.find("://");
  url.remove_prefix(scheme == std::string_view::npos ? 0 : scheme + 3);
  std::string host(url.substr(0, url.find_first_of("/?#")));
  const size_t colon = host.rfind(':');
  if (colon == std::string::npos || host.find(']', colon) != std::string::npos) host += ":443";
  return host;
}

void set_up(Exchange& exchange, const HookCall& call) {
  RemoteOptions options;
  options.ca_pem = call.ca_pem;
  options.certificate_pem = call.certificate_pem;
  options.key_pem = call.key_pem;
  options.user_agent = call.user_agent;
  options.insecure = call.insecure;
  exchange.handle = make_handle(options);
  if (!exchange.handle) return;
  const bool get = call.method == "GET";
  curl_slist* headers = make_headers(options, get ? "" : "application/json").release();
  for (const auto& line : call.headers) headers = curl_slist_append(headers, line.c_str());
  exchange.headers.reset(headers);
  CURL* h = exchange.handle.get();
  curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(h, CURLOPT_URL, call.url.c_str());
  curl_easy_setopt(h, CURLOPT_HTTPHEADER, exchange.headers.get());
  curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(call.timeout.count()));
  curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, static_cast<long>(call.timeout.count()));
  if (get) {
    curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
  } else {
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, call.body.data());
  }
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(h, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(h, CURLOPT_ERRORBUFFER, exchange.error);
  if (!call.connect_to.empty()) {
    exchange.connect_to.reset(
        curl_slist_append(nullptr, base::cat(host_of(call.url), ":", call.connect_to).c_str()));
    curl_easy_setopt(h, CURLOPT_CONNECT_TO, exchange.connect_to.get());
  }
}

/// What the certificate that was shown fails of.
std::string certificate_problem(CURL* h, const char* detail) {
  long result = 0;
  curl_easy_getinfo(h, CURLINFO_SSL_VERIFYRESULT, &result);
  switch (result) {
    case X509_V_OK:  // its name, then
      return detail;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "x509: certificate has expired or is not yet valid";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return "x509: certificate signed by unknown authority";
    default:
      return base::cat("x509: ", X509_verify_cert_error_string(result));
  }
}

/// errno in Go's words, which are strerror's in lower case.
std::string system_error(long number) {
  std::string text = number != 0 ? std::strerror(static_cast<int>(number)) : "connection refused";
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

std::string failure(const Exchange& exchange, const HookCall& call) {
  if (exchange.too_long) return "http: request body too large";
  CURL* h = exchange.handle.get();
  long number = 0;
  curl_easy_getinfo(h, CURLINFO_OS_ERRNO, &number);
  const std::string host = host_of(call.url);
  const std::string& address = call.connect_to.empty() ? host : call.connect_to;
  switch (exchange.code) {
    case CURLE_OPERATION_TIMEDOUT:
      return "context deadline exceeded";
    case CURLE_COULDNT_CONNECT:
      return base::cat("dial tcp ", address, ": connect: ", system_error(number));
    case CURLE_COULDNT_RESOLVE_HOST:
      return base::cat("dial tcp: lookup ", host.substr(0, host.rfind(':')), ": no such host");
    case CURLE_PEER_FAILED_VERIFICATION:
      return "tls: failed to verify certificate: " + certificate_problem(h, exchange.error);
    case CURLE_GOT_NOTHING:
      return "EOF";
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      return number != 0 ? base::cat("read tcp ", address, ": ", system_error(number)) : "EOF";
    case CURLE_SSL_CONNECT_ERROR:
      if (std::strstr(exchange.error, "wrong version number") != nullptr)
        return "http: server gave HTTP response to HTTPS client";
      [[fallthrough]];
    default:
      return exchange.error[0] != 0 ? exchange.error : curl_easy_strerror(exchange.code);
  }
}

/// What client-go makes of an answer that is no success.
Status refused(const HookAnswer& answer) {
  const int status = answer.status;
  const std::string_view body = answer.body;
  Status said = Status::from_response(status, body);
  const auto tree = base::parse_json(body);
  if (tree.ok() && base::string_at(*tree, {"kind"}) == "Status") return said;
  std::string_view text = "unknown";
  if (answer.content_type.empty() || answer.content_type.compare(0, 5, "text/") == 0) {
    text = body;
    while (!text.empty() && std::strchr(" \r\n\t", text.back()) != nullptr) text.remove_suffix(1);
  }
  const auto with = [&said](std::string message) { return Status(said.code(), std::move(message)); };
  switch (status) {
    case 400:
      return with("the server rejected our request for an unknown reason");
    case 401:
      return with("the server has asked for the client to provide credentials");
    case 403:
      return with(base::cat("forbidden: ", text));
    case 404:
      return with("the server could not find the requested resource");
    case 405:
      return with("the server does not allow this method on the requested resource");
    case 409:
      return with("the server reported a conflict");
    case 413:
      return with(base::cat("Request entity too large: ", text));
    case 415:
      return with(base::cat("the server was unable to respond with a content type that the client supports"));
    case 422:
      return with("the server rejected our request due to an error in our request");
    case 429:
      return with("the server has received too many requests and has asked us to try again later");
    case 503:
      return with("the server is currently unable to handle the request");
    case 504:
      return with(
          "the server was unable to return a response in the time allotted, but may still be processing the "
          "request");
    default:
      if (status >= 500) {
        return with(base::cat("an error on the server (", api::go_quote(text),
                              ") has prevented the request from succeeding"));
      }
      return with(base::cat("the server responded with the status code ", status,
                            " but did not return more information"));
  }
}

Result<HookAnswer> outcome(Exchange& exchange, const HookCall& call) {
  if (exchange.code != CURLE_OK) {
    std::string verb = call.method;
    for (size_t i = 1; i < verb.size(); ++i) verb[i] = static_cast<char>(verb[i] - 'A' + 'a');
    return Status(Code::kUnknown,
                  base::cat(verb, " ", api::go_quote(call.url), ": ", failure(exchange, call)));
  }
  HookAnswer out;
  long status = 0;
  char* type = nullptr;
  curl_easy_getinfo(exchange.handle.get(), CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(exchange.handle.get(), CURLINFO_CONTENT_TYPE, &type);
  out.status = static_cast<int>(status);
  if (type != nullptr) out.content_type = type;
  curl_header* etag = nullptr;
  if (curl_easy_header(exchange.handle.get(), "ETag", 0, CURLH_HEADER, -1, &etag) == CURLHE_OK)
    out.etag = etag->value;
  out.body = std::move(exchange.answer);
  return out;
}

void run(CURLM* multi, std::vector<Exchange>& exchanges) {
  for (auto& exchange : exchanges) {
    if (!exchange.handle) continue;
    curl_easy_setopt(exchange.handle.get(), CURLOPT_PRIVATE, &exchange);
    curl_multi_add_handle(multi, exchange.handle.get());
  }
  int running = 1;
  while (running > 0) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) break;
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      void* exchange = nullptr;
      const CURLcode code = message->data.result;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
      static_cast<Exchange*>(exchange)->code = code;
    }
    if (running > 0) curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
  }
  for (auto& exchange : exchanges) {
    if (exchange.handle) curl_multi_remove_handle(multi, exchange.handle.get());
  }
}

}  // namespace

struct HookClient::Rep {
  std::mutex mutex;
  std::vector<MultiHandle> idle;  // under mutex

  MultiHandle borrow() {
    std::lock_guard lock(mutex);
    if (idle.empty()) return MultiHandle(curl_multi_init());
    MultiHandle multi = std::move(idle.back());
    idle.pop_back();
    return multi;
  }
  void give_back(MultiHandle multi) {
    std::lock_guard lock(mutex);
    if (idle.size() < kMostIdle) idle.push_back(std::move(multi));
  }
};

HookClient::HookClient() : rep_(std::make_unique<Rep>()) {}
HookClient::~HookClient() = default;

std::vector<Result<HookAnswer>> HookClient::fetch(const std::vector<HookCall>& calls) {
  std::vector<Exchange> exchanges(calls.size());
  for (size_t i = 0; i < calls.size(); ++i) set_up(exchanges[i], calls[i]);
  MultiHandle multi = rep_->borrow();
  if (multi) {
    const base::ThreadPool::Waiting waiting;
    run(multi.get(), exchanges);
  }
  std::vector<Result<HookAnswer>> out;
  out.reserve(calls.size());
  for (size_t i = 0; i < calls.size(); ++i) out.push_back(outcome(exchanges[i], calls[i]));
  exchanges.clear();  // handles go before what holds their connections
  if (multi) rep_->give_back(std::move(multi));
  return out;
}

std::vector<Result<std::string>> HookClient::call(const std::vector<HookCall>& calls) {
  std::vector<Result<std::string>> out;
  out.reserve(calls.size());
  for (auto& answer : fetch(calls)) {
    if (!answer.ok()) {
      out.emplace_back(answer.error());
    } else if (answer->status < 200 || answer->status > 299) {
      out.emplace_back(refused(*answer));
    } else {
      out.emplace_back(std::move(answer->body));
    }
  }
  return out;
}

}  // namespace orch::client
