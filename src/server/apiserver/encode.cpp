#include "server/apiserver/encode.h"

#include "api/resources/custom_resource.h"
#include "api/resources/table.h"
#include "api/schema/protobuf.h"
#include "api/schema/schema.h"
#include "api/yaml.h"
#include "base/json.h"
#include "server/registry/field_tracking.h"

namespace orch::server {

using api::ObjectPtr;
using http::BodyPiece;
using http::Response;

namespace {

bool converted(const Encoding& e) {
  return e.resource != e.storage && !e.resource->storage_version && !e.resource->custom;
}

Json served_tree(const Encoding& e, const ObjectPtr& object) {
  Json tree = whole_tree(*object);
  if (converted(e)) {
    if (e.resource->conversion) e.resource->conversion->from_storage(tree);
    tree["kind"] = e.resource->kind;
    tree["apiVersion"] = e.resource->api_version();
  }
  return tree;
}

/// The object in the row asked for: itself, or a converted copy.
ObjectPtr served(const Encoding& e, const ObjectPtr& object) {
  if (!converted(e)) return object;
  auto made = api::Object::from_tree(served_tree(e, object), e.resource->selectable_fields);
  return made.ok() ? *made : object;
}

Json list_meta(const ListMeta& meta) {
  Json j = Json::object();
  if (meta.revision > 0) j["resourceVersion"] = std::to_string(meta.revision);
  if (!meta.continue_token.empty()) j["continue"] = meta.continue_token;
  if (meta.remaining > 0) j["remainingItemCount"] = meta.remaining;
  return j;
}

Response from_text(const Negotiated& want, const api::Schema& schema, std::string json, int status) {
  Response r;
  r.status = status;
  r.content_type = want.content_type();
  if (want.format == Format::kJson && !want.pretty) {
    r.body = std::move(json);
    return r;
  }
  if (want.format == Format::kProtobuf) {
    auto bytes = api::schema::encode_protobuf_object(schema, json);
    if (!bytes.ok()) return Response::from_status(bytes.error());
    r.body = std::move(*bytes);
    return r;
  }
  auto tree = base::parse_json(json);
  if (!tree.ok()) return Response::from_status(tree.error());
  return encode_tree(want, schema, *tree, status);
}

api::TableOptions table_options(const Encoding& e) {
  api::TableOptions o;
  o.include = e.include_object == "None"     ? api::IncludeObject::kNone
              : e.include_object == "Object" ? api::IncludeObject::kObject
                                             : api::IncludeObject::kMetadata;
  o.version = e.want.form_version;
  o.now = e.now;
  return o;
}

}  // namespace

Response encode_tree(const Negotiated& want, const api::Schema& schema, const Json& tree, int status) {
  Response r;
  r.status = status;
  r.content_type = want.content_type();
  switch (want.format) {
    case Format::kYaml:
      r.body = api::to_yaml(tree);
      return r;
    case Format::kProtobuf: {
      auto bytes = api::schema::encode_protobuf_object(schema, base::dump_json(tree));
      if (!bytes.ok()) return Response::from_status(bytes.error());
      r.body = std::move(*bytes);
      return r;
    }
    case Format::kJson:
      break;
  }
  r.body =
      want.pretty ? tree.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : base::dump_json(tree);
  return r;
}

base::Result<std::vector<ObjectPtr>> convert_objects(const api::Resource& row,
                                                     std::vector<ObjectPtr> objects) {
  if (!row.custom) return objects;
  const std::string version = row.api_version();
  std::vector<Json> trees;
  std::vector<size_t> places;
  for (size_t i = 0; i < objects.size(); ++i) {
    if (objects[i]->api_version() == version) continue;
    trees.push_back(whole_tree(*objects[i]));
    places.push_back(i);
  }
  if (trees.empty()) return objects;
  ORCH_RETURN_IF_ERROR(api::to_version(row, trees));
  for (size_t i = 0; i < places.size(); ++i) {
    auto made = api::Object::from_tree(trees[i], row.selectable_fields);
    if (!made.ok()) return made.error();
    objects[places[i]] = std::move(*made);
  }
  return objects;
}

bool selects_converted(const api::Resource& row, const Filter& filter) {
  return row.custom && row.custom->converter->remote() && !row.selectable_fields.empty() &&
         !filter.fields.empty();
}

base::Result<std::vector<ObjectPtr>> select_converted(const api::Resource& row,
                                                      std::vector<ObjectPtr> objects,
                                                      const api::FieldSelector& fields) {
  auto all = convert_objects(row, std::move(objects));
  if (!all.ok()) return all.error();
  // The selector has the names of what is kept, which are the paths.
  const api::IndexedFields paths = api::by_path(row.selectable_fields);
  std::erase_if(*all, [&](ObjectPtr& object) {
    auto again = api::Object::from_tree(whole_tree(*object), paths);
    return !again.ok() || !fields.matches(**again, paths);
  });
  return all;
}

Response encode_object(const Encoding& e, const ObjectPtr& object, int status) {
  if (e.resource->custom && object->api_version() != e.resource->api_version()) {
    auto made = convert_objects(*e.resource, {object});
    if (!made.ok()) return Response::from_status(made.error());
    return encode_object(e, made->front(), status);
  }
  if (e.want.form == Form::kTable) {
    ObjectPtr o = served(e, object);
    ListMeta meta{o->revision(), {}, -1};
    return from_text(e.want, *e.schema,
                     api::table_json(*e.resource, {o}, base::dump_json(list_meta(meta)), table_options(e)),
                     status);
  }
  if (e.want.form == Form::kPartial) {
    return from_text(e.want, *e.schema, api::partial_metadata_json(*object, e.want.form_version), status);
  }
  ObjectPtr o = served(e, object);
  if (e.want.format != Format::kJson || e.want.pretty)
    return from_text(e.want, *e.schema, std::string(o->bytes()), status);
  Response r;
  r.status = status;
  r.pieces.push_back({o->bytes(), o});
  return r;
}

namespace {

Response protobuf_list(const Encoding& e, const std::string& head, std::vector<ObjectPtr> items) {
  std::vector<std::string_view> texts;
  texts.reserve(items.size());
  for (auto& o : items) {
    o = served(e, o);
    texts.push_back(o->bytes());
  }
  auto bytes = api::schema::encode_protobuf_list(*e.schema, head, texts);
  if (!bytes.ok()) return Response::from_status(bytes.error());
  Response r;
  r.content_type = e.want.content_type();
  r.body = std::move(*bytes);
  return r;
}

}  // namespace

Response encode_list(const Encoding& e, const std::vector<ObjectPtr>& all, const ListMeta& meta) {
  const auto made = convert_objects(*e.resource, all);
  if (!made.ok()) return Response::from_status(made.error());
  const std::vector<ObjectPtr>& items = *made;
  const std::string meta_text = base::dump_json(list_meta(meta));
  if (e.want.form != Form::kObject) {
    std::vector<ObjectPtr> shown = items;
    for (auto& o : shown) o = served(e, o);
    return from_text(e.want, *e.schema,
                     e.want.form == Form::kTable
                         ? api::table_json(*e.resource, shown, meta_text, table_options(e))
                         : api::partial_metadata_list_json(shown, meta_text, e.want.form_version),
                     200);
  }
  std::string head = base::cat("{\"kind\":\"", e.resource->list_kind, "\",\"apiVersion\":\"",
                               e.resource->api_version(), "\",\"metadata\":", meta_text);
  if (e.want.format == Format::kProtobuf) return protobuf_list(e, head + "}", items);
  head += ",\"items\":[";
  if (e.want.format != Format::kJson || e.want.pretty) {
    Json list = {{"kind", e.resource->list_kind},
                 {"apiVersion", e.resource->api_version()},
                 {"metadata", list_meta(meta)}};
    list["items"] = Json::array();
    for (const auto& o : items) {
      Json tree = served_tree(e, o);
      tree.erase("kind");
      tree.erase("apiVersion");
      list["items"].push_back(std::move(tree));
    }
    return encode_tree(e.want, *e.schema, list);
  }
  Response r;
  auto owned = std::make_shared<const std::string>(std::move(head));
  r.pieces.reserve(items.size() * 2 + 2);
  r.pieces.push_back({*owned, owned});
  bool first = true;
  for (const auto& item : items) {
    ObjectPtr o = served(e, item);
    r.pieces.push_back({first ? std::string_view("{") : std::string_view(",{"), nullptr});
    r.pieces.push_back({o->bytes_from_metadata(), o});
    first = false;
  }
  r.pieces.push_back({"]}", nullptr});
  return r;
}

std::string_view WatchEncoder::content_type() const {
  return e_.want.format == Format::kProtobuf ? "application/vnd.kubernetes.protobuf;stream=watch"
                                             : "application/json";
}

std::string WatchEncoder::wrap(std::string_view type, std::string_view object) {
  if (e_.want.format == Format::kProtobuf) {
    auto bytes = api::schema::encode_protobuf_watch_event(*e_.schema, type, object);
    return bytes.ok() ? *bytes : std::string();
  }
  return base::cat("{\"type\":\"", type, "\",\"object\":", object, "}\n");
}

std::vector<BodyPiece> WatchEncoder::event(std::string_view type, const ObjectPtr& object) {
  auto made = convert_objects(*e_.resource, {object});
  if (!made.ok()) {
    auto text = std::make_shared<const std::string>(error(made.error()));
    return {{*text, text}};
  }
  ObjectPtr o = served(e_, made->front());
  auto whole = [](std::string text) {
    auto owned = std::make_shared<const std::string>(std::move(text));
    return std::vector<BodyPiece>{{*owned, owned}};
  };
  if (e_.want.form == Form::kObject && e_.want.format == Format::kJson) {
    std::string_view head = type == "ADDED"      ? "{\"type\":\"ADDED\",\"object\":"
                            : type == "MODIFIED" ? "{\"type\":\"MODIFIED\",\"object\":"
                                                 : "{\"type\":\"DELETED\",\"object\":";
    return {{head, nullptr}, {o->bytes(), o}, {"}\n", nullptr}};
  }
  std::string text;
  if (e_.want.form == Form::kTable) {
    api::TableOptions options = table_options(e_);
    options.columns = !columns_sent_;
    columns_sent_ = true;
    text = api::table_json(*e_.resource, {o}, base::dump_json(list_meta({o->revision(), {}, -1})), options);
  } else if (e_.want.form == Form::kPartial) {
    text = api::partial_metadata_json(*o, e_.want.form_version);
  }
  return whole(wrap(type, text.empty() ? o->bytes() : text));
}

std::string WatchEncoder::bookmark(int64_t revision, bool initial_end) {
  Json object = {
      {"kind", e_.resource->kind},
      {"apiVersion", e_.resource->api_version()},
      {"metadata", {{"resourceVersion", std::to_string(revision)}, {"creationTimestamp", nullptr}}}};
  if (initial_end) object["metadata"]["annotations"]["k8s.io/initial-events-end"] = "true";
  if (e_.want.form == Form::kTable) {
    // The bookmark of a Table watch is a Table whose list metadata carries the version.
    Json row = {{"cells", Json::array()}, {"object", object}};
    row["object"]["kind"] = "PartialObjectMetadata";
    row["object"]["apiVersion"] = base::cat("meta.k8s.io/", e_.want.form_version);
    object = {{"kind", "Table"},
              {"apiVersion", base::cat("meta.k8s.io/", e_.want.form_version)},
              {"metadata", {{"resourceVersion", std::to_string(revision)}}},
              {"columnDefinitions", Json::array()},
              {"rows", Json::array({row})}};
  } else if (e_.want.form == Form::kPartial) {
    object["kind"] = "PartialObjectMetadata";
    object["apiVersion"] = base::cat("meta.k8s.io/", e_.want.form_version);
  }
  return wrap("BOOKMARK", base::dump_json(object));
}

std::string WatchEncoder::error(const base::Status& status) { return wrap("ERROR", status.to_json()); }

}  // namespace orch::server
