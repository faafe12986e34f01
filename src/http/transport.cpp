#include "http/transport.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

namespace orch::http {
namespace {

int bio_fd(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int bio_read(BIO* bio, char* to, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t n = recv(bio_fd(bio), to, static_cast<size_t>(size), 0);
  if (n < 0 && would_block()) BIO_set_retry_read(bio);
  return static_cast<int>(n);
}

int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t n = send(bio_fd(bio), from, static_cast<size_t>(size), MSG_NOSIGNAL);
  if (n < 0 && would_block()) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

long bio_ctrl(BIO* /*bio*/, int command, long /*number*/, void* /*data*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/// OpenSSL's own socket BIO writes without MSG_NOSIGNAL.
const BIO_METHOD* socket_method() {
  static const BIO_METHOD* const made = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "orch socket");
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    return method;
  }();
  return made;
}

}  // namespace

Transport::Transport(int fd) : fd_(fd) {
  const int flags = fcntl(fd, F_GETFL, 0);
  if ((flags & O_NONBLOCK) == 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

Transport::Transport(Transport&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      ssl_(std::exchange(other.ssl_, nullptr)),
      secrets_(std::move(other.secrets_)),
      records_(std::move(other.records_)),
      broken_(other.broken_) {}

Transport& Transport::operator=(Transport&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    ssl_ = std::exchange(other.ssl_, nullptr);
    secrets_ = std::move(other.secrets_);
    records_ = std::move(other.records_);
    broken_ = other.broken_;
  }
  return *this;
}

bool Transport::put_tls(const TlsContext& context) {
  ssl_ = SSL_new(context.get());
  BIO* bio = BIO_new(socket_method());
  if (ssl_ == nullptr || bio == nullptr) {
    BIO_free(bio);
    return false;
  }
  // A number in the place of a pointer: never followed.
  BIO_set_data(bio,
               reinterpret_cast<void*>(static_cast<intptr_t>(fd_)));  // NOLINT(performance-no-int-to-ptr)
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  return true;
}

bool Transport::accept_tls(const TlsContext& context) {
  if (!put_tls(context)) return false;
  SSL_set_accept_state(ssl_);
  secrets_ = std::make_unique<RecordSecrets>();
  collect_secrets(ssl_, secrets_.get());
  // What comes behind the handshake must be left in the socket, see release_handshake().
  SSL_set_read_ahead(ssl_, 0);
  return true;
}

void Transport::release_handshake() {
  if (ssl_ == nullptr || !secrets_) return;
  collect_secrets(ssl_, nullptr);
  const auto secrets = std::move(secrets_);
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl_);
  const auto suite =
      cipher != nullptr ? record_suite(SSL_CIPHER_get_protocol_id(cipher)) : std::optional<RecordSuite>();
  const SSL_SESSION* session = SSL_get_session(ssl_);
  const bool small_records = session == nullptr || SSL_SESSION_get_max_fragment_length(session) != 0;
  if (SSL_version(ssl_) == TLS1_3_VERSION && suite && !small_records && SSL_has_pending(ssl_) == 0) {
    secrets->suite = *suite;
    records_ = RecordLayer::make(*secrets);
  }
  if (records_) {
    SSL_free(std::exchange(ssl_, nullptr));
  } else {
    SSL_set_read_ahead(ssl_, 1);
  }
}

bool Transport::connect_tls(const TlsContext& context, const std::string& server_name) {
  if (!put_tls(context)) return false;
  SSL_set_connect_state(ssl_);
  if (server_name.empty()) return true;
  unsigned char address[16];
  if (inet_pton(AF_INET, server_name.c_str(), address) == 1 ||
      inet_pton(AF_INET6, server_name.c_str(), address) == 1) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), server_name.c_str()) == 1;
  }
  SSL_set_tlsext_host_name(ssl_, server_name.c_str());
  return SSL_set1_host(ssl_, server_name.c_str()) == 1;
}

Io Transport::failed(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return Io::kWantRead;
    case SSL_ERROR_WANT_WRITE:
      return Io::kWantWrite;
    case SSL_ERROR_ZERO_RETURN:
      return Io::kEnd;
    default:
      broken_ = true;
      return Io::kError;
  }
}

Io Transport::handshake() {
  if (ssl_ == nullptr) return Io::kOk;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  return result == 1 ? Io::kOk : failed(result);
}

Io Transport::read(char* buffer, size_t size, size_t& got) {
  got = 0;
  if (records_) return records_->read(fd_, buffer, size, got);
  if (ssl_ != nullptr) {
    ERR_clear_error();
    const int result = SSL_read_ex(ssl_, buffer, size, &got);
    return result == 1 ? Io::kOk : failed(result);
  }
  const ssize_t n = recv(fd_, buffer, size, 0);
  if (n > 0) {
    got = static_cast<size_t>(n);
    return Io::kOk;
  }
  if (n == 0) return Io::kEnd;
  return would_block() ? Io::kWantRead : Io::kError;
}

Io Transport::write(std::string_view bytes, size_t& sent) {
  sent = 0;
  if (records_) return records_->write(fd_, bytes, sent);
  if (ssl_ != nullptr) {
    ERR_clear_error();
    const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &sent);
    return result == 1 ? Io::kOk : failed(result);
  }
  const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n >= 0) {
    sent = static_cast<size_t>(n);
    return Io::kOk;
  }
  return would_block() ? Io::kWantWrite : Io::kError;
}

void Transport::end_writing() {
  if (fd_ < 0) return;
  if (records_) records_->end_writing(fd_);
  if (ssl_ != nullptr && !broken_ && SSL_is_init_finished(ssl_)) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  shutdown(fd_, SHUT_WR);
}

void Transport::close() {
  if (fd_ < 0) return;
  if (records_) records_->end_writing(fd_);
  records_.reset();
  if (ssl_ != nullptr) {
    if (!broken_ && SSL_is_init_finished(ssl_) && (SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) == 0) {
      ERR_clear_error();
      SSL_shutdown(ssl_);
    }
    ERR_clear_error();
    SSL_free(ssl_);
  }
  ssl_ = nullptr;
  secrets_.reset();
  ::close(std::exchange(fd_, -1));
}

}  // namespace orch::http
