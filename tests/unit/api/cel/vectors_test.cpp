// What Kubernetes' own CEL environment says to the expressions in cases/ (tools/celvectors wrote it down) is
// what ours says: compile errors, types, values, run-time errors, costs and estimates.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "api/cel/value.h"
#include "base/file.h"
#include "base/json.h"
#include "tests/catch.h"

namespace orch::api::cel {
namespace {

using Kind = Value::Kind;
using A = ValueAccess;

constexpr const char* kFolder = "tests/unit/api/cel/";

struct FakeAuthorizer final : Authorizer {
  Decision authorize(const Query& q) const override {
    const std::string user =
        q.service_account_name.empty()
            ? "alice"
            : "system:serviceaccount:" + q.service_account_namespace + ":" + q.service_account_name;
    Decision out;
    out.reason = "user=" + user + " verb=" + q.verb + " path=" + q.path + " group=" + q.group +
                 " version=" + q.version + " resource=" + q.resource + " subresource=" + q.subresource +
                 " namespace=" + q.namespace_ + " name=" + q.name;
    if (q.resource == "broken") {
      out.error = "fake authz error";
    } else {
      out.allowed = q.verb == "get";
    }
    return out;
  }
};

/// Go's %x of a double.
std::string hex_double(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d < 0 ? "-Inf" : "+Inf";
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%a", d);
  std::string text(buffer);
  const size_t p = text.find('p');
  if (text.size() - p == 3) text.insert(p + 2, "0");
  return text;
}

std::string hex_bytes(const std::string& bytes) {
  std::string out;
  char buffer[4];
  for (unsigned char c : bytes) {
    std::snprintf(buffer, sizeof buffer, "%02x", c);
    out += buffer;
  }
  return out;
}

std::string render(const Value& v);

std::string render_map(const Value& v) {
  std::vector<std::string> parts;
  for (const Value& key : map_keys(v)) parts.push_back(render(key) + ": " + render(map_get(v, key)));
  std::sort(parts.begin(), parts.end());
  std::string out = "{";
  for (size_t i = 0; i < parts.size(); ++i) out += (i > 0 ? ", " : "") + parts[i];
  return out + "}";
}

std::string render_opaque(const Value& v) {
  const std::string name = value_type_name(v);
  const std::string text = A::opaque(v)->text().value_or("");
  if (name == "kubernetes.Quantity") return "quantity(" + text + ")";
  if (name == "kubernetes.URL") return "url(" + text + ")";
  if (name == "net.IP") return "ip(" + text + ")";
  if (name == "net.CIDR") return "cidr(" + text + ")";
  return name;
}

std::string render(const Value& v) {
  switch (v.kind()) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return v.is_true() ? "true" : "false";
    case Kind::kInt:
      return std::to_string(A::integer(v));
    case Kind::kUint:
      return std::to_string(A::unsigned_integer(v)) + "u";
    case Kind::kDouble:
      return "double(" + hex_double(A::real(v)) + ")";
    case Kind::kString:
      return base::dump_json(Json(text_of(v)));
    case Kind::kBytes:
      return "b(" + hex_bytes(text_of(v)) + ")";
    case Kind::kTimestamp:
      return "timestamp(" + format_timestamp(v) + ")";
    case Kind::kDuration:
      return "duration(" + std::to_string(A::integer(v)) + ")";
    case Kind::kType:
      return "type(" + A::type_of(v)->name + ")";
    case Kind::kOptional: {
      const Value* held = A::optional(v);
      return held == nullptr ? "none" : "some(" + render(*held) + ")";
    }
    case Kind::kList: {
      std::string out = "[";
      for (size_t i = 0; i < static_cast<size_t>(*size_of(v)); ++i) {
        out += (i > 0 ? ", " : "") + render(list_item(v, i));
      }
      return out + "]";
    }
    case Kind::kMap:
      return render_map(v);
    case Kind::kOpaque:
      return render_opaque(v);
    case Kind::kError:
      return "error";
  }
  return "?";
}

/// An entry of environments.json, ready to compile in.
struct Case {
  explicit Case(const Json& description) : json(description) {
    Environment::Options options;
    for (const auto& item : base::object_at(json, {"variables"}).items()) {
      options.variables.push_back({item.key(), dyn_type()});
      variables.set(item.key(), Value::own(item.value()));
    }
    if (json.contains("schema")) add_self(options);
    if (json.value("authorizer", false)) {
      options.variables.push_back({"authorizer", authorizer_type()});
      options.variables.push_back({"authorizer.requestResource", resource_check_type()});
      variables.set("authorizer", Value::authorizer(authorizer));
      Authorizer::Query query;
      query.group = "apps";
      query.resource = "deployments";
      query.subresource = "scale";
      query.namespace_ = "default";
      query.name = "web";
      variables.set("authorizer.requestResource", Value::resource_check(authorizer, query));
    }
    options.mutation = json.value("mutation", false);
    limit = json.value("limit", kPerCallLimit);
    environment = std::make_unique<Environment>(std::move(options));
  }

