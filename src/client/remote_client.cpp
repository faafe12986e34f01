#include "client/remote_client.h"

#include <mutex>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "client/curl_handle.h"

namespace orch::client {

using api::ObjectPtr;
using base::Code;
using base::Result;
using base::Status;

namespace {

size_t append_body(char* data, size_t size, size_t count, void* user) {
  static_cast<std::string*>(user)->append(data, size * count);
  return size * count;
}

CURLcode perform(CURL* handle) {
  const base::ThreadPool::Waiting waiting;
  return curl_easy_perform(handle);
}

std::string escape(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

std::string path_of(const ResourceRef& r, std::string_view ns, std::string_view name,
                    std::string_view subresource) {
  std::string path = r.group.empty() ? "/api/" + r.version : base::cat("/apis/", r.group, "/", r.version);
  if (!ns.empty()) path += base::cat("/namespaces/", escape(ns));
  path += "/" + r.plural;
  if (!name.empty()) path += "/" + escape(name);
  if (!subresource.empty()) path += base::cat("/", subresource);
  return path;
}

void add_query(std::string& url, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  url += url.find('?') == std::string::npos ? '?' : '&';
  url += base::cat(name, "=", escape(value));
}

/// Splits the stream of a watch into lines and those into events.
class WatchReader {
 public:
  explicit WatchReader(WatchHandler handler) : handler_(std::move(handler)) {}

  void data(std::string_view bytes) {
    buffer_ += bytes;
    std::vector<WatchEvent> events;
    size_t at = 0;
    while (true) {
      size_t end = buffer_.find('\n', at);
      if (end == std::string::npos) break;
      parse(std::string_view(buffer_).substr(at, end - at), events);
      at = end + 1;
    }
    buffer_.erase(0, at);
    if (!events.empty()) handler_.on_events(events);
  }
  void end(const Status& status) { handler_.on_end(failed_.ok() ? status : failed_); }

 private:
  void parse(std::string_view line, std::vector<WatchEvent>& events) {
    if (line.empty()) return;
    auto tree = base::parse_json(line);
    if (!tree.ok()) {
      failed_ = tree.error().with_context("reading a watch");
      return;
    }
    std::string_view type = base::string_at(*tree, {"type"});
    const Json& object = base::object_at(*tree, {"object"});
    if (type == "ERROR") {
      failed_ = Status::from_response(static_cast<int>(base::int_at(object, {"code"}, 500)),
                                      base::dump_json(object));
      return;
    }
    if (type == "BOOKMARK") {
      std::string version(base::string_at(object, {"metadata", "resourceVersion"}));
      events.push_back({WatchEvent::Type::kBookmark, nullptr, std::atoll(version.c_str())});
      return;
    }
    auto made = api::Object::from_tree(object);
    if (!made.ok()) {
      failed_ = made.error();
      return;
    }
    const auto kind = type == "ADDED"      ? WatchEvent::Type::kAdded
                      : type == "MODIFIED" ? WatchEvent::Type::kModified
                                           : WatchEvent::Type::kDeleted;
    events.push_back({kind, *made, (*made)->revision()});
  }

  WatchHandler handler_;
  std::string buffer_;
  Status failed_;
};

class RemoteWatch final : public Watch {
 public:
  RemoteWatch(CurlStreams& streams, uint64_t id) : streams_(streams), id_(id) {}
  ~RemoteWatch() override { streams_.close(id_); }

 private:
  CurlStreams& streams_;
  uint64_t id_;
};

class RemoteClientImpl final : public RemoteClient {
 public:
  explicit RemoteClientImpl(const RemoteOptions& options)
      : o_(std::make_shared<const RemoteOptions>(options)) {}

  void set_certificate(const std::string& certificate_pem, const std::string& key_pem) override {
    auto next = std::make_shared<RemoteOptions>(*options());
    next->certificate_pem = certificate_pem;
    next->key_pem = key_pem;
    std::lock_guard lock(mutex_);
    o_ = std::move(next);
    idle_.clear();
  }

  Result<ObjectPtr> get(const ResourceRef& r, std::string_view ns, std::string_view name) override {
    return object(request("GET", path_of(r, ns, name, {}), {}, {}));
  }

  Result<List> list(const ResourceRef& r, const ListOptions& options) override {
    std::string url = path_of(r, options.ns, {}, {});
    add_query(url, "labelSelector", options.label_selector);
    add_query(url, "fieldSelector", options.field_selector);
    auto answer = request("GET", url, {}, {});
    if (!answer.ok()) return answer.error();
    auto tree = base::parse_json(answer->body);
    if (!tree.ok()) return tree.error();
    List out;
    out.revision = std::atoll(std::string(base::string_at(*tree, {"metadata", "resourceVersion"})).c_str());
    std::string kind(base::string_at(*tree, {"kind"})), version(base::string_at(*tree, {"apiVersion"}));
    if (kind.size() > 4 && kind.compare(kind.size() - 4, 4, "List") == 0) kind.resize(kind.size() - 4);
    for (auto& item : (*tree)["items"]) {
      if (!item.contains("kind")) item["kind"] = kind;
      if (!item.contains("apiVersion")) item["apiVersion"] = version;
      auto made = api::Object::from_tree(item);
      if (!made.ok()) return made.error();
      out.items.push_back(*made);
    }
    return out;
  }

  Result<ObjectPtr> create(const ResourceRef& r, std::string_view ns, const Json& tree) override {
    return object(
        request("POST", path_of(r, ns, {}, {}), "application/json", base::dump_json(typed(r, tree))));
  }

  Result<ObjectPtr> update(const ResourceRef& r, std::string_view ns, const Json& tree,
                           std::string_view subresource) override {
    return object(request("PUT", path_of(r, ns, base::string_at(tree, {"metadata", "name"}), subresource),
                          "application/json", base::dump_json(typed(r, tree))));
  }

  Result<ObjectPtr> patch(const ResourceRef& r, std::string_view ns, std::string_view name, PatchType type,
                          const Json& patch, std::string_view subresource) override {
    const char* media = type == PatchType::kJson    ? "application/json-patch+json"
                        : type == PatchType::kMerge ? "application/merge-patch+json"
                                                    : "application/strategic-merge-patch+json";
    return object(request("PATCH", path_of(r, ns, name, subresource), media, base::dump_json(patch)));
  }

  Status remove(const ResourceRef& r, std::string_view ns, std::string_view name,
                const DeleteOptions& options) override {
    Json body = {{"kind", "DeleteOptions"}, {"apiVersion", "v1"}};
    if (options.grace_seconds >= 0) body["gracePeriodSeconds"] = options.grace_seconds;
    if (!options.propagation.empty()) body["propagationPolicy"] = options.propagation;
    if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
    if (!options.resource_version.empty())
      body["preconditions"]["resourceVersion"] = options.resource_version;
    return request("DELETE", path_of(r, ns, name, {}), "application/json", base::dump_json(body)).status();
  }

  Result<Json> post(const ResourceRef& r, std::string_view ns, std::string_view name,
                    std::string_view subresource, const Json& body) override {
    auto answer =
        request("POST", path_of(r, ns, name, subresource), "application/json", base::dump_json(body));
    if (!answer.ok()) return answer.error();
    return base::parse_json(answer->body);
  }

  Result<std::unique_ptr<Watch>> watch(const ResourceRef& r, const ListOptions& options, int64_t revision,
                                       WatchHandler handler) override {
    const OptionsPtr o = this->options();
    std::string url = o->server + path_of(r, options.ns, {}, {});
    add_query(url, "labelSelector", options.label_selector);
    add_query(url, "fieldSelector", options.field_selector);
    add_query(url, "watch", "true");
    add_query(url, "allowWatchBookmarks", "true");
    add_query(url, "resourceVersion", std::to_string(revision));
    auto reader = std::make_shared<WatchReader>(std::move(handler));
    uint64_t id = streams_.open(o, url,
                                {[reader](std::string_view bytes) { reader->data(bytes); },
                                 [reader](const Status& status) { reader->end(status); }});
    return std::unique_ptr<Watch>(std::make_unique<RemoteWatch>(streams_, id));
  }

  Result<RawAnswer> request(const std::string& method, const std::string& path,
                            const std::string& content_type, const std::string& body) {
    const OptionsPtr o = options();
    CurlHandle handle = borrow(o);
    if (!handle) return Status(Code::kInternal, "no memory for a connection");
    CURL* h = handle.get();
    HeaderList headers = make_headers(*o, content_type);
    RawAnswer answer;
    char error[CURL_ERROR_SIZE] = {};
    const std::string url = o->server + path;
    curl_easy_setopt(h, CURLOPT_URL, url.c_str());
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method.c_str());
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, static_cast<long>(o->request_timeout.count() * 1000));
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, append_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, &answer.body);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, error);
    if (content_type.empty()) {
      curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
    } else {
      curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
      curl_easy_setopt(h, CURLOPT_POSTFIELDS, body.data());
    }
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method.c_str());
    const CURLcode code = perform(h);
    if (code != CURLE_OK) return transport_error(*o, code, error);
    long status = 0;
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    answer.status = static_cast<int>(status);
    char* type = nullptr;
    curl_easy_getinfo(h, CURLINFO_CONTENT_TYPE, &type);
    if (type != nullptr) answer.content_type = type;
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, nullptr);
    give_back(o, std::move(handle));
    if (status >= 400) return Status::from_response(answer.status, answer.body);
    return answer;
  }

 private:
  static Json typed(const ResourceRef& r, Json tree) {
    if (!tree.contains("apiVersion")) tree["apiVersion"] = api::make_api_version(r.group, r.version);
    return tree;
  }
  static Result<ObjectPtr> object(const Result<RawAnswer>& answer) {
    if (!answer.ok()) return answer.error();
    auto tree = base::parse_json(answer->body);
    if (!tree.ok()) return tree.error();
    return api::Object::from_tree(*tree);
  }

  OptionsPtr options() const {
    std::lock_guard lock(mutex_);
    return o_;
  }
  CurlHandle borrow(const OptionsPtr& o) {
    {
      std::lock_guard lock(mutex_);
      if (o == o_ && !idle_.empty()) {
        CurlHandle h = std::move(idle_.back());
        idle_.pop_back();
        return h;
      }
    }
    return make_handle(*o);
  }
  void give_back(const OptionsPtr& o, CurlHandle handle) {
    std::lock_guard lock(mutex_);
    if (o == o_ && idle_.size() < 8) idle_.push_back(std::move(handle));
  }

  mutable std::mutex mutex_;
  OptionsPtr o_;                  // under mutex_; what it points to never changes
  std::vector<CurlHandle> idle_;  // under mutex_; made with o_
  CurlStreams streams_;
};

}  // namespace

std::unique_ptr<RemoteClient> make_remote_client(const RemoteOptions& options) {
  return std::make_unique<RemoteClientImpl>(options);
}

Result<RawAnswer> raw_request(const RemoteOptions& options, const std::string& method,
                              const std::string& path, const std::string& content_type,
                              const std::string& body) {
  RemoteClientImpl client(options);
  return client.request(method, path, content_type, body);
}

}  // namespace orch::client
