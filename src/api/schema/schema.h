// Schema: what every API type is made of, as data.
//
// The built-in types come from the field table (kubernetes.schema, written by tools/fieldtable), which is
// part of the executable. The structural schema of a CustomResourceDefinition becomes the same kind of Type
// through TypeSet, so decoding, pruning, defaulting, merging, protobuf and OpenAPI are one code for both.
//
// A Schema and its Types are immutable once made and may be read by any thread. Everything they point to
// lives as long as the Schema (or TypeSet) that made them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/status.h"

namespace orch::api {

struct Type;

/// The JSON and protobuf form of a value.
enum class ValueKind : uint8_t {
  kString,
  kBool,
  kInt32,
  kInt64,
  kDouble,
  kBytes,         // base64 in JSON
  kQuantity,      // resource.Quantity: canonical text
  kTime,          // meta/v1 Time: RFC 3339, whole seconds, UTC
  kMicroTime,     // meta/v1 MicroTime: the same with six digits of fraction
  kDuration,      // meta/v1 Duration: "1h0m0s"
  kIntOrString,   // intstr.IntOrString
  kAny,           // any JSON: RawExtension, FieldsV1, apiextensions JSON
  kSchemaOrBool,  // the three unions of apiextensions JSONSchemaProps
  kSchemaOrArray,
  kSchemaOrStrings,
  kMessage,  // a JSON object with the members of a Type
  kList,
  kMap,  // a JSON object with any keys
};

struct Value {
  ValueKind kind = ValueKind::kString;
  /// kList: protobuf wraps the list in a message with the items in field 1.
  bool wrapped = false;
  /// kList, kMap: what they hold.
  const Value* element = nullptr;
  /// kMessage: its type. kSchemaOr…: the type of the schema alternative.
  const Type* type = nullptr;
};

/// x-kubernetes-list-type.
enum class ListType : uint8_t { kUnset, kAtomic, kSet, kMap };
/// x-kubernetes-map-type.
enum class MapType : uint8_t { kUnset, kGranular, kAtomic };

/// What only few fields have.
struct FieldNotes {
  /// The type's name in Go's decoding errors where it does not follow from the value, "v1.PullPolicy".
  std::string_view go_type = {};
  /// x-kubernetes-patch-merge-key.
  std::string_view merge_key = {};
  /// Default as JSON text, as OpenAPI shows it; see Field::effective_default().
  std::string_view default_json = {};
  /// OpenAPI format where it does not follow from the value.
  std::string_view format = {};
  /// x-kubernetes-list-map-keys.
  std::vector<std::string_view> map_keys = {};
  /// Allowed values; of the elements for a list or map. Empty: any.
  std::vector<std::string_view> enum_values = {};
  /// x-kubernetes-patch-strategy.
  bool merge = false, replace = false, retain_keys = false;
};

struct Field {
  /// JSON name. Of an inline field the name of its type, as Go's errors show it.
  std::string_view name = {};
  const Value* value = nullptr;
  const FieldNotes* notes = nullptr;  // never null after TypeSet::finish()
  /// Protobuf number; 0: not in protobuf (kind and apiVersion of an object: they are in the envelope).
  uint16_t number = 0;
  ListType list_type = ListType::kUnset;
  MapType map_type = MapType::kUnset;
  /// Required according to OpenAPI. Decoding does not ask for it, as in Kubernetes.
  bool required = false;
  /// Written to JSON even with its zero value.
  bool always = false;
  /// Absent and zero differ (a pointer in Go).
  bool pointer = false;
  /// Default as JSON text if applying it changes anything, "" otherwise: of a plain field that is no pointer
  /// a zero default is what absence means anyway.
  std::string_view effective_default() const;
  /// A message whose fields stand among the owner's in JSON, and nested in protobuf.
  bool is_inline = false;
};

/// A field as a member of a JSON object.
struct Member {
  const Field* field;
  /// The inline field of the object's own type through which it belongs there, or null.
  const Field* via;
};

/// x-kubernetes-unions.
struct Union {
  std::string_view discriminator;                                     // "" if there is none
  std::vector<std::pair<std::string_view, std::string_view>> values;  // field, discriminator value
};

struct Type {
  /// "io.k8s.api.core.v1.Pod".
  std::string name;
  /// By protobuf number, then name. Inline messages are one field here.
  std::vector<Field> fields;
  /// What a JSON object of this type may have, by name; inline messages dissolved.
  std::vector<Member> members;
  std::vector<Union> unions;
  MapType map_type = MapType::kUnset;
  /// Members not listed are kept as they are instead of pruned (x-kubernetes-preserve-unknown-fields).
  bool preserve_unknown = false;
  /// Of a CustomResourceDefinition: a value of another type than declared is left for validation to refuse,
  /// null stays, only what is absent is defaulted, and nothing is added or dropped because it is zero.
  bool structural = false;
  /// Some field here or below has a default.
  bool has_defaults = false;

