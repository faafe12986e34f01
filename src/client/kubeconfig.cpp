#include "client/kubeconfig.h"

#include "api/yaml.h"
#include "base/file.h"
#include "base/json.h"
#include "pki/pki.h"

namespace orch::client {

using base::Code;
using base::Result;
using base::Status;

namespace {

/// The entry of a list of {name, KEY: {…}}.
const Json* entry(const Json& config, const char* list, const char* key, std::string_view name) {
  for (const Json& e : base::array_at(config, {list})) {
    if (base::string_at(e, {"name"}) == name) return base::find_path(e, {key});
  }
  return nullptr;
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), folder_(path.substr(0, path.rfind('/') + 1)) {}

  Result<RemoteOptions> read() {
    auto text = base::read_file(path_);
    if (!text.ok()) return bad(text.error().message());
    auto tree = api::parse_yaml(*text);
    if (!tree.ok()) return bad(tree.error().message());
    const std::string_view context_name = base::string_at(*tree, {"current-context"});
    const Json* context = entry(*tree, "contexts", "context", context_name);
    if (!context_name.empty() && context == nullptr) return bad("the current context is not there");
    std::string_view cluster_name, user_name;
    if (context != nullptr) {
      cluster_name = base::string_at(*context, {"cluster"});
      user_name = base::string_at(*context, {"user"});
    } else {
      const Json &clusters = base::array_at(*tree, {"clusters"}), &users = base::array_at(*tree, {"users"});
      if (!clusters.empty()) cluster_name = base::string_at(clusters[0], {"name"});
      if (!users.empty()) user_name = base::string_at(users[0], {"name"});
    }
    const Json* cluster = entry(*tree, "clusters", "cluster", cluster_name);
    if (cluster == nullptr) return bad("it names no cluster");
    ORCH_RETURN_IF_ERROR(read_cluster(*cluster));
    if (const Json* user = entry(*tree, "users", "user", user_name)) ORCH_RETURN_IF_ERROR(read_user(*user));
    return std::move(out_);
  }

 private:
  Status bad(std::string_view why) const { return {Code::kBadRequest, base::cat(path_, ": ", why)}; }

  /// KEY-data in base64, or the file that KEY names.
  Status read_blob(const Json& from, const std::string& key, std::string& out) const {
    if (const std::string_view data = base::string_at(from, {key + "-data"}); !data.empty()) {
      auto bytes = pki::base64_decode(data);
      if (!bytes.ok()) return bad(base::cat(key, "-data is not base64"));
      out = std::move(*bytes);
      return {};
    }
    return read_named(base::string_at(from, {key}), out);
  }
  Status read_named(std::string_view name, std::string& out) const {
    if (name.empty()) return {};
    auto text = base::read_file(name[0] == '/' ? std::string(name) : folder_ + std::string(name));
    if (!text.ok()) return bad(text.error().message());
    out = std::move(*text);
    return {};
  }

  Status read_cluster(const Json& cluster) {
    out_.server = base::string_at(cluster, {"server"});
    if (out_.server.empty()) return bad("its cluster has no server");
    if (cluster.contains("proxy-url")) return bad("proxy-url is not supported");
    out_.insecure = base::bool_at(cluster, {"insecure-skip-tls-verify"});
    return read_blob(cluster, "certificate-authority", out_.ca_pem);
  }

  Status read_user(const Json& user) {
    for (const char* key : {"exec", "auth-provider"}) {
      if (user.contains(key)) return bad(base::cat(key, " is not supported"));
    }
    ORCH_RETURN_IF_ERROR(read_blob(user, "client-certificate", out_.certificate_pem));
    ORCH_RETURN_IF_ERROR(read_blob(user, "client-key", out_.key_pem));
    out_.token = base::string_at(user, {"token"});
    if (out_.token.empty()) {
      ORCH_RETURN_IF_ERROR(read_named(base::string_at(user, {"tokenFile"}), out_.token));
      while (!out_.token.empty() && (out_.token.back() == '\n' || out_.token.back() == '\r'))
        out_.token.pop_back();
    }
    const std::string_view name = base::string_at(user, {"username"});
    if (!name.empty()) {
      out_.authorization =
          "Basic " + pki::base64_encode(base::cat(name, ":", base::string_at(user, {"password"})));
    }
    return {};
  }

  const std::string& path_;
  const std::string folder_;
  RemoteOptions out_;
};

}  // namespace

Result<RemoteOptions> read_kubeconfig(const std::string& path) { return Reader(path).read(); }

}  // namespace orch::client
