#include "api/go_json.h"

#include "tests/catch.h"

namespace orch::api {
namespace {

TEST_CASE("what Go says of a text that is no JSON") {
  const struct {
    std::string text, error;
  } cases[] = {
      {"{}", ""},
      {"[1,2.5e-3,-0,\"a\\u00e9\\n\",true,false,null,{\"a\":{}}] \n", ""},
      {"5", ""},
      {"\"x\"", ""},
      {"", "unexpected end of JSON input"},
      {" ", "unexpected end of JSON input"},
      {"{", "unexpected end of JSON input"},
      {"{\"a\":1", "unexpected end of JSON input"},
      {"{\"a\":\"b", "unexpected end of JSON input"},
      {"nul", "unexpected end of JSON input"},
      {"1.", "unexpected end of JSON input"},
      {"hello", "invalid character 'h' looking for beginning of value"},
      {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
      {"{a:1}", "invalid character 'a' looking for beginning of object key string"},
      {"{\"a\" 1}", "invalid character '1' after object key"},
      {"{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"},
      {"[1 2]", "invalid character '2' after array element"},
      {"[1,]", "invalid character ']' looking for beginning of value"},
      {"{} {}", "invalid character '{' after top-level value"},
      {"01", "invalid character '1' after top-level value"},
      {"-a", "invalid character 'a' in numeric literal"},
      {"1.x", "invalid character 'x' after decimal point in numeric literal"},
      {"1e+", "unexpected end of JSON input"},
      {"1ex", "invalid character 'x' in exponent of numeric literal"},
      {"\"\\x\"", "invalid character 'x' in string escape code"},
      {"\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"},
      {"\"\n\"", "invalid character '\\n' in string literal"},
      {std::string("\"\0\"", 3), "invalid character '\\x00' in string literal"},
      {std::string("{\"a\":\0}", 7), "invalid character '\\x00' looking for beginning of value"},
      {"nulx", "invalid character 'x' in literal null (expecting 'l')"},
      {"tRue", "invalid character 'R' in literal true (expecting 'r')"},
      {"\xff", "invalid character '\xc3\xbf' looking for beginning of value"},
      {"'a'", "invalid character '\\'' looking for beginning of value"},
      {std::string(10001, '['), "invalid character '[' exceeded max depth"},
      {std::string(10000, '['), "unexpected end of JSON input"},
  };
  for (const auto& c : cases) {
    INFO(c.text.substr(0, 50));
    CHECK(go_json_error(c.text) == c.error);
  }
}

}  // namespace
}  // namespace orch::api