  /// "Pod".
  std::string_view short_name() const;
  /// "v1.Pod", as Go's errors say it.
  std::string go_name() const;
  /// Null if there is none.
  const Member* member(std::string_view json_name) const;
  const Field* field(uint32_t number) const;
};

/// The name of a value's type in Go's decoding errors, "map[string][]v1.Container".
std::string go_type_name(const Value& value);
/// The same for a field, which may have a name of its own.
std::string go_type_name(const Field& field);

/// Makes Types and owns them and all they point to. Not thread-safe until finish(), immutable after.
class TypeSet {
 public:
  TypeSet();
  ~TypeSet();
  TypeSet(const TypeSet&) = delete;
  TypeSet& operator=(const TypeSet&) = delete;

  /// Address stays; fill `fields` (and flags) before finish().
  Type& add_type(std::string name);
  const Value* scalar(ValueKind kind);
  /// `kind` is kMessage or one of the kSchemaOr… unions.
  const Value* message(const Type& type, ValueKind kind = ValueKind::kMessage);
  const Value* list(const Value* element, bool wrapped = false);
  const Value* map(const Value* element);
  const FieldNotes* notes(FieldNotes notes);
  /// A copy of the text that lives as long as the set.
  std::string_view keep(std::string_view text);
  /// Sorts fields, derives members and has_defaults of all types. Call once, last.
  void finish();

  const std::deque<Type>& types() const { return types_; }

 private:
  struct ValueHash {
    size_t operator()(const Value* value) const;
  };
  struct ValueEqual {
    bool operator()(const Value* a, const Value* b) const;
  };
  const Value* intern(const Value& value);

  std::deque<Type> types_;
  std::deque<Value> values_;
  std::unordered_set<const Value*, ValueHash, ValueEqual> distinct_;  // empty after finish()
  std::deque<FieldNotes> notes_;
  std::deque<std::string> texts_;
  FieldNotes no_notes_;
};

/// A kind of a group version. Group "*" and version "*": known in every one (DeleteOptions, WatchEvent, …).
struct KindEntry {
  std::string_view group, version, kind;
  const Type* type = nullptr;
  bool is_list = false;
};

class Schema {
 public:
  /// All built-in types; aborts if the table in the executable is broken. Takes about a millisecond: make it
  /// once at start and pass it on.
  static std::unique_ptr<const Schema> builtin();
  /// Reads a table in the format of tools/fieldtable/README.md. `text` must outlive the Schema. Errors are
  /// kInternal and name the line.
  static base::Result<std::unique_ptr<const Schema>> parse(std::string_view text);

  /// By full name; null if unknown.
  const Type* type(std::string_view name) const;
  /// By kind; falls back to the kinds that every group version knows. Null if unknown.
  const Type* kind(std::string_view group, std::string_view version, std::string_view kind) const;
  const KindEntry* kind_entry(std::string_view group, std::string_view version, std::string_view kind) const;
  /// By group, version, kind.
  const std::vector<KindEntry>& kinds() const { return kinds_; }
  /// By name.
  const std::vector<const Type*>& types() const { return types_; }

 private:
  friend class TableReader;
  Schema() = default;
  void index();

  TypeSet set_;
  std::vector<const Type*> types_;
  std::vector<KindEntry> kinds_;
};

}  // namespace orch::api
