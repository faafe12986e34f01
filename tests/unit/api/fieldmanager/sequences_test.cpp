// Sequences of writes, held against what Kubernetes' own field manager makes of them
// (tools/fieldmanagervectors).
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "api/fieldmanager/managed_fields.h"
#include "api/object.h"
#include "api/schema/decode.h"
#include "api/schema/defaults.h"
#include "api/schema/schema.h"
#include "tests/catch.h"

namespace orch::api {
namespace {

class Replay {
 public:
  explicit Replay(const Schema& schema) : schema_(schema) {}

  void run(const Json& test) {
    INFO(test["name"].get<std::string>());
    for (size_t i = 0; i < test["steps"].size(); ++i) {
      INFO("step " << i << ": " << test["steps"][i].dump().substr(0, 3000));
      step(test["steps"][i], i);
    }
  }

 private:
  FieldContext context(const Json& step, size_t number) {
    const Json& object = step["object"];
    FieldContext out;
    out.api_version = object["apiVersion"];
    out.kind = object["kind"];
    const auto [group, version] = split_api_version(out.api_version);
    type_ = schema_.kind(group, version, out.kind);
    out.type = TypeRef::of(type_);
    empty_ = {{"apiVersion", out.api_version}, {"kind", out.kind}};
    normalise(empty_);
    out.empty = &empty_;
    out.subresource = step.value("subresource", "");
    reset_ = *FieldSet::parse(out.subresource == "status" ? R"({"f:spec":{}})" : R"({"f:status":{}})");
    out.reset = &reset_;
    out.now = base::cat("2020-01-01T00:00:", number < 10 ? "0" : "", number, "Z");
    return out;
  }

  void normalise(Json& tree) const {
    if (type_ != nullptr) schema::normalise(schema_, *type_, tree);
  }

  void step(const Json& step, size_t number) {
    const FieldContext about = context(step, number);
    const std::string manager = step["manager"];
    if (step["op"] == "apply") return apply(step, about, manager);
    Json next = step["object"];
    Json& meta = next["metadata"];
    const auto sent = meta.find("managedFields");
    const Json managed = sent == meta.end() ? Json() : *sent;
    meta.erase("managedFields");
    if (type_ != nullptr) REQUIRE(schema::decode(schema_, *type_, next).ok());
    if (live_) next["metadata"]["uid"] = "u";
    normalise(next);
    managed_ = track_update(
        about, live_ ? &*live_ : nullptr, next,
        choose_managed_fields(managed.is_null() ? nullptr : &managed, managed_, !about.subresource.empty()),
        manager);
    check_managed(step);
    next["metadata"]["uid"] = "u";
    live_ = next;
  }

  void apply(const Json& step, const FieldContext& about, const std::string& manager) {
    auto applied = apply_fields(about, live_ ? &*live_ : nullptr, managed_, step["object"], manager,
                                step.value("force", false));
    if (step.contains("error")) {
      // What merges need not be an object of its type yet.
      if (applied.ok()) REQUIRE_FALSE(schema::decode(schema_, *type_, applied->object).ok());
      if (!applied.ok()) check_error(step["error"], applied.error());
      return;
    }
    INFO((applied.ok() ? std::string() : applied.error().message()));
    REQUIRE(applied.ok());
    Json object = std::move(applied->object);
    if (type_ != nullptr) REQUIRE(schema::decode(schema_, *type_, object).ok());
    object["metadata"]["uid"] = "u";
    normalise(object);
    CHECK(object == step["result"]);
    managed_ = applied->managed_fields;
    check_managed(step);
    live_ = step["result"];
  }

  void check_managed(const Json& step) {
    if (!step.contains("managed")) {
      CHECK(managed_.empty());
      return;
    }
    const auto is = base::parse_json(managed_);
    REQUIRE(is.ok());
    CHECK(*is == step["managed"]);
  }

  static void check_error(const Json& expected, const base::Status& status) {
    CHECK(status.http_code() == expected["code"]);
    // Go looks at members in any order.
    if (!expected.value("many", false)) CHECK(lines(status.message()) == lines(expected["message"]));
    Json causes = Json::object();
    if (status.details() != nullptr) {
      for (const auto& cause : status.details()->causes)
        causes[cause.field + " " + cause.message] = cause.reason;
    }
    CHECK(causes == expected.value("causes", Json::object()));
  }

  static std::multiset<std::string> lines(const std::string& text) {
    std::multiset<std::string> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) out.insert(line);
    return out;
  }

  const Schema& schema_;
  const Type* type_ = nullptr;
  Json empty_;
  FieldSet reset_;
  std::optional<Json> live_;
  std::string managed_;
};

}  // namespace

TEST_CASE("Sequences of writes leave what Kubernetes' field manager leaves") {
  const auto schema = Schema::builtin();
  const char* folder = std::getenv("ORCH_FIELDMANAGER_TESTDATA");  // of `fieldmanagervectors -random 5000`
  std::ifstream file(std::string(folder != nullptr ? folder : "tests/unit/api/fieldmanager/testdata") +
                     "/sequences.jsonl");
  size_t count = 0;
  for (std::string line; std::getline(file, line); ++count) Replay(*schema).run(Json::parse(line));
  CHECK(count >= 40);
}

}  // namespace orch::api
