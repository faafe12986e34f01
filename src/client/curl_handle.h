// libcurl easy handles set up for one API server; not for other folders.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>
#include <vector>

#include "client/remote_client.h"

namespace orch::client {

struct CurlDelete {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using CurlHandle = std::unique_ptr<CURL, CurlDelete>;

struct HeaderDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, HeaderDelete>;

using OptionsPtr = std::shared_ptr<const RemoteOptions>;

/// Null when libcurl has no memory. TLS trust, identity and time-outs are set; URL and method are not.
CurlHandle make_handle(const RemoteOptions& options);
HeaderList make_headers(const RemoteOptions& options, const std::string& content_type);
/// kServiceUnavailable naming the server and what failed.
base::Status transport_error(const RemoteOptions& options, CURLcode code, const char* detail);

/// The watch thread: any number of streaming GETs. Thread-safe.
class CurlStreams {
 public:
  struct Callbacks {
    std::function<void(std::string_view bytes)> on_data;  // body of a 200 answer
    /// Transport error, HTTP error (from the body) or OK when the server ended the stream.
    std::function<void(const base::Status&)> on_end;
  };
  CurlStreams();
  ~CurlStreams();
  /// Callbacks run on the stream thread. Returns an id.
  uint64_t open(const OptionsPtr& options, const std::string& url, Callbacks callbacks);
  /// After this no callback of the stream runs (waits for a running one unless called from it).
  void close(uint64_t id);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace orch::client
