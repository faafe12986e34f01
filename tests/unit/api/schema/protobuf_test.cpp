#include "api/schema/protobuf.h"

#include <random>

#include "api/schema/decode.h"
#include "api/schema/defaults.h"
#include "api/schema/scalars.h"
#include "base/json.h"
#include "tests/catch.h"
#include "tests/unit/api/schema/testdata.h"

namespace orch::api::schema {
namespace {

using orch::testing::contains;

const Schema& builtin() {
  static const auto schema = Schema::builtin();
  return *schema;
}

const Type& type_of(const Json& record) {
  return *builtin().kind(record.at("group").get<std::string>(), record.at("version").get<std::string>(),
                         record.at("kind").get<std::string>());
}

/// Hex digits, spaces ignored.
std::string hex(std::string_view digits) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] == ' ') continue;
    out += static_cast<char>(std::stoi(std::string(digits.substr(i++, 2)), nullptr, 16));
  }
  return out;
}

std::string error_of(const base::Result<Json>& result) { return result.ok() ? "" : result.error().message(); }

TEST_CASE("objects have the same protobuf bytes as in Kubernetes' library") {
  for (const Json& record : testdata_lines("objects.jsonl")) {
    if (!record.contains("proto")) continue;
    Json tree = record.value("output", record.at("input"));
    INFO(record.at("kind") << " " << tree.dump().substr(0, 1000));
    auto wanted = decode_base64(record.at("proto").get<std::string>());
    REQUIRE(wanted.ok());

    auto decoded = decode_protobuf(builtin(), nullptr, *wanted);
    CHECK(error_of(decoded).empty());
    if (!decoded.ok()) continue;
    normalise(builtin(), type_of(record), *decoded);
    CHECK(*decoded == tree);

    // What is empty but not absent in the input is written by Go too, so its form counts, not the output's.
    Json input = record.at("input");
    REQUIRE(decode(builtin(), type_of(record), input).ok());
    auto encoded = encode_protobuf_object(builtin(), base::dump_json(input));
    REQUIRE(encoded.ok());
    CHECK(*encoded == *wanted);
  }
}

TEST_CASE("every kind survives a round through protobuf") {
  for (const KindEntry& entry : builtin().kinds()) {
    INFO(entry.type->name);
    Json tree = Json::object();
    normalise(builtin(), *entry.type, tree);
    auto bytes = encode_message(*entry.type, base::dump_json(tree));
    REQUIRE(bytes.ok());
    auto again = decode_message(builtin(), *entry.type, *bytes);
    REQUIRE(again.ok());
    normalise(builtin(), *entry.type, *again);
    CHECK(*again == tree);
  }
}

TEST_CASE("a watch event is a frame around a bare WatchEvent around an object in its envelope") {
  Json pod = {{"kind", "Pod"}, {"apiVersion", "v1"}, {"metadata", {{"name", "a"}}}};
  auto frame = encode_protobuf_watch_event(builtin(), "ADDED", base::dump_json(pod));
  REQUIRE(frame.ok());
  REQUIRE(frame->size() > 4);
  CHECK(frame->substr(0, 3) == std::string(3, '\0'));
  CHECK(static_cast<unsigned char>((*frame)[3]) == frame->size() - 4);
  auto event =
      decode_message(builtin(), *builtin().kind("", "v1", "WatchEvent"), std::string_view(*frame).substr(4));
  REQUIRE(event.ok());
  CHECK((*event)["type"] == "ADDED");
  CHECK((*event)["object"]["kind"] == "Pod");
  CHECK((*event)["object"]["metadata"]["name"] == "a");
}

TEST_CASE("kinds without a protobuf form are not acceptable") {
  for (std::string_view api_version : {"example.com/v1", "meta.k8s.io/v1", ""}) {
    Json tree = {{"kind", "Table"}, {"apiVersion", api_version}};
    auto bytes = encode_protobuf_object(builtin(), base::dump_json(tree));
    REQUIRE_FALSE(bytes.ok());
    CHECK(bytes.error().code() == base::Code::kNotAcceptable);
  }
}

TEST_CASE("discovery of the core group has a protobuf form without a version") {
  const Json tree = {{"kind", "APIResourceList"},
                     {"groupVersion", "v1"},
                     {"resources", {{{"name", "pods"}, {"kind", "Pod"}, {"namespaced", true}}}}};
  auto bytes = encode_protobuf_object(builtin(), base::dump_json(tree));
  REQUIRE(bytes.ok());
  // The envelope's type: an empty version, and the kind.
  CHECK(bytes->substr(4, 21) == hex("0a 13 0a00 120f") + "APIResourceList");
  CHECK_THAT(*bytes, contains("pods"));
}

