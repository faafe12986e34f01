#include "http/gzip.h"

#include "tests/catch.h"
#include "tests/gunzip.h"

namespace orch::http {
namespace {

TEST_CASE("who takes gzip") {
  const struct {
    const char* header;
    bool takes;
  } cases[] = {{"gzip", true}, {"deflate, GZIP;q=0.5", true}, {"br", false}, {"", false}, {"gzipped", false}};
  for (const auto& c : cases) {
    INFO(c.header);
    Request request;
    request.headers = {{"accept-encoding", c.header}};
    CHECK(accepts_gzip(request) == c.takes);
  }
  CHECK_FALSE(accepts_gzip(Request()));
}

TEST_CASE("a body and its pieces become one gzip stream") {
  std::string text;
  for (int i = 0; i < 50000; ++i) text += base::cat("item ", i, ", ");
  Response response = Response::json(text.substr(0, 1000));
  const auto owner = std::make_shared<const std::string>(text);
  response.pieces.push_back({std::string_view(*owner).substr(1000, 5), owner});
  response.pieces.push_back({std::string_view(*owner).substr(1005), owner});
  Response small = response;
  compress(small, text.size());
  CHECK(small.headers.empty());
  compress(response, text.size() - 1);
  CHECK(response.pieces.empty());
  CHECK(response.body.size() < text.size() / 3);
  CHECK(response.headers[0] == std::pair<std::string, std::string>("Content-Encoding", "gzip"));
  CHECK(orch::testing::gunzip(response.body, text.size()) == text);
  const std::string once = response.body;
  compress(response, 0);
  CHECK(response.body == once);
}

TEST_CASE("bodies are unpacked and packed again piece by piece") {
  std::string page;
  for (int i = 0; i < 20000; ++i) page += "<a href=\"/" + std::to_string(i * 7919) + "\">x</a>";
  for (const char* encoding : {"gzip", "deflate"}) {
    INFO(encoding);
    REQUIRE(Recoder::knows(encoding));
    Recoder pack(Recoder::Way::kPack, encoding), unpack(Recoder::Way::kUnpack, encoding);
    std::string packed, back;
    for (size_t at = 0; at < page.size(); at += 1000)
      packed += pack.add(std::string_view(page).substr(at, 1000), false);
    packed += pack.add({}, true);
    CHECK(pack.good());
    CHECK(packed.size() < page.size() / 2);
    for (const char c : packed) back += unpack.add(std::string_view(&c, 1), false);
    back += unpack.add({}, true);
    CHECK(unpack.good());
    CHECK(back == page);
    Recoder broken(Recoder::Way::kUnpack, encoding);
    (void)broken.add(std::string(100, '\xff'), false);
    CHECK_FALSE(broken.good());
  }
  CHECK_FALSE(Recoder::knows("br"));
}

}  // namespace
}  // namespace orch::http
