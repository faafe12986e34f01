#include "http/remote_command.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "base/json.h"
#include "base/threads.h"
#include "http/pipe.h"
#include "http/spdy.h"
#include "http/upgrade.h"
#include "http/websocket.h"
#include "pki/pki.h"

namespace orch::http {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr size_t kChannelBuffer = 256U << 10;
constexpr uint8_t kCloseChannel = 255;
constexpr std::array<std::string_view, kCommandChannels> kStreamTypes = {"stdin", "stdout", "stderr", "error",
                                                                         "resize"};

size_t index_of(CommandChannel channel) { return static_cast<size_t>(channel); }

bool from_client(CommandChannel channel) {
  return channel == CommandChannel::kStdin || channel == CommandChannel::kResize;
}

Result<CommandStreams> checked(CommandStreams streams) {
  if (streams.tty) streams.err = false;
  if (!streams.in && !streams.out && !streams.err) {
    return Status(Code::kBadRequest, "you must specify at least 1 of stdin, stdout, stderr");
  }
  return streams;
}

// --- WebSocket, server side -------------------------------------------------------------------------

struct WebSocketProtocol {
  std::string_view name;
  bool base64, status_json, can_close;
};
constexpr std::array<WebSocketProtocol, 6> kWebSocketProtocols = {{
    {"v5.channel.k8s.io", false, true, true},
    {"v4.channel.k8s.io", false, true, false},
    {"v4.base64.channel.k8s.io", true, true, false},
    {"channel.k8s.io", false, false, false},
    {"base64.channel.k8s.io", true, false, false},
    {"", false, false, false},
}};

/// One reading thread takes messages apart into the channels.
class WebSocketCommand final : public CommandSession {
 public:
  WebSocketCommand(std::shared_ptr<Stream> stream, const WebSocketProtocol& protocol, CommandStreams streams)
      : socket_(std::move(stream), WebSocket::Role::kServer), protocol_(protocol), streams_(streams) {
    // An empty message on the lowest channel tells the client that the connection stands.
    write_message(streams.out   ? CommandChannel::kStdout
                  : streams.err ? CommandChannel::kStderr
                                : CommandChannel::kError,
                  {});
    reader_ = base::start_thread("ws-reader", [this] { run(); });
  }
  ~WebSocketCommand() override {
    close();
    reader_.join();
  }
  CommandStreams streams() const override { return streams_; }
  bool status_as_json() const override { return protocol_.status_json; }
  long read(CommandChannel channel, char* buffer, size_t size) override {
    if (!from_client(channel) || !streams_.has(channel)) return 0;
    return pipe(channel).read(buffer, size);
  }
  bool write(CommandChannel channel, std::string_view bytes) override {
    if (from_client(channel) || !streams_.has(channel) || bytes.empty()) return true;
    return write_message(channel, bytes);
  }
  void end(CommandChannel /*channel*/) override {}
  void close() override {
    socket_.close();
    stdin_.close();
    resize_.close();
  }
  /// `gone` runs when the client went away, now if it has. Once a call with nullptr returned, none runs.
  void when_gone(std::function<void()> gone) {
    const std::lock_guard lock(gone_mutex_);
    gone_ = std::move(gone);
    if (ended_ && gone_) gone_();
  }

 private:
  Pipe& pipe(CommandChannel channel) { return channel == CommandChannel::kStdin ? stdin_ : resize_; }

  bool write_message(CommandChannel channel, std::string_view bytes) {
    const auto number = static_cast<char>(channel);
    if (protocol_.base64) {
      return socket_.write(static_cast<char>('0' + number) + pki::base64_encode(bytes), false);
    }
    std::string message(1, number);
    message += bytes;
    return socket_.write(message);
  }

  void run() {
    while (auto message = socket_.read()) {
      if (!message->data.empty() && !take(message->data)) break;
    }
    stdin_.end();
    resize_.end();
    const std::lock_guard lock(gone_mutex_);
    ended_ = true;
    if (gone_) gone_();
  }

  /// False on a violation that ends the session.
  bool take(const std::string& data) {
    auto number = static_cast<uint8_t>(data[0]);
    if (protocol_.can_close && number == kCloseChannel) {
      if (data.size() != 2 || static_cast<uint8_t>(data[1]) >= kCommandChannels) return false;
      const auto channel = static_cast<CommandChannel>(data[1]);
      if (from_client(channel)) pipe(channel).end();
      return true;
    }
    if (protocol_.base64) number = static_cast<uint8_t>(number - '0');
    if (number >= kCommandChannels) return true;
    const auto channel = static_cast<CommandChannel>(number);
    if (!from_client(channel) || !streams_.has(channel)) return true;
    if (!protocol_.base64) {
      pipe(channel).write(std::string_view(data).substr(1));
    } else if (auto decoded = pki::base64_decode(std::string_view(data).substr(1)); decoded.ok()) {
      pipe(channel).write(*decoded);
    }
    return true;
  }

