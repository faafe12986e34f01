// LocalClient: client::Client inside the server process. Controllers, scheduler and the server's own node
// use it: the same admission, validation and storage as HTTP requests, but no network, no authorization
// round and no second copy of any object.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/threads.h"
#include "client/client.h"
#include "server/auth/auth.h"
#include "server/registry/registry.h"

namespace orch::server {

/// Subresources that are not plain edits (binding, eviction, token): what the API server does for a POST.
using SubresourcePost = std::function<base::Result<Json>(const api::Resource& resource, std::string_view ns,
                                                         std::string_view name, std::string_view subresource,
                                                         const Json& body, const UserInfo& user)>;

/// How a client's update() is meant: as the whole object, or as what is applied of it, by force.
enum class LocalWrites : uint8_t { kUpdate, kApply };

/// Writes as `user`. Watch callbacks come on the store's writer thread or on the caller's of watch(): they
/// must only queue. Outlived by registry and post.
std::unique_ptr<client::Client> make_local_client(Registry& registry, UserInfo user, SubresourcePost post,
                                                  std::string manager,
                                                  LocalWrites writes = LocalWrites::kUpdate);

}  // namespace orch::server
