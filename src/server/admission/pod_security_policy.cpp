#include "server/admission/pod_security_policy.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "api/go_text.h"
#include "api/names.h"
#include "base/json.h"
#include "server/admission/pod_security_checks.h"

namespace orch::server::pod_security {
namespace {

constexpr int kNewest = 35;  // nothing changed since: later versions mean this one
const std::string kPrefix = "pod-security.kubernetes.io/";

constexpr std::string_view kNames[] = {"privileged", "baseline", "restricted"};

class LabelReader {
 public:
  LabelReader(const Json& labels, api::FieldErrors& errors) : labels_(labels), errors_(errors) {}

  /// True when the label is there and good.
  bool read_level(const std::string& mode, Level fallback, Level& level) {
    const std::string* text = find(kPrefix + mode);
    if (text == nullptr) return false;
    if (parse_level(*text, level)) return true;
    level = fallback;
    complain(kPrefix + mode, *text, "must be one of privileged, baseline, restricted");
    return false;
  }

  void read_version(const std::string& mode, int& minor) {
    const std::string key = kPrefix + mode + "-version";
    const std::string* text = find(key);
    if (text == nullptr || parse_version(*text, minor)) return;
    minor = LevelVersion::kLatest;
    complain(key, *text, "must be \"latest\" or \"v1.x\"");
  }

  bool has(const std::string& name) const { return find(kPrefix + name) != nullptr; }

 private:
  const std::string* find(const std::string& key) const {
    const Json* value = base::find_path(labels_, {key});
    return value != nullptr && value->is_string() ? &value->get_ref<const std::string&>() : nullptr;
  }
  void complain(const std::string& key, const std::string& value, std::string_view detail) {
    errors_.invalid(api::FieldPath("metadata.labels").key(key), value, detail);
  }

  const Json& labels_;
  api::FieldErrors& errors_;
};

/// Of each check the newest form that is not newer than `minor`.
std::vector<const Check*> at_version(const std::vector<Check>& checks, int minor) {
  std::vector<const Check*> out;
  for (const Check& check : checks) {
    if (check.since > minor) continue;
    if (!out.empty() && out.back()->id == check.id) {
      out.back() = &check;
    } else {
      out.push_back(&check);
    }
  }
  return out;
}

/// Adds what is wrong with a list of exemptions; gives the list.
template <typename Check>
std::vector<std::string> read_exemptions(const Json& configuration, const char* name, Check check,
                                         api::FieldErrors& errors) {
  std::vector<std::string> out;
  const Json& list = base::array_at(configuration, {"exemptions", name});
  for (size_t i = 0; i < list.size(); ++i) {
    const api::FieldPath path = api::FieldPath("exemptions").child(name).index(i);
    const std::string value = list[i].is_string() ? list[i].get<std::string>() : std::string();
    const std::string why = check(value);
    if (!why.empty()) {
      errors.invalid(path, value, why);
    } else if (std::find(out.begin(), out.end(), value) != out.end()) {
      errors.duplicate(path, value);
    } else {
      out.push_back(value);
    }
  }
  return out;
}

void read_default(const Json& configuration, const std::string& mode, LevelVersion& out,
                  api::FieldErrors& errors) {
  const Json& defaults = base::object_at(configuration, {"defaults"});
  const std::string_view level = base::string_at(defaults, {mode}, "privileged");
  const std::string_view version = base::string_at(defaults, {mode + "-version"}, "latest");
  const api::FieldPath path("defaults");
  if (!parse_level(level, out.level))
    errors.invalid(path.child(mode), std::string(level), "must be one of privileged, baseline, restricted");
  if (!parse_version(version, out.minor))
    errors.invalid(path.child(mode + "-version"), std::string(version), "must be \"latest\" or \"v1.x\"");
}

}  // namespace

bool parse_level(std::string_view text, Level& level) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (text == kNames[i]) {
      level = static_cast<Level>(i);
      return true;
    }
  }
  return false;
}