  WebSocket socket_;
  const WebSocketProtocol& protocol_;
  const CommandStreams streams_;
  Pipe stdin_{kChannelBuffer}, resize_{kChannelBuffer};
  std::mutex gone_mutex_;
  std::function<void()> gone_;  // under gone_mutex_
  bool ended_ = false;          // under gone_mutex_
  std::thread reader_;
};

Result<std::unique_ptr<CommandSession>> accept_websocket(const Request& request,
                                                         const std::shared_ptr<Stream>& stream,
                                                         const CommandStreams& streams) {
  std::vector<std::string> offered = websocket_protocols(request);
  if (offered.empty()) offered.emplace_back();
  for (const auto& name : offered) {
    const auto* const found = std::find_if(kWebSocketProtocols.begin(), kWebSocketProtocols.end(),
                                           [&](const auto& known) { return known.name == name; });
    if (found == kWebSocketProtocols.end()) continue;
    auto head = websocket_accept(request, name);
    if (!head.ok()) return refuse_upgrade(*stream, 400, head.error().message());
    if (!stream->write(*head)) return Status(Code::kCanceled, "the client is gone");
    return std::unique_ptr<CommandSession>(std::make_unique<WebSocketCommand>(stream, *found, streams));
  }
  return refuse_upgrade(*stream, 403, "requested protocol(s) are not supported");
}

// --- SPDY, both sides -------------------------------------------------------------------------------

struct SpdyProtocol {
  std::string_view name;
  bool status_json, resize;
};
constexpr std::array<SpdyProtocol, 4> kSpdyProtocols = {{
    {"v4.channel.k8s.io", true, true},
    {"v3.channel.k8s.io", false, true},
    {"v2.channel.k8s.io", false, false},
    {"channel.k8s.io", false, false},
}};

class SpdyCommand final : public CommandSession {
 public:
  explicit SpdyCommand(CommandStreams streams) : streams_(streams) {}
  ~SpdyCommand() override { close(); }

  CommandStreams streams() const override { return streams_; }
  bool status_as_json() const override { return status_json_; }
  long read(CommandChannel channel, char* buffer, size_t size) override {
    const auto& stream = channels_[index_of(channel)];
    return stream ? stream->read(buffer, size) : 0;
  }
  bool write(CommandChannel channel, std::string_view bytes) override {
    const auto& stream = channels_[index_of(channel)];
    return !stream || stream->write(bytes);
  }
  void end(CommandChannel channel) override {
    const auto& stream = channels_[index_of(channel)];
    if (stream) stream->close_write();
  }
  void close() override {
    if (session_) session_->close();
  }

  /// Server: waits for the client to open what `streams_` says.
  Status accept(const std::shared_ptr<Stream>& stream, const SpdyProtocol& protocol,
                std::chrono::milliseconds timeout) {
    status_json_ = protocol.status_json;
    std::vector<CommandChannel> expected{CommandChannel::kError};
    for (const auto channel : {CommandChannel::kStdin, CommandChannel::kStdout, CommandChannel::kStderr}) {
      if (streams_.has(channel)) expected.push_back(channel);
    }
    if (streams_.tty && protocol.resize) expected.push_back(CommandChannel::kResize);
    auto arrivals = std::make_shared<Arrivals>();
    session_ =
        SpdySession::start(stream, SpdySession::Role::kServer,
                           [arrivals](const std::shared_ptr<SpdyStream>& one) { return arrivals->add(one); });
    if (!arrivals->wait(expected, timeout)) {
      session_->close();
      return {Code::kTimeout, "timed out waiting for client to create streams"};
    }
    const std::lock_guard lock(arrivals->mutex);
    channels_ = arrivals->streams;
    return {};
  }

  /// Client: opens the streams, the error one first.
  Status open(std::shared_ptr<Stream> transport, std::chrono::milliseconds timeout) {
    session_ = SpdySession::start(std::move(transport), SpdySession::Role::kClient, nullptr);
    for (const auto channel : {CommandChannel::kError, CommandChannel::kStdin, CommandChannel::kStdout,
                               CommandChannel::kStderr, CommandChannel::kResize}) {
      if (!streams_.has(channel)) continue;
      auto stream = session_->open({{"streamtype", std::string(kStreamTypes[index_of(channel)])}}, timeout);
      if (!stream.ok()) return stream.error();
      channels_[index_of(channel)] = *stream;
    }
    return {};
  }

