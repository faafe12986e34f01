#include <string>

#include "base/json.h"
#include "http/message.h"
#include "pki/pki.h"
#include "server/apiserver/query_options.h"
#include "server/apiserver/request_info.h"
#include "server/auth/token.h"
#include "tests/fuzz/targets.h"

namespace orch::fuzz {
namespace {

/// A method, a zero byte, a target.
void path(std::string_view bytes) {
  std::string_view rest = bytes;
  http::Request request;
  request.method = next_part(rest);
  request.target = rest;
  const size_t mark = rest.find('?');
  request.path = rest.substr(0, mark);
  if (mark != std::string_view::npos) request.query = rest.substr(mark + 1);
  const auto info = server::parse_request(request);
  if (!info.ok()) return;
  if (info->resource_request) require(!info->version.empty(), "a resource has a version");
  (void)server::parse_list_options(info->query, info->verb == "watch");
  (void)server::parse_write_options(info->query, "Pod");
}

void token(std::string_view bytes) {
  const auto join = server::parse_join_token(bytes);
  if (join.ok()) require(server::parse_join_token(join->text()).ok(), "a join token's text is one");
  (void)server::is_bootstrap_token(bytes);
  (void)pki::peek_jwt(bytes);
  static const std::string key = pki::generate_key();
  static const auto verifier = pki::JwtVerifier::make({key});
  require(!verifier->verify(bytes).ok(), "nobody guesses a signature");
}

void certificate(std::string_view bytes) {
  (void)pki::parse_certificate(std::string(bytes));
  (void)pki::parse_csr(std::string(bytes));
}

void base64(std::string_view bytes) {
  const auto plain = pki::base64_decode(bytes);
  if (plain.ok()) {
    const auto again = pki::base64_decode(pki::base64_encode(*plain));
    require(again.ok() && *again == *plain, "base64 that was written can be read");
  }
  (void)pki::base64url_decode(bytes);
}

/// A Status as another server may send it.
void status(std::string_view bytes) {
  const auto status = base::Status::from_response(500, bytes);
  require(!status.ok(), "an error stays one");
  require(base::parse_json(status.to_json()).ok(), "a Status is JSON");
}

}  // namespace

std::vector<Target> server_targets() {
  return {
      {"path", path}, {"token", token}, {"certificate", certificate}, {"base64", base64}, {"status", status}};
}

}  // namespace orch::fuzz
