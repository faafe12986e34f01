// Requests from inside the process, and metrics.k8s.io, which they are mostly about.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/json.h"
#include "http/dial.h"
#include "http/head.h"
#include "server/apiserver/call.h"
#include "server/apiserver/kubelet_location.h"
#include "server/apiserver/resource_metrics.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr size_t kLargestAnswer = 64U << 20;
constexpr std::chrono::seconds kKubeletTimeout{5};

/// A client's side of a connection that only keeps what is written to it.
class Collector final : public http::Stream {
 public:
  long read(char*, size_t) override {
    std::unique_lock lock(mutex_);
    closed_changed_.wait(lock, [this] { return closed_; });
    return 0;
  }
  bool write(std::string_view bytes) override {
    const std::lock_guard lock(mutex_);
    if (closed_ || text_.size() + bytes.size() > kLargestAnswer) return false;
    text_ += bytes;
    return true;
  }
  void close() override {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    closed_changed_.notify_all();
  }
  std::string take() {
    const std::lock_guard lock(mutex_);
    return std::move(text_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable closed_changed_;
  std::string text_;     // under mutex_
  bool closed_ = false;  // under mutex_
};

/// The response that a takeover wrote.
Result<http::Response> read_response(const std::string& text) {
  const Status broken(Code::kInternal, "the answer broke off");
  const size_t end = http::find_head_end(text);
  if (end == 0) return broken;
  http::Head head;
  ORCH_RETURN_IF_ERROR(http::parse_response_head(std::string_view(text).substr(0, end), head));
  http::Response out;
  out.status = head.status;
  std::string_view rest = std::string_view(text).substr(end);
  if (!head.chunked && !head.content_length) {
    out.body = rest;
    return out;
  }
  http::BodyDecoder decoder(head, kLargestAnswer);
  if (decoder.feed(rest, out.body) != http::BodyDecoder::State::kDone) return broken;
  return out;
}

/// What the client takes besides protobuf, which these kinds have no form in.
Result<Negotiated> negotiate_without_protobuf(const http::Request& request, const http::Query& query) {
  http::Request other;
  std::string accept;
  for (const std::string_view header : request.header_values("Accept")) {
    for (size_t at = 0; at < header.size();) {
      const size_t end = std::min(header.find(',', at), header.size());
      const std::string_view one = header.substr(at, end - at);
      if (media_type(one) != "application/vnd.kubernetes.protobuf")
        accept += base::cat(accept.empty() ? "" : ",", one);
      at = end + 1;
    }
  }
  if (accept.empty()) {
    return Status(Code::kNotAcceptable,
                  "only the following media types are accepted: application/json, application/yaml");
  }
  other.headers = {{"Accept", accept}, {"User-Agent", std::string(request.header("User-Agent"))}};
  return negotiate(other, query, Serves::kForms);
}

}  // namespace

Result<Json> ApiServer::ask(std::string_view method, const std::string& target, const Json* body,
                            const UserInfo& user) {
  http::Request request;
  request.method = method;
  request.target = target;
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  request.headers = {{"Accept", "application/json"}, {"User-Agent", "kube-controller-manager"}};
  if (body != nullptr) {
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = base::dump_json(*body);
  }
  auto info = parse_request(request);
  if (!info.ok()) return info.error();
  Call call{request, std::move(*info), user, {}, nullptr, nullptr, {}, false};
  std::optional<http::Response> elsewhere = aggregated(call);
  http::Response response = elsewhere ? std::move(*elsewhere) : dispatch(call);
  if (response.takeover) {
    auto collector = std::make_shared<Collector>();
    response.takeover(collector);
    collector->close();
    auto answer = read_response(collector->take());
    if (!answer.ok()) return answer.error();
    response = std::move(*answer);
  }
  std::string text = std::move(response.body);
  for (const auto& piece : response.pieces) text += piece.bytes;
  if (response.status >= 400) return Status::from_response(response.status, text);
  return base::parse_json(text);
}

Result<std::string> read_kubelet(Registry& registry, const KubeletAccess& access, std::string_view node_name,
                                 const std::string& path) {
  auto target = kubelet_target(registry, access, node_name);
  if (!target.ok()) return target.error();
  target->dial.connect_timeout = kKubeletTimeout;
  http::ClientRequest request;
  request.target = path;
  auto exchange = http::ClientExchange::start(target->dial, request, kKubeletTimeout);
  if (!exchange.ok()) return exchange.error();
  auto text = (*exchange)->read_all(kLargestAnswer);
  if (text.ok() && (*exchange)->status() != 200)
    return Status(Code::kServiceUnavailable, base::cat("request failed, status: ", (*exchange)->status()));
  return text;
}

http::Response ApiServer::do_resource_metrics(Call& call) {
  const RequestInfo& info = call.info;
  const api::Resource& row = *call.resource;
  if (call.want.format == Format::kProtobuf) {
    auto want = negotiate_without_protobuf(call.request, info.query);
    call.want.format = Format::kJson;
    if (!want.ok()) return http::Response::from_status(want.error());
    call.want = std::move(*want);
  }
  if (info.verb == "get") {
    auto object = resource_metrics_->get(row, info.ns, info.name);
    if (!object.ok()) return http::Response::from_status(object.error());
    return encode_object(call.encoding(*this), *object);
  }
  if (info.verb != "list") return method_not_allowed();
  auto options = parse_list_options(info.query, false);
  if (!options.ok()) return http::Response::from_status(options.error());
  auto filter = parse_filter(info.query, row, row, info.ns);
  if (!filter.ok()) return http::Response::from_status(filter.error());
  return encode_list(call.encoding(*this), resource_metrics_->list(row, *filter), {});
}

}  // namespace orch::server