  void add_self(Environment::Options& options) {
    root = openapi_type(std::make_shared<const Json>(json["schema"]), json.value("root", false));
    REQUIRE(root);
    const Type type = named(root, "selfType");
    options.variables.push_back({"self", type});
    variables.set("self", Value::view(json["self"], type));
    const bool optional = json.value("optionalOldSelf", false);
    if (!optional && !json.contains("oldSelf")) return;
    options.variables.push_back({"oldSelf", optional ? optional_type(type) : type});
    Value old = json.contains("oldSelf") ? Value::view(json["oldSelf"], type) : Value::optional_none();
    if (optional && json.contains("oldSelf")) old = Value::optional_of(std::move(old));
    variables.set("oldSelf", std::move(old));
  }

  const Json json;
  FakeAuthorizer authorizer;
  Type root;
  Activation variables;
  uint64_t limit = 0;
  std::unique_ptr<Environment> environment;
};

/// What we make of an expression, in the form of the vectors.
Json answer(const Case& c, const Json& vector) {
  Json out = {{"env", vector["env"]}, {"expr", vector["expr"]}, {"cost", 0}, {"min", 0}, {"max", 0}};
  const Compilation compiled = c.environment->compile(vector["expr"].get<std::string>());
  if (!compiled.error.empty()) {
    out["issues"] = compiled.error;
    return out;
  }
  if (!compiled.program) {
    out["instantiate"] = compiled.instantiation_error;
    // The type is known, but there is no program to ask.
    if (vector.contains("type")) out["type"] = vector["type"];
    return out;
  }
  out["type"] = type_name(compiled.program->output_type());
  const CostEstimate estimate = compiled.program->estimate_cost(c.root);
  out["min"] = estimate.min;
  out["max"] = estimate.max;
  const Evaluation result = compiled.program->evaluate(c.variables, {.cost_limit = c.limit});
  out["cost"] = result.cost;
  if (result.ok()) {
    out["value"] = render(result.value);
  } else {
    out["error"] = result.error;
  }
  return out;
}

TEST_CASE("expressions do what they do in Kubernetes") {
  const base::Result<std::string> text = base::read_file(std::string(kFolder) + "environments.json");
  REQUIRE(text.ok());
  const base::Result<Json> environments = base::parse_json(*text);
  REQUIRE(environments.ok());
  std::map<std::string, std::unique_ptr<Case>> cases;
  size_t count = 0;
  for (const auto& file : std::filesystem::directory_iterator(std::string(kFolder) + "expected")) {
    const base::Result<std::string> lines = base::read_file(file.path().string());
    REQUIRE(lines.ok());
    std::string_view rest = *lines;
    while (!rest.empty()) {
      const size_t end = rest.find('\n');
      const base::Result<Json> vector = base::parse_json(rest.substr(0, end));
      rest.remove_prefix(end + 1);
      REQUIRE(vector.ok());
      const auto name = (*vector)["env"].get<std::string>();
      std::unique_ptr<Case>& c = cases[name];
      if (!c) c = std::make_unique<Case>(environments->at(name));
      ++count;
      const Json actual = answer(*c, *vector);
      if (actual == *vector) continue;
      INFO(file.path().filename().string());
      for (const auto& item : vector->items()) {
        if (!actual.contains(item.key()) || actual[item.key()] != item.value()) {
          UNSCOPED_INFO("wanted " << item.key() << ": " << item.value().dump());
        }
      }
      for (const auto& item : actual.items()) {
        if (!vector->contains(item.key()) || vector->at(item.key()) != item.value()) {
          UNSCOPED_INFO("got    " << item.key() << ": " << item.value().dump());
        }
      }
      CHECK((*vector)["expr"].get<std::string>() == "as in Kubernetes");
    }
  }
  CHECK(count > 1500);
}

}  // namespace
}  // namespace orch::api::cel
