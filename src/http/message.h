// Requests and responses as handlers see them, independent of connection and parser.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace orch::http {

class Stream;

/// Verified identity of the peer's TLS certificate; empty common_name when none was presented or it did not
/// verify against the client CA.
struct PeerIdentity {
  std::string common_name;
  std::vector<std::string> organizations;
  /// X.509 uid / credential id: SHA-256 of the certificate, hex; for audit.
  std::string credential_id;
  /// Why the presented certificate was refused, in Go's words ("x509: certificate signed by unknown
  /// authority"); the connection stands, so that the request can be answered 401. Empty when all is well.
  std::string error;
  /// Signed by the CA of proxies that vouch for users (TlsConfig::front_proxy_ca_pem); `client` is false when
  /// it is by no CA of clients as well.
  bool front_proxy = false, client = true;
};

struct Request {
  std::string method;  // upper case
  std::string target;  // raw: path and query as sent
  std::string path;    // raw path part of the target, not percent-decoded
  std::string query;   // raw, without '?'
  std::vector<std::pair<std::string, std::string>> headers;  // as sent, names case-insensitive
  std::string body;
  std::string remote_address;  // "10.0.0.1:4242"
  PeerIdentity peer;
  bool tls = true;
  int minor_version = 1;  // HTTP/1.x
  /// It waited its turn among the patient (ServerOptions::patient_workers) before the handler was called,
  /// because the last one of its connection had to. The handler says so of this one, for the next.
  bool patient = false;

  /// First value of a header (case-insensitive), "" when absent.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
  /// All values of a header, in order.
  std::vector<std::string_view> header_values(std::string_view name) const;
};

/// Case-insensitive equality of ASCII texts: header names and tokens.
bool equal_fold(std::string_view a, std::string_view b);
/// Whether a comma-separated header value holds a token (case-insensitive): "Connection: keep-alive,
/// Upgrade".
bool has_token(std::string_view list, std::string_view token);

/// Percent-decoding ('+' is a space only in queries). False on a malformed escape.
bool percent_decode(std::string_view in, bool plus_is_space, std::string& out);
/// Everything but RFC 3986's unreserved characters becomes %XX.
std::string percent_encode(std::string_view in);

/// Parsed query: names and values decoded, in order. A pair with a malformed escape is left out, as Go's
/// URL.Query does.
class Query {
 public:
  static Query parse(std::string_view raw);
  /// First value or "".
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& items() const { return items_; }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

/// A piece of a body that is shared, not copied: `bytes` must live as long as `owner`.
struct BodyPiece {
  std::string_view bytes;
  std::shared_ptr<const void> owner;
};

/// Writes the rest of a response after its headers, outside any worker thread. Made by a handler; driven by
/// the connection engine. See Server for threading.
class StreamBody;

/// Takes over the raw connection (upgrades: exec, attach, port-forward, proxied upgrades). Called on a
/// thread of its own after the request's bytes were consumed and before anything was answered; it writes the
/// whole answer itself and closes by returning. The stream is blocking.
using Takeover = std::function<void(std::shared_ptr<Stream>)>;

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  /// Whole body: `body`, then `pieces` in order (for large shared bodies).
  std::string body;
  std::vector<BodyPiece> pieces;
  /// At most one of these: an endless chunked body, or the raw connection.
  std::shared_ptr<StreamBody> stream;
  Takeover takeover;

  /// The metav1.Status as JSON, with Retry-After where the status has one.
  static Response from_status(const base::Status& status);
  static Response json(std::string body, int status = 200);
  static Response text(std::string body, int status = 200);
};

/// An endless, event-driven response body (a watch): no thread waits for it. Producers call write() from any
/// thread at any time; the engine sends the bytes as HTTP chunks from its own pump. When more than the limit
/// is queued because the client does not read, the connection is cut (never waited for).
class StreamBody {
 public:
  /// `on_start` is called once, on a worker thread, when the connection took the body; it may write() at
  /// once, and what it writes does not count against the limit (a watch's initial state may be large, and is
  /// shared). `on_close` is called exactly once and never before `on_start` has returned: when the client is
  /// gone, the limit was passed, the server stops, or finish() was called; after it, write() is ignored. It
  /// runs on an engine thread (or on that of the destructor) and must be short. For a HEAD request, or when
  /// the connection was lost before, only `on_close` is called.
  StreamBody(std::function<void(StreamBody&)> on_start, std::function<void()> on_close);
  ~StreamBody();
  StreamBody(const StreamBody&) = delete;
  StreamBody& operator=(const StreamBody&) = delete;
  /// Queues one frame (sent as one chunk); pieces stay shared. Thread-safe, never blocks. False after close.
  bool write(std::vector<BodyPiece> frame);
  bool write(std::string frame);
  /// For producers with a thread of their own (a log being followed): waits while the limit is queued,
  /// instead of having the connection cut. False after close.
  bool write_waiting(std::string frame);
  /// Sends what is queued and the final chunk, then keeps the connection open for another request.
  void finish();
  /// Ends the body as broken: the connection is closed without the final chunk, so that the client sees an
  /// unexpected end.
  void abort();
  bool closed() const;
  /// Bytes that may wait for a slow client; 8 MiB unless told.
  void set_limit(size_t bytes);

  struct Rep;
  Rep& rep() { return *rep_; }  // for the engine

 private:
  std::shared_ptr<Rep> rep_;
};

/// A blocking byte stream over a connection (TLS or plain), for takeovers and tunnels. One reader thread and
/// one writer thread may use it at once.
class Stream {
 public:
  virtual ~Stream() = default;
  /// > 0 bytes read, 0 at end of stream, < 0 on error.
  virtual long read(char* buffer, size_t size) = 0;
  /// False when the peer is gone; writes all.
  virtual bool write(std::string_view bytes) = 0;
  /// Unblocks both sides.
  virtual void close() = 0;
  /// Tells the peer that no more is coming, if the transport can.
  virtual void close_write() {}
};

}  // namespace orch::http