TEST_CASE("a list of texts is the list as a whole") {
  const Json meta = {{"resourceVersion", "7"}};
  Json first = {
      {"kind", "Pod"}, {"apiVersion", "v1"}, {"metadata", {{"name", "a"}, {"labels", {{"x", "\"1\"\n"}}}}}};
  Json second = {
      {"kind", "Pod"}, {"apiVersion", "v1"}, {"metadata", {{"name", "b"}}}, {"spec", {{"nodeName", "n"}}}};
  const Json head = {{"kind", "PodList"}, {"apiVersion", "v1"}, {"metadata", meta}};
  Json whole = head;
  whole["items"] = {first, second};
  const std::string a = base::dump_json(first), b = base::dump_json(second);
  auto of_texts = encode_protobuf_list(builtin(), base::dump_json(head), {a, b});
  auto at_once = encode_protobuf_object(builtin(), base::dump_json(whole));
  REQUIRE(of_texts.ok());
  REQUIRE(at_once.ok());
  CHECK(*of_texts == *at_once);
  auto decoded = decode_protobuf(builtin(), nullptr, *of_texts);
  REQUIRE(decoded.ok());
  CHECK((*decoded)["items"][0]["metadata"]["labels"]["x"] == "\"1\"\n");
  CHECK((*decoded)["items"][1]["spec"]["nodeName"] == "n");
}

TEST_CASE("a tree that does not fit its type is an error, not a wrong message") {
  const char* trees[] = {R"({"metadata":[]})",
                         R"({"metadata":{"name":1}})",
                         R"({"metadata":{"labels":{"a":1}}})",
                         R"({"metadata":{"generation":"x"}})",
                         R"({"spec":{"containers":{}}})",
                         R"({"metadata":{"creationTimestamp":"soon"}})"};
  for (const char* text : trees) {
    INFO(text);
    auto bytes = encode_message(*builtin().kind("", "v1", "Pod"), text);
    REQUIRE_FALSE(bytes.ok());
    CHECK(bytes.error().code() == base::Code::kInternal);
  }
}

TEST_CASE("the envelope decides the type") {
  const Type* pod = builtin().kind("", "v1", "Pod");
  struct Case {
    const char* what;
    std::string bytes;
    const Type* type;
    std::string error;
  };
  const Case cases[] = {
      {"nothing", "", pod, "empty data"},
      {"no prefix", "{}", pod,
       "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"},
      {"prefix only", hex("6b387300"), pod, "empty body"},
      {"no kind, type known", hex("6b387300 1200"), pod, ""},
      {"no kind, type unknown", hex("6b387300 1200"), nullptr, "Object 'Kind' is missing"},
      {"kind Pod", hex("6b387300 0a09 0a02 7631 1203 506f64 1200"), nullptr, ""},
      {"kind Pox", hex("6b387300 0a09 0a02 7631 1203 506f78 1200"), pod,
       "no kind \"Pox\" is registered for version \"v1\""},
      {"no object", hex("6b387300 0a09 0a02 7631 1203 506f64"), nullptr, ""},
      {"unknown fields", hex("6b387300 2805 1200 32020000 3d00000000"), pod, ""},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    auto tree = decode_protobuf(builtin(), c.type, c.bytes);
    if (c.error.empty()) {
      CHECK(error_of(tree).empty());
    } else {
      CHECK_THAT(error_of(tree), contains(c.error));
      CHECK(tree.error().code() == base::Code::kBadRequest);
    }
  }
}

