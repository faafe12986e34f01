// Every kind as Kubernetes serves it: thousands of objects with one thing changed are created, updated and
// deleted, and what is answered is held against what a kube-apiserver v1.35.4 answered. kinds/ has the
// requests with those answers, and the list of those in which Orch is known to differ (tools/kinds makes
// them, docs/api-differences.md says why).
#include <re2/re2.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "tests/gunzip.h"
#include "tests/integration/server/fixture.h"

namespace orch::testing {
namespace {

constexpr const char* kFolder = "tests/integration/server/kinds/";
constexpr size_t kMostText = 64 << 20;

std::string file_text(const std::string& name) {
  auto text = base::read_file(kFolder + name);
  INFO(name);
  REQUIRE(text.ok());
  return *text;
}

/// One connection that stays: a handshake for each request would take longer than the request.
class Client {
 public:
  Client(const Control& control) : control_(control), curl_(curl_easy_init()) { REQUIRE(curl_ != nullptr); }
  ~Client() { curl_easy_cleanup(curl_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Answer send(const std::string& method, const std::string& path, const std::string& body,
              const std::string& accept, const std::string& type) {
    curl_easy_reset(curl_);
    Answer answer;
    const std::string whole = control_.url() + path;
    const auto blob = [](const std::string& text) {
      return curl_blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_COPY};
    };
    curl_blob ca = blob(control_.ca()), certificate = blob(control_.admin().certificate.certificate_pem),
              key = blob(control_.admin().certificate.key_pem);
    curl_easy_setopt(curl_, CURLOPT_URL, whole.c_str());
    curl_easy_setopt(curl_, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, method.c_str());
    curl_easy_setopt(curl_, CURLOPT_USERAGENT, "kinds");
    curl_easy_setopt(curl_, CURLOPT_CAINFO_BLOB, &ca);
    curl_easy_setopt(curl_, CURLOPT_SSLCERT_BLOB, &certificate);
    curl_easy_setopt(curl_, CURLOPT_SSLKEY_BLOB, &key);
    curl_slist* headers = curl_slist_append(nullptr, ("Accept: " + accept).c_str());
    headers = curl_slist_append(headers, "Expect:");
    if (!body.empty()) {
      headers = curl_slist_append(headers, ("Content-Type: " + type).c_str());
      curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body.data());
      curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    }
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, append_to);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &answer.body);
    curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, append_to);
    curl_easy_setopt(curl_, CURLOPT_HEADERDATA, &answer.headers);
    (void)curl_easy_perform(curl_);
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    answer.status = static_cast<int>(status);
    curl_slist_free_all(headers);
    return answer;
  }

 private:
  const Control& control_;
  CURL* curl_;
};

std::string plain_text(std::string text, std::string_view key) {
  static const RE2 kAge(R"((\d+[smhdy]){1,2})"), kNumber(R"(\d+)");
  static const RE2 kUid(R"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})");
  static const RE2 kTime(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z)");
  static const RE2 kName(R"((kube-api-access-|X509SHA256=)[0-9a-z]+)"), kAddress(R"(10\.96\.\d+\.\d+)");
  // Of a struct that JSON does not know, kube-apiserver shows Go's members; what differs between two, in Go's
  // text.
  static const RE2 kStruct(R"((?s)(Invalid value: )\{.*\}(: ))"), kChanges(R"((?s)\n(@@|[ +-]?[ {]).*)");
  if (key == "resourceVersion") return RE2::FullMatch(text, kNumber) ? "N" : text;
  if (key == "serverAddress") return "ADDRESS";
  if (key == "username" && (text == "admin" || text == "system:admin")) return "ADMIN";
  if (key == "cells" && RE2::FullMatch(text, kAge)) return "AGE";
  if (key == "cells" && text == "system:admin") return "admin";
  if (key == "message") {
    RE2::GlobalReplace(&text, kStruct, R"(\1{}\2)");
    RE2::GlobalReplace(&text, kChanges, "");
  }
  RE2::GlobalReplace(&text, kName, R"(\1N)");
  RE2::GlobalReplace(&text, kUid, "UID");
  RE2::GlobalReplace(&text, kTime, "TIME");
  RE2::GlobalReplace(&text, kAddress, "IP");
  return text;
}

/// The tree without what differs from run to run: plain() of tools/kinds/ask.py.
Json plain(const Json& tree, const std::string& key) {
  if (tree.is_string()) return plain_text(tree.get<std::string>(), key);
  if (tree.is_object()) {
    Json out = Json::object();
    for (const auto& [name, value] : tree.items())
      out[name] = key == "columnDefinitions" && name == "description" ? Json("") : plain(value, name);
    return out;
  }
  if (tree.is_array()) {
    Json out = Json::array();
    for (const Json& value : tree) out.push_back(plain(value, key));
    return out;
  }
  if ((key == "nodePort" || key == "healthCheckNodePort") && tree.is_number_integer() && tree >= 30000 &&
      tree <= 32767)
    return "PORT";
  return tree;
}

