// TLS for both sides of a Socket, by OpenSSL; this file's .cc is where OpenSSL's sockets live.
//
//   ACC_TRY(std::shared_ptr<const TlsContext> context, TlsContext::load({.certificate = "chain.pem", .key = "key.pem"}));
//   socket.start_tls(*context, deadline_in(std::chrono::seconds(10)));   // then read() and write_all() as ever
//
//   ACC_TRY(std::shared_ptr<const TlsContext> trust, TlsContext::client({}));       // the system's authorities
//   socket.start_tls(*trust, "example.org", deadline_in(std::chrono::seconds(10)));  // refused unless it proves that name
//
// A client checks the chain, the dates and the host: against the certificate's subjectAltName alone (RFC 9525), names or
// addresses; there is no way to switch that off.
//
// TLS 1.2 and 1.3 with OpenSSL's own choice of ciphers, no renegotiation, no session cache; ALPN says http/1.1. A TlsContext
// is immutable and thread-safe, and may go before its sessions; a TlsSession belongs to its socket's thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"

struct ssl_ctx_st;
struct ssl_st;

namespace accelerate {

struct TlsFiles {
  std::filesystem::path certificate;  // PEM: the server's own first, then those that lead to its root
  std::filesystem::path key;          // PEM, without a passphrase
};

/// Whom a client believes.
struct TlsTrust {
  std::filesystem::path authorities;  // a PEM file of certificates; empty = OpenSSL's own (SSL_CERT_FILE and SSL_CERT_DIR are obeyed)
};

class TlsContext {
 public:
  /// Errors name the file and the cause: unreadable, no PEM, encrypted, a key of another certificate.
  static Result<std::shared_ptr<const TlsContext>> load(const TlsFiles& files);
  /// For the client's side. Errors name the file: unreadable, or no PEM.
  static Result<std::shared_ptr<const TlsContext>> client(const TlsTrust& trust);
  ssl_ctx_st* get() const { return context_.get(); }

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
  std::shared_ptr<ssl_ctx_st> context_;
};

/// One connection's state. Nothing here waits: a step says what to wait for before the next try.
class TlsSession {
 public:
  /// Null when memory is out.
  static std::unique_ptr<TlsSession> accept(const TlsContext& context, int fd);
  /// Of a client() context, with a peer that has to prove that it is `host`.
  static std::unique_ptr<TlsSession> connect(const TlsContext& context, int fd, const std::string& host);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  enum class Want { kNothing, kRead, kWrite, kEnd };  // kEnd: closed by the peer, or broken
  struct Step { Want want; size_t bytes; };           // bytes > 0 only with kNothing
  Want handshake();
  Step read(char* into, size_t size);
  /// Takes a prefix. A try that had to wait is repeated with the same bytes.
  Step write(std::string_view bytes);
  /// Tells the peer that nothing more comes. kWrite: what is ahead of it has to go first, try again; else it is said, or nobody
  /// is there to hear it.
  Want say_end();
  /// After kEnd: the cause; empty when the peer said that it was done.
  const std::string& why_ended() const { return why_ended_; }

 private:
  explicit TlsSession(ssl_st* session) : session_(session) {}
  static std::unique_ptr<TlsSession> over(const TlsContext& context, int fd);
  Want want_of(int result);
  ssl_st* session_;
  bool usable_ = false;  // shaken hands, and not broken since
  std::string why_ended_ = "the connection is not secured";
};

}  // namespace accelerate
