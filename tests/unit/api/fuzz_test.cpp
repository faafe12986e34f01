// Broken input of every kind must end in an error, never in a crash: cheap random mutations, the same in each
// run. The sanitizer builds are what gives this its teeth.
#include <random>

#include "api/duration.h"
#include "api/names.h"
#include "api/object.h"
#include "api/quantity.h"
#include "api/scan.h"
#include "api/selector.h"
#include "api/yaml.h"
#include "base/json.h"
#include "tests/catch.h"

using namespace orch;
using namespace orch::api;

namespace {

/// `rounds` variants of a text with a few bytes changed, removed or doubled.
template <typename Use>
void mutate(std::string_view seed, int rounds, const Use& use) {
  std::mt19937 random(7);
  constexpr std::string_view kBytes = "{}[]\":,\\ \n-0e.*&<<!|>'#%()=n\xFF\x01";
  for (int round = 0; round < rounds; ++round) {
    std::string text(seed);
    for (unsigned change = random() % 4; change < 4 && !text.empty(); ++change) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = kBytes[random() % kBytes.size()];
          break;
        case 1:
          text.erase(at, random() % 5);
          break;
        case 2:
          text.insert(at, text.substr(at, random() % 9));
          break;
        default:
          text.resize(at);
          break;
      }
    }
    use(text);
  }
}

}  // namespace

TEST_CASE("mutated stored objects") {
  const std::string_view seed =
      R"({"kind":"Pod","apiVersion":"v1","metadata":{"generation":3,"labels":{"a":"b\n","c":""},"name":"p"},)"
      R"("spec":{"a":[1,{"b":"\u00e9"}],"nodeName":"n"},"status":{"phase":"x"}})";
  const IndexedFields fields = {"spec.nodeName", {"x", "spec.a", "1", "status.phase"}, "status.phase"};
  size_t good = 0;
  mutate(seed, 20000, [&](const std::string& text) {
    const auto object = Object::from_stored(text, 12, fields);
    if (!object.ok()) return;
    ++good;
    const Object& one = *object.value();
    size_t sum = one.name().size() + one.field(0).size() + one.field(1).size() + one.field(2).size();
    for (size_t i = 0; i < one.label_count(); ++i) sum += one.label(i).second.size();
    CHECK(sum < 1000);
  });
  CHECK(good > 100);
}

TEST_CASE("mutated values") {
  mutate(R"({"a":{"b":["x\u0041\"",1.5e3,null]}})", 20000, [](const std::string& text) {
    (void)raw_value(text, {"a", "b"});
    (void)scalar_text(text);
    (void)unescape_json(text);
  });
  mutate("a in (b,c),!d,e!=f,g>1", 20000, [](const std::string& text) { (void)LabelSelector::parse(text); });
  mutate("a=b,c!=d\\,e", 20000, [](const std::string& text) { (void)FieldSelector::parse(text); });
  mutate("-1500.25Mi", 20000, [](const std::string& text) {
    const auto quantity = Quantity::parse(text);
    if (quantity.ok()) CHECK_FALSE(quantity->text().empty());
  });
  mutate("-1h30.5m12ms", 20000, [](const std::string& text) { (void)parse_duration(text); });
  mutate("example.com/a-b_c.D", 5000, [](const std::string& text) { (void)check_qualified_name(text); });
}

TEST_CASE("mutated YAML, and what was read survives a round trip") {
  const std::string_view seed =
      "a: &x [1, 'b', \"c\\n\", {d: e}]\nf: *x\n? g\n: |\n  text\n  more\nh:\n- i: yes\n  j: 0x1F\n- <<: {k: "
      "l}\n---\nm: 1\n";
  mutate(seed, 5000, [](const std::string& text) {
    const auto tree = parse_yaml(text);
    (void)parse_yaml_documents(text);
    if (!tree.ok()) return;
    const auto again = parse_yaml(to_yaml(*tree));
    REQUIRE(again.ok());
    CHECK(*again == *tree);
  });
}
