// The Swagger 2.0 document in protobuf, as the openapi.v2 messages of the OpenAPI project define it: the only
// form of /openapi/v2 that client-go's OpenAPISchema() asks for.
#include "api/schema/openapi.h"
#include "api/schema/wire.h"
#include "base/json.h"

namespace orch::api::schema {
namespace {

struct Shape;

/// How a JSON member is written.
enum class Form : uint8_t {
  kText,
  kTexts,
  kFlag,
  kMessage,
  kNamed,       // an object of any members -> a message with repeated {name = 1, value = 2} in `inner`
  kNamedList,   // a list of those
  kTextsIn,     // a text or list of texts -> a message with repeated texts in `inner`
  kMessagesIn,  // an object or list -> a message with repeated messages in `inner`
  kAnys,        // a list of JSON values
  kParameters,  // which of the parameter messages depends on "in"
};

struct Part {
  std::string_view key;
  uint32_t number;
  Form form;
  const Shape* shape = nullptr;
  uint32_t inner = 1;
};

struct Shape {
  const Part* parts;
  size_t count;
  /// Number of the x-… members, 0 if there are none.
  uint32_t extensions = 0;
  /// The message stands as the only field, of this number, in another one (a oneof).
  uint32_t wrapped_in = 0;
};

template <size_t N>
constexpr Shape shape_of(const Part (&parts)[N], uint32_t extensions = 0, uint32_t wrapped_in = 0) {
  return {parts, N, extensions, wrapped_in};
}

extern const Shape kSchemaShape, kSchemaInOneof;

constexpr Part kSchemaParts[] = {{"$ref", 1, Form::kText},
                                 {"format", 2, Form::kText},
                                 {"description", 4, Form::kText},
                                 {"required", 19, Form::kTexts},
                                 {"enum", 20, Form::kAnys},
                                 {"additionalProperties", 21, Form::kMessage, &kSchemaInOneof},
                                 {"type", 22, Form::kTextsIn},
                                 {"items", 23, Form::kMessagesIn, &kSchemaShape},
                                 {"properties", 25, Form::kNamed, &kSchemaShape}};
const Shape kSchemaShape = shape_of(kSchemaParts, 31);
const Shape kSchemaInOneof = shape_of(kSchemaParts, 31, 1);

constexpr Part kResponseParts[] = {{"description", 1, Form::kText},
                                   {"schema", 2, Form::kMessage, &kSchemaInOneof}};
constexpr Shape kResponseShape = shape_of(kResponseParts, 5, 1);

constexpr Part kOperationParts[] = {{"tags", 1, Form::kTexts},
                                    {"description", 3, Form::kText},
                                    {"operationId", 5, Form::kText},
                                    {"produces", 6, Form::kTexts},
                                    {"consumes", 7, Form::kTexts},
                                    {"parameters", 8, Form::kParameters},
                                    {"responses", 9, Form::kNamed, &kResponseShape},
                                    {"schemes", 10, Form::kTexts}};
constexpr Shape kOperationShape = shape_of(kOperationParts, 13);

constexpr Part kPathParts[] = {
    {"get", 2, Form::kMessage, &kOperationShape},     {"put", 3, Form::kMessage, &kOperationShape},
    {"post", 4, Form::kMessage, &kOperationShape},    {"delete", 5, Form::kMessage, &kOperationShape},
    {"options", 6, Form::kMessage, &kOperationShape}, {"head", 7, Form::kMessage, &kOperationShape},
    {"patch", 8, Form::kMessage, &kOperationShape},   {"parameters", 9, Form::kParameters}};
constexpr Shape kPathShape = shape_of(kPathParts, 10);

constexpr Part kBodyParts[] = {{"description", 1, Form::kText},
                               {"name", 2, Form::kText},
                               {"in", 3, Form::kText},
                               {"required", 4, Form::kFlag},
                               {"schema", 5, Form::kMessage, &kSchemaShape}};
constexpr Part kQueryParts[] = {{"required", 1, Form::kFlag},    {"in", 2, Form::kText},
                                {"description", 3, Form::kText}, {"name", 4, Form::kText},
                                {"type", 6, Form::kText},        {"uniqueItems", 20, Form::kFlag}};
constexpr Part kPathParameterParts[] = {{"required", 1, Form::kFlag},    {"in", 2, Form::kText},
                                        {"description", 3, Form::kText}, {"name", 4, Form::kText},
                                        {"type", 5, Form::kText},        {"uniqueItems", 19, Form::kFlag}};
constexpr Shape kBodyShape = shape_of(kBodyParts, 6, 1);
constexpr Shape kQueryShape = shape_of(kQueryParts, 23, 3);
constexpr Shape kPathParameterShape = shape_of(kPathParameterParts, 22, 4);

constexpr Part kInfoParts[] = {{"title", 1, Form::kText}, {"version", 2, Form::kText}};
constexpr Shape kInfoShape = shape_of(kInfoParts, 7);
constexpr Part kApiKeyParts[] = {{"type", 1, Form::kText}, {"name", 2, Form::kText}, {"in", 3, Form::kText}};
constexpr Shape kApiKeyShape = shape_of(kApiKeyParts, 5, 2);
constexpr Shape kTextArrayShape = {nullptr, 0};

constexpr Part kDocumentParts[] = {{"swagger", 1, Form::kText},
                                   {"info", 2, Form::kMessage, &kInfoShape},
                                   {"paths", 8, Form::kNamed, &kPathShape, 2},
                                   {"definitions", 9, Form::kNamed, &kSchemaShape},
                                   {"security", 12, Form::kNamedList, &kTextArrayShape},
                                   {"securityDefinitions", 13, Form::kNamed, &kApiKeyShape}};
constexpr Shape kDocumentShape = shape_of(kDocumentParts, 16);

class Writer {
 public:
  /// Fields back to front, as all of this.
  void message(const Json& json, const Shape& shape) {
    size_t before = out_.size();
    if (shape.extensions != 0 && json.is_object()) extensions(json, shape.extensions);
    for (size_t i = shape.count; i-- > 0;) {
      auto found = json.find(shape.parts[i].key);
      if (found != json.end()) part(*found, shape.parts[i]);
    }
    if (shape.wrapped_in != 0) out_.close(shape.wrapped_in, before);
  }

