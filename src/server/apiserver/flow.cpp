// Requests and flow control: what a request is worth, how it waits, what one that is refused hears.
#include <algorithm>
#include <memory>

#include "api/selector.h"
#include "base/threads.h"
#include "http/deferred.h"
#include "server/apiserver/call.h"
#include "server/flowcontrol/flow_control.h"

namespace orch::server {

namespace {

/// Objects whose size stands for that of all.
constexpr int64_t kSample = 16;

int64_t average_bytes(const WatchCache& cache) {
  const Page page = cache.list({}, {}, kSample);
  if (page.items.empty()) return 0;
  size_t bytes = 0;
  for (const auto& object : page.items) bytes += object->bytes().size();
  return static_cast<int64_t>(bytes / page.items.size());
}

/// The name a list or watch selects, if it is one.
std::string selected_name(const RequestInfo& info) {
  if (!info.name.empty()) return info.name;
  const std::string_view text = info.query.get("fieldSelector");
  if (text.empty()) return {};
  auto selector = api::FieldSelector::parse(text);
  return selector.ok() ? std::string(selector->exact("metadata.name")) : std::string();
}

Work estimate(const RequestInfo& info, Registry& registry, const WatchCounts& watches, int64_t widest) {
  if (!info.resource_request) return {};
  const std::string& verb = info.verb;
  if (verb == "create" || verb == "update" || verb == "patch" || verb == "delete") {
    // A token makes no event.
    if (info.resource == "serviceaccounts" && info.subresource == "token") return {};
    return estimate_write(watches.interested({info.group, info.resource, info.ns, info.name}), widest);
  }
  if (verb != "list" && (verb != "watch" || !watch_lists(info.query))) return {};
  const api::ResourcePtr row = registry.table().find(info.group, info.version, info.resource);
  const WatchCachePtr cache =
      row != nullptr && row->stored && row->storage_version ? registry.cache(*row) : nullptr;
  // Unknown here, or served by another server: it costs nothing to speak of.
  if (cache == nullptr) return {};
  ListFacts facts;
  facts.objects = static_cast<int64_t>(cache->size());
  facts.average_bytes = average_bytes(*cache);
  const std::string limit(info.query.get("limit"));
  facts.limit = std::strtoll(limit.c_str(), nullptr, 10);
  facts.single = !selected_name(info).empty();
  facts.from_cache = verb == "watch" || list_from_cache(info.query);
  facts.selective = !info.query.get("labelSelector").empty() || !info.query.get("fieldSelector").empty();
  return estimate_list(facts, widest);
}

}  // namespace

void ApiServer::take_place(Call& call) {
  const RequestInfo& info = call.info;
  if (o_.flow == nullptr || (info.long_running() && info.verb != "watch")) return;
  const FlowRequest request{&call.user,    info.resource_request, info.verb, info.group,
                            info.resource, info.subresource,      info.ns,   info.path,
                            call.patient};
  const base::Duration limit =
      wait_limit(info.verb == "watch" ? std::string_view() : info.query.get("timeout"));
  call.place = o_.flow->begin(
      request, limit, [&](int64_t widest) { return estimate(info, registry_, o_.flow->watches(), widest); },
      [&] {
        return FlowControl::Details{
            call.user.name, info.verb,
            info.path,      info.ns,
            info.name,      info.group.empty() ? info.version : base::cat(info.group, "/", info.version),
            info.resource,  info.subresource};
      });
}

void ApiServer::await_place(FlowTicket& place) {
  const auto decided = std::make_shared<base::Arrival>();
  place.when_decided([decided] { decided->come(); });
  decided->wait();
}

bool ApiServer::held_back(const Call& call) const {
  // Nobody whose level is exempt. What lasts longer than a watch takes to begin waits for others, and needs
  // no processor to speak of.
  if (o_.flow == nullptr || (call.info.long_running() && call.info.verb != "watch") ||
      call.user.in_group(kGroupMasters)) {
    return false;
  }
  return accounts_.takes_much(call.user.name, call.began);
}

/// A call with its request, which moves in: the worker goes on to others.
struct ApiServer::Kept {
  explicit Kept(Call& from)
      : request(std::move(from.request)),
        call{request,
             std::move(from.info),
             std::move(from.user),
             std::move(from.want),
             std::move(from.resource),
             std::move(from.storage),
             std::move(from.warnings),
             from.dry_run} {
    call.audit = std::move(from.audit);
    call.began = from.began;
    call.refused = std::move(from.refused);
    call.place = std::move(from.place);
    call.patient = from.patient;
  }
  http::Request request;
  Call call;
};

void ApiServer::set_aside(Call call, bool patient) {
  auto kept = std::make_shared<Kept>(call);
  auto deferred = std::make_shared<http::Deferred>();
  deferred->patient = patient;
  deferred->wait = [](const std::function<void()>& ready) { ready(); };
  deferred->answer = [this, kept] { return run(std::move(kept->call)); };
  http::defer(std::move(deferred));
}

void ApiServer::park(Call call) {
  auto kept = std::make_shared<Kept>(call);
  auto deferred = std::make_shared<http::Deferred>();
  deferred->wait = [place = kept->call.place](std::function<void()> ready) {
    place->when_decided(std::move(ready));
  };
  deferred->answer = [this, kept] { return finish(kept->call); };
  http::defer(std::move(deferred));
}

http::Response ApiServer::too_many(Call& call) const {
  auto response = plain_error(429, "Too many requests, please try again later.");
  const int64_t seconds = call.place == nullptr ? 1 : call.place->retry_after();
  response.headers.emplace_back("Retry-After", std::to_string(seconds));
  return response;
}

std::optional<http::Response> ApiServer::dump_flow(const Call& call) const {
  constexpr std::string_view kFolder = "/debug/api_priority_and_fairness/";
  if (o_.flow == nullptr || call.info.path.rfind(kFolder, 0) != 0) return std::nullopt;
  const std::string_view which = std::string_view(call.info.path).substr(kFolder.size());
  std::string text;
  if (which == "dump_priority_levels") {
    text = o_.flow->dump_priority_levels();
  } else if (which == "dump_queues") {
    text = o_.flow->dump_queues();
  } else if (which == "dump_requests") {
    text = o_.flow->dump_requests(!call.info.query.get("includeRequestDetails").empty());
  } else {
    return std::nullopt;
  }
  auto response = http::Response::text(std::move(text));
  response.content_type = "text/plain; charset=utf-8";
  return response;
}

}  // namespace orch::server
