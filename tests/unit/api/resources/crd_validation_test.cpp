// What is wrong with CustomResourceDefinitions, and the rules of their schemas.
#include "api/resources/crd_validation.h"

#include "api/meta.h"
#include "api/resources/crd_rules.h"
#include "api/resources/custom_resource.h"
#include "api/schema/schema.h"
#include "base/json.h"
#include "tests/catch.h"

namespace orch::api {
namespace {

const Schema& builtin() {
  static const std::unique_ptr<const Schema> schema = Schema::builtin();
  return *schema;
}

Json parse(std::string_view text) {
  auto tree = base::parse_json(text);
  INFO(text);
  REQUIRE(tree.ok());
  return std::move(*tree);
}

/// A right definition whose one version has this schema.
Json definition(const std::string& schema) {
  Json crd =
      parse(R"({"metadata":{"name":"as.example.com"},"spec":{"group":"example.com","scope":"Namespaced",
      "names":{"plural":"as","singular":"a","kind":"A","listKind":"AList"},"conversion":{"strategy":"None"},
      "versions":[{"name":"v1","served":true,"storage":true}]},"status":{"storedVersions":["v1"]}})");
  crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = parse(schema);
  return crd;
}

std::string problems(const Json& crd, const Json* old = nullptr) {
  FieldErrors errors;
  validate_crd(builtin(), crd, old, errors);
  return errors.empty() ? std::string() : errors.text();
}

TEST_CASE("schemas are structural, or refused") {
  struct Row {
    const char *schema, *problems;
  };
  const Row rows[] = {
      {R"({"type":"object"})", ""},
      {R"({"type":"string"})",
       R"(spec.validation.openAPIV3Schema.type: Invalid value: "string": must be object at the root)"},
      {R"({"type":"object","properties":{"a":{}}})",
       "spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified "
       "object fields"},
      {R"({"type":"object","properties":{"a":{"type":"array"}}})",
       "spec.validation.openAPIV3Schema.properties[a].items: Required value: must be specified"},
      {R"({"type":"object","properties":{"a":{"type":"string","anyOf":[{"type":"string"}]}}})",
       "spec.validation.openAPIV3Schema.properties[a].anyOf[0].type: Forbidden: must be empty to be "
       "structural"},
      {R"({"type":"object","oneOf":[{"required":["a"],"properties":{"a":{"minimum":1}}}]})",
       "spec.validation.openAPIV3Schema.properties[a]: Required value: because it is defined in "
       "spec.validation.openAPIV3Schema.oneOf[0].properties[a]"},
      {R"({"type":"object","properties":{"metadata":{"type":"object","properties":{"labels":{"type":"object"}}}}})",
       "spec.validation.openAPIV3Schema.properties[metadata]: Forbidden: must not specify anything other "
       "than name "
       "and generateName, but metadata is implicitly specified"},
      {R"({"type":"object","properties":{"v":{"x-kubernetes-int-or-string":true}}})", ""},
      {R"({"type":"object","properties":{"v":{"type":"string","pattern":"a(b"}}})",
       "spec.validation.openAPIV3Schema.properties[v].pattern: Invalid value: \"a(b\": must be a valid "
       "regular "
       "expression, but isn't: error parsing regexp: missing closing ): `a(b`"},
      {R"({"type":"object","properties":{"v":{"type":"string","uniqueItems":true}}})",
       "spec.validation.openAPIV3Schema.properties[v].uniqueItems: Forbidden: uniqueItems cannot be set to "
       "true since "
       "the runtime complexity becomes quadratic"},
      {R"({"type":"object","properties":{"v":{"type":"integer","default":"x"}}})",
       "spec.validation.openAPIV3Schema.properties[v].default: Invalid value: \"string\":  "
       "in body must be of type integer: \"string\""},
      {R"({"type":"object","properties":{"v":{"type":"object","default":{"x":1}}}})",
       "spec.validation.openAPIV3Schema.properties[v].default: Invalid value: {\"x\":1}: must not have "
       "unknown fields"},
      {R"({"type":"object","properties":{"l":{"type":"array","x-kubernetes-list-type":"map",
           "x-kubernetes-list-map-keys":["k"],"items":{"type":"object","properties":{"k":{"type":"string"}}}}}})",
       "spec.validation.openAPIV3Schema.properties[l].items.properties[k].default: Required value: this "
       "property is in "
       "x-kubernetes-list-map-keys, so it must have a default or be a required property"},
      {R"({"type":"object","properties":{"l":{"$ref":"#/x","type":"string"}}})",
       "spec.validation.openAPIV3Schema.properties[l].$ref: Forbidden: $ref is not supported"},
  };
  for (const Row& row : rows) {
    INFO(row.schema);
    CHECK(problems(definition(row.schema)) == row.problems);
  }
}

