#include "accelerate/base/random_id.h"

#include <array>
#include <cstdint>
#include <random>

namespace accelerate {

std::string random_id(std::string_view prefix, size_t characters) {
  static constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::array<uint32_t, 8> seeds{};
    for (uint32_t& seed : seeds) seed = device();
    std::seed_seq sequence(seeds.begin(), seeds.end());
    return std::mt19937_64(sequence);
  }();
  std::uniform_int_distribution<size_t> pick(0, kAlphabet.size() - 1);
  std::string out(prefix);
  for (size_t i = 0; i < characters; ++i) out += kAlphabet[pick(generator)];
  return out;
}

}  // namespace accelerate