bool parse_version(std::string_view text, int& minor) {
  minor = LevelVersion::kLatest;
  if (text == "latest") return true;
  if (!text.starts_with("v1.")) return false;
  text.remove_prefix(3);
  if (text.empty() || (text.size() > 1 && text[0] == '0') || text[0] < '0' || text[0] > '9') return false;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  minor = value;
  return true;
}

base::Result<Settings> parse_settings(const Json& configuration) {
  Settings s;
  api::FieldErrors errors;
  read_default(configuration, "enforce", s.defaults.enforce, errors);
  read_default(configuration, "warn", s.defaults.warn, errors);
  read_default(configuration, "audit", s.defaults.audit, errors);
  s.exempt_namespaces = read_exemptions(
      configuration, "namespaces",
      [](const std::string& v) { return api::join(api::check_dns1123_label(v), ", "); }, errors);
  s.exempt_runtime_classes = read_exemptions(
      configuration, "runtimeClasses",
      [](const std::string& v) { return api::join(api::check_dns1123_subdomain(v), ", "); }, errors);
  s.exempt_users = read_exemptions(
      configuration, "usernames",
      [](const std::string& v) { return std::string(v.empty() ? "username must not be empty" : ""); },
      errors);
  if (!errors.empty()) return base::Status(base::Code::kBadRequest, errors.text());
  return s;
}

std::string LevelVersion::text() const {
  return base::cat(kNames[static_cast<size_t>(level)], ":",
                   minor == kLatest ? std::string("latest") : base::cat("v1.", minor));
}

Policy policy_of(const Json& labels, const Policy& defaults, api::FieldErrors& errors) {
  Policy p = defaults;
  LabelReader reader(labels, errors);
  const bool enforced = reader.read_level("enforce", Level::kRestricted, p.enforce.level);
  reader.read_version("enforce", p.enforce.minor);
  reader.read_level("audit", Level::kPrivileged, p.audit.level);
  reader.read_version("audit", p.audit.minor);
  reader.read_level("warn", Level::kPrivileged, p.warn.level);
  reader.read_version("warn", p.warn.minor);
  // Whoever enforces a level is warned of it too, unless told otherwise.
  if (enforced && !reader.has("warn") && p.enforce.level > p.warn.level) {
    p.warn.level = p.enforce.level;
    if (!reader.has("warn-version")) p.warn.minor = p.enforce.minor;
  }
  return p;
}

std::vector<Violation> violations(const LevelVersion& level, const Json& annotations, const Json& spec) {
  std::vector<Violation> out;
  if (level.level == Level::kPrivileged) return out;
  const int minor = level.minor == LevelVersion::kLatest ? kNewest : std::min(level.minor, kNewest);
  PodView pod{annotations, spec, {}};
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    for (const Json& container : base::array_at(spec, {list})) pod.containers.push_back(&container);
  }
  std::vector<const Check*> checks = at_version(baseline_checks(), minor);
  if (level.level == Level::kRestricted) {
    const std::vector<const Check*> stricter = at_version(restricted_checks(), minor);
    for (const Check* check : stricter) {
      std::erase_if(checks, [&](const Check* b) { return b->id == check->overrides; });
    }
    checks.insert(checks.end(), stricter.begin(), stricter.end());
  }
  for (const Check* check : checks) {
    if (std::optional<Violation> v = check->function(pod)) out.push_back(std::move(*v));
  }
  return out;
}

std::string describe(const std::vector<Violation>& violations) {
  std::vector<std::string> parts;
  parts.reserve(violations.size());
  for (const Violation& v : violations) {
    parts.push_back(v.detail.empty() ? v.reason : base::cat(v.reason, " (", v.detail, ")"));
  }
  return api::join(parts, ", ");
}

std::string reasons(const std::vector<Violation>& violations) {
  std::vector<std::string> parts;
  parts.reserve(violations.size());
  for (const Violation& v : violations) parts.push_back(v.reason);
  return api::join(parts, ", ");
}

}  // namespace orch::server::pod_security
