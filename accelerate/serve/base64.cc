#include "accelerate/serve/base64.h"

#include <cstdint>

namespace accelerate {

std::string base64_encode(std::string_view bytes) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const auto byte = [&](size_t k) { return k < left ? static_cast<uint32_t>(static_cast<unsigned char>(bytes[i + k])) : 0; };
    const uint32_t triple = byte(0) << 16 | byte(1) << 8 | byte(2);
    out += kAlphabet[triple >> 18];
    out += kAlphabet[triple >> 12 & 63];
    out += left > 1 ? kAlphabet[triple >> 6 & 63] : '=';
    out += left > 2 ? kAlphabet[triple & 63] : '=';
  }
  return out;
}

}  // namespace accelerate
