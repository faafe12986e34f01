// The static cost of an expression: cel-go's estimator with Kubernetes' (library.CostEstimator), sizes from
// the limits in the types of CRD rules.
#include <unordered_map>

#include "api/cel/cost.h"
#include "api/cel/environment.h"

namespace orch::api::cel {

namespace {

constexpr uint64_t kMax = UINT64_MAX;

using Size = std::optional<Range>;

/// Sizes of what is in a list or map.
struct EntrySize {
  TypeKind container = TypeKind::kList;
  Range key, value;
};

/// Where a value comes from, "self", "spec", "@items", for the limits of its type.
using Path = std::vector<std::string>;

struct Local {
  Path path;
  Size size;
  std::optional<EntrySize> entries;
};

struct Estimate {
  Range cost;
  Size result;
};

/// A part of a call.
struct Operand {
  const Expr* expr = nullptr;
  Type type;
  Path path;
  Size size;
};

bool is_scalar(const TypeNode& t) {
  switch (t.kind) {
    case TypeKind::kBool:
    case TypeKind::kDouble:
    case TypeKind::kDuration:
    case TypeKind::kInt:
    case TypeKind::kTimestamp:
    case TypeKind::kUint:
      return true;
    default:
      return is_optional(t) && !t.params.empty() && is_scalar(*t.params[0]);
  }
}

uint64_t literal_int(const Expr* e, uint64_t otherwise) {
  if (e == nullptr || e->kind != ExprKind::kLiteral) return otherwise;
  const auto n = e->literal.as_int();
  return !n ? otherwise : *n < 0 ? 0 : static_cast<uint64_t>(*n);
}

class Estimator {
 public:
  Estimator(const Ast& ast, const Checked& checked, const Type& root)
      : checked_(checked), root_(root), sizes_(ast.id_count()), paths_(ast.id_count()) {}

  Range cost(const Expr& e) {
    switch (e.kind) {
      case ExprKind::kIdent: {
        const Local* local = find_local(e.name);
        path_of(e) = local != nullptr ? local->path : Path{e.name};
        return Range::of(1);
      }
      case ExprKind::kSelect:
        return select(e);
      case ExprKind::kCall:
        return call(e);
      case ExprKind::kList:
        return list(e);
      case ExprKind::kMap:
        return map(e);
      case ExprKind::kStruct: {
        Range sum = Range::of(40);
        for (const Expr::Entry& entry : e.entries) sum = sum + cost(*entry.value);
        return sum;
      }
      case ExprKind::kComprehension:
        return is_bind(e) ? bind(e) : loop(e);
      default:
        return {};
    }
  }

 private:
  Path& path_of(const Expr& e) { return paths_[static_cast<size_t>(e.id)]; }
  Path path(const Expr& e) {
    if (e.kind == ExprKind::kIdent) {
      if (const Local* local = find_local(e.name)) return local->path;
    }
    return path_of(e);
  }
  const Local* find_local(const std::string& name) const {
    const auto found = locals_.find(name);
    return found == locals_.end() || found->second.empty() ? nullptr : &found->second.back();
  }
  void set_size(const Expr& e, const Size& size) {
    if (size) sizes_[static_cast<size_t>(e.id)] = size;
  }
  void set_entries(const Expr& e, const std::optional<EntrySize>& entries) {
    if (entries) entries_[e.id] = *entries;
  }

  /// From the limits of the type that a path leads to; nothing without one.
  Size limit(const Path& path) const {
    if (path.empty() || !root_) return std::nullopt;
    Type node = root_;
    for (size_t i = 1; i < path.size(); ++i) {
      if (path[i] == "@items" || path[i] == "@values") {
        node = element_type(node);
      } else if (path[i] == "@keys") {
        node = node->kind == TypeKind::kMap ? node->params[0] : nullptr;
      } else {
        node = field_type(node, path[i]);
      }
      if (!node) return std::nullopt;
    }
    return Range{0, static_cast<uint64_t>(node->max_elements)};
  }

  Size size(const Expr& e) {
    const Size& known = sizes_[static_cast<size_t>(e.id)];
    if (known) return known;
    switch (e.kind) {
      case ExprKind::kLiteral: {
        const auto n = size_of(e.literal);
        return Range::of(n ? static_cast<uint64_t>(*n) : 1);
      }
      case ExprKind::kList:
        return Range::of(e.args.size());
      case ExprKind::kMap:
        return Range::of(e.entries.size());
      default:
        break;
    }
    if (const Size limited = limit(path(e))) {
      set_size(e, limited);
      return limited;
    }
    if (is_scalar(*checked_.type(e))) return Range::of(1);
    if (e.kind == ExprKind::kIdent) {
      const Local* local = find_local(e.name);
      if (local != nullptr && local->size) return local->size;
    }
    return std::nullopt;
  }
  Range size_or_unknown(const Expr& e) { return size(e).value_or(Range::unknown()); }