TEST_CASE("malformed messages are refused as Go's generated code does") {
  struct Case {
    const char* what;
    const char* bytes;
    const char* error;
  };
  const Case cases[] = {
      {"a tag cut off", "80", "unexpected EOF"},
      {"a tag that never ends", "80808080808080808080808080", "proto: integer overflow"},
      {"a length over the end", "0a05 00", "unexpected EOF"},
      {"a negative length", "0a ffffffffffffffffff01", "proto: negative length found during unmarshaling"},
      {"field number 0", "0200", "proto: illegal tag 0 (wire type 2)"},
      {"end of a group that never began", "0c", "proto: wiretype end group for non-group"},
      {"a group without end", "fb01", "unexpected EOF"},
      {"wire type 7", "ff01", "proto: illegal wireType 7"},
      {"a number where a message belongs", "0801", "proto: wrong wireType = 0 for field"},
      {"cut off within metadata", "0a03 0a02 61", "unexpected EOF"},
      {"fixed64 cut off", "f901 0000", "unexpected EOF"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    CHECK(error_of(decode_message(builtin(), *builtin().kind("", "v1", "Pod"), hex(c.bytes))) == c.error);
  }
}

TEST_CASE("what other encoders may do is understood") {
  const Type* pod = builtin().kind("", "v1", "Pod");
  SECTION("a message in two parts is merged") {
    auto tree = decode_message(builtin(), *pod, hex("0a03 0a0161 0a03 1a0162"));
    REQUIRE(tree.ok());
    CHECK(*tree == Json::parse(R"({"metadata":{"name":"a","namespace":"b"}})"));
  }
  SECTION("a group of unknown fields is skipped") {
    auto tree = decode_message(builtin(), *pod, hex("fb01 0801 fb01 fc01 fc01 0a03 0a0161"));
    REQUIRE(tree.ok());
    CHECK(*tree == Json::parse(R"({"metadata":{"name":"a"}})"));
  }
  SECTION("repeated numbers may be packed") {
    const Type* context = builtin().type("io.k8s.api.core.v1.PodSecurityContext");
    auto packed = decode_message(builtin(), *context, hex("2203 01 8001"));
    auto single = decode_message(builtin(), *context, hex("2001 208001"));
    REQUIRE(packed.ok());
    REQUIRE(single.ok());
    CHECK(*packed == *single);
    CHECK(*packed == Json::parse(R"({"supplementalGroups":[1,128]})"));
  }
  SECTION("a map entry may lack its value or key") {
    auto tree = decode_message(builtin(), *builtin().kind("", "v1", "ConfigMap"), hex("1203 0a0161 1200"));
    REQUIRE(tree.ok());
    CHECK(*tree == Json::parse(R"({"data":{"a":"","":""}})"));
  }
}

TEST_CASE("neither depth nor number of messages is without bound") {
  const Type* props =
      builtin().type("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
  auto nested = [&](int levels) {
    Json tree = Json::object();
    for (int i = 0; i < levels; ++i) tree = Json{{"not", tree}};
    return *encode_message(*props, base::dump_json(tree));
  };
  CHECK(decode_message(builtin(), *props, nested(kMaxProtobufDepth - 1)).ok());
  CHECK(error_of(decode_message(builtin(), *props, nested(kMaxProtobufDepth))) ==
        "proto: exceeded max depth");
  CHECK(error_of(decode_message(builtin(), *props, nested(900))) == "proto: exceeded max depth");

  std::string many;
  for (int i = 0; i <= kMaxProtobufElements; ++i) many += hex("1200");
  CHECK(error_of(decode_message(builtin(), *builtin().type("io.k8s.api.core.v1.PodSpec"), many)) ==
        "proto: too many elements");

  // Envelopes within envelopes.
  std::string list;
  for (int i = 0; i < 150; ++i) {
    Json holder = {{"kind", "List"}, {"apiVersion", "v1"}};
    auto number = [](size_t n) {
      std::string out;
      for (; n >= 128; n /= 128) out += static_cast<char>(n % 128 + 128);
      return out + static_cast<char>(n);
    };
    std::string raw = list.empty() ? "{}" : list;
    std::string extension = "\x0a" + number(raw.size()) + raw;
    std::string body = "\x12" + number(extension.size()) + extension;
    list = hex("6b387300 0a0a 0a02 7631 1204 4c697374") + "\x12" + number(body.size()) + body;
  }
  CHECK(error_of(decode_protobuf(builtin(), nullptr, list)) == "proto: exceeded max depth");
}

TEST_CASE("damaged bytes never crash the decoder") {
  std::mt19937 random(1);
  int refused = 0;
  for (const Json& record : testdata_lines("objects.jsonl")) {
    if (!record.contains("proto")) continue;
    std::string bytes = *decode_base64(record.at("proto").get<std::string>());
    for (int i = 0; i < 50; ++i) {
      std::string damaged = bytes.substr(0, random() % 2 == 0 ? bytes.size() : random() % bytes.size());
      for (int j = 0; j < 4 && damaged.size() > 4; ++j)
        damaged[4 + random() % (damaged.size() - 4)] = static_cast<char>(random());
      auto tree = decode_protobuf(builtin(), &type_of(record), damaged);
      refused += tree.ok() ? 0 : 1;
      if (!tree.ok()) CHECK_FALSE(tree.error().message().empty());
    }
  }
  CHECK(refused > 100);
}

}  // namespace
}  // namespace orch::api::schema
