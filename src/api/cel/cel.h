// CEL, the Common Expression Language, as kube-apiserver v1.35 runs it: the language of cel-go v0.26 with the
// libraries, types, costs and limits of k8s.io/apiserver/pkg/cel (environment version 1.35).
//
//     Environment env(Environment::Options{.variables = {{"self", self_type}, {"oldSelf", self_type}}});
//     Compilation c = env.compile("self.replicas <= self.maxReplicas");
//     if (!c.program) → "compilation failed: " + c.error
//     Activation vars;
//     vars.set("self", Value::view(tree, self_type));
//     Evaluation e = c.program->evaluate(vars, {.cost_limit = budget});
//     if (!e.ok()) → e.error, "no such key: replicas"
//
// A Type, an Environment and a Program are immutable and may be used by any number of threads at once. A
// Value is a cheap handle; a Value that views a JSON tree reads it in place, so the tree must stay,
// unchanged, as long as the value and everything derived from it. Nothing here throws, locks, does I/O or
// reads a clock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/schema/schema.h"
#include "base/json_fwd.h"

namespace orch::api::cel {

/// k8s.io/apiserver/pkg/apis/cel: what one evaluation may cost at most, what all expressions of one object or
/// binding together, what the matchConditions of one webhook or policy binding; characters of a message.
inline constexpr uint64_t kPerCallLimit = 1'000'000;
inline constexpr uint64_t kRuntimeBudget = 10'000'000;
inline constexpr uint64_t kMatchConditionsBudget = 2'500'000;
inline constexpr size_t kMaxMessageBytes = 5 * 1024;
inline constexpr int64_t kMaxRequestBytes = int64_t{3} * 1024 * 1024;

// --- Types ----------------------------------------------------------------------------------------

struct TypeNode;
/// A type of a variable or an expression. Never null unless said so.
using Type = std::shared_ptr<const TypeNode>;

Type dyn_type();
Type bool_type();
Type int_type();
Type string_type();
Type list_type(Type element);
Type map_type(Type key, Type value);
Type optional_type(Type value);
/// The type of the variables `authorizer` and `authorizer.requestResource`.
Type authorizer_type();
Type resource_check_type();

/// An object with these fields, as `request`, `namespaceObject` and `variables` of admission policies are.
/// `name` is what messages call it. Values of it are maps.
Type object_type(std::string name, std::vector<std::pair<std::string, Type>> fields);

/// From a structural OpenAPI schema (a JSON tree, kept alive by the type): what CRD rules see. Field names
/// are escaped as CEL needs it (`__dash__`, `__namespace__`); int-or-string is dyn; date-time, date, duration
/// and byte strings are timestamps, durations and bytes; fields without a type are left out. `resource_root`
/// adds apiVersion, kind and metadata.name/generateName. Null if the schema has no type CEL can express.
Type openapi_type(std::shared_ptr<const Json> schema, bool resource_root);
/// The same from a node within a schema.
Type openapi_type(std::shared_ptr<const Json> root, const Json& schema, bool resource_root);
/// Of a built-in type, as the OpenAPI document of the API server describes it; for type checking of policies.
Type builtin_type(const api::Type& type);

/// Gives the objects in a type names, those within by their path below `name` ("selfType.spec.ports.@idx").
/// What openapi_type() and builtin_type() return must have one before it is declared.
Type named(const Type& type, std::string name);

/// As messages print it: "list(string)", "map(string, dyn)", "object".
std::string type_name(const Type& type);
bool is_bool(const Type& type);
bool is_string(const Type& type);
bool is_dyn(const Type& type);
bool same_type(const Type& a, const Type& b);

/// The fewest bytes a value takes in JSON, and from that how many of it one request can hold: what a cost per
/// element is multiplied with for CRD rules.
int64_t min_serialized_size(const Type& type);
uint64_t max_cardinality(const Type& type);
/// Limit of items, properties or length, as the cost estimate assumes it.
int64_t max_elements(const Type& type);
/// Of list and map types; null otherwise.
Type element_type(const Type& type);
/// Of object types, by the escaped name; null if there is none.
Type field_type(const Type& type, std::string_view field);

/// Property names as identifiers of CEL and back; false where there is no such form.
bool escape_name(std::string_view name, std::string& out);
bool unescape_name(std::string_view escaped, std::string& out);

// --- Values ---------------------------------------------------------------------------------------

/// What `authorizer` asks. Called from within evaluate(), by its thread.
class Authorizer {
 public:
  struct Query {
    /// Resource requests.
    std::string group, version, resource, subresource, namespace_, name;
    /// Path requests: not empty.
    std::string path;
    std::string verb;
    /// Raw selectors, "" for none.
    std::string field_selector, label_selector;
    /// The service account asked for instead of the user of the request ("" : the user).
    std::string service_account_namespace, service_account_name;
  };
  struct Decision {
    bool allowed = false;
    std::string reason, error;
  };
  virtual ~Authorizer() = default;
  virtual Decision authorize(const Query& query) const = 0;
};

/// A map whose members are worked out when asked for: `variables` of admission policies.
class LazyMap;

class Value {
 public:
  enum class Kind : uint8_t {
    kNull,
    kBool,
    kInt,
    kUint,
    kDouble,
    kString,
    kBytes,
    kList,
    kMap,
    kTimestamp,
    kDuration,
    kType,
    kOptional,
    kOpaque,  // quantity, URL, IP, CIDR, semver, format, authorizer and its checks
    kError,
  };

