#include "accelerate/base/sha256.h"

#include <openssl/evp.h>

#include <fmt/format.h>

#include "accelerate/base/file.h"

namespace accelerate {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { CHECK(context && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1, "libcrypto has SHA-256"); }
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  CHECK(state_, "a digest takes bytes until hex()");
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "SHA-256 update");
}

void Sha256::update(std::string_view text) { update(std::as_bytes(std::span(text))); }

std::string Sha256::hex() {
  CHECK(state_, "hex() ends a digest");
  unsigned char digest[32];
  unsigned int size = 0;
  CHECK(EVP_DigestFinal_ex(state_->context, digest, &size) == 1 && size == 32, "SHA-256 final");
  state_.reset();
  std::string text;
  for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

std::string sha256_hex(std::string_view text) {
  Sha256 digest;
  digest.update(text);
  return digest.hex();
}

Result<std::string> sha256_file(const std::filesystem::path& path, const std::function<bool(uint64_t)>& keep_going) {
  constexpr size_t kPiece = size_t{16} << 20;
  ACC_TRY(const std::shared_ptr<const MappedFile> file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file->bytes();
  Sha256 digest;
  for (size_t done = 0; done < bytes.size(); done += kPiece) {
    if (keep_going && !keep_going(done)) return Error{ErrorCode::kCancelled, fmt::format("[base] hashing '{}' was stopped", path.string())};
    const auto piece = bytes.subspan(done, std::min(kPiece, bytes.size() - done));
    digest.update(piece);
    file->release(piece);
  }
  return digest.hex();
}

}  // namespace accelerate
