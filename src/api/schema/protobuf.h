// Protobuf: one transcoder between JSON trees and the messages that k8s.io/api's generated code reads and
// writes, driven by the protobuf numbers of the field table.
//
// An object on the wire is the four bytes "k8s\0" and a runtime.Unknown message: kind and apiVersion, then
// the object's own message. What is encoded is byte for byte what Kubernetes writes for the same object.
// Input is never trusted: lengths, wire types, nesting (kMaxProtobufDepth) and the number of elements are
// checked. All functions are pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/schema/schema.h"
#include "base/json_fwd.h"
#include "base/status.h"

namespace orch::api::schema {

/// Messages within messages. A CustomResourceDefinition's schema takes two for each level of its own.
inline constexpr int kMaxProtobufDepth = 200;
/// List items and map entries of one object: a few bytes on the wire can each become a large tree.
inline constexpr int kMaxProtobufElements = 500'000;

/// An object in its envelope. Its kind decides the type; `type` is taken where the envelope names none, and
/// may be null. The tree has kind and apiVersion if they are known, and is decoded: canonical scalars, only
/// known members. Errors are kBadRequest with the text of Go's decoder.
base::Result<Json> decode_protobuf(const Schema& schema, const Type* type, std::string_view bytes);

// What is encoded is text that this process has written: JSON objects as they are stored and sent, read in
// place (base::JsonTape).

/// An object with kind and apiVersion in its envelope. kNotAcceptable if the kind has no protobuf form
/// (custom resources, Table); kInternal if the object does not fit its type.
base::Result<std::string> encode_protobuf_object(const Schema& schema, std::string_view json);

/// A list in its envelope: `head` is the list without items. Errors as encode_protobuf_object.
base::Result<std::string> encode_protobuf_list(const Schema& schema, std::string_view head,
                                               const std::vector<std::string_view>& items);

/// One frame of a watch (application/vnd.kubernetes.protobuf;stream=watch): the length in four bytes, most
/// significant first, then a meta/v1 WatchEvent without envelope around the object in its envelope. Errors
/// as encode_protobuf_object.
base::Result<std::string> encode_protobuf_watch_event(const Schema& schema, std::string_view event,
                                                      std::string_view json);

/// The bare message of a type. "null" is an empty message.
base::Result<std::string> encode_message(const Type& type, std::string_view json);
base::Result<Json> decode_message(const Schema& schema, const Type& type, std::string_view bytes);

}  // namespace orch::api::schema
