// SHA-256 (FIPS 180-4) through OpenSSL's libcrypto: streaming and one-shot, lower-case hex out.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// Ends the stream; call once.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view text);
/// `keep_going` (may be empty) is asked about every 16 MiB with the bytes done; false = cancelled.
Result<std::string> sha256_file(const std::filesystem::path& path, const std::function<bool(uint64_t)>& keep_going = {});

}  // namespace accelerate
