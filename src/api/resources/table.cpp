#include "api/resources/table.h"

#include <algorithm>

#include "api/go_text.h"
#include "api/meta.h"
#include "api/scan.h"
#include "base/json.h"

namespace orch::api {
namespace {

void append_columns(std::string& out, const std::vector<PrinterColumn>& columns) {
  out += ",\"columnDefinitions\":[";
  for (const PrinterColumn& column : columns) {
    if (&column != &columns.front()) out += ',';
    out += "{\"name\":";
    append_json_string(out, column.name);
    out += ",\"type\":";
    append_json_string(out, column.type);
    out += ",\"format\":";
    append_json_string(out, column.format);
    out += ",\"description\":";
    append_json_string(out, column.description);
    out += base::cat(",\"priority\":", column.priority, "}");
  }
  out += ']';
}

std::vector<Json> cells_of(const Resource& resource, const Object& object, base::WallTime now) {
  if (resource.strategy != nullptr && resource.strategy->cells) {
    return resource.strategy->cells(object.tree(), now);
  }
  return {std::string(object.name()), base::format_time(creation_time(object))};
}

void append_partial(std::string& out, const Object& object, std::string_view version) {
  out += "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/";
  out += version;
  out += "\",\"metadata\":";
  out += raw_metadata(object);
  out += '}';
}

/// Kinds that are not listed by name: the column that orders them, before the name.
struct Order {
  const char* group;
  const char* kind;
  size_t column;
};
constexpr Order kOrders[] = {{"flowcontrol.apiserver.k8s.io", "FlowSchema", 2}};

/// The objects as a Table lists them; `space` holds them where that is another order.
const std::vector<ObjectPtr>& in_order(const Resource& resource, const std::vector<ObjectPtr>& objects,
                                       base::WallTime now, std::vector<ObjectPtr>& space) {
  const auto* order = std::find_if(std::begin(kOrders), std::end(kOrders), [&](const Order& o) {
    return resource.group == o.group && resource.kind == o.kind;
  });
  if (order == std::end(kOrders)) return objects;
  std::vector<std::pair<Json, ObjectPtr>> keyed;
  keyed.reserve(objects.size());
  for (const ObjectPtr& object : objects)
    keyed.emplace_back(cells_of(resource, *object, now)[order->column], object);
  std::stable_sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second->name() < b.second->name();
  });
  for (auto& [key, object] : keyed) space.push_back(std::move(object));
  return space;
}

}  // namespace

base::Result<IncludeObject> parse_include_object(std::string_view text) {
  if (text.empty() || text == "Metadata") return IncludeObject::kMetadata;
  if (text == "Object") return IncludeObject::kObject;
  if (text == "None") return IncludeObject::kNone;
  return base::Status(base::Code::kBadRequest,
                      base::cat("unrecognized includeObject value: ", go_quote(text)));
}

std::string table_json(const Resource& resource, const std::vector<ObjectPtr>& listed,
                       std::string_view list_meta, const TableOptions& options) {
  std::vector<ObjectPtr> space;
  const std::vector<ObjectPtr>& objects = in_order(resource, listed, options.now, space);
  std::string out = base::cat("{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/", options.version,
                              "\",\"metadata\":", list_meta);
  if (options.columns) {
    append_columns(out, resource.columns);
  } else {
    out += ",\"columnDefinitions\":null";
  }
  out += ",\"rows\":[";
  for (const ObjectPtr& object : objects) {
    if (&object != &objects.front()) out += ',';
    out += "{\"cells\":";
    out += base::dump_json(cells_of(resource, *object, options.now));
    out += ",\"object\":";
    switch (options.include) {
      case IncludeObject::kNone:
        out += "null";
        break;
      case IncludeObject::kMetadata:
        append_partial(out, *object, options.version);
        break;
      case IncludeObject::kObject:
        out += object->bytes();
        break;
    }
    out += '}';
  }
  out += "]}";
  return out;
}

std::string partial_metadata_json(const Object& object, std::string_view version) {
  std::string out;
  append_partial(out, object, version);
  return out;
}

std::string partial_metadata_list_json(const std::vector<ObjectPtr>& objects, std::string_view list_meta,
                                       std::string_view version) {
  std::string out = base::cat("{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/",
                              version, "\",\"metadata\":", list_meta, ",\"items\":[");
  for (const ObjectPtr& object : objects) {
    if (&object != &objects.front()) out += ',';
    append_partial(out, *object, version);
  }
  out += "]}";
  return out;
}

}  // namespace orch::api
