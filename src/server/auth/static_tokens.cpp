#include "server/auth/static_tokens.h"

#include "base/log.h"
#include "pki/pki.h"

namespace orch::server {

using base::Code;
using base::Result;
using base::Status;

namespace {

using Record = std::vector<std::string>;

/// Reads one record of CSV and takes it off `text`; quotes may hold commas, line ends and doubled quotes.
/// False when a quote is not closed or something follows it.
bool read_record(std::string_view& text, Record& record) {
  record.assign(1, {});
  bool quoted = false, closed = false;
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (quoted) {
      if (c != '"') {
        record.back() += c;
      } else if (!text.empty() && text.front() == '"') {
        record.back() += '"';
        text.remove_prefix(1);
      } else {
        quoted = false;
        closed = true;
      }
      continue;
    }
    if (c == '\r' && !text.empty() && text.front() == '\n') continue;
    if (c == '\n') return true;
    if (c == ',') {
      record.emplace_back();
      closed = false;
    } else if (closed) {
      return false;
    } else if (c == '"' && record.back().empty()) {
      quoted = true;
    } else if (c == '"') {
      return false;
    } else {
      record.back() += c;
    }
  }
  return !quoted;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out;
  for (size_t from = 0; from <= list.size();) {
    const size_t comma = std::min(list.find(',', from), list.size());
    out.push_back(list.substr(from, comma - from));
    from = comma + 1;
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<StaticTokenAuthenticator>> StaticTokenAuthenticator::parse(std::string_view text,
                                                                                  const std::string& path) {
  auto out = std::make_unique<StaticTokenAuthenticator>();
  Record record;
  for (int number = 0; !text.empty();) {
    if (text.front() == '\n' || text.substr(0, 2) == "\r\n") {
      text.remove_prefix(text.front() == '\n' ? 1 : 2);
      continue;
    }
    if (!read_record(text, record))
      return Status(Code::kBadRequest, base::cat("token file '", path, "': a quote is not closed or stray"));
    if (record.size() < 3)
      return Status(
          Code::kBadRequest,
          base::cat("token file '", path,
                    "' must have at least 3 columns (token, user name, user uid), found ", record.size()));
    ++number;
    if (record[0].empty()) {
      base::log_warning("auth", "empty token in token file",
                        {{"file", path}, {"record", std::to_string(number)}});
      continue;
    }
    UserInfo user;
    user.name = record[1];
    user.uid = record[2];
    if (record.size() > 3) user.groups = split(record[3]);
    const auto [it, added] = out->users_.insert_or_assign(pki::sha256_hex(record[0]), std::move(user));
    if (!added)
      base::log_warning("auth", "token named twice in token file",
                        {{"file", path}, {"record", std::to_string(number)}});
  }
  return out;
}

Result<std::optional<TokenUser>> StaticTokenAuthenticator::authenticate_token(
    std::string_view token, const std::vector<std::string>& audiences) {
  const auto it = users_.find(pki::sha256_hex(token));
  if (it == users_.end()) return std::optional<TokenUser>();
  return std::optional(TokenUser{it->second, audiences});
}

}  // namespace orch::server
