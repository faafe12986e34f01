// URLs as Go's net/url reads them.
#include <algorithm>
#include <map>

#include "api/cel/functions.h"
#include "api/go_text.h"

namespace orch::api::cel {

namespace {

using A = ValueAccess;

enum class Part : uint8_t { kPath, kHost, kQuery };

struct Url {
  std::string scheme, opaque, user, host, path, raw_path, query, fragment;
  bool has_user = false;
};

bool letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
int hex_value(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

bool should_escape(char c, Part part) {
  if (letter_or_digit(c)) return false;
  if (part == Part::kHost && std::string_view("!$&'()*+,;=:[]<>\"").find(c) != std::string_view::npos)
    return false;
  if (std::string_view("-_.~").find(c) != std::string_view::npos) return false;
  if (std::string_view("$&+,/:;=?@").find(c) != std::string_view::npos) {
    return part == Part::kPath ? c == '?' : part == Part::kQuery;
  }
  return true;
}

/// Undoes %xx; nothing and `error` if an escape is broken.
std::optional<std::string> unescape(std::string_view text, Part part, std::string& error) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      const bool good = i + 2 < text.size() && hex(text[i + 1]) && hex(text[i + 2]);
      // Hosts may only escape what is no ASCII.
      if (!good || (part == Part::kHost && hex_value(text[i + 1]) < 8 && text.substr(i, 3) != "%25")) {
        error = "invalid URL escape " + go_quote(text.substr(i, 3));
        return std::nullopt;
      }
      out += static_cast<char>(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
      i += 2;
    } else if (c == '+' && part == Part::kQuery) {
      out += ' ';
    } else {
      if (part == Part::kHost && static_cast<unsigned char>(c) < 0x80 && should_escape(c, part)) {
        error = "invalid character " + go_quote(std::string_view(&c, 1)) + " in host name";
        return std::nullopt;
      }
      out += c;
    }
  }
  return out;
}

std::string escape(std::string_view text, Part part) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    if (!should_escape(c, part)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

bool valid_port(std::string_view port) {
  if (port.empty()) return true;
  return port[0] == ':' &&
         std::all_of(port.begin() + 1, port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

class Parser {
 public:
  Parser(std::string_view text, bool request) : rest_(text), request_(request) {}

  /// Nothing and `error` (without what was parsed) if it is no URL.
  std::optional<Url> parse() {
    for (char c : rest_) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
        return fail("net/url: invalid control character in URL");
      }
    }
    if (rest_.empty() && request_) return fail("empty url");
    if (rest_ == "*") {
      url_.path = "*";
      return url_;
    }
    if (!scheme()) return std::nullopt;
    const size_t question = rest_.find('?');
    if (question != std::string_view::npos) {
      url_.query = rest_.substr(question + 1);
      rest_ = rest_.substr(0, question);
    }
    if (!rest_.starts_with('/')) {
      if (!url_.scheme.empty()) {
        url_.opaque = rest_;
        return url_;
      }
      if (request_) return fail("invalid URI for request");
      if (rest_.substr(0, rest_.find('/')).find(':') != std::string_view::npos) {
        return fail("first path segment in URL cannot contain colon");
      }
    }
    if ((!url_.scheme.empty() || (!request_ && !rest_.starts_with("///"))) && rest_.starts_with("//")) {
      std::string_view authority = rest_.substr(2);
      const size_t slash = authority.find('/');
      rest_ = slash == std::string_view::npos ? std::string_view() : authority.substr(slash);
      if (!read_authority(authority.substr(0, slash))) return std::nullopt;
    }
    const auto path = unescape(rest_, Part::kPath, error);
    if (!path) return std::nullopt;
    url_.path = *path;
    if (escape(url_.path, Part::kPath) != rest_) url_.raw_path = rest_;
    return url_;
  }

  std::string error;

 private:
  std::nullopt_t fail(std::string message) {
    error = std::move(message);
    return std::nullopt;
  }

  bool scheme() {
    for (size_t i = 0; i < rest_.size(); ++i) {
      const char c = rest_[i];
      if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) continue;
      if ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.') {
        if (i == 0) return true;
        continue;
      }
      if (c != ':') return true;
      if (i == 0) {
        error = "missing protocol scheme";
        return false;
      }
      url_.scheme = rest_.substr(0, i);
      for (char& s : url_.scheme) s = s >= 'A' && s <= 'Z' ? static_cast<char>(s + 32) : s;
      rest_.remove_prefix(i + 1);
      return true;
    }
    return true;
  }

  bool read_authority(std::string_view authority) {
    const size_t at = authority.rfind('@');
    if (at != std::string_view::npos) {
      url_.has_user = true;
      url_.user = authority.substr(0, at);
      for (char c : url_.user) {
        if (letter_or_digit(c) || std::string_view("-._:~!$&'()*+,;=%@").find(c) != std::string_view::npos)
          continue;
        error = "net/url: invalid userinfo";
        return false;
      }
      authority.remove_prefix(at + 1);
    }
    std::string_view port;
    if (authority.starts_with('[')) {
      const size_t close = authority.rfind(']');
      if (close == std::string_view::npos) {
        error = "missing ']' in host";
        return false;
      }
      port = authority.substr(close + 1);
    } else if (const size_t colon = authority.rfind(':'); colon != std::string_view::npos) {
      port = authority.substr(colon);
    }
    if (!valid_port(port)) {
      error = "invalid port " + go_quote(port) + " after host";
      return false;
    }
    const auto host = unescape(authority, Part::kHost, error);
    if (host) url_.host = *host;
    return host.has_value();
  }

