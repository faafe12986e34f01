#include "server/lookup.h"

namespace orch::server {

WatchCachePtr CacheLookup::cache(std::string_view resource) const {
  size_t dot = resource.find('.');
  std::string_view plural = resource.substr(0, dot);
  return registry_.cache(dot == std::string_view::npos ? std::string_view() : resource.substr(dot + 1),
                         plural);
}

api::ObjectPtr CacheLookup::get(std::string_view resource, std::string_view ns, std::string_view name) const {
  const WatchCachePtr c = cache(resource);
  return c == nullptr ? nullptr : c->get(ns, name);
}

std::vector<api::ObjectPtr> CacheLookup::list(std::string_view resource, std::string_view ns) const {
  const WatchCachePtr c = cache(resource);
  if (c == nullptr) return {};
  Filter filter;
  filter.ns = ns;
  return c->list(filter).items;
}

}  // namespace orch::server