  std::optional<EntrySize> entries(const Expr& e) const {
    const auto found = entries_.find(e.id);
    if (found != entries_.end()) return found->second;
    if (e.kind == ExprKind::kIdent) {
      const Local* local = find_local(e.name);
      if (local != nullptr) return local->entries;
    }
    return std::nullopt;
  }

  Range select(const Expr& e) {
    Range sum = cost(*e.target);
    if (e.test_only) return sum;
    const TypeKind kind = checked_.type(*e.target)->kind;
    if (kind == TypeKind::kMap || kind == TypeKind::kStruct || kind == TypeKind::kTypeParam) {
      sum = sum + Range::of(1);
    }
    Path path = this->path(*e.target);
    path.push_back(e.name);
    path_of(e) = std::move(path);
    return sum;
  }

  Range list(const Expr& e) {
    Range sum = Range::of(10);
    Range item = {e.args.empty() ? 0 : kMax, 0};
    for (const Expr* arg : e.args) {
      sum = sum + cost(*arg);
      item = item | size_or_unknown(*arg);
    }
    set_entries(e, EntrySize{TypeKind::kList, Range::of(1), item});
    return sum;
  }

  Range map(const Expr& e) {
    Range sum = Range::of(30);
    Range key = {e.entries.empty() ? 0 : kMax, 0};
    Range value = key;
    for (const Expr::Entry& entry : e.entries) {
      sum = sum + cost(*entry.key) + cost(*entry.value);
      key = key | size_or_unknown(*entry.key);
      value = value | size_or_unknown(*entry.value);
    }
    set_entries(e, EntrySize{TypeKind::kMap, key, value});
    return sum;
  }

  static bool is_bind(const Expr& e) {
    const Expr::Loop& l = e.loop;
    return l.range->kind == ExprKind::kList && l.range->args.empty() &&
           l.condition->kind == ExprKind::kLiteral && l.condition->literal.as_bool() == false;
  }

  void push(const std::string& name, const Expr& e) {
    Local local;
    local.path = path(e);
    local.entries = entries(e);
    local.size = size(e);
    locals_[name].push_back(std::move(local));
  }

  Range bind(const Expr& e) {
    Range sum = cost(*e.loop.range) + cost(*e.loop.init);
    push(e.loop.accumulator, *e.loop.init);
    sum = sum + cost(*e.loop.result);
    locals_[e.loop.accumulator].pop_back();
    set_size(e, size(*e.loop.result));
    set_entries(e, entries(*e.loop.result));
    return sum;
  }

  /// A loop's variable: keys or items of the range.
  void push_variable(const std::string& name, const Expr& range, bool key) {
    const std::optional<EntrySize> sizes = entries(range);
    const bool is_list =
        sizes ? sizes->container == TypeKind::kList : checked_.type(range)->kind == TypeKind::kList;
    Local local;
    local.path = path(range);
    local.path.push_back(is_list ? (key ? "@indices" : "@items") : (key ? "@keys" : "@values"));
    if (sizes) local.size = key ? sizes->key : sizes->value;
    locals_[name].push_back(std::move(local));
  }

  Range loop(const Expr& e) {
    const Expr::Loop& l = e.loop;
    Range sum = cost(*l.range) + cost(*l.init);
    push(l.accumulator, *l.init);
    const bool two = !l.variable2.empty();
    if (two) {
      push_variable(l.variable, *l.range, true);
      push_variable(l.variable2, *l.range, false);
    } else {
      const std::optional<EntrySize> sizes = entries(*l.range);
      const bool is_list =
          sizes ? sizes->container == TypeKind::kList : checked_.type(*l.range)->kind == TypeKind::kList;
      push_variable(l.variable, *l.range, !is_list);
    }
    const Range condition = cost(*l.condition);
    const Range step = cost(*l.step);
    locals_[l.variable].pop_back();
    if (two) locals_[l.variable2].pop_back();
    sum = sum + cost(*l.result);
    locals_[l.accumulator].pop_back();
    const Range rounds = size_or_unknown(*l.range);
    sum = sum + rounds * (step + condition);
    if (l.init->kind == ExprKind::kLiteral) {
      set_size(e, size(*l.init));
    } else if (l.init->kind == ExprKind::kList || l.init->kind == ExprKind::kMap) {
      set_size(e, rounds);
      set_entries(e, entries(*l.step));
    }
    return sum;
  }

