// What kube-apiserver answers to bad input, and what Orch answers: code, reason, message, details, headers.
// answers/cases.yaml has the requests, answers/answers.json what a kube-apiserver v1.35.4 said to them
// (tools/answers/record.py asks one).
#include <re2/re2.h>

#include "api/yaml.h"
#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

constexpr const char* kFolder = "tests/integration/server/answers/";

std::string joined(const Json& parts) {
  if (parts.is_string()) return parts.get<std::string>();
  std::string out;
  for (const Json& part : parts) {
    if (part.is_string()) {
      out += part.get<std::string>();
    } else if (part.contains("repeat")) {
      for (int64_t i = 0; i < part["repeat"][1].get<int64_t>(); ++i)
        out += part["repeat"][0].get<std::string>();
    } else {
      out += *pki::base64_decode(part["base64"].get<std::string>());
    }
  }
  return out;
}

std::string body_of(const Json& body) {
  if (body.is_string()) return body.get<std::string>();
  if (body.is_object() && body.size() == 1 && body.contains("parts")) return joined(body["parts"]);
  return body.dump();
}

/// Revisions, times and identities differ from server to server, and so does the order of members in a
/// patched object; of long texts both ends are compared.
std::string shortened(std::string text) {
  RE2::GlobalReplace(&text, R"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", "UID");
  RE2::GlobalReplace(&text, R"((current|resourceVersion|ResourceVersion in (?:object meta|record))(\W+)\d+)",
                     R"(\1\2N)");
  RE2::GlobalReplace(&text, R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)", "TIME");
  RE2::GlobalReplace(&text, R"((patch: Invalid value: |^Invalid value: )\"\{(?:\\.|[^\"\\])*\})", R"(\1"{})");
  if (text.size() <= 500) return text;
  return text.substr(0, 300) + "..." + text.substr(text.size() - 100);
}

Json short_texts(const Json& tree) {
  if (tree.is_string()) return shortened(tree.get<std::string>());
  Json out = tree;
  if (tree.is_structured()) {
    for (auto& [key, value] : out.items()) value = short_texts(value);
  }
  return out;
}

std::string header_of(const Answer& answer, std::string_view name) {
  std::string value;
  RE2::PartialMatch(answer.headers, base::cat("(?i)\r\n", name, ": ([^\r]*)"), &value);
  return value;
}

Json compared(const Answer& answer, const Json& sample) {
  Json out = {{"code", answer.status}};
  const std::pair<const char*, const char*> headers[] = {
      {"type", "Content-Type"}, {"allow", "Allow"}, {"retry", "Retry-After"}, {"warning", "Warning"}};
  for (const auto& [key, header] : headers) {
    if (const std::string value = header_of(answer, header); !value.empty()) out[key] = value;
  }
  auto parsed = answer.content_type == "application/yaml" ? api::parse_yaml(answer.body)
                                                          : base::parse_json(answer.body);
  if (parsed.ok() && base::string_at(*parsed, {"kind"}) == "Status") {
    for (const char* key : {"status", "reason", "message", "details", "metadata"}) {
      if (parsed->contains(key)) out[key] = short_texts((*parsed)[key]);
    }
    if (!out.contains("message")) out["message"] = "";
  } else if (sample.contains("body_of")) {
    const std::string part = sample["body_of"];
    if (part == "text") {
      out["body"] = shortened(answer.body);
    } else {
      out["body"] = parsed.ok() && parsed->is_object() ? parsed->value(part, Json()) : Json();
    }
  } else if (answer.status >= 400) {
    out["body"] = shortened(answer.body);
  }
  return out;
}

Answer ask(const Control& c, const Json& sample) {
  const std::string line = joined(sample["do"]);
  const size_t space = line.find(' ');
  RequestOptions options;
  options.content_type = sample.value("type", "application/json");
  if (sample.contains("accept")) options.headers.push_back("Accept: " + sample["accept"].get<std::string>());
  const std::string body = sample.contains("body") ? body_of(sample["body"]) : std::string();
  if (sample.contains("body") && body.empty())
    options.headers.push_back("Content-Type: " + options.content_type);
  Credentials who = c.admin();
  if (const std::string as = sample.value("as", "admin"); as != "admin")
    who = {{}, as == "garbage" ? "garbage" : ""};
  return c.send_as(who, line.substr(0, space), line.substr(space + 1), body, options);
}

Json read_tree(const std::string& name, bool yaml) {
  auto text = base::read_file(kFolder + name);
  INFO(name);
  REQUIRE(text.ok());
  auto tree = yaml ? api::parse_yaml(*text) : base::parse_json(*text);
  REQUIRE(tree.ok());
  return *tree;
}

TEST_CASE("as Kubernetes answers") {
  DataFolder folder;
  Control c(folder);
  c.start();
  // Pods are refused until their service account is there.
  REQUIRE(soon([&] { return c.get("/api/v1/namespaces/default/serviceaccounts/default").status == 200; }));
  const Json cases = read_tree("cases.yaml", true), answers = read_tree("answers.json", false);
  for (const Json& sample : cases) {
    const std::string name = sample["name"];
    const Answer answer = ask(c, sample);
    INFO(name << ": " << joined(sample["do"]).substr(0, 200) << "\n" << answer.body.substr(0, 1000));
    if (sample.value("setup", false)) {
      CHECK(answer.status / 100 == 2);
      continue;
    }
    REQUIRE(answers.contains(name));
    Json want = answers[name], got = compared(answer, sample);
    if (sample.contains("differs")) {
      // On purpose, and cases.yaml says why: what a client decides by is the same.
      const auto only = [](const Json& all) {
        return Json{{"code", all["code"]}, {"reason", all.value("reason", "")}};
      };
      want = only(want);
      got = only(got);
    }
    CHECK(got == want);
  }
  c.check_alive();
}

}  // namespace
}  // namespace orch::testing
