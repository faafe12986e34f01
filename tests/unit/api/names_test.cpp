#include "api/names.h"

#include <set>

#include "tests/catch.h"

using namespace orch::api;

namespace {

using Check = Problems (*)(std::string_view);
const std::string kLong64(64, 'a');
const std::string kLong254(254, 'a');

}  // namespace

TEST_CASE("name rules accept and refuse") {
  struct Row {
    const char* rule;
    Check check;
    std::vector<std::string> good, bad;
  };
  const std::vector<Row> rows = {
      {"label",
       check_dns1123_label,
       {"a", "a-1", "0", "1--a"},
       {"", "A", "-a", "a-", "a.b", "a_b", " a", kLong64}},
      {"subdomain",
       check_dns1123_subdomain,
       {"a", "a.b", "1.2", "a-1.b"},
       {"", ".", "a..b", "a.", "A", "a_b", kLong254}},
      {"underscore", check_dns1123_subdomain_with_underscore, {"_a.b", "a_b"}, {"__a", "_", "a_"}},
      {"wildcard", check_wildcard_dns1123_subdomain, {"*.a.b"}, {"*", "*a.b", "*.*.a", "a.b"}},
      {"1035", check_dns1035_label, {"a", "a1", "a-b"}, {"1a", "", "A", "a-", kLong64}},
      {"qualified",
       check_qualified_name,
       {"a", "A_b.C", "example.com/a"},
       {"", "/a", "a/", "a/b/c", "-a", "E.com/a", kLong64, kLong254 + "/a"}},
      {"label value", check_label_value, {"", "a", "A_b.c", "1"}, {"-a", "a-", "a/b", "\xC3\xA9", kLong64}},
      {"c", check_c_identifier, {"_a", "A1"}, {"", "1a", "a-b"}},
      {"port name", check_port_name, {"http", "a-1"}, {"", "1", "A", "-a", "a--b", "a23456789012345x"}},
      {"percent", check_percent, {"1%", "100%"}, {"", "%", "1", "-1%"}},
      {"header", check_http_header_name, {"X-Header-1"}, {"", "a b", "a:"}},
      {"env", check_env_var_name, {"A", "a.b-c_d"}, {"", "1a", "a=b", "..a", ".."}},
      {"relaxed env", check_relaxed_env_var_name, {"1 a!"}, {"", "a=b", "\xC3\xA9", "a\n"}},
      {"key", check_config_map_key, {"a.b", ".a"}, {"", ".", "..", "..a", "a/b", kLong254}},
      {"segment", check_path_segment_name, {"a:b", "system:x", "..."}, {".", "..", "a/b", "a%b"}},
  };
  for (const Row& row : rows) {
    for (const std::string& text : row.good) {
      INFO(row.rule << " " << text);
      CHECK(row.check(text).empty());
    }
    for (const std::string& text : row.bad) {
      INFO(row.rule << " " << text);
      CHECK_FALSE(row.check(text).empty());
    }
  }
}

TEST_CASE("messages are Kubernetes'") {
  CHECK(check_dns1123_label("A") == Problems{"a lowercase RFC 1123 label must consist of lower case "
                                             "alphanumeric characters or '-', and must start "
                                             "and end with an alphanumeric character (e.g. 'my-name',  or "
                                             "'123-abc', regex used for validation is "
                                             "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"});
  CHECK(check_dns1123_label("a.b") == Problems{"must not contain dots"});
  CHECK(check_dns1123_label(kLong64) == Problems{"must be no more than 63 characters"});
  CHECK(check_dns1123_subdomain("A") ==
        Problems{"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
                 "'.', and "
                 "must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
                 "validation is "
                 "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"});
  CHECK(
      check_qualified_name("") ==
      Problems{
          "name part must be non-empty",
          "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
          "an "
          "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
          "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"});
  CHECK(check_label_value(kLong64) == Problems{"must be no more than 63 bytes"});
  CHECK(check_port_number(0) == Problems{"must be between 1 and 65535, inclusive"});
  CHECK(check_port_number(65535).empty());
  CHECK(check_user_id(-1) == Problems{"must be between 0 and 2147483647, inclusive"});
  CHECK(check_path_segment_name("a/b%") == Problems{"may not contain '/'", "may not contain '%'"});
}

TEST_CASE("a generateName may end in a dash") {
  CHECK(check_name_is_subdomain("web-", true).empty());
  CHECK_FALSE(check_name_is_subdomain("web-", false).empty());
  CHECK(check_name_is_label("a-", true).empty());
  CHECK_FALSE(check_name_is_dns1035_label("1a-", true).empty());
  CHECK(check_name_is_path_segment("..", true).empty());
}

TEST_CASE("generated names are valid, of bounded length and differ") {
  std::set<std::string> names;
  for (uint64_t entropy = 0; entropy < 2000; ++entropy) {
    const std::string name = generate_name("web-", entropy);
    CHECK(name.size() == 9);
    CHECK(name.starts_with("web-"));
    CHECK(check_dns1123_label(name).empty());
    names.insert(name);
  }
  CHECK(names.size() > 1990);
  CHECK(generate_name(std::string(100, 'a'), 1).size() == 63);
  CHECK(safe_encode("3954372896") == safe_encode("3954372896"));
  CHECK(check_label_value(safe_encode("0123456789")).empty());
}
