// Content negotiation: which form and format a client wants.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "http/message.h"

namespace orch::server {

enum class Format : uint8_t { kJson, kYaml, kProtobuf };
enum class Form : uint8_t { kObject, kTable, kPartial };

struct Negotiated {
  Format format = Format::kJson;
  Form form = Form::kObject;
  std::string form_version = "v1";  // of meta.k8s.io for Table and PartialObjectMetadata
  bool pretty = false;
  /// Version of apidiscovery.k8s.io asked for (aggregated discovery); "" = the legacy form.
  std::string discovery_version;

  std::string_view content_type() const;
};

/// What an endpoint can answer: objects in any form, objects that no table shows (reviews, bindings), events.
enum class Serves : uint8_t { kForms, kNoTable, kWatch };

/// From Accept and `pretty`; kNotAcceptable when nothing asked for can be served.
base::Result<Negotiated> negotiate(const http::Request& request, const http::Query& query, Serves serves);

/// Media type without parameters, lower case.
std::string media_type(std::string_view header);

}  // namespace orch::server