 private:
  using Channels = std::array<std::shared_ptr<SpdyStream>, kCommandChannels>;
  /// What a client has opened so far; shared with the session's reading thread.
  struct Arrivals {
    std::mutex mutex;
    std::condition_variable changed;
    Channels streams;

    bool add(const std::shared_ptr<SpdyStream>& stream) {
      const auto* const type =
          std::find(kStreamTypes.begin(), kStreamTypes.end(), stream->header("streamtype"));
      if (type == kStreamTypes.end()) return false;
      const std::lock_guard lock(mutex);
      streams[static_cast<size_t>(type - kStreamTypes.begin())] = stream;
      changed.notify_all();
      return true;
    }
    bool wait(const std::vector<CommandChannel>& expected, std::chrono::milliseconds timeout) {
      std::unique_lock lock(mutex);
      return changed.wait_for(lock, timeout, [&] {
        return std::all_of(expected.begin(), expected.end(),
                           [&](CommandChannel channel) { return streams[index_of(channel)] != nullptr; });
      });
    }
  };

  const CommandStreams streams_;
  bool status_json_ = true;
  std::shared_ptr<SpdySession> session_;
  Channels channels_;
};

std::vector<std::string_view> spdy_protocol_names() {
  std::vector<std::string_view> names(kSpdyProtocols.size());
  std::transform(kSpdyProtocols.begin(), kSpdyProtocols.end(), names.begin(),
                 [](const auto& protocol) { return protocol.name; });
  return names;
}

Result<std::unique_ptr<CommandSession>> accept_spdy(const Request& request,
                                                    const std::shared_ptr<Stream>& stream,
                                                    const CommandStreams& streams,
                                                    std::chrono::milliseconds timeout) {
  auto chosen = accept_spdy_upgrade(request, *stream, spdy_protocol_names());
  if (!chosen.ok()) return chosen.error();
  const auto* const protocol = std::find_if(kSpdyProtocols.begin(), kSpdyProtocols.end(),
                                            [&](const auto& known) { return known.name == *chosen; });
  auto session = std::make_unique<SpdyCommand>(streams);
  ORCH_RETURN_IF_ERROR(session->accept(stream, *protocol, timeout));
  return std::unique_ptr<CommandSession>(std::move(session));
}

/// Copies one channel until it ends on either side.
void copy_channel(CommandSession& from, CommandSession& to, CommandChannel channel) {
  std::array<char, 32U << 10> buffer;
  while (true) {
    const long n = from.read(channel, buffer.data(), buffer.size());
    if (n <= 0 || !to.write(channel, {buffer.data(), static_cast<size_t>(n)})) break;
  }
  to.end(channel);
}

std::string read_channel(CommandSession& from, CommandChannel channel, size_t limit) {
  std::string out;
  std::array<char, 4096> buffer;
  while (out.size() < limit) {
    const long n = from.read(channel, buffer.data(), buffer.size());
    if (n <= 0) break;
    out.append(buffer.data(), static_cast<size_t>(n));
  }
  return out;
}

}  // namespace

bool CommandStreams::has(CommandChannel channel) const {
  switch (channel) {
    case CommandChannel::kStdin:
      return in;
    case CommandChannel::kStdout:
      return out;
    case CommandChannel::kStderr:
      return err;
    case CommandChannel::kError:
      return true;
    case CommandChannel::kResize:
      return tty;
  }
  return false;
}

Result<CommandStreams> CommandStreams::from_api_query(const Query& query) {
  const auto is_set = [&](std::string_view name) {
    const std::string_view value = query.get(name);
    return value == "true" || value == "1";
  };
  return checked({is_set("stdin"), is_set("stdout"), is_set("stderr"), is_set("tty")});
}

Result<CommandStreams> CommandStreams::from_runtime_query(const Query& query) {
  const auto is_set = [&](std::string_view name) { return query.get(name) == "1"; };
  return checked({is_set("input"), is_set("output"), is_set("error"), is_set("tty")});
}

Result<std::unique_ptr<CommandSession>> accept_command(const Request& request,
                                                       const std::shared_ptr<Stream>& stream,
                                                       const CommandStreams& streams,
                                                       std::chrono::milliseconds timeout) {
  if (is_websocket_request(request)) return accept_websocket(request, stream, streams);
  return accept_spdy(request, stream, streams, timeout);
}

