#include "accelerate/net/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include <fmt/format.h>

#include "accelerate/base/file.h"

namespace accelerate {
namespace {

constexpr size_t kPemBytesMax = size_t{1} << 20;  // a chain is a few KiB

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

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsFiles& files) {
  for (const std::filesystem::path& path : {files.certificate, files.key}) ACC_TRY_VOID(read_file(path, kPemBytesMax));
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (context == nullptr) return Error{ErrorCode::kInternal, "[tls] OpenSSL must start; got " + openssl_reason()};
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  // Without it every idle connection keeps 34 KiB of record buffers.
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
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

std::unique_ptr<TlsSession> TlsSession::accept(const TlsContext& context, int fd) {
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
  SSL_set_accept_state(session);
  return std::unique_ptr<TlsSession>(new TlsSession(session));
}

TlsSession::~TlsSession() { SSL_free(session_); }

TlsSession::Want TlsSession::want_of(int result) {
  switch (SSL_get_error(session_, result)) {
    case SSL_ERROR_WANT_READ: return Want::kRead;
    case SSL_ERROR_WANT_WRITE: return Want::kWrite;
    case SSL_ERROR_ZERO_RETURN: return Want::kEnd;  // said properly: we may still send
    default:
      usable_ = false;
      ERR_clear_error();
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
