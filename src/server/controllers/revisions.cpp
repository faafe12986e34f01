#include "server/controllers/revisions.h"

#include <algorithm>
#include <tuple>

#include "api/hash.h"
#include "api/meta.h"
#include "api/names.h"
#include "base/json.h"

namespace orch::server {

namespace {

/// Go's encoder writes what could end a script in HTML as escapes; these bytes occur in strings alone.
std::string as_go_encodes(const Json& tree) {
  const std::string text = base::dump_json(tree);
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else if (text.compare(i, 2, "\xe2\x80") == 0 && i + 2 < text.size() &&
               (text[i + 2] == '\xa8' || text[i + 2] == '\xa9')) {
      out += text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Json template_patch(const Json& workload) {
  Json pod_template = base::object_at(workload, {"spec", "template"});
  pod_template["$patch"] = "replace";
  return {{"spec", {{"template", std::move(pod_template)}}}};
}

Json template_of(const Json& revision) {
  Json pod_template = base::object_at(revision, {"data", "spec", "template"});
  pod_template.erase("$patch");
  return pod_template;
}

std::string revision_hash(const Json& data, int64_t collisions) {
  const uint32_t hash = api::fnv1_32(std::to_string(collisions), api::fnv1_32(as_go_encodes(data)));
  return api::safe_encode(std::to_string(hash));
}

std::string revision_name(std::string_view workload, std::string_view hash) {
  constexpr size_t kLongestPrefix = 223;
  return base::cat(workload.substr(0, kLongestPrefix), "-", hash);
}

int64_t Revision::number() const { return base::int_at(tree, {"revision"}); }

std::string Revision::name() const { return std::string(base::string_at(tree, {"metadata", "name"})); }

std::vector<Revision> claim_revisions(const View& view, const api::Object& owner,
                                      const api::LabelSelector& selector, Plan& plan) {
  std::vector<Revision> out;
  for (const auto& o : view.by_index(kRevisions, "controller", owner.uid())) {
    if (selector.matches(*o)) out.push_back({o, o->tree()});
  }
  for (const auto& o : view.by_index(kRevisions, "controller", base::cat(owner.ns(), "/"))) {
    if (!selector.matches(*o)) continue;
    out.push_back({o, o->tree()});
    if (owner.deleting()) continue;
    plan.patch(kRevisions, o->ns(), o->name(),
               {{"metadata",
                 {{"uid", std::string(o->uid())},
                  {"ownerReferences", Json::array({api::controller_reference(owner)})}}}});
  }
  std::sort(out.begin(), out.end(), [](const Revision& a, const Revision& b) {
    return std::make_tuple(a.number(), api::creation_time(a.tree), a.name()) <
           std::make_tuple(b.number(), api::creation_time(b.tree), b.name());
  });
  return out;
}

}  // namespace orch::server
