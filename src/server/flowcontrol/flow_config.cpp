#include "server/flowcontrol/flow_config.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "api/resources/flow_objects.h"
#include "base/json.h"

namespace orch::server {
namespace {

/// The part of its seats that one request of a level may take.
constexpr double kWidestPart = 0.15;

std::vector<std::string> strings(const Json& object, std::string_view key) {
  std::vector<std::string> out;
  for (const Json& one : base::array_at(object, {key})) {
    if (one.is_string()) out.push_back(one.get<std::string>());
  }
  return out;
}

FlowAccess parse_access(const Json& rule) {
  return {strings(rule, "verbs"),           strings(rule, "apiGroups"),
          strings(rule, "resources"),       strings(rule, "namespaces"),
          strings(rule, "nonResourceURLs"), base::bool_at(rule, {"clusterScope"})};
}

FlowRule parse_rule(const Json& rule) {
  FlowRule out;
  for (const Json& subject : base::array_at(rule, {"subjects"})) {
    const std::string_view kind = base::string_at(subject, {"kind"});
    const bool account = kind == "ServiceAccount";
    const std::string_view member = account ? "serviceAccount" : kind == "User" ? "user" : "group";
    if (base::find_path(subject, {member}) == nullptr) continue;
    out.subjects.push_back({account          ? FlowSubject::Kind::kServiceAccount
                            : kind == "User" ? FlowSubject::Kind::kUser
                                             : FlowSubject::Kind::kGroup,
                            std::string(base::string_at(subject, {member, "namespace"})),
                            std::string(base::string_at(subject, {member, "name"}))});
  }
  for (const Json& one : base::array_at(rule, {"resourceRules"})) out.resources.push_back(parse_access(one));
  for (const Json& one : base::array_at(rule, {"nonResourceRules"})) out.paths.push_back(parse_access(one));
  return out;
}

/// "*" alone stands for everything.
bool lists(const std::vector<std::string>& list, std::string_view value) {
  if (list.size() == 1 && list[0] == "*") return true;
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool is_account(std::string_view user, std::string_view ns, std::string_view name) {
  constexpr std::string_view kPrefix = "system:serviceaccount:";
  if (user.substr(0, kPrefix.size()) != kPrefix) return false;
  user.remove_prefix(kPrefix.size());
  if (user.substr(0, ns.size()) != ns) return false;
  user.remove_prefix(ns.size());
  if (user.empty() || user.front() != ':') return false;
  return name == "*" || user.substr(1) == name;
}

bool is_subject(const FlowSubject& subject, const UserInfo& user) {
  switch (subject.kind) {
    case FlowSubject::Kind::kUser:
      return subject.name == "*" || subject.name == user.name;
    case FlowSubject::Kind::kGroup:
      return subject.name == "*" || user.in_group(subject.name);
    case FlowSubject::Kind::kServiceAccount:
      return is_account(user.name, subject.ns, subject.name);
  }
  return false;
}

bool lists_resource(const std::vector<std::string>& list, const FlowRequest& request) {
  if (list.size() == 1 && list[0] == "*") return true;
  return std::any_of(list.begin(), list.end(), [&](std::string_view one) {
    if (one.substr(0, request.resource.size()) != request.resource) return false;
    one.remove_prefix(request.resource.size());
    if (request.subresource.empty()) return one.empty();
    return !one.empty() && one.front() == '/' && one.substr(1) == request.subresource;
  });
}

bool covers_resource(const FlowAccess& rule, const FlowRequest& request) {
  if (!lists(rule.verbs, request.verb) || !lists_resource(rule.resources, request) ||
      !lists(rule.groups, request.group))
    return false;
  return request.ns.empty() ? rule.cluster_scope : lists(rule.namespaces, request.ns);
}

bool covers_path(const FlowAccess& rule, const FlowRequest& request) {
  if (!lists(rule.verbs, request.verb)) return false;
  return std::any_of(rule.paths.begin(), rule.paths.end(), [&](std::string_view path) {
    if (path == "*" || path == request.path) return true;
    if (!path.empty() && path.back() == '*') path.remove_suffix(1);
    if (!path.empty() && path.back() == '/') path.remove_suffix(1);
    return request.path.size() > path.size() && request.path.substr(0, path.size()) == path &&
           request.path[path.size()] == '/';
  });
}

template <class T>
bool has_name(const std::vector<T>& list, std::string_view name) {
  return std::any_of(list.begin(), list.end(), [&](const T& one) { return one.name == name; });
}

}  // namespace

FlowSchema parse_flow_schema(const Json& object) {
  FlowSchema out;
  out.name = base::string_at(object, {"metadata", "name"});
  out.uid = base::string_at(object, {"metadata", "uid"});
  out.level = base::string_at(object, {"spec", "priorityLevelConfiguration", "name"});
  out.precedence = base::int_at(object, {"spec", "matchingPrecedence"});
  const std::string_view by = base::string_at(object, {"spec", "distinguisherMethod", "type"});
  out.by = by == "ByUser"        ? FlowSchema::By::kUser
           : by == "ByNamespace" ? FlowSchema::By::kNamespace
                                 : FlowSchema::By::kNothing;
  for (const Json& rule : base::array_at(object, {"spec", "rules"})) out.rules.push_back(parse_rule(rule));
  return out;
}

std::optional<LevelConfig> parse_priority_level(const Json& object) {
  LevelConfig out;
  out.name = base::string_at(object, {"metadata", "name"});
  out.uid = base::string_at(object, {"metadata", "uid"});
  out.exempt = base::string_at(object, {"spec", "type"}) == "Exempt";
  const Json* exempt = base::find_path(object, {"spec", "exempt"});
  const Json* limited = base::find_path(object, {"spec", "limited"});
  if (out.exempt != (out.name == "exempt") || (exempt != nullptr) != out.exempt ||
      (limited != nullptr) == out.exempt)
    return std::nullopt;
  const Json& part = out.exempt ? *exempt : *limited;
  out.shares = base::int_at(part, {"nominalConcurrencyShares"});
  out.lendable_percent = base::int_at(part, {"lendablePercent"});
  if (out.exempt) return out;
  if (const Json* percent = base::find_path(part, {"borrowingLimitPercent"});
      percent != nullptr && percent->is_number_integer())
    out.borrowing_percent = percent->get<int64_t>();
  const Json* queuing = base::find_path(part, {"limitResponse", "queuing"});
  if ((base::string_at(part, {"limitResponse", "type"}) == "Reject") != (queuing == nullptr))
    return std::nullopt;
  if (queuing == nullptr) return out;
  out.shape = {static_cast<int>(base::int_at(*queuing, {"queues"})),
               static_cast<int>(base::int_at(*queuing, {"queueLengthLimit"})),
               static_cast<int>(base::int_at(*queuing, {"handSize"}))};
  if (out.shape.queues < 1 || out.shape.hand < 1 || out.shape.hand > out.shape.queues) return std::nullopt;
  return out;
}

bool matches(const FlowSchema& schema, const FlowRequest& request) {
  return std::any_of(schema.rules.begin(), schema.rules.end(), [&](const FlowRule& rule) {
    if (std::none_of(rule.subjects.begin(), rule.subjects.end(),
                     [&](const FlowSubject& s) { return is_subject(s, *request.user); }))
      return false;
    if (request.resource_request)
      return std::any_of(rule.resources.begin(), rule.resources.end(),
                         [&](const FlowAccess& a) { return covers_resource(a, request); });
    return std::any_of(rule.paths.begin(), rule.paths.end(),
                       [&](const FlowAccess& a) { return covers_path(a, request); });
  });
}

std::string_view distinguisher(const FlowSchema& schema, const FlowRequest& request) {
  if (schema.by == FlowSchema::By::kUser) return request.user->name;
  return schema.by == FlowSchema::By::kNamespace ? request.ns : std::string_view();
}

uint64_t flow_hash(std::string_view schema, std::string_view distinguisher) {
  std::string text(schema);
  text += '\0';
  text += distinguisher;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> sum{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum.data());
  uint64_t out = 0;
  for (int i = 7; i >= 0; --i) out = out << 8U | sum[static_cast<size_t>(i)];
  return out;
}

void deal(uint64_t hash, int deck, int hand, std::vector<int>& out) {
  // A mixed-radix number: each digit picks one of the cards that are left.
  std::vector<int> picks;
  for (int i = 0; i < hand; ++i) {
    const auto left = static_cast<uint64_t>(deck - i);
    picks.push_back(static_cast<int>(hash % left));
    hash /= left;
  }
  out.clear();
  for (int i = 0; i < hand; ++i) {
    int card = picks[static_cast<size_t>(i)];
    for (int j = i; j > 0; --j) card += card >= picks[static_cast<size_t>(j - 1)] ? 1 : 0;
    out.push_back(card);
  }
}

FlowPlan plan_flows(std::vector<LevelConfig> levels, std::vector<FlowSchema> schemas) {
  // A schema goes by what there is; what is mandatory is there whatever the store says.
  schemas.erase(std::remove_if(schemas.begin(), schemas.end(),
                               [&](const FlowSchema& s) { return !has_name(levels, s.level); }),
                schemas.end());
  std::sort(schemas.begin(), schemas.end(), [](const FlowSchema& a, const FlowSchema& b) {
    return a.precedence != b.precedence ? a.precedence < b.precedence : a.name < b.name;
  });
  for (const Json& object : api::builtin_priority_levels().mandatory) {
    LevelConfig level = *parse_priority_level(object);
    if (!has_name(levels, level.name)) levels.push_back(std::move(level));
  }
  for (const Json& object : api::builtin_flow_schemas().mandatory) {
    FlowSchema schema = parse_flow_schema(object);
    if (has_name(schemas, schema.name)) continue;
    schemas.insert(schema.name == "exempt" ? schemas.begin() : schemas.end(), std::move(schema));
  }
  return {std::move(schemas), std::move(levels)};
}

std::vector<SeatLimits> divide_seats(const std::vector<LevelConfig>& levels, int64_t total) {
  int64_t sum = 0;
  for (const LevelConfig& level : levels) sum += level.shares;
  const auto percent = [](int64_t of, int64_t percent) {
    return static_cast<int64_t>(std::round(static_cast<double>(of) * static_cast<double>(percent) / 100));
  };
  std::vector<SeatLimits> out;
  for (const LevelConfig& level : levels) {
    SeatLimits seats;
    if (sum > 0)
      seats.nominal = static_cast<int64_t>(std::ceil(
          static_cast<double>(total) * static_cast<double>(level.shares) / static_cast<double>(sum)));
    seats.least = seats.nominal - percent(seats.nominal, level.lendable_percent);
    seats.most =
        seats.nominal + (level.borrowing_percent ? percent(seats.nominal, *level.borrowing_percent) : total);
    out.push_back(seats);
  }
  return out;
}

int64_t widest_request(const LevelConfig& level, int64_t nominal) {
  if (level.shape.queues == 0) return 0;
  const auto part = static_cast<int64_t>(std::ceil(static_cast<double>(nominal) * kWidestPart));
  return std::max<int64_t>(1, std::min(part, nominal / level.shape.hand));
}

}  // namespace orch::server