TEST_CASE("definitions say what they need to") {
  Json crd = definition(R"({"type":"object"})");
  crd["spec"]["group"] = "nodots";
  crd["spec"]["scope"] = "Galaxy";
  crd["spec"]["versions"][0]["storage"] = false;
  const std::string text = problems(crd);
  CHECK(text.find("spec.group: Invalid value: \"nodots\": should be a domain with at least one dot") !=
        std::string::npos);
  CHECK(
      text.find("spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"") !=
      std::string::npos);
  CHECK(text.find("must have exactly one version marked as storage version") != std::string::npos);

  Json conversion = definition(R"({"type":"object"})");
  conversion["spec"]["conversion"] = {{"strategy", "Webhook"}};
  CHECK(problems(conversion) ==
        "[spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook, "
        "spec.conversion.conversionReviewVersions: Required value]");

  Json approval = definition(R"({"type":"object"})");
  approval["spec"]["group"] = "x.k8s.io";
  approval["metadata"]["name"] = "as.x.k8s.io";
  CHECK(
      problems(approval) ==
      "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval "
      "annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111");
  approval["metadata"]["annotations"]["api-approved.kubernetes.io"] = "https://a.example/1";
  CHECK(problems(approval).empty());

  Json names = definition(R"({"type":"object"})");
  Json established = names;
  set_condition(established, {"Established", "True", "", ""}, {});
  names["spec"]["names"]["kind"] = "B";
  CHECK(problems(names, &established) == "spec.names.kind: Invalid value: \"B\": field is immutable");

  Json gone = definition(R"({"type":"object"})");
  gone["status"]["storedVersions"] = {"v1", "v0"};
  CHECK(problems(gone).find("missing from spec.versions; v0 was previously a storage version") !=
        std::string::npos);
}

TEST_CASE("with a status of its own the root of the schema says little") {
  constexpr std::string_view kFew = " fields are allowed at the root of the schema if the status subresource";
  struct Row {
    const char* schema;
    bool few;
  };
  const Row rows[] = {
      {R"({"type":"object","description":"d","minimum":1,"properties":{"a":{"type":"string"}}})", false},
      {R"({"type":"object","$schema":"","nullable":false,"x-kubernetes-int-or-string":false})", false},
      {R"({"type":"object","$ref":""})", true},
      {R"({"type":"object","oneOf":[]})", true},
      {R"({"type":"object","additionalProperties":false})", true},
      {R"({"type":"object","x-kubernetes-list-type":""})", true},
      {R"({"type":"object","id":"a"})", true},
      // The first that is wrong is named.
      {R"({"type":"string","$ref":"a"})", true},
      {R"({"type":"string","oneOf":[]})", false},
  };
  for (const Row& row : rows) {
    INFO(row.schema);
    Json crd = definition(row.schema);
    crd["spec"]["versions"][0]["subresources"] = {{"status", Json::object()}};
    CHECK((problems(crd).find(kFew) != std::string::npos) == row.few);
  }
}

TEST_CASE("versions are shown with Go's names") {
  Json crd = definition(R"({"type":"object"})");
  const auto shown = [&] {
    const std::string text = problems(crd);
    const size_t begin = text.find("spec.versions: Invalid value: ");
    const size_t end = text.find(": must have exactly one");
    return begin == std::string::npos ? text : text.substr(begin + 30, end - begin - 30);
  };
  crd["spec"]["versions"][0]["storage"] = false;
  const std::string one = R"({"Name":"v1","Served":true,"Storage":false,"Deprecated":false,)"
                          R"("DeprecationWarning":null,"Schema":null,"Subresources":null,)"
                          R"("AdditionalPrinterColumns":null,"SelectableFields":null})";
  CHECK(shown() == "[" + one + "]");
  Json other = parse(R"({"name":"v2","served":false,"deprecated":true,"deprecationWarning":"w",
      "schema":{"openAPIV3Schema":{"type":"object"}},"selectableFields":[{"jsonPath":".a"}],
      "subresources":{"status":{},"scale":{"specReplicasPath":".a","statusReplicasPath":".b"}},
      "additionalPrinterColumns":[{"name":"n","type":"string","jsonPath":".c"}]})");
  crd["spec"]["versions"].push_back(other);
  CHECK(shown() == "[" + one +
                       R"(,{"Name":"v2","Served":false,"Storage":false,"Deprecated":true,)"
                       R"("DeprecationWarning":"w","Schema":null,"Subresources":{"Status":{},"Scale":)"
                       R"({"SpecReplicasPath":".a","StatusReplicasPath":".b","LabelSelectorPath":null}},)"
                       R"("AdditionalPrinterColumns":[{"Name":"n","Type":"string","Format":"",)"
                       R"("Description":"","Priority":0,"JSONPath":".c"}],)"
                       R"("SelectableFields":[{"JSONPath":".a"}]}])");
  crd["spec"].erase("versions");
  CHECK(shown() == "null");
}

TEST_CASE("a definition without a name lacks nothing but that") {
  Json crd = definition(R"({"type":"object"})");
  crd["metadata"]["name"] = "";
  CHECK(problems(crd).empty());  // that a name is needed is said of every object
  crd["metadata"]["name"] = "b";
  CHECK(problems(crd).find("must be spec.names.plural+\".\"+spec.group") != std::string::npos);
}

