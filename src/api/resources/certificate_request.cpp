// certificates.k8s.io/v1 CertificateSigningRequest: what its status and approval subresources may change.
#include <algorithm>
#include <array>
#include <set>

#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/signer_names.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

constexpr const char *kApproved = "Approved", *kDenied = "Denied", *kFailed = "Failed";
constexpr int64_t kLeastSeconds = 600;

const std::vector<std::string>& usages() {
  static const std::vector<std::string> kAll{"any",
                                             "cert sign",
                                             "client auth",
                                             "code signing",
                                             "content commitment",
                                             "crl sign",
                                             "data encipherment",
                                             "decipher only",
                                             "digital signature",
                                             "email protection",
                                             "encipher only",
                                             "ipsec end system",
                                             "ipsec tunnel",
                                             "ipsec user",
                                             "key agreement",
                                             "key encipherment",
                                             "microsoft sgc",
                                             "netscape sgc",
                                             "ocsp signing",
                                             "s/mime",
                                             "server auth",
                                             "signing",
                                             "timestamping"};
  return kAll;
}

bool is_decision(std::string_view type) { return type == kApproved || type == kDenied; }

/// The conditions of one type.
std::vector<const Json*> conditions_of(const Json& request, std::string_view type) {
  std::vector<const Json*> out;
  for (const Json& c : list_of(map_of(request, "status"), "conditions")) {
    if (text_of(c, "type") == type) out.push_back(&c);
  }
  return out;
}

// --- Validation -------------------------------------------------------------------------------------

void validate_spec(const Json& request, FieldErrors& errors) {
  const Json& spec = map_of(request, "spec");
  const FieldPath path("spec");
  const Json& asked = list_of(spec, "usages");
  if (asked.empty()) errors.required(path.child("usages"));
  std::set<std::string_view> seen;
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto usage = text(asked[i]);
    if (!std::binary_search(usages().begin(), usages().end(), usage))
      errors.not_supported(path.child("usages").index(i), usage, usages());
    if (!seen.insert(usage).second) errors.duplicate(path.child("usages").index(i), asked[i]);
  }
  const auto signer = text_of(spec, "signerName");
  if (signer == "kubernetes.io/legacy-unknown") {
    errors.invalid(path.child("signerName"), std::string(signer),
                   "the legacy signerName is not allowed via this API version");
  } else {
    validate_signer_name(signer, path.child("signerName"), errors);
  }
  if (has(spec, "expirationSeconds") && number_of(spec, "expirationSeconds") < kLeastSeconds) {
    errors.invalid(path.child("expirationSeconds"), member_of(spec, "expirationSeconds"),
                   "may not specify a duration less than 600 seconds (10 minutes)");
  }
}

void validate_conditions(const Json& request, FieldErrors& errors) {
  const FieldPath path = FieldPath("status").child("conditions");
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Json& c : list_of(map_of(request, "status"), "conditions")) {
    const FieldPath at = path.index(i++);
    const auto type = text_of(c, "type"), status = text_of(c, "status");
    if (type.empty()) errors.required(at.child("type"));
    const bool only_true = is_decision(type) || type == kFailed;
    if (status.empty()) {
      errors.required(at.child("status"));
    } else if (only_true && status != "True") {
      errors.not_supported(at.child("status"), status, {"True"});
    } else if (status != "True" && status != "False" && status != "Unknown") {
      errors.not_supported(at.child("status"), status, {"False", "True", "Unknown"});
    }
    if ((type == kApproved && seen.count(kDenied) != 0) || (type == kDenied && seen.count(kApproved) != 0))
      errors.invalid(path, std::string(type), "Approved and Denied conditions are mutually exclusive");
    if (!seen.insert(type).second) errors.duplicate(at.child("type"), std::string(type));
  }
}

void validate_request(const Json& request, FieldErrors& errors) {
  validate_spec(request, errors);
  validate_conditions(request, errors);
}

/// What a write through one of the three resources may do.
struct Rights {
  bool decide = false;   // set Approved or Denied
  bool certify = false;  // set the certificate
};