  Value();  // null
  static Value of(bool value);
  static Value of(int64_t value);
  static Value of(uint64_t value);
  static Value of(double value);
  static Value of(std::string value);
  static Value of(std::string_view value) { return of(std::string(value)); }
  static Value of(const char* value) { return of(std::string(value)); }
  static Value error(std::string message);
  static Value optional_none();
  static Value optional_of(Value value);
  /// A view of the tree, which must outlive it. With a type made by openapi_type() as that schema says
  /// (times, escaped names, set and map lists), otherwise as plain JSON.
  static Value view(const Json& tree);
  static Value view(const Json& tree, const Type& type);
  /// As view(), keeping the tree.
  static Value own(Json tree);
  static Value lazy(std::shared_ptr<const LazyMap> map);
  static Value list(std::vector<Value> elements);
  static Value map(std::vector<std::pair<std::string, Value>> members);
  /// The variable `authorizer`; the authorizer must outlive it.
  static Value authorizer(const Authorizer& authorizer);
  /// `authorizer.requestResource`: the check of the resource a request is about.
  static Value resource_check(const Authorizer& authorizer, Authorizer::Query query);

  Kind kind() const { return kind_; }
  bool is_error() const { return kind_ == Kind::kError; }
  /// False for all but true.
  bool is_true() const;
  std::optional<bool> as_bool() const;
  std::optional<int64_t> as_int() const;
  /// Null for all but strings.
  const std::string* as_string() const;
  /// Of an error: its message.
  std::string_view error_message() const;
  /// A copy as JSON: timestamps and durations as text, bytes as base64, quantities as text, objects made with
  /// Object{} as trees. False where a value has no JSON form (types, functions' opaque values, errors).
  bool to_json(Json& out) const;

  struct Rep;
  /// For this folder.
  const Rep* rep() const { return rep_.get(); }

 private:
  friend struct ValueAccess;
  Kind kind_ = Kind::kNull;
  bool view_ = false;
  union {
    bool bool_;
    int64_t int_;
    uint64_t uint_;
    double double_;
    const Json* tree_;  // of a view
  };
  struct Fine {
    int32_t nanos, offset;  // of a timestamp: within the second, seconds east of UTC
  };
  union {
    const Json* schema_ = nullptr;  // of a view: its OpenAPI schema
    Fine fine_;
  };
  std::shared_ptr<const Rep> rep_;
};

class LazyMap {
 public:
  virtual ~LazyMap() = default;
  /// Nothing if there is no such member. Called at each access: keep what is costly.
  virtual std::optional<Value> find(std::string_view key) const = 0;
};

/// Values of declared variables. One evaluation at a time uses it.
class Activation {
 public:
  void set(std::string name, Value value);
  const Value* find(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, Value>> values_;
};

// --- Programs -------------------------------------------------------------------------------------

struct EvaluationOptions {
  /// The evaluation ends with "operation cancelled: actual cost limit exceeded" when it cost more.
  uint64_t cost_limit = kPerCallLimit;
};

struct Evaluation {
  Value value;
  /// "" if it worked.
  std::string error;
  /// The limit was hit.
  bool out_of_budget = false;
  /// What it cost, also when it failed.
  uint64_t cost = 0;
  bool ok() const { return error.empty(); }
};

struct CostEstimate {
  uint64_t min = 0, max = 0;
};

class Program {
 public:
  virtual ~Program() = default;
  virtual Evaluation evaluate(const Activation& variables, const EvaluationOptions& options = {}) const = 0;
  virtual const Type& output_type() const = 0;
  /// Does it refer to this variable?
  virtual bool uses(std::string_view variable) const = 0;
  /// Worst and best case for values that keep to the limits of their types (maxItems, maxLength, …). As for
  /// CRD rules: every variable is taken for `root`; with a null root sizes are unknown.
  virtual CostEstimate estimate_cost(const Type& root) const = 0;
};

struct Compilation {
  /// Null if it did not compile.
  std::shared_ptr<const Program> program;
  /// With a null program and no `error`: it is well typed, but cannot be prepared, because a conversion or
  /// regular expression in it is wrong for all values. Kubernetes puts "program instantiation failed: "
  /// before.
  std::string instantiation_error;
  /// All problems as cel-go prints them: "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n
  /// | x\n | ^". What Kubernetes puts before it ("compilation failed: ") is the caller's business.
  std::string error;
};

class Environment {
 public:
  struct Variable {
    std::string name;
    Type type;
  };
  struct Options {
    std::vector<Variable> variables = {};
    /// Object types besides those of the variables.
    std::vector<Type> types = {};
    /// JSONPatch{} and Object{} may be made (MutatingAdmissionPolicy).
    bool mutation = false;
    /// cel.bind(name, value, expression) may be used (selectors of devices).
    bool bindings = false;
  };

  explicit Environment(Options options);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// Parses, checks and prepares. Takes tens of microseconds: keep the program.
  Compilation compile(std::string_view expression) const;

  struct Rep;

 private:
  std::shared_ptr<const Rep> rep_;
};

}  // namespace orch::api::cel