  Operand operand(const Expr& e) {
    Operand o;
    o.expr = &e;
    o.type = checked_.type(e);
    o.path = path(e);
    if (!o.path.empty() && (o.path[0] == kAccumulator || o.path[0] == "__result__")) o.path.clear();
    o.size = size(e);
    return o;
  }

  Range call(const Expr& e) {
    if (e.name == "dyn" && !e.member) {
      const Range sum = cost(*e.args[0]);
      set_size(e, size(*e.args[0]));
      set_entries(e, entries(*e.args[0]));
      return sum + Range::of(1);
    }
    std::vector<Range> costs;
    std::vector<Operand> args;
    for (const Expr* arg : e.args) {
      costs.push_back(cost(*arg));
      args.push_back(operand(*arg));
    }
    const Checked::Reference* ref = checked_.reference(e);
    if (ref == nullptr || ref->overloads.empty()) return {};
    Range sum;
    Operand target;
    if (e.member) {
      sum = cost(*e.target);
      target = operand(*e.target);
    }
    Range total = {kMax, 0};
    Size result;
    for (const Overload* overload : ref->overloads) {
      const Estimate estimate = function_cost(e, overload->id, e.member ? &target : nullptr, args, costs);
      total = total | estimate.cost;
      if (estimate.result) result = result ? *result | *estimate.result : *estimate.result;
      if (overload->id == "index_list" || overload->id == "index_map") {
        const std::optional<EntrySize> sizes = entries(*e.args[0]);
        result = sizes ? Size(sizes->value) : std::nullopt;
        Path path = this->path(*e.args[0]);
        path.push_back(overload->id == "index_list" ? "@items" : "@values");
        path_of(e) = std::move(path);
      }
      if (!result) result = size(e);
    }
    set_size(e, result);
    return sum + total;
  }

  Estimate function_cost(const Expr& e, std::string_view overload, const Operand* target,
                         const std::vector<Operand>& args, const std::vector<Range>& costs);
  std::optional<Estimate> extension_cost(std::string_view overload, const Operand* target,
                                         const std::vector<Operand>& args) const;
  std::optional<Estimate> kubernetes_cost(std::string_view function, std::string_view overload,
                                          const Operand* target, const std::vector<Operand>& args) const;
  std::optional<Estimate> text_cost(std::string_view function, const Operand* target,
                                    const std::vector<Operand>& args) const;
  Estimate standard_cost(const Expr& e, std::string_view overload, const Operand* target,
                         const std::vector<Operand>& args, const std::vector<Range>& costs, const Range& sum);

  Range operand_size(const Operand& o) const {
    if (o.size) return *o.size;
    return limit(o.path).value_or(Range::unknown());
  }
  static Range known_size(const Operand& o) { return o.size.value_or(Range::unknown()); }
  /// The items of a list; nothing if it is none.
  std::optional<Operand> items_of(const Operand& list) const {
    if (list.type->params.empty()) return std::nullopt;
    Operand item;
    item.type = list.type->params[0];
    if (!list.path.empty()) {
      item.path = list.path;
      item.path.push_back("@items");
    }
    return item;
  }

