#include "base/status.h"

#include <algorithm>
#include <array>

#include "base/json.h"

namespace orch::base {
namespace {

struct CodeRow {
  Code code;
  int http;
  std::string_view reason;
};

// Indexed by the enum's value; the static_assert below keeps both in step.
constexpr std::array kCodes = {
    CodeRow{Code::kOk, 200, ""},
    CodeRow{Code::kBadRequest, 400, "BadRequest"},
    CodeRow{Code::kUnauthorized, 401, "Unauthorized"},
    CodeRow{Code::kForbidden, 403, "Forbidden"},
    CodeRow{Code::kNotFound, 404, "NotFound"},
    CodeRow{Code::kMethodNotAllowed, 405, "MethodNotAllowed"},
    CodeRow{Code::kNotAcceptable, 406, "NotAcceptable"},
    CodeRow{Code::kAlreadyExists, 409, "AlreadyExists"},
    CodeRow{Code::kConflict, 409, "Conflict"},
    CodeRow{Code::kGone, 410, "Gone"},
    CodeRow{Code::kExpired, 410, "Expired"},
    CodeRow{Code::kRequestEntityTooLarge, 413, "RequestEntityTooLarge"},
    CodeRow{Code::kUnsupportedMediaType, 415, "UnsupportedMediaType"},
    CodeRow{Code::kInvalid, 422, "Invalid"},
    CodeRow{Code::kTooManyRequests, 429, "TooManyRequests"},
    CodeRow{Code::kInternal, 500, "InternalError"},
    CodeRow{Code::kUnknown, 500, ""},
    CodeRow{Code::kServerTimeout, 500, "ServerTimeout"},
    CodeRow{Code::kServiceUnavailable, 503, "ServiceUnavailable"},
    CodeRow{Code::kTimeout, 504, "Timeout"},
    CodeRow{Code::kStoreReadOnly, 500, "InternalError"},
    CodeRow{Code::kCanceled, 499, ""},
};

constexpr bool rows_in_order() {
  for (size_t i = 0; i < kCodes.size(); ++i) {
    if (static_cast<size_t>(kCodes[i].code) != i) return false;
  }
  return true;
}
static_assert(rows_in_order() && kCodes.size() == static_cast<size_t>(Code::kCanceled) + 1);

const CodeRow& row(Code code) { return kCodes[static_cast<size_t>(code)]; }

Code code_of_http(int http) {
  // 409 without a reason is a conflict and 410 an expired version: what clients then retry on.
  if (http == 409) return Code::kConflict;
  if (http == 410) return Code::kExpired;
  for (const CodeRow& r : kCodes) {
    if (r.http == http) return r.code;
  }
  return Code::kUnknown;
}

Code code_of_reason(std::string_view reason, int http) {
  if (reason.empty()) return code_of_http(http);
  for (const CodeRow& r : kCodes) {
    if (r.reason == reason) return r.code;
  }
  return code_of_http(http);
}

// What client-go says when the answer carries no Status object.
std::string_view generic_message(int http) {
  switch (http) {
    case 401:
      return "the server has asked for the client to provide credentials";
    case 403:
      return "the server does not allow access to the requested resource";
    case 404:
      return "the server could not find the requested resource";
    case 405:
      return "the server does not allow this method on the requested resource";
    case 406:
      return "the server was unable to respond with a content type that the client supports";
    case 409:
      return "the server reported a conflict";
    case 413:
      return "the request is too large";
    case 415:
      return "the body of the request was in an unknown format";
    case 429:
      return "the server has received too many requests and has asked us to try again later";
    case 503:
      return "the server is currently unable to handle the request";
    case 504:
      return "the server was unable to return a response in the time allotted, but may still be processing "
             "the request";
    default:
      return "the server responded with an unknown status";
  }
}

// A JSON string as Go's encoder writes it: <, > and & escaped too.
void append_string(std::string& out, std::string_view text) {
  const std::string plain = dump_json(Json(text));
  for (const char c : plain) {
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else {
      out += c;
    }
  }
}

// Appends `"name":"value"` with a comma where needed; nothing for an empty value (omitempty).
void append_member(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (out.back() != '{') out += ',';
  out += '"';
  out += name;
  out += "\":";
  append_string(out, value);
}

void append_details(std::string& out, const StatusDetails& details) {
  out += ",\"details\":{";
  append_member(out, "name", details.name);
  append_member(out, "group", details.group);
  append_member(out, "kind", details.kind);
  append_member(out, "uid", details.uid);
  if (!details.causes.empty()) {
    if (out.back() != '{') out += ',';
    out += "\"causes\":[";
    for (const Cause& cause : details.causes) {
      if (out.back() == '}') out += ',';
      out += '{';
      append_member(out, "reason", cause.reason);
      append_member(out, "message", cause.message);
      append_member(out, "field", cause.field);
      out += '}';
    }
    out += ']';
  }
  if (details.retry_after_seconds != 0) {
    if (out.back() != '{') out += ',';
    out += cat("\"retryAfterSeconds\":", details.retry_after_seconds);
  }
  out += '}';
}

StatusDetails parse_details(const Json& tree) {
  StatusDetails d;
  d.name = string_at(tree, {"name"});
  d.group = string_at(tree, {"group"});
  d.kind = string_at(tree, {"kind"});
  d.uid = string_at(tree, {"uid"});
  d.retry_after_seconds = static_cast<int>(int_at(tree, {"retryAfterSeconds"}));
  for (const Json& cause : array_at(tree, {"causes"})) {
    d.causes.push_back({std::string(string_at(cause, {"reason"})), std::string(string_at(cause, {"message"})),
                        std::string(string_at(cause, {"field"}))});
  }
  return d;
}

}  // namespace

Status::Status(Code code, std::string message) : code_(code) {
  if (code != Code::kOk) rep_ = std::make_shared<const Rep>(Rep{std::move(message), std::nullopt});
}

Status::Status(Code code, std::string message, StatusDetails details) : code_(code) {
  if (code != Code::kOk) rep_ = std::make_shared<const Rep>(Rep{std::move(message), std::move(details)});
}

const std::string& Status::message() const {
  static const std::string empty;
  return rep_ ? rep_->message : empty;
}

const StatusDetails* Status::details() const { return rep_ && rep_->details ? &*rep_->details : nullptr; }

int Status::http_code() const { return row(code_).http; }

std::string_view Status::reason() const { return row(code_).reason; }

Status Status::with_context(std::string_view context) const {
  if (ok()) return *this;
  std::string text = cat(context, ": ", message());
  if (const StatusDetails* d = details()) return Status(code_, std::move(text), *d);
  return Status(code_, std::move(text));
}

std::string Status::to_json() const {
  std::string out = R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":)";
  out += ok() ? "\"Success\"" : "\"Failure\"";
  append_member(out, "message", message());
  append_member(out, "reason", reason());
  if (const StatusDetails* d = details()) append_details(out, *d);
  out += cat(",\"code\":", http_code(), "}");
  return out;
}

Status Status::from_response(int http_code, std::string_view body) {
  if (http_code >= 200 && http_code < 300) return {};
  const Result<Json> parsed = parse_json(body);
  if (parsed.ok() && string_at(*parsed, {"kind"}) == "Status") {
    const Json& tree = *parsed;
    const Code code = code_of_reason(string_at(tree, {"reason"}), http_code);
    std::string message(string_at(tree, {"message"}));
    if (const Json* details = find_path(tree, {"details"}); details && details->is_object()) {
      return Status(code, std::move(message), parse_details(*details));
    }
    return Status(code, std::move(message));
  }
  // A body for people (a proxy's page, plain text): its beginning says more than the number alone.
  std::string text(generic_message(http_code));
  body = body.substr(0, std::min<size_t>(body.size(), 512));
  while (!body.empty() && (body.back() == '\n' || body.back() == '\r' || body.back() == ' ')) {
    body.remove_suffix(1);
  }
  text += cat(" (HTTP ", http_code, ")");
  if (!body.empty()) text += cat(": ", body);
  return Status(code_of_http(http_code), std::move(text));
}

}  // namespace orch::base
