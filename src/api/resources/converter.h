// Converter: custom resources from one version of their CustomResourceDefinition to another
// (apiextensions.k8s.io/v1 CustomResourceConversion).
//
// Objects are stored in the version they were written as the storage version of, and converted when they are
// read in another one. Strategy None changes apiVersion alone; strategy Webhook asks somebody else.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api {

/// Thread-safe.
class Converter {
 public:
  virtual ~Converter() = default;
  /// Makes complete objects, each of any version of the definition, objects of `api_version`
  /// ("stable.example.com/v1"): in place, in their order, those that are so already untouched. The objects of
  /// a list come in one call. Only metadata.labels and metadata.annotations may change of their metadata.
  /// An error is answered to the client as it is (kInternal "conversion webhook for …"); the trees are of no
  /// use then.
  virtual base::Status convert(std::string_view api_version, std::vector<Json>& trees) const = 0;
  /// It may wait for others: never called on the thread that writes the store, nor under a lock.
  virtual bool remote() const = 0;
};

/// Makes the converter of strategy Webhook. `definition` is the whole CustomResourceDefinition, whose
/// spec.conversion.webhook has clientConfig and conversionReviewVersions; called anew when its spec changes.
using ConverterFactory = std::function<std::shared_ptr<const Converter>(const Json& definition)>;

}  // namespace orch::api
