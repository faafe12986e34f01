#include <curl/curl.h>

#include <memory>

#include "pki/pki.h"
#include "server/scheduler/extender.h"

namespace orch::server::scheduler {

namespace {

using base::Code;
using base::Status;

struct HandleDelete {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct ListDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

size_t append(char* data, size_t size, size_t n, void* to) {
  constexpr size_t kMost = 64U << 20;
  auto& text = *static_cast<std::string*>(to);
  if (text.size() + size * n > kMost) return 0;
  text.append(data, size * n);
  return size * n;
}

/// Certificates and keys come in files, or as base64 in the configuration; the latter goes first.
void set_tls(CURL* handle, const ExtenderConfig& c) {
  auto set = [&](CURLoption blob_option, CURLoption file_option, const std::string& data,
                 const std::string& file) {
    if (!data.empty()) {
      auto text = pki::base64_decode(data);
      if (!text.ok()) return;
      curl_blob blob{text->data(), text->size(), CURL_BLOB_COPY};
      curl_easy_setopt(handle, blob_option, &blob);
    } else if (!file.empty()) {
      curl_easy_setopt(handle, file_option, file.c_str());
    }
  };
  set(CURLOPT_CAINFO_BLOB, CURLOPT_CAINFO, c.ca_data, c.ca_file);
  set(CURLOPT_SSLCERT_BLOB, CURLOPT_SSLCERT, c.cert_data, c.cert_file);
  set(CURLOPT_SSLKEY_BLOB, CURLOPT_SSLKEY, c.key_data, c.key_file);
  // Kubernetes trusts everybody when it is told to use HTTPS and of no authority.
  if (c.insecure || (c.https && c.ca_data.empty() && c.ca_file.empty())) {
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

base::Result<std::string> post(const ExtenderConfig& config, const std::string& verb,
                               const std::string& body) {
  std::string url = config.url;
  while (!url.empty() && url.back() == '/') url.pop_back();
  url += "/" + verb;
  const std::unique_ptr<CURL, HandleDelete> handle(curl_easy_init());
  const std::unique_ptr<curl_slist, ListDelete> headers(
      curl_slist_append(nullptr, "Content-Type: application/json"));
  if (handle == nullptr || headers == nullptr) return Status(Code::kInternal, "out of memory");
  CURL* h = handle.get();
  std::string answer;
  char detail[CURL_ERROR_SIZE] = {0};
  using std::chrono::duration_cast, std::chrono::milliseconds;
  curl_easy_setopt(h, CURLOPT_URL, url.c_str());
  curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(h, CURLOPT_PROXY, "");
  curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(h, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(h, CURLOPT_TIMEOUT_MS,
                   static_cast<long>(duration_cast<milliseconds>(config.timeout).count()));
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(h, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(h, CURLOPT_ERRORBUFFER, detail);
  set_tls(h, config);
  if (const CURLcode code = curl_easy_perform(h); code != CURLE_OK) {
    return Status(Code::kServiceUnavailable,
                  base::cat("Post \"", url, "\": ", detail[0] != 0 ? detail : curl_easy_strerror(code)));
  }
  long status = 0;
  curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    return Status(Code::kInternal,
                  base::cat("failed ", verb, " with extender at URL ", url, ", code ", status));
  }
  return answer;
}

}  // namespace

ExtenderPost post_over_http() {
  return [](const ExtenderConfig& config, const std::string& verb, const std::string& body) {
    return post(config, verb, body);
  };
}

}  // namespace orch::server::scheduler
