#include "agent/kubelet/tokens.h"

#include "base/file.h"
#include "base/json.h"

namespace orch::agent {

using base::Code;
using base::Result;
using base::Status;
using base::string_at;
using base::WallTime;

namespace {

constexpr std::chrono::hours kMaxAge{24};
constexpr std::chrono::seconds kRetry{10};

/// At 80 % of the life, and never later than a day after it was issued.
WallTime refresh_time(WallTime issued, WallTime expires) {
  const auto life = expires - issued;
  const WallTime by_life = issued + life * 4 / 5;
  return std::min(by_life, WallTime(issued + kMaxAge));
}

}  // namespace

Tokens::Tokens(client::Client& client, const base::Clock& clock, KeptFiles& files, std::string folder)
    : client_(client), clock_(clock), files_(files), folder_(std::move(folder)) {}

void Tokens::load(const std::string& uid) {
  if (std::exchange(loaded_[uid], true)) return;
  const auto text = base::read_file(base::cat(folder_, "/", uid, ".json"));
  if (!text.ok()) return;
  const auto tree = base::parse_json(*text);
  if (!tree.ok() || !tree->is_object()) return;
  for (const auto& [key, value] : tree->items()) {
    const auto issued = base::parse_time(string_at(value, {"issued"}));
    const auto expires = base::parse_time(string_at(value, {"expires"}));
    if (issued.ok() && expires.ok())
      held_[{uid, key}] = {std::string(string_at(value, {"token"})), *issued, *expires};
  }
}

void Tokens::store(const std::string& uid) {
  Json tree = Json::object();
  for (auto it = held_.lower_bound({uid, {}}); it != held_.end() && it->first.first == uid; ++it) {
    tree[it->first.second] = {{"token", it->second.text},
                              {"issued", base::format_time(it->second.issued)},
                              {"expires", base::format_time(it->second.expires)}};
  }
  files_.write(base::cat(folder_, "/", uid, ".json"), base::dump_json(tree));
}

Result<Tokens::Held> Tokens::request(const Pod& pod, const std::string& audience, int64_t seconds) {
  Json spec{
      {"expirationSeconds", seconds},
      {"boundObjectRef", {{"kind", "Pod"}, {"apiVersion", "v1"}, {"name", pod.name()}, {"uid", pod.uid()}}}};
  spec["audiences"] = audience.empty() ? Json::array() : Json::array({audience});
  const Json body{
      {"kind", "TokenRequest"}, {"apiVersion", "authentication.k8s.io/v1"}, {"spec", std::move(spec)}};
  const auto account = string_at(pod.tree(), {"spec", "serviceAccountName"}, "default");
  const WallTime now = clock_.now();
  auto answer = client_.post({"", "v1", "serviceaccounts"}, pod.ns(), account, "token", body);
  if (!answer.ok()) {
    return answer.error().with_context(base::cat("failed to fetch token"));
  }
  const auto text = string_at(*answer, {"status", "token"});
  const auto expires = base::parse_time(string_at(*answer, {"status", "expirationTimestamp"}));
  if (text.empty() || !expires.ok())
    return Status(Code::kInternal, "failed to fetch token: the answer has none");
  return Held{std::string(text), now, *expires};
}

Result<TokenSource::Token> Tokens::token(const Pod& pod, const std::string& audience, int64_t seconds) {
  const Key key(pod.uid(), base::cat(audience, "/", seconds));
  const WallTime now = clock_.now();
  bool have = false;
  Held held;
  {
    std::lock_guard lock(mutex_);
    load(key.first);
    if (const auto it = held_.find(key); it != held_.end()) {
      have = true;
      held = it->second;
    }
  }
  const WallTime due = refresh_time(held.issued, held.expires);
  if (have && now < due && now >= held.issued) return Token{held.text, due};
  auto fresh = request(pod, audience, seconds);
  if (!fresh.ok()) {
    // Whatever there is: the API may be away, and it may come back before the pod uses the token.
    if (have) return Token{held.text, now + kRetry};
    return fresh.error();
  }
  std::lock_guard lock(mutex_);
  held_[key] = *fresh;
  store(key.first);
  return Token{fresh->text, refresh_time(fresh->issued, fresh->expires)};
}

void Tokens::forget(const std::string& uid) {
  std::lock_guard lock(mutex_);
  for (auto it = held_.lower_bound({uid, {}}); it != held_.end() && it->first.first == uid;)
    it = held_.erase(it);
  loaded_.erase(uid);
  files_.remove(base::cat(folder_, "/", uid, ".json"));
}

}  // namespace orch::agent