TEST_CASE("selectable fields are scalars the schema has") {
  Json crd = definition(R"({"type":"object","properties":{"spec":{"type":"object","properties":{
      "color":{"type":"string"},"list":{"type":"array","items":{"type":"string"}}}}}})");
  Json& fields = crd["spec"]["versions"][0]["selectableFields"];
  fields = {{{"jsonPath", ".spec.color"}}};
  CHECK(problems(crd).empty());
  fields = {{{"jsonPath", ".spec.none"}}, {{"jsonPath", ".spec.list"}}, {{"jsonPath", ".spec['color']"}}};
  CHECK(problems(crd) ==
        "[spec.selectableFields[0].jsonPath: Invalid value: \".spec.none\": is an invalid path: does not "
        "refer to a "
        "valid field, spec.selectableFields[1].jsonPath: Invalid value: \".spec.list\": must point to a "
        "field of type "
        "string, boolean or integer. Enum string fields and strings with formats are allowed., "
        "spec.selectableFields[2].jsonPath: Invalid value: \".spec['color']\": is an invalid path: array "
        "notation is "
        "not allowed]");
}

TEST_CASE("rules compile, and cost what they may") {
  const auto with_rule = [](const std::string& rule) {
    return definition(
        R"({"type":"object","properties":{"spec":{"type":"object","x-kubernetes-validations":[)" + rule +
        R"(],"properties":{"min":{"type":"integer"},"max":{"type":"integer"},
                         "all":{"type":"array","items":{"type":"string"}}}}}})");
  };
  CHECK(problems(with_rule(R"({"rule":"self.min <= self.max"})")).empty());
  CHECK(problems(with_rule(R"({"rule":"self.min"})")).find("cel expression must evaluate to a bool") !=
        std::string::npos);
  CHECK(problems(with_rule(R"({"rule":"self.none > 1"})")).find("compilation failed: ERROR") !=
        std::string::npos);
  CHECK(problems(with_rule(R"({"rule":" "})")) ==
        "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Required value: "
        "rule is "
        "not specified");
  CHECK(
      problems(
          with_rule(R"~({"rule":"self.all.all(a, self.all.all(b, a == b || self.all.exists(c, c == a)))"})~"))
          .find("estimated rule cost exceeds budget by factor of more than 100x") != std::string::npos);
  CHECK(problems(with_rule(R"({"rule":"self.min == 1","optionalOldSelf":true})"))
            .find("may not be set if oldSelf is not used in rule") != std::string::npos);
}

TEST_CASE("rules are held against objects") {
  const auto schema =
      std::make_shared<const Json>(parse(R"~({"type":"object","properties":{"spec":{"type":"object",
      "x-kubernetes-validations":[
        {"rule":"self.min <= self.max","messageExpression":"'min ' + string(self.min) + ' is more than max'"},
        {"rule":"self.min >= oldSelf.min","message":"min only grows","reason":"FieldValueForbidden","fieldPath":".min"}],
      "properties":{"min":{"type":"integer"},"max":{"type":"integer"},
        "name":{"type":"string","x-kubernetes-validations":[{"rule":"self.startsWith('a')"}]}}}}})~"));
  const auto rules = RuleSet::compile(schema);
  REQUIRE(rules != nullptr);
  const auto check = [&](const char* now, const char* old) {
    FieldErrors errors;
    const Json object = parse(now), before = old != nullptr ? parse(old) : Json();
    rules->validate(object, old != nullptr ? &before : nullptr, {}, errors);
    return errors.empty() ? std::string() : errors.text();
  };
  CHECK(check(R"({"spec":{"min":1,"max":2,"name":"ab"}})", nullptr).empty());
  CHECK(check(R"({"spec":{"min":3,"max":2,"name":"b"}})", nullptr) ==
        "[spec: Invalid value: min 3 is more than max, spec.name: Invalid value: \"b\": failed rule: "
        "self.startsWith('a')]");
  CHECK(check(R"({"spec":{"min":1,"max":2}})", R"({"spec":{"min":2,"max":2}})") ==
        "spec.min: Forbidden: min only grows");
  // What was so before is let pass.
  CHECK(
      check(R"({"spec":{"min":1,"max":3,"name":"b"}})", R"({"spec":{"min":1,"max":2,"name":"b"}})").empty());
  CHECK(check(R"({"spec":{"max":2}})", nullptr).find("no such key: min evaluating rule: ") !=
        std::string::npos);
}

TEST_CASE("versions are ordered as clients prefer them") {
  std::vector<std::string> names = {"v1beta1", "foo", "v10", "v2", "v1alpha2", "v1beta10", "bar", "v1"};
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return version_before(a, b); });
  CHECK(names ==
        std::vector<std::string>{"v10", "v2", "v1", "v1beta10", "v1beta1", "v1alpha2", "bar", "foo"});
}

}  // namespace
}  // namespace orch::api
