// A whole control plane without a node, in a folder of its own on a free port, and plain HTTPS to it.
#pragma once

#include <curl/curl.h>
#include <stdlib.h>

#include <chrono>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/metrics.h"
#include "base/timer.h"
#include "pki/pki.h"
#include "server/server.h"
#include "tests/catch.h"

namespace orch::testing {

/// Waits for what the server does in the background: whether `condition` came true within ten seconds.
template <typename F>
bool soon(const F& condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

class DataFolder {
 public:
  DataFolder() {
    std::string name = "/var/tmp/orch-server-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~DataFolder() { (void)base::remove_all(path_); }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string read(const std::string& name) const {
    auto text = base::read_file(path_ + "/" + name);
    INFO(name);
    REQUIRE(text.ok());
    return *text;
  }

 private:
  std::string path_;
};

struct Answer {
  int status = 0;  // 0: no answer
  std::string content_type, body, headers;
  Json tree() const {
    auto parsed = base::parse_json(body);
    INFO(body.substr(0, 500));
    REQUIRE(parsed.ok());
    return std::move(*parsed);
  }
};

/// The frames of a watch answer.
inline std::vector<Json> frames(const Answer& answer) {
  std::vector<Json> out;
  std::istringstream lines(answer.body);
  for (std::string line; std::getline(lines, line);) {
    auto parsed = base::parse_json(line);
    INFO(line);
    REQUIRE(parsed.ok());
    out.push_back(std::move(*parsed));
  }
  return out;
}

/// "ADDED a" per frame; bookmarks without a name.
inline std::vector<std::string> brief(const std::vector<Json>& events) {
  std::vector<std::string> out;
  for (const auto& e : events) {
    out.push_back(
        base::cat(base::string_at(e, {"type"}), " ", base::string_at(e, {"object", "metadata", "name"})));
  }
  return out;
}

/// Who asks.
struct Credentials {
  pki::KeyPair certificate;
  std::string token;
};

struct RequestOptions {
  std::string content_type = "application/json";
  std::vector<std::string> headers;
};

class Control {
 public:
  explicit Control(const DataFolder& folder, uint16_t port = 0) : folder_(folder) {
    config_.data_dir = folder.path();
    config_.bind_address = "127.0.0.1";
    config_.https_listen_port = port;
    config_.write_kubeconfig = folder.path() + "/kubeconfig.yaml";
    config_.node_ips = {"127.0.0.1"};
    config_.hostname = "test";
  }
  server::ServerConfig& config() { return config_; }
  base::Status try_start() {
    auto started = server::Server::start(config_, clock_, *timers_, metrics_);
    if (started.ok()) server_ = std::move(*started);
    return started.status();
  }
  Control& start() {
    auto status = try_start();
    INFO(status.message());
    REQUIRE(status.ok());
    ca_ = server_->node_credentials("x", {})->server_ca_pem;
    admin_.certificate = {folder_.read("server/tls/client-admin.crt"),
                          folder_.read("server/tls/client-admin.key")};
    return *this;
  }
  void stop() { server_.reset(); }
  server::Server& server() { return *server_; }
  const Credentials& admin() const { return admin_; }
  pki::KeyPair client_ca() const {
    return {folder_.read("server/tls/client-ca.crt"), folder_.read("server/tls/client-ca.key")};
  }
  const std::string& ca() const { return ca_; }
  std::string url() const { return "https://127.0.0.1:" + std::to_string(server_->port()); }

  Answer send(const std::string& method, const std::string& path, const std::string& body = {},
              const RequestOptions& options = {}) const {
    return send_as(admin_, method, path, body, options);
  }
  Answer send_as(const Credentials& who, const std::string& method, const std::string& path,
                 const std::string& body = {}, const RequestOptions& options = {}) const;
  Answer get(const std::string& path) const { return send("GET", path); }
  Answer post(const std::string& path, const Json& body) const { return send("POST", path, body.dump()); }
  Answer put(const std::string& path, const Json& body) const { return send("PUT", path, body.dump()); }
  Answer patch(const std::string& path, const std::string& type, const Json& body) const {
    return send("PATCH", path, body.dump(), {"application/" + type, {}});
  }
  /// Answer to a TokenRequest for the account "default" of the namespace "default", once its controller has
  /// made it.
  Answer default_token(const Json& request) const {
    const std::string account = "/api/v1/namespaces/default/serviceaccounts/default";
    REQUIRE(soon([&] { return get(account).status == 200; }));
    return post(account + "/token", request);
  }
  /// Answers "ok" and the object store works.
  void check_alive() const {
    CHECK(get("/readyz").body == "ok");
    CHECK(get("/api/v1/namespaces/default").status == 200);
  }

 private:
  const DataFolder& folder_;
  server::ServerConfig config_;
  base::SystemClock clock_;
  base::Metrics metrics_;
  std::unique_ptr<base::Timers> timers_ = base::make_timers();
  std::unique_ptr<server::Server> server_;
  std::string ca_;
  Credentials admin_;
};

inline size_t append_to(char* data, size_t size, size_t n, void* text) {
  static_cast<std::string*>(text)->append(data, size * n);
  return size * n;
}

inline Answer Control::send_as(const Credentials& who, const std::string& method, const std::string& path,
                               const std::string& body, const RequestOptions& options) const {
  CURL* curl = curl_easy_init();
  if (curl == nullptr) throw std::bad_alloc();  // threads ask too, and Catch2's macros are not for them
  Answer answer;
  const std::string whole = url() + path;
  auto blob = [](const std::string& text) {
    return curl_blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_COPY};
  };
  curl_easy_setopt(curl, CURLOPT_URL, whole.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
  if (method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  curl_blob ca = blob(ca_), certificate = blob(who.certificate.certificate_pem),
            key = blob(who.certificate.key_pem);
  curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &ca);
  if (!who.certificate.certificate_pem.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT_BLOB, &certificate);
    curl_easy_setopt(curl, CURLOPT_SSLKEY_BLOB, &key);
  }
  curl_slist* headers = nullptr;
  for (const auto& h : options.headers) headers = curl_slist_append(headers, h.c_str());
  headers = curl_slist_append(headers, "Expect:");
  if (!who.token.empty())
    headers = curl_slist_append(headers, ("Authorization: Bearer " + who.token).c_str());
  if (!body.empty()) {
    headers = curl_slist_append(headers, ("Content-Type: " + options.content_type).c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append_to);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, append_to);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer.headers);
  (void)curl_easy_perform(curl);  // a refused body may end the connection after the answer
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<int>(status);
  char* type = nullptr;
  curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
  if (type != nullptr) answer.content_type = type;
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return answer;
}