  const Checked& checked_;
  const Type root_;
  std::vector<Size> sizes_;
  std::vector<Path> paths_;
  std::unordered_map<int64_t, EntrySize> entries_;
  std::map<std::string, std::vector<Local>> locals_;
};

Estimate Estimator::function_cost(const Expr& e, std::string_view overload, const Operand* target,
                                  const std::vector<Operand>& args, const std::vector<Range>& costs) {
  Range sum;
  for (const Range& c : costs) sum = sum + c;
  std::optional<Estimate> known = extension_cost(overload, target, args);
  if (!known) known = kubernetes_cost(e.name, overload, target, args);
  if (known) {
    known->cost = known->cost + sum;
    return *known;
  }
  return standard_cost(e, overload, target, args, costs, sum);
}

std::optional<Estimate> Estimator::extension_cost(std::string_view overload, const Operand* target,
                                                  const std::vector<Operand>& args) const {
  auto allocating = [](double factor, const Range& list) {
    return Estimate{list * factor + Range::of(11), list};
  };
  if (overload.starts_with("list_sets_") && args.size() == 2) {
    const double factor = overload == "list_sets_equivalent_list" ? 2 : 1;
    return Estimate{operand_size(args[0]) * operand_size(args[1]) * factor + Range::of(1), std::nullopt};
  }
  if (overload == "lists_range") return allocating(1, Range::of(literal_int(args[0].expr, kMax)));
  if (target == nullptr) return std::nullopt;
  const Range size = operand_size(*target);
  if (overload == "list_slice") {
    const uint64_t start = literal_int(args[0].expr, 0);
    const uint64_t end = literal_int(args[1].expr, size.max);
    return allocating(1, Range::of(end - start));
  }
  if (overload == "list_reverse") return allocating(1, size);
  if (overload == "list_flatten") return allocating(1, size);
  if (overload == "list_flatten_int") {
    return allocating(static_cast<double>(literal_int(args[0].expr, kMax)), size);
  }
  if (overload == "list_distinct") return allocating(2, size * size);
  const bool by_keys = overload.ends_with("_sortByAssociatedKeys");
  if (by_keys || overload.ends_with("_sort")) {
    const Range keys = by_keys ? operand_size(args[0]) : size;
    const bool text = overload.starts_with("list_string_") || overload.starts_with("list_bytes_");
    return allocating(text ? 2 + kTraversal : 2, keys * keys);
  }
  return std::nullopt;
}

std::optional<Estimate> Estimator::text_cost(std::string_view f, const Operand* target,
                                             const std::vector<Operand>& args) const {
  if (target == nullptr) return std::nullopt;
  const Range size = operand_size(*target);
  if (one_of(f, {"lowerAscii", "upperAscii", "substring", "trim"})) return Estimate{size * kTraversal, size};
  if (f == "split") {
    uint64_t most = size.max;
    if (args.size() > 1 && args[1].expr->kind == ExprKind::kLiteral && args[1].expr->literal.as_int()) {
      most = static_cast<uint64_t>(*args[1].expr->literal.as_int());
    }
    return Estimate{size * (2 * kTraversal), Range{0, most}};
  }
  if (f == "join") {
    Range text;
    if (const auto items = items_of(*target)) text = size * operand_size(*items);
    if (!args.empty()) {
      const Range separators = {size.min > 0 ? size.min - 1 : 0, size.max > 0 ? size.max - 1 : 0};
      text = text + operand_size(args[0]) * separators;
    }
    return Estimate{text * kTraversal, text};
  }
  if (f == "replace" && args.size() >= 2) {
    const Range old_size = operand_size(args[0]);
    const Range new_size = operand_size(args[1]);
    Range count;
    Range kept;
    if (old_size.min == 0) {
      count.max = plus(size.max, 1);
      kept.max = size.max;
    } else if (new_size.max <= old_size.min) {
      kept.max = size.max;
    } else {
      count.max = scaled(1, static_cast<double>(size.max) / static_cast<double>(old_size.min));
    }
    if (old_size.max == 0) {
      count.min = plus(size.min, 1);
      kept.min = size.min;
    } else if (old_size.max <= new_size.min) {
      kept.min = size.min;
    } else {
      count.min = scaled(1, static_cast<double>(size.min) / static_cast<double>(old_size.max));
    }
    return Estimate{size * (2 * kTraversal), count * new_size + kept};
  }
  if (one_of(f, {"find", "findAll"}) && !args.empty()) {
    const Range text = (size + Range::of(1)) * kTraversal;
    return Estimate{text * (operand_size(args[0]) * kRegexFactor), Range{0, size.max}};
  }
  return std::nullopt;
}

std::optional<Estimate> Estimator::kubernetes_cost(std::string_view f, std::string_view overload,
                                                   const Operand* target,
                                                   const std::vector<Operand>& args) const {
  auto only = [](const Range& cost) { return Estimate{cost, std::nullopt}; };
  if (f == "check") return only(Range::of(350000));
  if (costs_one(f)) return only(Range::of(1));
  if (one_of(f, {"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"}) && target != nullptr) {
    const auto items = items_of(*target);
    if (!items) return only(operand_size(*target) * kTraversal);
    Range item = Range::of(1);
    if (items->type->kind == TypeKind::kString || items->type->kind == TypeKind::kBytes) {
      item = item + operand_size(*items) * kTraversal;
    }
    return only(operand_size(*target) * item);
  }
  if (auto text = text_cost(f, target, args)) return text;
  if (f == "_==_" && args.size() == 2 && exact(*args[0].type, *args[1].type)) {
    const std::string& name = args[0].type->name;
    if (one_of(name, {"net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver"}) ||
        name.starts_with("kubernetes.authorization.")) {
      return only(Range::of(1));
    }
    if (name == "kubernetes.NamedFormat") return only(Range{1, 64} * kTraversal);
    if (name == "kubernetes.URL") {
      const uint64_t most = args[1].size ? args[1].size->max : 1;
      return only(Range{1, most} * kTraversal);
    }
  }
  if (f == "ip" && overload == "cidr_ip") return only(Range::of(1));
  if (args.empty()) return std::nullopt;
  const Range size = operand_size(args[0]);
  if (f == "url" || f == "jsonpatch.escapeKey") return Estimate{size * kTraversal, size};
  if (one_of(f, {"cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"})) {
    return only(size * kTraversal);
  }
  if (f == "ip.isCanonical") return only(size * (2 * kTraversal));
  if (f == "containsIP" || f == "containsCIDR") {
    const Range address = {4, 16};
    Range cost = (address + address) * kTraversal;
    if (f == "containsCIDR") cost = cost + address * kTraversal + Range::of(1);
    if (overload.ends_with("_string")) cost = cost + size * kTraversal;
    return only(cost);
  }
  if (f == "validate") return only(size * kTraversal * (128 * kRegexFactor));
  if (f == "fieldSelector" || f == "labelSelector") {
    return only(Range::of(10) + size * kTraversal + size * 0.5 * 50.0);
  }
  return std::nullopt;
}

Estimate Estimator::standard_cost(const Expr& e, std::string_view overload, const Operand* target,
                                  const std::vector<Operand>& args, const std::vector<Range>& costs,
                                  const Range& sum) {
  if (overload == "string_format" && target != nullptr) {
    return {known_size(*target) * kTraversal + sum, std::nullopt};
  }
  if (one_of(overload, {"string_to_bytes", "bytes_to_string", "strings_quote"}) && args.size() == 1) {
    const Range size = known_size(args[0]);
    const Range result = overload == "string_to_bytes"   ? Range{size.min, size.max * 4}
                         : overload == "bytes_to_string" ? Range{size.min / 4, size.max}
                                                         : Range{size.min + 2, size.max * 2 + 2};
    return {size * kTraversal + sum, result};
  }
  if (one_of(overload, {"starts_with_string", "ends_with_string"}) && args.size() == 1) {
    return {known_size(args[0]) * kTraversal + sum, std::nullopt};
  }
  if (overload == "in_list" && args.size() == 2) return {known_size(args[1]) * 1.0 + sum, std::nullopt};
  if (overload == "matches_string" && target != nullptr && args.size() == 1) {
    const Range text = (known_size(*target) + Range::of(1)) * kTraversal;
    return {text * (known_size(args[0]) * kRegexFactor) + sum, std::nullopt};
  }
  if (overload == "contains_string" && target != nullptr && args.size() == 1) {
    return {known_size(*target) * kTraversal * (known_size(args[0]) * kTraversal) + sum, std::nullopt};
  }
  if (overload == "logical_or" || overload == "logical_and") {
    return {Range{costs[0].min, plus(costs[0].max, costs[1].max)}, std::nullopt};
  }
  if (overload == "conditional") {
    const std::optional<EntrySize> yes = entries(*e.args[1]);
    const std::optional<EntrySize> no = entries(*e.args[2]);
    if (yes && no) set_entries(e, EntrySize{yes->container, yes->key | no->key, yes->value | no->value});
    return {costs[0] + (costs[1] | costs[2]), known_size(args[1]) | known_size(args[2])};
  }
  if (one_of(overload, {"add_string", "add_bytes", "add_list"}) && args.size() == 2) {
    const Range size = known_size(args[0]) + known_size(args[1]);
    const std::optional<EntrySize> a = entries(*e.args[0]);
    const std::optional<EntrySize> b = entries(*e.args[1]);
    if (a && b) set_entries(e, EntrySize{a->container, a->key | b->key, a->value | b->value});
    return {(overload == "add_list" ? Range::of(1) : size * kTraversal) + sum, size};
  }
  if (compares_text(overload)) {
    const uint64_t most = std::min(known_size(args[0]).max, known_size(args[1]).max);
    return {Range{most > 0 ? 1U : 0U, most} * kTraversal + sum, std::nullopt};
  }
  return {Range::of(1) + sum, std::nullopt};
}

}  // namespace

CostEstimate estimate(const Ast& ast, const Checked& checked, const Type& root) {
  const Range range = Estimator(ast, checked, root).cost(*ast.root);
  return {range.min, range.max};
}

}  // namespace orch::api::cel
