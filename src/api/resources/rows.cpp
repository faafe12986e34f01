// Reads the table of built-in resources; tools/fieldtable/README.md describes its records.
#include <charconv>

#include "api/resources/conversion.h"
#include "api/resources/resource.h"
#include "api/resources/strategies.h"
#include "api/schema/schema.h"

namespace orch::api {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string plain(const std::string& word) { return word == "-" ? std::string() : word; }

std::vector<std::string> list(const std::string& word) {
  return word == "-" ? std::vector<std::string>() : split(word, ',');
}

/// "-/v1" -> {"", "v1"}
std::pair<std::string, std::string> group_version(const std::string& word) {
  const size_t slash = word.find('/');
  if (slash == std::string::npos) return {};
  return {plain(word.substr(0, slash)), word.substr(slash + 1)};
}

int number(const std::string& word) {
  int value = 0;
  std::from_chars(word.data(), word.data() + word.size(), value);
  return value;
}

class RowReader {
 public:
  explicit RowReader(const Schema& schema) : schema_(schema) {}

  base::Result<BuiltinRows> read(std::string_view text) {
    size_t line_number = 0;
    for (const std::string& line : split(text, '\n')) {
      ++line_number;
      if (line.empty() || line[0] == '#') continue;
      const char* problem = read_line(split(line, '\t'));
      if (problem == nullptr) continue;
      return base::Status(base::Code::kInternal,
                          base::cat("table of resources, line ", line_number, ": ", problem));
    }
    finish_row();
    return std::move(out_);
  }

 private:
  using Words = std::vector<std::string>;

  /// Null, or what is wrong.
  const char* read_line(const Words& words) {
    if (words[0] == "G") return read_group(words);
    if (words[0] == "R") return read_resource(words);
    if (words[0] == "C") return read_column(words);
    if (words[0] == "S") return read_subresource(words);
    return "unknown record";
  }

  const char* read_group(const Words& words) {
    if (words.size() != 5) return "a group has four fields";
    out_.group_versions.push_back({plain(words[1]), words[2], number(words[3]), number(words[4])});
    return nullptr;
  }

  const char* read_resource(const Words& words) {
    if (words.size() != 12) return "a resource has eleven fields";
    finish_row();
    row_ = std::make_shared<Resource>();
    Resource& row = *row_;
    row.group = plain(words[1]);
    row.version = words[2];
    row.kind = words[3];
    row.list_kind = row.kind + "List";
    row.plural = words[4];
    row.singular = words[5];
    row.namespaced = words[6] == "N";
    row.short_names = list(words[7]);
    row.categories = list(words[8]);
    row.verbs = list(words[9]);
    row.stored = row.has_verb("create") && row.has_verb("get");
    const auto [storage_group, storage_version] = group_version(words[10]);
    if (storage_version.empty()) return "the storage version is none";
    row.storage_version = storage_group == row.group && storage_version == row.version;
    row.storage_group = storage_group;
    row.storage_hash = plain(words[11]);
    row.set_key_prefix();
    if (!row.storage_version) row.conversion = conversion_for(row.group, row.version, row.kind);
    row.selectable_fields = selectable_fields_of(row.group, row.kind);
    row.type = schema_.kind(row.group, row.version, row.kind);
    if (row.type == nullptr) return "the schema does not have this kind";
    row.strategy = strategy_for(row.group, row.kind, schema_);
    return nullptr;
  }

  const char* read_column(const Words& words) {
    if (row_ == nullptr || words.size() != 5) return "a column has four fields and belongs to a resource";
    PrinterColumn column;
    column.name = words[1];
    column.type = words[2];
    column.format = plain(words[3]);
    column.priority = number(words[4]);
    row_->columns.push_back(std::move(column));
    return nullptr;
  }

  const char* read_subresource(const Words& words) {
    if (row_ == nullptr || words.size() != 5)
      return "a subresource has four fields and belongs to a resource";
    Subresource sub;
    sub.name = words[1];
    std::tie(sub.group, sub.version) =
        words[2] == "-" ? std::pair(row_->group, row_->version) : group_version(words[2]);
    sub.kind = words[3];
    sub.verbs = list(words[4]);
    row_->subresources.push_back(std::move(sub));
    return nullptr;
  }

  void finish_row() {
    if (row_ == nullptr) return;
    if (row_->columns.empty() && row_->has_verb("get")) {
      row_->columns = {{"Name", "string", "name", "", 0}, {"Created At", "date", "", "", 0}};
    }
    out_.rows.push_back(std::move(row_));
  }

  const Schema& schema_;
  BuiltinRows out_;
  std::shared_ptr<Resource> row_;
};

}  // namespace

base::Result<BuiltinRows> parse_rows(std::string_view text, const Schema& schema) {
  return RowReader(schema).read(text);
}

IndexedFields selectable_fields_of(std::string_view group, std::string_view kind) {
  if (group.empty() && kind == "Pod") {
    return {"spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            {"spec.hostNetwork", "spec.hostNetwork", "false"},
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName"};
  }
  if (kind == "Event" && (group.empty() || group == "events.k8s.io")) {
    const bool core = group.empty();
    const std::string object = core ? "involvedObject." : "regarding.";
    IndexedFields fields;
    for (const char* part :
         {"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"}) {
      fields.emplace_back(object + part, base::cat("involvedObject.", part));
    }
    fields.emplace_back("reason");
    fields.emplace_back(core ? "reportingComponent" : "reportingController", "reportingComponent");
    fields.emplace_back(core ? "source" : "", "source.component", "", "reportingComponent");
    fields.emplace_back("type");
    return fields;
  }
  struct Row {
    std::string_view group, kind;
    IndexedFields fields;
  };
  static const std::vector<Row> rows = {
      {"", "Node", {{"spec.unschedulable", "spec.unschedulable", "false"}}},
      {"", "Namespace", {"status.phase"}},
      {"", "Secret", {"type"}},
      {"", "Service", {"spec.clusterIP", "spec.type"}},
      {"", "ReplicationController", {{"status.replicas", "status.replicas", "0"}}},
      {"batch", "Job", {{"status.successful", "status.succeeded", "0"}}},
      {"certificates.k8s.io", "CertificateSigningRequest", {"spec.signerName"}},
      {"resource.k8s.io", "ResourceSlice", {"spec.nodeName", "spec.driver"}},
  };
  for (const Row& row : rows) {
    if (row.group == group && row.kind == kind) return row.fields;
  }
  return {};
}

}  // namespace orch::api
