// One HTTP exchange over bytes in memory: cpp-httplib parses the request's head and formats the response's.
#pragma once

#include <memory>
#include <string>

#include "http/deferred.h"
#include "http/head.h"
#include "http/message.h"
#include "http/server.h"

namespace orch::http {

/// What goes out for one request.
struct Reply {
  std::string head;   // status line, headers, empty line
  Response response;  // the rest: body and pieces, or stream, or takeover (then `head` is empty)
  bool keep_alive = false;
  bool chunked = true;    // a stream's frames are chunks; raw bytes for HTTP/1.0
  bool bodiless = false;  // the answer to HEAD
  bool patient = false;   // see Deferred and Request
  /// The answer is still to come, see Codec::complete; `head` is empty.
  std::shared_ptr<Deferred> deferred = nullptr;
};

/// Thread-safe: workers share one.
class Codec {
 public:
  explicit Codec(Handler handler);
  ~Codec();
  /// Runs the handler for a request whose `head` (of which `parsed` is the reading) was received as a whole;
  /// `request` has everything but what comes from the head. A head the parser refuses is answered 400 and the
  /// handler does not see it. `keep_alive`: the connection may be kept. Never throws.
  Reply run(const std::string& head, Head parsed, Request request, bool keep_alive) const;
  /// The answer of a reply that was deferred, into it; it may be deferred again. Never throws.
  void complete(Reply& reply) const;
  /// A short plain-text answer to a request that could not be read, as Go's server words them; closes.
  Reply refuse(const HeadError& error) const;
  /// A handler's response to a request that was refused before it was read; closes.
  Reply refuse(Response response) const;

 private:
  class Library;
  std::unique_ptr<Library> library_;
};

}  // namespace orch::http
