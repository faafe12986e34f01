#include "api/resources/service_families.h"

#include "api/resources/ip.h"
#include "api/resources/service_validation.h"
#include "api/resources/tree.h"
#include "base/json.h"

namespace orch::api {
namespace {

const FieldPath kSpec("spec");

bool is_policy(const Json& spec, std::string_view policy) {
  return text_of(spec, "ipFamilyPolicy") == policy;
}

bool is_external_name(const Json& spec) { return text_of(spec, "type") == "ExternalName"; }

/// Headless, and somebody else says where it leads: every family is welcome.
bool is_free(const Json& spec) {
  return text_of(spec, "clusterIP") == "None" && map_of(spec, "selector").empty();
}

/// Whoever preferred two families and changes nothing about them keeps what there is.
bool keeps_preference(const Json& spec, const Json& old) {
  constexpr std::string_view kPrefer = "PreferDualStack";
  if (!is_policy(spec, kPrefer) || (has(old, "ipFamilyPolicy") && !is_policy(old, kPrefer))) return false;
  return text_of(spec, "type") == text_of(old, "type") && same_member(spec, old, "clusterIPs") &&
         same_member(spec, old, "ipFamilies");
}

void default_policy(Json& spec, const Json* old) {
  if (has(spec, "ipFamilyPolicy")) return;
  if (old != nullptr && has(*old, "ipFamilyPolicy")) return restore(spec, *old, "ipFamilyPolicy");
  put(spec, "ipFamilyPolicy", is_free(spec) ? "RequireDualStack" : "SingleStack");
}

/// With one family alone the second of each list goes, unless the client set the lists.
void compare_with_old(Json& spec, const Json& old, FieldErrors& errors) {
  const bool single = is_policy(spec, "SingleStack");
  for (const auto& [key, what] :
       {std::pair{"clusterIPs", "cluster IP"}, std::pair{"ipFamilies", "IP family"}}) {
    const Json& now = list_of(spec, key);
    if (single && now.size() > 1 && same_member(spec, old, key)) {
      Json first = Json::array({now[0]});
      put(spec, key, std::move(first));
    } else if (!single && !now.empty() && now.size() < list_of(old, key).size()) {
      errors.invalid(kSpec.child("ipFamilyPolicy"), member_of(spec, "ipFamilyPolicy"),
                     base::cat("must be 'SingleStack' to release the secondary ", what));
    }
  }
}

void check_single(const Json& spec, FieldErrors& errors) {
  if (!is_policy(spec, "SingleStack")) return;
  for (const auto& [key, what] :
       {std::pair{"clusterIPs", "cluster IPs"}, std::pair{"ipFamilies", "IP families"}}) {
    if (list_of(spec, key).size() != 2) continue;
    errors.invalid(
        kSpec.child("ipFamilyPolicy"), member_of(spec, "ipFamilyPolicy"),
        base::cat("must be 'RequireDualStack' or 'PreferDualStack' when multiple ", what, " are specified"));
  }
}

/// Families that addresses asked for belong to.
void infer_families(Json& spec, std::string_view family, FieldErrors& errors) {
  Json families = list_of(spec, "ipFamilies");
  const Json& ips = list_of(spec, "clusterIPs");
  for (size_t i = 0; i < ips.size() && text(ips[i]) != "None"; ++i) {
    if (i < families.size()) continue;
    const auto ip = Ip::parse(text(ips[i]));
    const std::string_view own = ip && ip->v4() ? "IPv4" : "IPv6";
    if (own == family) {
      families.push_back(std::string(own));
    } else {
      errors.invalid(kSpec.child("clusterIPs").index(i), ips,
                     base::cat(own, " is not configured on this cluster"));
    }
  }
  if (!families.empty()) put(spec, "ipFamilies", std::move(families));
}

void default_family(Json& spec, std::string_view family) {
  if (list_of(spec, "ipFamilies").empty()) put(spec, "ipFamilies", Json::array({std::string(family)}));
}

}  // namespace

FieldErrors settle_ip_families(Json& service, const Json* old_service, std::string_view family) {
  FieldErrors errors;
  Json& spec = child(service, "spec");
  const Json* old = old_service != nullptr ? &map_of(*old_service, "spec") : nullptr;
  if (is_external_name(spec) || (old != nullptr && keeps_preference(spec, *old))) return errors;
  default_policy(spec, old);
  validate_service_addresses(spec, old, errors);
  if (!errors.empty()) return errors;
  if (old != nullptr) compare_with_old(spec, *old, errors);
  check_single(spec, errors);
  infer_families(spec, family, errors);
  if (!errors.empty()) return errors;
  if (is_free(spec)) {
    default_family(spec, family);
    Json& families = spec["ipFamilies"];
    if (families.size() < 2 && !is_policy(spec, "SingleStack"))
      families.push_back(families[0] == "IPv4" ? "IPv6" : "IPv4");
    return errors;
  }
  if (is_policy(spec, "RequireDualStack")) {
    errors.invalid(kSpec.child("ipFamilyPolicy"), "RequireDualStack",
                   "this cluster is not configured for dual-stack services");
  }
  const Json& families = list_of(spec, "ipFamilies");
  for (size_t i = 0; i < families.size(); ++i) {
    if (text(families[i]) == family) continue;
    errors.invalid(kSpec.child("ipFamilies").index(i), families[i], "not configured on this cluster");
  }
  if (errors.empty()) default_family(spec, family);
  return errors;
}

}  // namespace orch::api