/// An OpenAPI document without its sentences, and without the shell that a reference needs to have one; lists
/// that have no order sorted.
Json undescribed(Json tree) {
  if (!tree.is_structured()) return tree;
  if (tree.is_array()) {
    auto& list = tree.get_ref<Json::array_t&>();
    for (Json& value : list) value = undescribed(std::move(value));
    if (std::all_of(list.begin(), list.end(),
                    [](const Json& v) { return v.is_object() && v.contains("in"); }))
      std::sort(list.begin(), list.end(), [](const Json& a, const Json& b) { return a["name"] < b["name"]; });
    return tree;
  }
  if (tree.contains("allOf") && tree["allOf"].is_array() && tree["allOf"].size() == 1 &&
      tree["allOf"][0].contains("$ref")) {
    tree["$ref"] = Json(tree["allOf"][0]["$ref"]);
    tree.erase("allOf");
  }
  if (tree.contains("required") && tree["required"].is_array()) {
    auto& names = tree["required"].get_ref<Json::array_t&>();
    std::sort(names.begin(), names.end());
  }
  Json out = Json::object();
  for (auto& [name, value] : tree.items()) {
    if (name != "description" || !value.is_string()) out[name] = undescribed(std::move(value));
  }
  return out;
}

Json compared(const Answer& answer, bool described) {
  Json out = {{"code", answer.status}};
  static const RE2 kWarning("(?i)\r\nwarning: ([^\r]*)");
  re2::StringPiece headers(answer.headers);
  std::string warning;
  while (RE2::FindAndConsume(&headers, kWarning, &warning))
    out["warnings"].push_back(plain_text(warning, ""));
  auto parsed = base::parse_json(answer.body);
  if (!parsed.ok()) {
    out["text"] = answer.body.substr(0, 500);
  } else if (base::string_at(*parsed, {"kind"}) == "Status" &&
             base::string_at(*parsed, {"apiVersion"}) == "v1") {
    Json status = Json::object();
    for (const char* member : {"reason", "message", "details"}) {
      if (parsed->contains(member)) status[member] = (*parsed)[member];
    }
    out["status"] = plain(status, "");
  } else {
    Json body = described ? std::move(*parsed) : undescribed(std::move(*parsed));
    if (!described) body.erase("info");  // the version of the server
    out["body"] = plain(body, "");
  }
  return out;
}

class Replay {
 public:
  explicit Replay(const Control& control) : client_(control) {}

  void set_up() {
    auto setup = base::parse_json(file_text("setup.json"));
    REQUIRE(setup.ok());
    for (const Json& one : *setup) {
      const Answer answer =
          send("POST", one["path"], one["body"].dump(), "application/json", "application/json");
      INFO(one["path"] << "\n" << answer.body.substr(0, 500));
      CHECK((answer.status == 201 || answer.status == 409));
    }
    // The custom resource is served in a moment.
    for (int i = 0; i < 500; ++i) {
      if (send("GET", "/apis/example.com/v1/things", {}, "application/json", {}).status == 200) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  Json ask(const Json& sample) {
    const std::string line = sample["do"];
    const size_t space = line.find(' ');
    const std::string path = line.substr(space + 1);
    std::string body = sample["body"].is_null() ? std::string() : sample["body"].dump();
    if (body.find("\"@current\"") != std::string::npos)
      RE2::GlobalReplace(&body, "@current", version_of(path));
    return compared(send(line.substr(0, space), path, body, sample.value("accept", "application/json"),
                         sample.value("type", "application/json")),
                    !sample.value("undescribed", false));
  }

 private:
  Answer send(const std::string& method, const std::string& path, const std::string& body,
              const std::string& accept, const std::string& type) {
    return client_.send(method, path, body, accept, type);
  }

  std::string version_of(const std::string& path) {
    std::string own = path.substr(0, path.find('?'));
    RE2::Replace(&own, "/(status|approval)$", "");
    auto [it, fresh] = versions_.try_emplace(own);
    if (fresh || own.find("customresource") != std::string::npos) {
      const Answer answer = send("GET", own, {}, "application/json", {});
      it->second = base::string_at(answer.tree(), {"metadata", "resourceVersion"});
    }
    return it->second;
  }

  Client client_;
  std::map<std::string, std::string> versions_;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

TEST_CASE("every kind as Kubernetes serves it") {
  DataFolder folder;
  Control c(folder);
  c.config().service_cidr = "10.96.0.0/16";
  c.config().disable_scheduler = c.config().disable_controller_manager = true;
  c.start();
  Replay replay(c);
  replay.set_up();
  const std::vector<std::string> listed = lines_of(file_text("differences.txt"));
  const std::set<std::string> known(listed.begin(), listed.end());
  size_t asked = 0, differ = 0;
  for (const std::string& line : lines_of(gunzip(file_text("answers.jsonl.gz"), kMostText))) {
    auto sample = base::parse_json(line);
    REQUIRE(sample.ok());
    const std::string name = (*sample)["name"];
    const Json got = replay.ask(*sample);
    ++asked;
    if (got == (*sample)["answer"]) continue;
    ++differ;
    if (known.contains(name)) continue;
    INFO(name);
    CHECK(got == (*sample)["answer"]);
  }
  CHECK(asked >= 3000);
  // Fewer is progress: then make the list again.
  CHECK(differ <= known.size());
  c.check_alive();
}

}  // namespace
}  // namespace orch::testing
