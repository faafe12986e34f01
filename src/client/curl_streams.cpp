#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/threads.h"
#include "client/curl_handle.h"

namespace orch::client {

using base::Code;
using base::Status;

CurlHandle make_handle(const RemoteOptions& o) {
  CurlHandle handle(curl_easy_init());
  if (!handle) return handle;
  CURL* h = handle.get();
  auto blob = [&](CURLoption option, const std::string& pem) {
    if (pem.empty()) return;
    curl_blob b{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_COPY};
    curl_easy_setopt(h, option, &b);
  };
  curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "https,http");
  curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(o.connect_timeout.count() * 1000));
  curl_easy_setopt(h, CURLOPT_USERAGENT, o.user_agent.c_str());
  curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(h, CURLOPT_TCP_KEEPIDLE, 30L);
  curl_easy_setopt(h, CURLOPT_TCP_KEEPINTVL, 10L);
  blob(CURLOPT_CAINFO_BLOB, o.ca_pem);
  if (o.insecure) {
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  blob(CURLOPT_SSLCERT_BLOB, o.certificate_pem);
  blob(CURLOPT_SSLKEY_BLOB, o.key_pem);
  return handle;
}

HeaderList make_headers(const RemoteOptions& o, const std::string& content_type) {
  curl_slist* list = nullptr;
  list = curl_slist_append(list, "Accept: application/json");
  list = curl_slist_append(list, "Expect:");
  if (!content_type.empty()) list = curl_slist_append(list, ("Content-Type: " + content_type).c_str());
  if (!o.token.empty()) list = curl_slist_append(list, ("Authorization: Bearer " + o.token).c_str());
  if (!o.authorization.empty()) list = curl_slist_append(list, ("Authorization: " + o.authorization).c_str());
  return HeaderList(list);
}

Status transport_error(const RemoteOptions& o, CURLcode code, const char* detail) {
  std::string why = detail != nullptr && *detail != 0 ? detail : curl_easy_strerror(code);
  return Status(code == CURLE_OPERATION_TIMEDOUT ? Code::kTimeout : Code::kServiceUnavailable,
                base::cat("cannot reach ", o.server, ": ", why));
}

namespace {

struct StreamState {
  uint64_t id = 0;
  OptionsPtr options;
  CurlHandle handle;
  HeaderList headers;
  CurlStreams::Callbacks callbacks;
  std::string error_body;
  char error[CURL_ERROR_SIZE] = {};
};

size_t on_write(char* data, size_t size, size_t count, void* user) {
  auto* s = static_cast<StreamState*>(user);
  long status = 0;
  curl_easy_getinfo(s->handle.get(), CURLINFO_RESPONSE_CODE, &status);
  const size_t n = size * count;
  if (status == 200) {
    s->callbacks.on_data({data, n});
  } else if (s->error_body.size() < 64 << 10) {
    s->error_body.append(data, n);
  }
  return n;
}

}  // namespace

struct CurlStreams::Rep {
  CURLM* multi = curl_multi_init();
  std::mutex mutex;
  std::condition_variable closed;
  std::map<uint64_t, std::unique_ptr<StreamState>> streams;  // used by the thread alone
  std::vector<std::unique_ptr<StreamState>> opening;         // under mutex
  std::vector<uint64_t> closing;                             // under mutex
  uint64_t next_id = 1, close_round = 0;                     // under mutex
  bool stopping = false;                                     // under mutex
  std::thread thread;

  void run();
  void take_commands();
  void finish(StreamState& s, CURLcode code);
};

void CurlStreams::Rep::take_commands() {
  std::vector<std::unique_ptr<StreamState>> fresh;
  std::vector<uint64_t> ending;
  {
    std::lock_guard lock(mutex);
    fresh.swap(opening);
    ending.swap(closing);
  }
  for (auto& s : fresh) {
    curl_multi_add_handle(multi, s->handle.get());
    streams[s->id] = std::move(s);
  }
  for (uint64_t id : ending) {
    auto it = streams.find(id);
    if (it == streams.end()) continue;
    curl_multi_remove_handle(multi, it->second->handle.get());
    streams.erase(it);
  }
  std::lock_guard lock(mutex);
  ++close_round;
  closed.notify_all();
}

void CurlStreams::Rep::finish(StreamState& s, CURLcode code) {
  long status = 0;
  curl_easy_getinfo(s.handle.get(), CURLINFO_RESPONSE_CODE, &status);
  Status result;
  if (code != CURLE_OK) {
    result = transport_error(*s.options, code, s.error);
  } else if (status != 200) {
    result = Status::from_response(static_cast<int>(status), s.error_body);
  }
  s.callbacks.on_end(result);
}

void CurlStreams::Rep::run() {
  while (true) {
    take_commands();
    {
      std::lock_guard lock(mutex);
      if (stopping) return;
    }
    int running = 0, left = 0;
    curl_multi_perform(multi, &running);
    while (CURLMsg* m = curl_multi_info_read(multi, &left)) {
      if (m->msg != CURLMSG_DONE) continue;
      CURL* handle = m->easy_handle;
      const CURLcode code = m->data.result;
      for (auto it = streams.begin(); it != streams.end(); ++it) {
        if (it->second->handle.get() != handle) continue;
        std::unique_ptr<StreamState> s = std::move(it->second);
        streams.erase(it);
        curl_multi_remove_handle(multi, handle);
        finish(*s, code);
        break;
      }
    }
    curl_multi_poll(multi, nullptr, 0, 60000, nullptr);
  }
}

CurlStreams::CurlStreams() : rep_(std::make_unique<Rep>()) {
  rep_->thread = base::start_thread("client-watch", [rep = rep_.get()] { rep->run(); });
}

CurlStreams::~CurlStreams() {
  {
    std::lock_guard lock(rep_->mutex);
    rep_->stopping = true;
  }
  curl_multi_wakeup(rep_->multi);
  rep_->thread.join();
  for (auto& [id, s] : rep_->streams) curl_multi_remove_handle(rep_->multi, s->handle.get());
  rep_->streams.clear();
  curl_multi_cleanup(rep_->multi);
}

uint64_t CurlStreams::open(const OptionsPtr& options, const std::string& url, Callbacks callbacks) {
  auto s = std::make_unique<StreamState>();
  s->options = options;
  s->handle = make_handle(*options);
  s->headers = make_headers(*options, {});
  s->callbacks = std::move(callbacks);
  CURL* h = s->handle.get();
  curl_easy_setopt(h, CURLOPT_URL, url.c_str());
  curl_easy_setopt(h, CURLOPT_HTTPHEADER, s->headers.get());
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_write);
  curl_easy_setopt(h, CURLOPT_WRITEDATA, s.get());
  curl_easy_setopt(h, CURLOPT_ERRORBUFFER, s->error);
  // A server that vanished without a word is noticed by the connection's keep-alive probes.
  std::lock_guard lock(rep_->mutex);
  const uint64_t id = rep_->next_id++;
  s->id = id;
  rep_->opening.push_back(std::move(s));
  curl_multi_wakeup(rep_->multi);
  return id;
}

void CurlStreams::close(uint64_t id) {
  std::unique_lock lock(rep_->mutex);
  rep_->closing.push_back(id);
  curl_multi_wakeup(rep_->multi);
  if (std::this_thread::get_id() == rep_->thread.get_id()) return;
  const uint64_t round = rep_->close_round;
  // Two rounds: the one under way may have taken its commands before ours was there.
  rep_->closed.wait(
      lock, [&] { return rep_->close_round >= round + 2 || rep_->closing.empty() || rep_->stopping; });
}

}  // namespace orch::client