/// Kubernetes' error form, with this code and reason; `part` is in the message.
inline void check_error(const Answer& answer, int code, const std::string& reason,
                        const std::string& part = {}) {
  INFO("answer " << answer.status << ": " << answer.body.substr(0, 1000));
  CHECK(answer.status == code);
  CHECK(answer.content_type == "application/json");
  auto parsed = base::parse_json(answer.body);
  REQUIRE(parsed.ok());
  CHECK(base::string_at(*parsed, {"kind"}) == "Status");
  CHECK(base::string_at(*parsed, {"apiVersion"}) == "v1");
  CHECK(base::string_at(*parsed, {"status"}) == "Failure");
  CHECK(base::string_at(*parsed, {"reason"}) == reason);
  CHECK(base::int_at(*parsed, {"code"}) == code);
  CHECK_FALSE(base::string_at(*parsed, {"message"}).empty());
  if (!part.empty()) CHECK_THAT(std::string(base::string_at(*parsed, {"message"})), contains(part));
}

inline Json config_map(const std::string& name, Json data = {{"a", "1"}}) {
  return {
      {"kind", "ConfigMap"}, {"apiVersion", "v1"}, {"metadata", {{"name", name}}}, {"data", std::move(data)}};
}

/// One server for all tests that leave it as it was.
inline Control& shared() {
  static DataFolder folder;
  static Control control(folder);
  static const bool started = (control.start(), true);
  (void)started;
  return control;
}

inline const std::string kMaps = "/api/v1/namespaces/default/configmaps";

}  // namespace orch::testing