void validate_change(const Json& request, const Json& old, const Rights& rights, FieldErrors& errors) {
  validate_request(request, errors);
  const FieldPath path = FieldPath("status").child("conditions");
  const auto forbid = [&](std::string_view verb, std::string_view type) {
    errors.forbidden(path, base::cat("updates may not ", verb, " a condition of type \"", type, "\""));
  };
  for (const char* type : {kApproved, kDenied, kFailed}) {
    const auto now = conditions_of(request, type), before = conditions_of(old, type);
    if (now.size() < before.size()) {
      forbid("remove", type);
    } else if (rights.decide || !is_decision(type)) {
      continue;
    } else if (now.size() > before.size()) {
      forbid("add", type);
    } else if (!std::equal(now.begin(), now.end(), before.begin(),
                           [](const Json* a, const Json* b) { return same(*a, *b); })) {
      forbid("modify", type);
    }
  }
  const auto certificate = text_of(map_of(request, "status"), "certificate");
  const auto certificate_before = text_of(map_of(old, "status"), "certificate");
  if (certificate == certificate_before) return;
  const FieldPath of_certificate = FieldPath("status").child("certificate");
  if (!rights.certify) {
    errors.forbidden(of_certificate, "updates may not set certificate content");
  } else if (!certificate_before.empty()) {
    errors.forbidden(of_certificate, "updates may not modify existing certificate content");
  }
}

// --- Preparing --------------------------------------------------------------------------------------

void fill_times(Json& request, const Json& old, base::WallTime now) {
  if (!has_items(map_of(request, "status"), "conditions")) return;
  each(child(request, "status"), "conditions", [&](Json& c) {
    const std::string text = base::format_time(now);
    if (!has(c, "lastUpdateTime")) put(c, "lastUpdateTime", text);
    if (has(c, "lastTransitionTime")) return;
    Json since = text;
    for (const Json* before : conditions_of(old, text_of(c, "type"))) {
      if (text_of(*before, "status") != text_of(c, "status") || !has(*before, "lastTransitionTime")) continue;
      since = member_of(*before, "lastTransitionTime");
      break;
    }
    put(c, "lastTransitionTime", std::move(since));
  });
}

/// Through /approval only conditions change.
void prepare_approval(Json& request, const Json& old, const StrategyContext& context) {
  fill_times(request, old, context.now);
  const Json conditions = member_of(map_of(request, "status"), "conditions");
  restore(request, old, "spec");
  restore(request, old, "status");
  if (conditions.is_null()) {
    if (has(request, "status")) drop(child(request, "status"), "conditions");
  } else {
    put(child(request, "status"), "conditions", conditions);
  }
}

/// Through /status decisions stay as they were, as long as none is added or taken away.
void prepare_status(Json& request, const Json& old, const StrategyContext& context) {
  restore(request, old, "spec");
  for (const char* type : {kApproved, kDenied}) {
    const auto before = conditions_of(old, type);
    if (before.empty() || before.size() != conditions_of(request, type).size()) continue;
    size_t i = 0;
    each(child(request, "status"), "conditions", [&](Json& c) {
      if (text_of(c, "type") == type) c = *before[i++];
    });
  }
  fill_times(request, old, context.now);
}

}  // namespace

Strategy certificate_request_strategy() {
  Strategy s;
  s.prepare_create = [](Json& request, const StrategyContext&) { drop(request, "status"); };
  s.prepare_update = [](Json& request, const Json& old, const StrategyContext&) {
    restore(request, old, "spec");
    restore(request, old, "status");
  };
  s.prepare_status_update = prepare_status;
  s.subresource_updates["approval"] = {prepare_approval,
                                       [](const Json& request, const Json& old, FieldErrors& errors) {
                                         validate_change(request, old, {true, false}, errors);
                                       }};
  s.validate = validate_request;
  s.validate_update = [](const Json& request, const Json& old, FieldErrors& errors) {
    validate_change(request, old, {}, errors);
  };
  s.validate_status_update = [](const Json& request, const Json& old, FieldErrors& errors) {
    validate_change(request, old, {false, true}, errors);
  };
  s.cells = signing_request_cells;
  s.validate_name = [](std::string_view, bool) { return std::vector<std::string>(); };
  return s;
}

}  // namespace orch::api
