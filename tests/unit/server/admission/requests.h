// Admission requests for tests, from text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/admission/admission.h"
#include "tests/unit/server/auth/fakes.h"

namespace orch::testing {

/// Owns everything an AdmissionRequest points to.
class TestRequest {
 public:
  using Operation = server::AdmissionRequest::Operation;

  TestRequest(Operation operation, std::string group, std::string kind, std::string plural, std::string ns,
              Json object = nullptr, Json old = nullptr)
      : object_(std::move(object)), old_(std::move(old)) {
    resource_.group = std::move(group);
    resource_.version = "v1";
    resource_.kind = std::move(kind);
    resource_.plural = std::move(plural);
    resource_.namespaced = !ns.empty();
    request_.operation = operation;
    request_.resource = &resource_;
    request_.ns = std::move(ns);
    request_.name = base::string_at(object_.is_null() ? old_ : object_, {"metadata", "name"});
    request_.user = &user_;
    request_.object = object_.is_null() ? nullptr : &object_;
    request_.old_object = old_.is_null() ? nullptr : &old_;
    request_.warnings = &warnings_;
    user_ = user("tester");
  }
  TestRequest(const TestRequest&) = delete;
  TestRequest& operator=(const TestRequest&) = delete;

  server::AdmissionRequest* operator->() { return &request_; }
  server::AdmissionRequest& operator*() { return request_; }
  Json& object() { return object_; }
  server::UserInfo& requester() { return user_; }
  api::Resource& resource() { return resource_; }
  std::vector<std::string>& warnings() { return warnings_; }

  /// What the plugin says: admit, then validate. "" when it lets the request pass.
  std::string run(server::AdmissionPlugin& plugin) {
    if (!plugin.handles(request_)) return "";
    base::Status status = plugin.admit(request_);
    if (status.ok()) status = plugin.validate(request_);
    code_ = status.code();
    return status.message();
  }
  base::Code code() const { return code_; }

 private:
  api::Resource resource_;
  server::UserInfo user_;
  std::vector<std::string> warnings_;
  Json object_, old_;
  server::AdmissionRequest request_;
  base::Code code_ = base::Code::kOk;
};

inline std::unique_ptr<TestRequest> create_pod(Json pod, std::string ns = "ns") {
  return std::make_unique<TestRequest>(TestRequest::Operation::kCreate, "", "Pod", "pods", std::move(ns),
                                       std::move(pod));
}

/// A pod with one container "c" and these members of spec.
inline Json pod_with(const char* spec = "{}", const char* container = "{}") {
  Json pod = json(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"ns"},
                      "spec":{"containers":[{"name":"c","image":"i"}]}})");
  pod["spec"].update(json(spec));
  pod["spec"]["containers"][0].update(json(container));
  return pod;
}

}  // namespace orch::testing