  std::string_view rest_;
  bool request_;
  Url url_;
};

std::string parse_error(const std::string& text, const std::string& error) {
  return "parse " + go_quote(text) + ": " + error;
}

struct UrlRep final : OpaqueRep {
  Url url;
  std::string_view type_name() const override { return "kubernetes.URL"; }
  bool equals(const OpaqueRep& other) const override {
    return *text() == *static_cast<const UrlRep&>(other).text();
  }
  std::string escaped_path() const {
    if (!url.raw_path.empty()) {
      const bool valid = std::all_of(url.raw_path.begin(), url.raw_path.end(), [](char c) {
        return std::string_view("!$&'()*+,;=:@[]%").find(c) != std::string_view::npos ||
               !should_escape(c, Part::kPath);
      });
      if (valid) return url.raw_path;
    }
    return url.path == "*" ? "*" : escape(url.path, Part::kPath);
  }
  std::optional<std::string> text() const override {
    std::string out = url.scheme.empty() ? "" : url.scheme + ":";
    if (!url.opaque.empty()) {
      out += url.opaque;
    } else {
      if (!url.host.empty() || url.has_user) {
        out += "//" + (url.has_user ? url.user + "@" : std::string()) + escape(url.host, Part::kHost);
      }
      out += escaped_path();
    }
    if (!url.query.empty()) out += "?" + url.query;
    return url.fragment.empty() ? out : out + "#" + url.fragment;
  }
};

const UrlRep& url_of(const Value& v) { return *static_cast<const UrlRep*>(A::opaque(v)); }

Value to_url(const Value* a, size_t) {
  const std::string& text = text_of(a[0]);
  const std::string context = "URL parse error during conversion from string: ";
  Parser strict(text, true);
  if (!strict.parse()) return Value::error(context + parse_error(text, strict.error));
  const size_t hash = text.find('#');
  const std::string before = text.substr(0, hash);
  Parser parser(before, false);
  auto url = parser.parse();
  if (!url) return Value::error(context + parse_error(before, parser.error));
  if (hash != std::string::npos) {
    url->fragment = text.substr(hash + 1);
    std::string error;
    if (!unescape(url->fragment, Part::kPath, error)) return Value::error(context + parse_error(text, error));
  }
  auto rep = std::make_shared<UrlRep>();
  rep->url = std::move(*url);
  return A::opaque(std::move(rep));
}

Value is_url(const Value* a, size_t) { return Value::of(Parser(text_of(a[0]), true).parse().has_value()); }

std::string port_of(const std::string& host) {
  const size_t close = host.starts_with('[') ? host.rfind(']') : 0;
  const size_t colon = host.rfind(':');
  return colon == std::string::npos || colon < close ? "" : host.substr(colon + 1);
}

std::string hostname_of(const std::string& host) {
  if (host.starts_with('[')) {
    const size_t close = host.rfind(']');
    if (close != std::string::npos) return host.substr(1, close - 1);
  }
  return host.substr(0, host.rfind(':'));
}

Value scheme(const Value* a, size_t) { return Value::of(url_of(a[0]).url.scheme); }
Value host(const Value* a, size_t) { return Value::of(url_of(a[0]).url.host); }
Value hostname(const Value* a, size_t) { return Value::of(hostname_of(url_of(a[0]).url.host)); }
Value port(const Value* a, size_t) { return Value::of(port_of(url_of(a[0]).url.host)); }
Value path(const Value* a, size_t) { return Value::of(url_of(a[0]).escaped_path()); }

Value query(const Value* a, size_t) {
  std::map<std::string, std::vector<Value>> members;
  std::string_view rest = url_of(a[0]).url.query;
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (pair.empty() || pair.find(';') != std::string_view::npos) continue;
    const size_t equals = pair.find('=');
    std::string error;
    const auto key = unescape(pair.substr(0, equals), Part::kQuery, error);
    const auto value = equals == std::string_view::npos
                           ? std::optional<std::string>("")
                           : unescape(pair.substr(equals + 1), Part::kQuery, error);
    if (key && value) members[*key].push_back(Value::of(*value));
  }
  std::vector<std::pair<std::string, Value>> out;
  out.reserve(members.size());
  for (auto& [key, values] : members) out.emplace_back(key, Value::list(std::move(values)));
  return Value::map(std::move(out));
}

constexpr Binding kBindings[] = {
    {"string_to_url", to_url}, {"is_url_string", is_url},      {"url_get_scheme", scheme},
    {"url_get_host", host},    {"url_get_hostname", hostname}, {"url_get_port", port},
    {"url_get_query", query},  {"url_get_escaped_path", path},
};

}  // namespace

std::span<const Binding> url_bindings() { return kBindings; }

bool is_request_uri(const std::string& text, std::string& error) {
  Parser parser(text, true);
  if (parser.parse()) return true;
  error = parse_error(text, parser.error);
  return false;
}

}  // namespace orch::api::cel
