// The list metadata.managedFields: read, written, chosen and kept short.
#include "api/fieldmanager/managed_fields.h"

#include <algorithm>
#include <tuple>

#include "api/fieldmanager/ownership.h"
#include "api/go_text.h"
#include "api/scan.h"
#include "base/json.h"

namespace orch::api {

using base::Code;
using base::Result;
using base::Status;

namespace {

constexpr size_t kMaxManager = 128;
constexpr size_t kMaxUpdateManagers = 10;
constexpr std::string_view kOldUpdates = "ancient-changes";

Status invalid(std::string_view why) { return {Code::kBadRequest, std::string(why)}; }

Result<ManagedEntry> parse_entry(JsonScanner& scanner) {
  ManagedEntry out;
  std::string operation;
  std::string fields_type;
  std::string_view fields = "{}";
  const bool read = scan_object(scanner, [&](std::string_view key) {
    std::string_view raw;
    if (!scanner.value(raw)) return false;
    if (key == "manager") out.manager = scalar_text(raw);
    if (key == "operation") operation = scalar_text(raw);
    if (key == "apiVersion") out.api_version = scalar_text(raw);
    if (key == "subresource") out.subresource = scalar_text(raw);
    if (key == "time") out.time = scalar_text(raw);
    if (key == "fieldsType") fields_type = scalar_text(raw);
    if (key == "fieldsV1" && raw != "null") fields = raw;
    return true;
  });
  if (!read) return invalid("managedFields are no list of objects");
  if (operation != "Apply" && operation != "Update") return invalid("operation must be `Apply` or `Update`");
  if (out.api_version.empty()) return invalid("apiVersion must not be empty");
  if (fields_type != "FieldsV1") return invalid("fieldsType must be FieldsV1");
  out.applied = operation == "Apply";
  auto set = FieldSet::parse(fields);
  if (!set.ok()) return set.error();
  out.set = std::move(*set);
  return out;
}

void member(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (out.back() != '{') out += ',';
  out += base::cat("\"", name, "\":");
  append_json_string(out, value);
}

bool is_printable(std::string_view rune) {
  return rune == "\"" || rune == "\\" || go_quote(rune).size() == rune.size() + 2;
}

}  // namespace

bool ManagedEntry::same_owner(const ManagedEntry& other) const {
  // Who applies is one owner in all versions.
  return applied == other.applied && manager == other.manager && subresource == other.subresource &&
         (applied || api_version == other.api_version);
}

std::string ManagedEntry::identifier() const {
  std::string out = "{";
  member(out, "manager", manager);
  member(out, "operation", applied ? "Apply" : "Update");
  if (!applied) member(out, "apiVersion", api_version);
  member(out, "subresource", subresource);
  return out + "}";
}

ManagedEntry* find_owner(ManagedEntries& entries, const ManagedEntry& owner) {
  for (ManagedEntry& entry : entries) {
    if (entry.same_owner(owner)) return &entry;
  }
  return nullptr;
}

void drop_empty(ManagedEntries& entries) {
  std::erase_if(entries, [](const ManagedEntry& entry) { return entry.set.empty(); });
}

Result<ManagedEntries> parse_managed_fields(std::string_view json) {
  ManagedEntries out;
  if (json.empty() || json == "null") return out;
  JsonScanner scanner(json);
  Status problem;
  const bool read = scan_array(scanner, [&] {
    auto entry = parse_entry(scanner);
    if (!entry.ok()) {
      problem = entry.error();
      return false;
    }
    if (ManagedEntry* known = find_owner(out, *entry)) {
      *known = std::move(*entry);
    } else {
      out.push_back(std::move(*entry));
    }
    return true;
  });
  if (!problem.ok()) return problem;
  if (!read) return invalid("managedFields are no list");
  return out;
}

std::string managed_fields_json(ManagedEntries entries) {
  if (entries.empty()) return {};
  std::sort(entries.begin(), entries.end(), [](const ManagedEntry& a, const ManagedEntry& b) {
    if (a.applied != b.applied) return a.applied;
    return std::tie(a.time, a.manager, a.api_version, a.subresource) <
           std::tie(b.time, b.manager, b.api_version, b.subresource);
  });
  std::string out = "[";
  for (const ManagedEntry& entry : entries) {
    out += out.size() == 1 ? "{" : ",{";
    member(out, "manager", entry.manager);
    member(out, "operation", entry.applied ? "Apply" : "Update");
    member(out, "apiVersion", entry.api_version);
    member(out, "time", entry.time);
    member(out, "fieldsType", "FieldsV1");
    out += ",\"fieldsV1\":";
    out += entry.set.json();
    member(out, "subresource", entry.subresource);
    out += '}';
  }
  return out + "]";
}

ManagedEntries choose_managed_fields(const Json* sent, std::string_view stored, bool subresource) {
  if (!subresource && sent != nullptr && sent->is_array()) {
    const bool reset =
        sent->empty() || (sent->size() == 1 && sent->front().is_object() && sent->front().empty());
    if (reset) return {};
    auto given = parse_managed_fields(base::dump_json(*sent));
    if (given.ok() && !given->empty()) return std::move(*given);
  }
  auto known = parse_managed_fields(stored);
  return known.ok() ? std::move(*known) : ManagedEntries();
}

void cap_update_managers(ManagedEntries& entries) {
  const auto is_update = [](const ManagedEntry& entry) { return !entry.applied; };
  auto left = static_cast<size_t>(std::count_if(entries.begin(), entries.end(), is_update));
  if (left <= kMaxUpdateManagers) return;
  // The oldest ones become one for each version.
  std::vector<ManagedEntry> oldest;
  std::copy_if(entries.begin(), entries.end(), std::back_inserter(oldest), is_update);
  std::sort(oldest.begin(), oldest.end(), [](const ManagedEntry& a, const ManagedEntry& b) {
    return a.time != b.time ? a.time < b.time : a.identifier() < b.identifier();
  });
  std::vector<const ManagedEntry*> first;  // of each version
  for (const ManagedEntry& entry : oldest) {
    if (left <= kMaxUpdateManagers) break;
    const auto same = std::find_if(first.begin(), first.end(), [&](const ManagedEntry* known) {
      return known->api_version == entry.api_version;
    });
    if (same == first.end()) {
      first.push_back(&entry);
      continue;
    }
    ManagedEntry bucket;
    bucket.manager = kOldUpdates;
    bucket.api_version = entry.api_version;
    if (find_owner(entries, bucket) == nullptr) {
      ManagedEntry* begin = find_owner(entries, **same);
      begin->manager = bucket.manager;
      begin->subresource.clear();
    }
    ManagedEntry* into = find_owner(entries, bucket);
    into->set = into->set.united(entry.set);
    into->time = entry.time;
    std::erase_if(entries, [&](const ManagedEntry& e) { return e.same_owner(entry); });
    --left;
  }
}

std::string manager_of_user_agent(std::string_view user_agent) {
  const std::string_view name = user_agent.substr(0, user_agent.find('/'));
  std::string out;
  for (size_t i = 0; i < name.size();) {
    const auto lead = static_cast<unsigned char>(name[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const std::string_view rune = name.substr(i, length);
    i += length;
    if (!is_printable(rune)) continue;
    if (out.size() + rune.size() > kMaxManager) break;
    out += rune;
  }
  return out;
}

}  // namespace orch::api
