// certificates.k8s.io: CertificateSigningRequest.
#include <algorithm>
#include <set>

#include "api/names.h"
#include "api/resources/kinds.h"
#include "api/resources/printers.h"
#include "api/resources/signer_names.h"
#include "base/json.h"
#include "pki/pki.h"
#include "pki/signing.h"

namespace orch::api {
namespace {

constexpr std::string_view kApproved = "Approved", kDenied = "Denied", kFailed = "Failed";
constexpr std::string_view kLegacySigner = "kubernetes.io/legacy-unknown";
constexpr int64_t kMinSeconds = 600;

/// Sorted, as the API lists what it supports.
const std::vector<std::string>& known_usages() {
  static const std::vector<std::string> usages = {"any",
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
  return usages;
}

const Json& conditions_of(const Json& request) { return base::array_at(request, {"status", "conditions"}); }

std::vector<Json> conditions_of_type(const Json& request, std::string_view type) {
  std::vector<Json> out;
  for (const Json& c : conditions_of(request)) {
    if (base::string_at(c, {"type"}) == type) out.push_back(c);
  }
  return out;
}

std::string decoded(std::string_view base64) {
  auto bytes = pki::base64_decode(base64);
  return bytes.ok() ? std::move(*bytes) : std::string();
}

/// What an object that is there already may go on having, because it was let in once.
struct Tolerated {
  bool both_decisions = false, legacy_signer = false, twice = false, no_type = false, any_usage = false,
       usage_twice = false, any_certificate = false;
};

bool has_twice(const Json& list, const char* key) {
  std::set<std::string_view> seen;
  for (const Json& item : list) {
    const std::string_view value =
        key == nullptr
            ? (item.is_string() ? std::string_view(item.get_ref<const std::string&>()) : std::string_view())
            : base::string_at(item, {key});
    if (!seen.insert(value).second) return true;
  }
  return false;
}

bool is_known_usage(const Json& usage) {
  const auto& known = known_usages();
  return usage.is_string() &&
         std::find(known.begin(), known.end(), usage.get_ref<const std::string&>()) != known.end();
}

std::string certificate_problem(const Json& request) {
  const std::string_view text = base::string_at(request, {"status", "certificate"});
  return text.empty() ? std::string() : pki::check_certificates(decoded(text)).message();
}

Tolerated tolerated(const Json& request, const Json& old) {
  Tolerated t;
  t.both_decisions = !conditions_of_type(old, kApproved).empty() && !conditions_of_type(old, kDenied).empty();
  t.legacy_signer = base::string_at(old, {"spec", "signerName"}) == kLegacySigner;
  t.twice = has_twice(conditions_of(old), "type");
  t.no_type = !conditions_of_type(old, "").empty();
  const Json& usages = base::array_at(old, {"spec", "usages"});
  t.any_usage = !std::all_of(usages.begin(), usages.end(), is_known_usage);
  t.usage_twice = has_twice(usages, nullptr);
  t.any_certificate = base::string_at(request, {"status", "certificate"}) ==
                          base::string_at(old, {"status", "certificate"}) ||
                      !certificate_problem(old).empty();
  return t;
}

void validate_conditions(const Json& request, const Tolerated& t, FieldErrors& errors) {
  const FieldPath path("status.conditions");
  std::set<std::string> seen;
  bool approved = false, denied = false;
  const Json& conditions = conditions_of(request);
  for (size_t i = 0; i < conditions.size(); ++i) {
    const FieldPath at = path.index(i);
    const std::string type(base::string_at(conditions[i], {"type"}));
    const std::string status(base::string_at(conditions[i], {"status"}));
    if (type.empty() && !t.no_type) errors.required(at.child("type"));
    const bool decision = type == kApproved || type == kDenied || type == kFailed;
    if (status.empty()) {
      errors.required(at.child("status"));
    } else if (status != "True" && (decision || (status != "False" && status != "Unknown"))) {
      errors.not_supported(
          at.child("status"), status,
          decision ? std::vector<std::string>{"True"} : std::vector<std::string>{"False", "True", "Unknown"});
    }
    approved |= type == kApproved;
    denied |= type == kDenied;
    if (!t.both_decisions && approved && denied && (type == kApproved || type == kDenied))
      errors.invalid(path, type, "Approved and Denied conditions are mutually exclusive");
    if (!seen.insert(type).second && !t.twice) errors.duplicate(at.child("type"), type);
  }
}

void validate_usages(const Json& request, const Tolerated& t, FieldErrors& errors) {
  const FieldPath path("spec.usages");
  const Json& usages = base::array_at(request, {"spec", "usages"});
  if (usages.empty()) errors.required(path);
  for (size_t i = 0; !t.any_usage && i < usages.size(); ++i) {
    if (!is_known_usage(usages[i]))
      errors.not_supported(path.index(i), usages[i].is_string() ? usages[i].get<std::string>() : "",
                           known_usages());
  }
  std::set<Json> seen;
  for (size_t i = 0; !t.usage_twice && i < usages.size(); ++i) {
    if (!seen.insert(usages[i]).second) errors.duplicate(path.index(i), usages[i]);
  }
}

void validate_request(const Json& request, const Tolerated& t, FieldErrors& errors) {
  const std::string text(base::string_at(request, {"spec", "request"}));
  if (auto csr = pki::parse_csr(decoded(text)); !csr.ok())
    errors.invalid(FieldPath("spec.request"), text.empty() ? Json() : Json(text), csr.error().message());
  validate_usages(request, t, errors);
  const std::string signer(base::string_at(request, {"spec", "signerName"}));
  if (!t.legacy_signer && signer == kLegacySigner) {
    errors.invalid(FieldPath("spec.signerName"), signer,
                   "the legacy signerName is not allowed via this API version");
  } else {
    validate_signer_name(signer, FieldPath("spec.signerName"), errors);
  }
  const Json* seconds = base::find_path(request, {"spec", "expirationSeconds"});
  if (seconds != nullptr && seconds->is_number_integer() && seconds->get<int64_t>() < kMinSeconds) {
    errors.invalid(FieldPath("spec.expirationSeconds"), *seconds,
                   "may not specify a duration less than 600 seconds (10 minutes)");
  }
  validate_conditions(request, t, errors);
  if (t.any_certificate) return;
  if (const std::string why = certificate_problem(request); !why.empty())
    errors.invalid(FieldPath("status.certificate"), "<certificate data>", why);
}

enum class Way : uint8_t { kMain, kStatus, kApproval };

template <Way kWay>
void validate_update(const Json& request, const Json& old, FieldErrors& errors) {
  validate_request(request, tolerated(request, old), errors);
  const FieldPath conditions("status.conditions"), certificate("status.certificate");
  for (const std::string_view type : {kApproved, kDenied, kFailed}) {
    if (conditions_of_type(request, type).size() < conditions_of_type(old, type).size())
      errors.forbidden(conditions, base::cat("updates may not remove a condition of type \"", type, "\""));
  }
  for (const std::string_view type : {kApproved, kDenied}) {
    if (kWay == Way::kApproval) break;
    const auto now = conditions_of_type(request, type), before = conditions_of_type(old, type);
    if (now.size() > before.size()) {
      errors.forbidden(conditions, base::cat("updates may not add a condition of type \"", type, "\""));
    } else if (now.size() == before.size() && now != before) {
      errors.forbidden(conditions, base::cat("updates may not modify a condition of type \"", type, "\""));
    }
  }
  const std::string_view was = base::string_at(old, {"status", "certificate"});
  if (base::string_at(request, {"status", "certificate"}) == was) return;
  if (kWay != Way::kStatus) {
    errors.forbidden(certificate, "updates may not set certificate content");
  } else if (!was.empty()) {
    errors.forbidden(certificate, "updates may not modify existing certificate content");
  }
}

/// Conditions that say no time are of now; the time of a transition stays as long as type and status do.
void fill_times(Json& request, const Json& old, base::WallTime now) {
  Json* conditions = request.contains("status") && request["status"].contains("conditions")
                         ? &request["status"]["conditions"]
                         : nullptr;
  if (conditions == nullptr || !conditions->is_array()) return;
  const std::string time = base::format_time(now);
  for (Json& c : *conditions) {
    if (!c.is_object()) continue;
    if (base::string_at(c, {"lastUpdateTime"}).empty()) c["lastUpdateTime"] = time;
    if (!base::string_at(c, {"lastTransitionTime"}).empty()) continue;
    c["lastTransitionTime"] = time;
    for (const Json& o : conditions_of(old)) {
      const std::string_view was = base::string_at(o, {"lastTransitionTime"});
      if (o["type"] != c["type"] || o["status"] != c["status"] || was.empty()) continue;
      c["lastTransitionTime"] = was;
      break;
    }
  }
}

void keep(Json& object, const Json& old, const char* key) {
  const auto it = old.find(key);
  if (it == old.end()) {
    object.erase(key);
  } else {
    object[key] = *it;
  }
}

/// Times that a client left out of a decision made before are no change of it.
void keep_decisions(Json& request, const Json& old) {
  for (const std::string_view type : {kApproved, kDenied}) {
    const std::vector<Json> before = conditions_of_type(old, type);
    if (before.size() != conditions_of_type(request, type).size() || before.empty()) continue;
    size_t next = 0;
    for (Json& c : request["status"]["conditions"]) {
      if (base::string_at(c, {"type"}) == type) c = before[next++];
    }
  }
}

/// Who asks was written by admission, which knows more of the user.
void prepare_create(Json& request, const StrategyContext& /*context*/) { request["status"] = Json::object(); }

void prepare_approval(Json& request, const Json& old, const StrategyContext& context) {
  fill_times(request, old, context.now);
  Json conditions = conditions_of(request);
  keep(request, old, "spec");
  keep(request, old, "status");
  request["status"]["conditions"] = std::move(conditions);
}

}  // namespace

Strategy certificate_request_strategy() {
  Strategy s;
  s.cells = signing_request_cells;
  s.validate_name = check_name_is_path_segment;
  s.prepare_create = prepare_create;
  s.prepare_update = [](Json& request, const Json& old, const StrategyContext&) {
    keep(request, old, "spec");
    keep(request, old, "status");
  };
  s.prepare_status_update = [](Json& request, const Json& old, const StrategyContext& context) {
    keep(request, old, "spec");
    keep_decisions(request, old);
    fill_times(request, old, context.now);
  };
  s.validate = [](const Json& request, FieldErrors& errors) { validate_request(request, {}, errors); };
  s.validate_update = validate_update<Way::kMain>;
  s.validate_status_update = validate_update<Way::kStatus>;
  s.subresource_updates["approval"] = {prepare_approval, validate_update<Way::kApproval>};
  return s;
}

}  // namespace orch::api
