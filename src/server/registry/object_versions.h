// ObjectVersions over the schema: what webhooks see of stored objects, and how their answers come back.
#pragma once

#include "api/resources/resource.h"
#include "server/admission/admission.h"

namespace orch::server {

class RowVersions final : public ObjectVersions {
 public:
  /// `schema` must outlive this.
  explicit RowVersions(const api::Schema& schema) : schema_(schema) {}
  base::Result<Json> show(const Json& object, const api::Resource& stored,
                          const api::Resource& as) const override;
  base::Result<Json> read(Json tree, const api::Resource& as, const api::Resource& stored) const override;

 private:
  const api::Schema& schema_;
};

}  // namespace orch::server
