#include "accelerate/net/tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include <fmt/format.h>

#include "accelerate/base/file.h"

namespace accelerate {
namespace {

constexpr size_t kPemBytesMax = size_t{1} << 20;  // a chain is a few KiB
constexpr size_t kAuthoritiesBytesMax = size_t{16} << 20;  // the usual bundle of all public ones is under 1 MiB

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown";
}

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL: a gone peer would kill the process.
int fd_of(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

int finish_io(BIO* bio, ssize_t done, int retry_flags) {
  BIO_clear_retry_flags(bio);
  if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) BIO_set_flags(bio, retry_flags | BIO_FLAGS_SHOULD_RETRY);
  return static_cast<int>(done);
}
int bio_read(BIO* bio, char* into, int size) {
  return finish_io(bio, ::recv(fd_of(bio), into, static_cast<size_t>(size), MSG_DONTWAIT), BIO_FLAGS_READ);
}
int bio_write(BIO* bio, const char* from, int size) {
  return finish_io(bio, ::send(fd_of(bio), from, static_cast<size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT), BIO_FLAGS_WRITE);
}
long bio_control(BIO*, int what, long, void*) { return what == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* bio_method() {
  static BIO_METHOD* method = [] {  // leaked on purpose: sessions may end while static objects are destroyed
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without signals");
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

int refuse_passphrase(char*, int, int, void*) { return -1; }  // the default asks the terminal

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size, void*) {
  static constexpr unsigned char kHttp[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp, sizeof kHttp - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Error pem_error(std::string_view what, const std::filesystem::path& path, std::string_view rule) {
  return {ErrorCode::kInvalidArgument, fmt::format("[tls] {} {}; got {} ({})", what, rule, path.string(), openssl_reason())};
}

Result<std::shared_ptr<SSL_CTX>> make_context(const SSL_METHOD* method) {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), SSL_CTX_free);
  if (context == nullptr) return Error{ErrorCode::kInternal, "[tls] OpenSSL must start; got " + openssl_reason()};
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  // Without it every idle connection keeps 34 KiB of record buffers.
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsFiles& files) {
  for (const std::filesystem::path& path : {files.certificate, files.key}) ACC_TRY_VOID(read_file(path, kPemBytesMax));
  ACC_TRY(std::shared_ptr<SSL_CTX> context, make_context(TLS_server_method()));
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_default_passwd_cb(ctx, refuse_passphrase);
  SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(ctx, files.certificate.c_str()) != 1) {
    return pem_error("a certificate", files.certificate, "is a PEM file that begins with the server's own");
  }
  if (SSL_CTX_use_PrivateKey_file(ctx, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return pem_error("a private key", files.key, fmt::format("is a PEM file without a passphrase that fits the certificate {}", files.certificate.string()));
  }
  if (SSL_CTX_check_private_key(ctx) != 1) return pem_error("a private key", files.key, "fits its certificate " + files.certificate.string());
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context)));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const TlsTrust& trust) {
  if (!trust.authorities.empty()) ACC_TRY_VOID(read_file(trust.authorities, kAuthoritiesBytesMax));
  ACC_TRY(std::shared_ptr<SSL_CTX> context, make_context(TLS_client_method()));
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  static constexpr unsigned char kHttp[] = "\x08http/1.1";
  SSL_CTX_set_alpn_protos(ctx, kHttp, sizeof kHttp - 1);
  if (trust.authorities.empty()) {
    SSL_CTX_set_default_verify_paths(ctx);  // none there: every peer is refused, and the error says where to name some
  } else if (SSL_CTX_load_verify_file(ctx, trust.authorities.c_str()) != 1) {
    return pem_error("a list of authorities", trust.authorities, "is a PEM file of certificates");
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(context)));
}

std::unique_ptr<TlsSession> TlsSession::over(const TlsContext& context, int fd) {
  SSL* session = SSL_new(context.get());
  BIO* bio = BIO_new(bio_method());
  if (session == nullptr || bio == nullptr) {  // no memory
    SSL_free(session);
    BIO_free(bio);
    return nullptr;
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(session, bio, bio);
  return std::unique_ptr<TlsSession>(new TlsSession(session));
}

std::unique_ptr<TlsSession> TlsSession::accept(const TlsContext& context, int fd) {
  std::unique_ptr<TlsSession> made = over(context, fd);
  if (made != nullptr) SSL_set_accept_state(made->session_);
  return made;
}

std::unique_ptr<TlsSession> TlsSession::connect(const TlsContext& context, int fd, const std::string& host) {
  std::unique_ptr<TlsSession> made = over(context, fd);
  if (made == nullptr) return nullptr;
  SSL* session = made->session_;
  SSL_set_connect_state(session);
  in6_addr scratch;
  const bool is_address = ::inet_pton(AF_INET, host.c_str(), &scratch) == 1 || ::inet_pton(AF_INET6, host.c_str(), &scratch) == 1;
  X509_VERIFY_PARAM* checks = SSL_get0_param(session);
  X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const bool set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str()) == 1
                              : SSL_set1_host(session, host.c_str()) == 1 && SSL_set_tlsext_host_name(session, host.c_str()) == 1;
  return set && !host.empty() ? std::move(made) : nullptr;  // a check that could not be set up must not pass
}

TlsSession::~TlsSession() { SSL_free(session_); }

TlsSession::Want TlsSession::want_of(int result) {
  switch (SSL_get_error(session_, result)) {
    case SSL_ERROR_WANT_READ: return Want::kRead;
    case SSL_ERROR_WANT_WRITE: return Want::kWrite;
    case SSL_ERROR_ZERO_RETURN:
      why_ended_.clear();
      return Want::kEnd;  // said properly: we may still send
    case SSL_ERROR_SYSCALL:
      usable_ = false;
      why_ended_ = errno != 0 ? std::strerror(errno) : "the connection ended";
      ERR_clear_error();
      return Want::kEnd;
    default:
      usable_ = false;
      why_ended_ = openssl_reason();
      if (const long verdict = SSL_get_verify_result(session_); verdict != X509_V_OK) {
        why_ended_ = fmt::format("its certificate is refused: {}", X509_verify_cert_error_string(verdict));
      }
      return Want::kEnd;
  }
}

TlsSession::Want TlsSession::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(session_);
  usable_ = result == 1;
  return usable_ ? Want::kNothing : want_of(result);
}

TlsSession::Step TlsSession::read(char* into, size_t size) {
  if (!usable_) return {Want::kEnd, 0};
  ERR_clear_error();
  const int result = SSL_read(session_, into, static_cast<int>(std::min<size_t>(size, INT_MAX)));
  if (result > 0) return {Want::kNothing, static_cast<size_t>(result)};
  return {want_of(result), 0};
}

TlsSession::Step TlsSession::write(std::string_view bytes) {
  if (!usable_) return {Want::kEnd, 0};
  ERR_clear_error();
  const int result = SSL_write(session_, bytes.data(), static_cast<int>(std::min<size_t>(bytes.size(), INT_MAX)));
  if (result > 0) return {Want::kNothing, static_cast<size_t>(result)};
  return {want_of(result), 0};
}

TlsSession::Want TlsSession::say_end() {
  if (!usable_) return Want::kEnd;
  ERR_clear_error();
  const int result = SSL_shutdown(session_);
  return result >= 0 ? Want::kNothing : want_of(result);
}

}  // namespace accelerate