Result<std::unique_ptr<CommandSession>> connect_command(const DialOptions& options, const std::string& target,
                                                        const Headers& headers, const CommandStreams& streams,
                                                        std::chrono::milliseconds timeout) {
  auto upgraded = connect_spdy(options, target, headers, spdy_protocol_names(), timeout);
  if (!upgraded.ok()) return upgraded.error();
  if (upgraded->protocol != kSpdyProtocols[0].name) {
    return Status(Code::kInternal,
                  base::cat("unable to negotiate protocol: the server chose \"", upgraded->protocol, "\""));
  }
  auto session = std::make_unique<SpdyCommand>(streams);
  ORCH_RETURN_IF_ERROR(session->open(std::move(upgraded->stream), timeout));
  return std::unique_ptr<CommandSession>(std::move(session));
}

std::string exit_status_json(int code) {
  if (code == 0) return R"({"metadata":{},"status":"Success"})";
  return base::cat(
      R"({"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status )",
      code, R"(","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":")", code,
      R"("}]}})");
}

void finish_command(CommandSession& session, int exit_code) {
  if (session.status_as_json()) {
    session.write(CommandChannel::kError, exit_status_json(exit_code));
  } else if (exit_code != 0) {
    session.write(CommandChannel::kError,
                  base::cat("command terminated with non-zero exit code: exit status ", exit_code));
  }
  session.end(CommandChannel::kError);
  session.close();
}

void finish_command(CommandSession& session, const base::Status& error) {
  session.write(CommandChannel::kError, session.status_as_json() ? error.to_json() : error.message());
  session.end(CommandChannel::kError);
  session.close();
}

Result<int> parse_exit_status(std::string_view content) {
  const auto broken = [&](std::string_view why) {
    return Status(Code::kInternal, base::cat("error stream protocol error: ", why));
  };
  auto status = base::parse_json(content, {.max_depth = 64});
  if (!status.ok()) return broken(base::cat(status.error().message(), " in \"", content, "\""));
  const std::string_view outcome = base::string_at(*status, {"status"});
  if (outcome == "Success") return 0;
  if (outcome != "Failure") return broken("unknown error");
  if (base::string_at(*status, {"reason"}) != "NonZeroExitCode") {
    return Status::from_response(static_cast<int>(base::int_at(*status, {"code"}, 500)), content);
  }
  for (const auto& cause : base::array_at(*status, {"details", "causes"})) {
    if (base::string_at(cause, {"reason"}) != "ExitCode") continue;
    const std::string_view text = base::string_at(cause, {"message"});
    int code = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
    if (error == std::errc() && end == text.data() + text.size() && code >= 0 && code < 256) return code;
    return broken(base::cat("invalid exit code value \"", text, "\""));
  }
  return broken("no ExitCode cause given");
}

void bridge_commands(CommandSession& client, CommandSession& backend) {
  std::vector<std::thread> inputs, outputs;
  const auto copy = [](std::vector<std::thread>& threads, CommandSession& from, CommandSession& to,
                       CommandChannel channel) {
    threads.push_back(
        base::start_thread("exec-copy", [&from, &to, channel] { copy_channel(from, to, channel); }));
  };
  const auto join = [](std::vector<std::thread>& threads) {
    for (auto& thread : threads) thread.join();
  };
  const CommandStreams streams = client.streams();
  try {
    if (streams.in) copy(inputs, client, backend, CommandChannel::kStdin);
    if (streams.tty) copy(inputs, client, backend, CommandChannel::kResize);
    if (streams.out) copy(outputs, backend, client, CommandChannel::kStdout);
    if (streams.err) copy(outputs, backend, client, CommandChannel::kStderr);
  } catch (const std::system_error& e) {
    finish_command(client, Status(Code::kInternal, base::cat("Internal error occurred: ", e.what())));
    backend.close();
    join(inputs);
    join(outputs);
    return;
  }
  // A client may go away while nothing is said in either direction.
  auto* const socket = dynamic_cast<WebSocketCommand*>(&client);
  if (socket != nullptr) socket->when_gone([&backend] { backend.close(); });
  // The status may come before the last output: it is passed on after it.
  std::string status = read_channel(backend, CommandChannel::kError, 1U << 20);
  join(outputs);
  if (status.empty() && backend.status_as_json()) {
    finish_command(client, Status(Code::kInternal,
                                  "Internal error occurred: the connection to the container was "
                                  "lost"));
  } else if (backend.status_as_json() == client.status_as_json()) {
    client.write(CommandChannel::kError, status);
    client.end(CommandChannel::kError);
  } else if (auto code = parse_exit_status(status); code.ok()) {
    finish_command(client, *code);
  } else {
    finish_command(client, code.error());
  }
  if (socket != nullptr) socket->when_gone(nullptr);
  client.close();
  backend.close();
  join(inputs);
}

}  // namespace orch::http
