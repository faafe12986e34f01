#include "server/auth/rbac_rule.h"

#include <algorithm>

#include "api/go_text.h"
#include "base/json.h"

namespace orch::server {
namespace {

using Strings = std::vector<std::string>;

bool has(const Strings& set, std::string_view value) {
  return std::any_of(set.begin(), set.end(), [&](const std::string& s) { return s == value; });
}

bool has_or_star(const Strings& set, std::string_view value) {
  return std::any_of(set.begin(), set.end(), [&](const std::string& s) { return s == value || s == "*"; });
}

bool resource_matches(const Strings& resources, std::string_view path, std::string_view subresource) {
  for (const std::string& r : resources) {
    if (r == "*" || r == path) return true;
    if (!subresource.empty() && r.size() == subresource.size() + 2 && r.starts_with("*/") &&
        r.ends_with(subresource)) {
      return true;
    }
  }
  return false;
}

/// A trailing * (any number of them) matches any rest.
bool url_covers(std::string_view pattern, std::string_view url) {
  if (pattern == url) return true;
  if (!pattern.ends_with('*')) return false;
  while (pattern.ends_with('*')) pattern.remove_suffix(1);
  return url.starts_with(pattern);
}

Strings strings_at(const Json& tree, std::string_view key) {
  Strings out;
  for (const Json& v : base::array_at(tree, {key})) {
    if (v.is_string()) out.push_back(v.get<std::string>());
  }
  return out;
}

std::string quoted_list(const Strings& values) {
  std::string out = "[";
  for (const std::string& v : values) {
    if (out.size() > 1) out += ' ';
    out += api::go_quote(v);
  }
  return out + "]";
}

std::vector<PolicyRule> break_down(const PolicyRule& rule) {
  std::vector<PolicyRule> out;
  for (const std::string& group : rule.api_groups) {
    for (const std::string& resource : rule.resources) {
      for (const std::string& verb : rule.verbs) {
        if (rule.resource_names.empty()) out.push_back({{verb}, {group}, {resource}, {}, {}});
        for (const std::string& name : rule.resource_names) {
          out.push_back({{verb}, {group}, {resource}, {name}, {}});
        }
      }
    }
  }
  for (const std::string& url : rule.non_resource_urls) {
    for (const std::string& verb : rule.verbs) out.push_back({{verb}, {}, {}, {}, {url}});
  }
  return out;
}

/// `part` has at most one value of each.
bool covers(const PolicyRule& held, const PolicyRule& part) {
  if (!part.verbs.empty() && !has_or_star(held.verbs, part.verbs[0])) return false;
  if (!part.non_resource_urls.empty()) {
    const std::string& url = part.non_resource_urls[0];
    return std::any_of(held.non_resource_urls.begin(), held.non_resource_urls.end(),
                       [&](const std::string& own) { return url_covers(own, url); });
  }
  if (!has_or_star(held.api_groups, part.api_groups[0])) return false;
  const std::string& resource = part.resources[0];
  if (!has_or_star(held.resources, resource)) {
    const size_t slash = resource.find('/');
    if (slash == std::string::npos || !has(held.resources, "*" + resource.substr(slash))) return false;
  }
  if (held.resource_names.empty()) return true;
  return !part.resource_names.empty() && has(held.resource_names, part.resource_names[0]);
}

}  // namespace

bool PolicyRule::allows(const Attributes& a, std::string_view path) const {
  if (!has_or_star(verbs, a.verb)) return false;
  if (!a.resource_request) {
    return std::any_of(non_resource_urls.begin(), non_resource_urls.end(),
                       [&](const std::string& pattern) { return url_covers(pattern, a.path); });
  }
  return has_or_star(api_groups, a.group) && resource_matches(resources, path, a.subresource) &&
         (resource_names.empty() || has(resource_names, a.name));
}

std::string PolicyRule::compact_text() const {
  std::string out;
  const auto add = [&out](std::string_view label, const Strings& values) {
    if (values.empty()) return;
    if (!out.empty()) out += ", ";
    out += base::cat(label, ":", quoted_list(values));
  };
  add("APIGroups", api_groups);
  add("Resources", resources);
  add("NonResourceURLs", non_resource_urls);
  add("ResourceNames", resource_names);
  add("Verbs", verbs);
  return "{" + out + "}";
}

PolicyRule rule_from_json(const Json& rule) {
  return {strings_at(rule, "verbs"), strings_at(rule, "apiGroups"), strings_at(rule, "resources"),
          strings_at(rule, "resourceNames"), strings_at(rule, "nonResourceURLs")};
}

Json rule_to_json(const PolicyRule& rule) {
  Json out = Json::object();
  if (!rule.api_groups.empty()) out["apiGroups"] = rule.api_groups;
  if (!rule.non_resource_urls.empty()) out["nonResourceURLs"] = rule.non_resource_urls;
  if (!rule.resource_names.empty()) out["resourceNames"] = rule.resource_names;
  if (!rule.resources.empty()) out["resources"] = rule.resources;
  out["verbs"] = rule.verbs;
  return out;
}

std::vector<PolicyRule> rules_of(const Json& role) {
  std::vector<PolicyRule> out;
  out.reserve(base::array_at(role, {"rules"}).size());
  for (const Json& rule : base::array_at(role, {"rules"})) out.push_back(rule_from_json(rule));
  return out;
}

std::string resource_path(const Attributes& a) {
  return a.subresource.empty() ? a.resource : base::cat(a.resource, "/", a.subresource);
}

std::vector<PolicyRule> uncovered_rules(const std::vector<PolicyRule>& held,
                                        const std::vector<PolicyRule>& wanted) {
  std::vector<PolicyRule> out;
  for (const PolicyRule& rule : wanted) {
    for (PolicyRule& part : break_down(rule)) {
      const bool covered =
          std::any_of(held.begin(), held.end(), [&](const PolicyRule& own) { return covers(own, part); });
      if (!covered) out.push_back(std::move(part));
    }
  }
  return out;
}

std::vector<PolicyRule> compact_rules(const std::vector<PolicyRule>& rules) {
  std::vector<PolicyRule> out;
  const auto is_simple = [](const PolicyRule& r) {
    return r.resource_names.size() <= 1 && r.non_resource_urls.empty() && r.api_groups.size() == 1 &&
           r.resources.size() == 1;
  };
  for (const PolicyRule& rule : rules) {
    PolicyRule* same = nullptr;
    if (is_simple(rule)) {
      for (PolicyRule& r : out) {
        if (is_simple(r) && r.api_groups == rule.api_groups && r.resources == rule.resources &&
            r.resource_names == rule.resource_names) {
          same = &r;
          break;
        }
      }
    }
    if (same != nullptr) {
      same->verbs.insert(same->verbs.end(), rule.verbs.begin(), rule.verbs.end());
    } else {
      out.push_back(rule);
    }
  }
  return out;
}

}  // namespace orch::server
