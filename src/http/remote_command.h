// Exec and attach sessions: up to five channels over one connection, in the protocols Kubernetes has for it
// (k8s.io/apimachinery/pkg/util/remotecommand): WebSocket {v5.,v4.,}channel.k8s.io and base64 variants, and
// SPDY {v4.,v3.,v2.,}channel.k8s.io.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/dial.h"
#include "http/message.h"

namespace orch::http {

enum class CommandChannel : uint8_t { kStdin = 0, kStdout = 1, kStderr = 2, kError = 3, kResize = 4 };
constexpr size_t kCommandChannels = 5;

/// Which channels a session has; the error channel always.
struct CommandStreams {
  bool in = false, out = false, err = false, tty = false;
  /// From the query of the API (stdin, stdout, stderr, tty). With a terminal there is no stderr. kBadRequest
  /// when there would be no stream at all.
  static base::Result<CommandStreams> from_api_query(const Query& query);
  /// From the query of the kubelet's and of runtimes' own (input, output, error, tty).
  static base::Result<CommandStreams> from_runtime_query(const Query& query);
  bool has(CommandChannel channel) const;
};

/// One session, at either end. Each channel may be used by one thread; sides read what the other writes.
/// stdin and resize flow from client to command, the others back.
class CommandSession {
 public:
  virtual ~CommandSession() = default;
  virtual CommandStreams streams() const = 0;
  /// > 0 bytes, 0 at the end of the channel or the session. A session without the channel is at its end.
  virtual long read(CommandChannel channel, char* buffer, size_t size) = 0;
  /// False when the other side is gone. Writing to a channel that the session lacks does nothing.
  virtual bool write(CommandChannel channel, std::string_view bytes) = 0;
  /// This side writes no more to the channel; where the protocol can say so (v4 WebSocket cannot).
  virtual void end(CommandChannel channel) = 0;
  /// What the error channel carries at the end: a metav1.Status as JSON, or plain text (before v4), or
  /// nothing on success.
  virtual bool status_as_json() const = 0;
  /// Ends the session; blocked reads end.
  virtual void close() = 0;
};

/// Answers an exec or attach request on the taken-over connection. On failure the client got its answer (400
/// or 403, as Kubernetes words it) and the Status tells why. `timeout`: for a SPDY client to open its
/// streams.
base::Result<std::unique_ptr<CommandSession>> accept_command(const Request& request,
                                                             const std::shared_ptr<Stream>& stream,
                                                             const CommandStreams& streams,
                                                             std::chrono::milliseconds timeout);

/// Opens a session with a runtime, kubelet or API server: SPDY, v4. An answer other than 101 becomes its
/// Status.
base::Result<std::unique_ptr<CommandSession>> connect_command(const DialOptions& options,
                                                              const std::string& target,
                                                              const Headers& headers,
                                                              const CommandStreams& streams,
                                                              std::chrono::milliseconds timeout);

/// What a command ended with, as the error channel's JSON: Success, or reason NonZeroExitCode with the code.
std::string exit_status_json(int code);
/// Writes the end of a session as its protocol wants it and closes it: for servers that ran a command.
void finish_command(CommandSession& session, int exit_code);
void finish_command(CommandSession& session, const base::Status& error);
/// The exit code the error channel's content stands for; a Status for any other failure.
base::Result<int> parse_exit_status(std::string_view error_content);

/// Copies between an accepted session and the one with the backend until the backend's output and status have
/// come; passes the status on and closes both.
void bridge_commands(CommandSession& client, CommandSession& backend);

}  // namespace orch::http