  std::string take() const { return std::string(out_.view()); }

 private:
  void part(const Json& json, const Part& part) {
    size_t before = out_.size();
    switch (part.form) {
      case Form::kText:
        return text(part.number, json);
      case Form::kTexts:
        return texts(part.number, json);
      case Form::kFlag:
        out_.varint(json.is_boolean() && json.get<bool>() ? 1 : 0);
        return out_.tag(part.number, WireType::kVarint);
      case Form::kMessage:
        message(json, *part.shape);
        break;
      case Form::kNamed:
        named(json, part.inner, *part.shape);
        break;
      case Form::kNamedList:
        for (size_t i = json.size(); i-- > 0;) {
          before = out_.size();
          named(json[i], part.inner, *part.shape);
          out_.close(part.number, before);
        }
        return;
      case Form::kTextsIn:
        texts(part.inner, json);
        break;
      case Form::kMessagesIn:
        messages(part.inner, json, *part.shape);
        break;
      case Form::kAnys:
        for (size_t i = json.size(); i-- > 0;) any(part.number, json[i]);
        return;
      case Form::kParameters:
        for (size_t i = json.size(); i-- > 0;) parameter(part.number, json[i]);
        return;
    }
    out_.close(part.number, before);
  }

  void text(uint32_t number, const Json& json) {
    put(number, json.is_string() ? json.get_ref<const std::string&>() : base::dump_json(json));
  }

  void put(uint32_t number, std::string_view text) {
    out_.bytes(text);
    out_.varint(text.size());
    out_.tag(number, WireType::kBytes);
  }

  void texts(uint32_t number, const Json& json) {
    if (!json.is_array()) return text(number, json);
    for (size_t i = json.size(); i-- > 0;) text(number, json[i]);
  }

  void messages(uint32_t number, const Json& json, const Shape& shape) {
    size_t before = out_.size();
    if (!json.is_array()) {
      message(json, shape);
      return out_.close(number, before);
    }
    for (size_t i = json.size(); i-- > 0;) {
      before = out_.size();
      message(json[i], shape);
      out_.close(number, before);
    }
  }

  void named(const Json& json, uint32_t number, const Shape& shape) {
    const auto& members = json.get_ref<const Json::object_t&>();
    for (auto it = members.end(); it != members.begin();) {
      --it;
      size_t entry = out_.size();
      if (it->second.is_array()) {
        texts(1, it->second);
      } else {
        message(it->second, shape);
      }
      out_.close(2, entry);
      put(1, it->first);
      out_.close(number, entry);
    }
  }

  /// A JSON value as the text of a YAML document, which JSON is.
  void any(uint32_t number, const Json& json) {
    size_t before = out_.size();
    put(2, base::dump_json(json) + "\n");
    out_.close(number, before);
  }

  void extensions(const Json& json, uint32_t number) {
    const auto& members = json.get_ref<const Json::object_t&>();
    for (auto it = members.end(); it != members.begin();) {
      --it;
      if (it->first.rfind("x-", 0) != 0) continue;
      size_t before = out_.size();
      any(2, it->second);
      put(1, it->first);
      out_.close(number, before);
    }
  }

  /// ParametersItem{parameter = 1: Parameter{body = 1 or other = 2: {query = 3 or path = 4}}}.
  void parameter(uint32_t number, const Json& json) {
    size_t before = out_.size();
    std::string_view place = base::string_at(json, {"in"});
    if (place == "body") {
      message(json, kBodyShape);
    } else {
      message(json, place == "path" ? kPathParameterShape : kQueryShape);
      out_.close(2, before);
    }
    out_.close(1, before);
    out_.close(number, before);
  }

  BackWriter out_;
};

}  // namespace

base::Result<std::string> openapi_v2_protobuf(std::string_view document) {
  auto tree = base::parse_json(document);
  if (!tree.ok()) return tree.error();
  Writer writer;
  writer.message(*tree, kDocumentShape);
  return writer.take();
}

}  // namespace orch::api::schema
