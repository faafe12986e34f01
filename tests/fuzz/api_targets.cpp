#include <string>

#include "api/cron.h"
#include "api/duration.h"
#include "api/fieldmanager/managed_fields.h"
#include "api/names.h"
#include "api/object.h"
#include "api/patch/patch.h"
#include "api/quantity.h"
#include "api/resources/image_reference.h"
#include "api/resources/ip.h"
#include "api/scan.h"
#include "api/schema/decode.h"
#include "api/schema/protobuf.h"
#include "api/schema/schema.h"
#include "api/selector.h"
#include "api/yaml.h"
#include "base/json.h"
#include "tests/fuzz/targets.h"

namespace orch::fuzz {
namespace {

const api::Schema& schema() {
  static const auto builtin = api::Schema::builtin();
  return *builtin;
}

const api::Type& pod() { return *schema().kind("", "v1", "Pod"); }

void json(std::string_view bytes) {
  const auto tree = base::parse_json(bytes);
  if (!tree.ok()) return;
  const auto again = base::parse_json(base::dump_json(*tree));
  require(again.ok() && *again == *tree, "JSON that was read can be written and read again");
}

void scan(std::string_view bytes) {
  api::JsonScanner scanner(bytes);
  std::string_view raw;
  if (!scanner.value(raw)) return;
  (void)api::scalar_text(raw);
  (void)api::unescape_json(raw);
  (void)api::raw_value(bytes, {"metadata", "labels", "a"});
}

void stored(std::string_view bytes) {
  const api::IndexedFields fields = {"spec.nodeName", "status.phase"};
  const auto object = api::Object::from_stored(bytes, 1, fields);
  if (!object.ok()) return;
  const auto& o = **object;
  size_t sum = o.name().size() + o.ns().size() + o.field(0).size() + o.field(1).size();
  for (size_t i = 0; i < o.label_count(); ++i) sum += o.label(i).first.size() + o.label(i).second.size();
  require(sum <= 4 * bytes.size() + 64, "what is indexed is of the object");
}

void yaml(std::string_view bytes) {
  std::vector<std::string> duplicates;
  const auto tree = api::parse_yaml(bytes, &duplicates);
  (void)api::parse_yaml_documents(bytes);
  if (!tree.ok()) return;
  const auto again = api::parse_yaml(api::to_yaml(*tree));
  require(again.ok() && *again == *tree, "YAML that was read can be written and read again");
}

void protobuf(std::string_view bytes) {
  const auto tree = api::schema::decode_message(schema(), pod(), bytes);
  (void)api::schema::decode_protobuf(schema(), nullptr, bytes);
  if (!tree.ok()) return;
  const auto once = api::schema::encode_message(pod(), base::dump_json(*tree));
  if (!once.ok()) return;
  const auto again = api::schema::decode_message(schema(), pod(), *once);
  require(again.ok(), "protobuf that was written can be read");
  const auto twice = api::schema::encode_message(pod(), base::dump_json(*again));
  require(twice.ok() && *twice == *once, "protobuf is the same when written again");
}

/// JSON bytes as a pod: decoded, and what came of it sent as protobuf.
void decode(std::string_view bytes) {
  auto tree = base::parse_json(bytes);
  if (!tree.ok()) return;
  if (!api::schema::decode(schema(), pod(), *tree).ok()) return;
  const auto wire = api::schema::encode_message(pod(), base::dump_json(*tree));
  if (wire.ok()) require(api::schema::decode_message(schema(), pod(), *wire).ok(), "protobuf can be read");
}

template <typename Parser>
void reparse(std::string_view bytes, const char* what) {
  const auto value = Parser::parse(bytes);
  if (!value.ok()) return;
  const auto again = Parser::parse(value->text());
  require(again.ok() && again->text() == value->text(), what);
}

void quantity(std::string_view bytes) {
  reparse<api::Quantity>(bytes, "a quantity's text is that quantity");
  const auto value = api::Quantity::parse(bytes);
  if (!value.ok()) return;
  (void)value->value();
  (void)value->milli_value();
  (void)value->approximate();
  (void)(*value + *value).text();
}

void selector(std::string_view bytes) {
  reparse<api::LabelSelector>(bytes, "a selector's text is that selector");
  const auto fields = api::FieldSelector::parse(bytes);
  if (fields.ok()) (void)fields->unknown_path({"spec.nodeName"});
}

/// A document, a zero byte, a patch: applied in all three ways.
void patch(std::string_view bytes) {
  std::string_view rest = bytes;
  const auto document = base::parse_json(next_part(rest));
  const auto change = base::parse_json(rest);
  if (!document.ok() || !change.ok()) return;
  (void)api::json_patch(*document, *change);
  (void)api::json_patch_unknown_fields(*change);
  (void)api::strategic_merge_patch(*document, *change, &pod());
  (void)api::strategic_merge_patch(*document, *change, nullptr);
  const auto merged = api::merge_patch(*document, *change);
  if (!merged.ok()) return;
  const auto again = api::merge_patch(*merged, *change);
  require(again.ok() && *again == *merged, "a merge patch applied again changes nothing");
}

void managed_fields(std::string_view bytes) {
  auto entries = api::parse_managed_fields(bytes);
  if (!entries.ok()) return;
  const std::string text = api::managed_fields_json(std::move(*entries));
  auto again = api::parse_managed_fields(text);
  require(again.ok(), "managed fields that were written can be read");
  require(api::managed_fields_json(std::move(*again)) == text,
          "managed fields are the same when written again");
}

void values(std::string_view bytes) {
  (void)api::parse_duration(bytes);
  (void)api::CronSchedule::parse(bytes);
  (void)api::check_qualified_name(bytes);
  (void)api::image_tag(bytes);
  (void)api::Ip::parse(bytes);
  (void)api::Cidr::parse(bytes);
}

}  // namespace

std::vector<Target> api_targets() {
  return {{"json", json},
          {"scan", scan},
          {"stored", stored},
          {"yaml", yaml},
          {"protobuf", protobuf},
          {"decode", decode},
          {"quantity", quantity},
          {"selector", selector},
          {"patch", patch},
          {"values", values},
          {"managed-fields", managed_fields}};
}

}  // namespace orch::fuzz
