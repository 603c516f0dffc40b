// A self-signed certificate and its key, made for one test, and a TLS client that trusts nobody and checks nothing.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "accelerate/net/tls.h"

namespace accelerate::testing {

/// Writes NAME.crt and NAME.key into `folder`; the key with `passphrase` if there is one. `hosts`: "DNS:a.test,IP:127.0.0.1".
inline TlsFiles make_certificate(const std::filesystem::path& folder, const std::string& name, const char* passphrase = nullptr,
                                 const char* hosts = nullptr) {
  const TlsFiles files{.certificate = folder / (name + ".crt"), .key = folder / (name + ".key")};
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  if (hosts != nullptr) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, hosts);
    EXPECT_NE(extension, nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  EXPECT_GT(X509_sign(certificate, key, EVP_sha256()), 0);
  std::FILE* out = std::fopen(files.certificate.c_str(), "w");
  PEM_write_X509(out, certificate);
  std::fclose(out);
  out = std::fopen(files.key.c_str(), "w");
  const int size = passphrase == nullptr ? 0 : static_cast<int>(std::string_view(passphrase).size());
  PEM_write_PrivateKey(out, key, passphrase == nullptr ? nullptr : EVP_aes_128_cbc(),
                       reinterpret_cast<const unsigned char*>(passphrase), size, nullptr, nullptr);
  std::fclose(out);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return files;
}

/// A client over a blocking descriptor, which it does not close.
class TlsClient {
 public:
  explicit TlsClient(int fd, int version_max = TLS1_3_VERSION) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_min_proto_version(context_, 0);
    SSL_CTX_set_max_proto_version(context_, version_max);
    SSL_CTX_set_security_level(context_, 0);  // so that old versions are ours to offer, and the server's to refuse
    session_ = SSL_new(context_);
    SSL_set_fd(session_, fd);
    shaken_ = SSL_connect(session_) == 1;
  }
  ~TlsClient() {
    SSL_free(session_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool shaken() const { return shaken_; }
  std::string version() const { return SSL_get_version(session_); }
  bool say(std::string_view text) { return SSL_write(session_, text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()); }
  std::string hear_some() {
    char bytes[16384];
    const int got = SSL_read(session_, bytes, sizeof bytes);
    if (got <= 0) ended_properly_ = SSL_get_error(session_, got) == SSL_ERROR_ZERO_RETURN;
    return got > 0 ? std::string(bytes, static_cast<size_t>(got)) : std::string();
  }
  std::string hear_all() {
    std::string out;
    for (std::string more = hear_some(); !more.empty(); more = hear_some()) out += more;
    return out;
  }
  bool ended_properly() const { return ended_properly_; }  // close_notify came before the end

 private:
  SSL_CTX* context_;
  SSL* session_ = nullptr;
  bool shaken_ = false, ended_properly_ = false;
};

}  // namespace accelerate::testing
