#include "server/feature_gates.h"

#include <optional>

#include "embed/feature_gates.h"

namespace orch::server {

using base::Code;
using base::Status;

namespace {

struct Gate {
  bool enabled = false, locked = false;
};

/// Looks the gate up in the embedded list; this runs once, at the start.
std::optional<Gate> find_gate(std::string_view name) {
  if (name == "AllAlpha" || name == "AllBeta") return Gate{};
  std::string_view text = embedded::feature_gates();
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.size() <= name.size() || line.substr(0, name.size()) != name || line[name.size()] != '\t')
      continue;
    const std::string_view rest = line.substr(name.size() + 1);
    return Gate{rest.substr(0, 4) == "true", rest.ends_with("\tlocked")};
  }
  return std::nullopt;
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

Status bad(std::string why) { return Status(Code::kBadRequest, std::move(why)); }

Status check_gate(std::string_view name, std::string_view value) {
  const std::optional<Gate> gate = find_gate(name);
  if (!gate) return bad(base::cat("unrecognized feature gate: ", name));
  if (value != "true" && value != "false")
    return bad(base::cat("invalid value of ", name, "=", value, ", err: it is neither true nor false"));
  if ((value == "true") == gate->enabled) return {};
  const std::string_view fixed = gate->enabled ? "true" : "false";
  if (gate->locked)
    return bad(base::cat("cannot set feature gate ", name, " to ", value, ", feature is locked to ", fixed));
  return bad(base::cat("feature gate ", name, " cannot be set to ", value, ": orch has it ", fixed,
                       " and does not switch it"));
}

}  // namespace

Status check_feature_gates(std::string_view text) {
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(item.size() + 1, text.size()));
    if (trim(item).empty()) continue;
    const size_t eq = item.find('=');
    if (eq == std::string_view::npos) return bad(base::cat("missing bool value for ", trim(item)));
    ORCH_RETURN_IF_ERROR(check_gate(trim(item.substr(0, eq)), trim(item.substr(eq + 1))));
  }
  return {};
}

}  // namespace orch::server
