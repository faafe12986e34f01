#include "server/apiserver/html_links.h"

#include "tests/catch.h"

namespace orch::server {
namespace {

std::string rewritten(std::string_view page, size_t piece) {
  HtmlLinks links([](std::string_view url) { return (url.front() == '/' ? "/p" : "") + std::string(url); });
  std::string out;
  for (size_t i = 0; i < page.size(); i += piece) out += links.feed(page.substr(i, piece));
  return out + links.finish();
}

TEST_CASE("links of a page lead through the proxy, whatever pieces it comes in") {
  struct Case {
    const char *page, *result;
  };
  const Case cases[] = {
      {"<a href=\"/x\">t</a>", "<a href=\"/p/x\">t</a>"},
      {"<A HREF = '/x'  id=1>", "<A HREF = '/p/x'  id=1>"},
      {"<a href=/x>", "<a href=/p/x>"},
      {"<a href=x>", "<a href=x>"},
      {"<a href=\"http://other/x\">", "<a href=\"http://other/x\">"},
      {"<a title=\"a > b\" href=\"/x\">", "<a title=\"a > b\" href=\"/p/x\">"},
      {"<a data-href=\"/x\" href>", "<a data-href=\"/x\" href>"},
      {"<img src=\"/i\" longdesc='/l' alt=\"/a\"/>", "<img src=\"/p/i\" longdesc='/p/l' alt=\"/a\"/>"},
      {"<video src=\"/v\" poster=\"/w\">", "<video src=\"/p/v\" poster=\"/p/w\">"},
      {"<p href=\"/x\">", "<p href=\"/x\">"},
      {"<!-- <a href=\"/x\"> --><a href=\"/y\">", "<!-- <a href=\"/x\"> --><a href=\"/p/y\">"},
      {"<!--><a href=\"/y\">", "<!--><a href=\"/p/y\">"},
      {"<script src=\"/s\">w('<a href=\"/x\">')</Script><a href='/y'>",
       "<script src=\"/p/s\">w('<a href=\"/x\">')</Script><a href='/p/y'>"},
      {"<!DOCTYPE html><html manifest=\"/m\">", "<!DOCTYPE html><html manifest=\"/p/m\">"},
      {"1 < 2 <> </a> <a href=\"/x", "1 < 2 <> </a> <a href=\"/x"},
      {"<", "<"},
      {"", ""},
  };
  for (const Case& c : cases) {
    for (const size_t piece : {1U, 2U, 3U, 7U, 1000U}) {
      INFO(c.page << " in pieces of " << piece);
      CHECK(rewritten(c.page, piece) == c.result);
    }
  }
}

}  // namespace
}  // namespace orch::server
