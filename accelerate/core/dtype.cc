#include "accelerate/core/dtype.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr DTypeTraits kTraits[kDTypeCount] = {
    {"F32", 1, 4},    {"F16", 1, 2},    {"BF16", 1, 2},   {"Q8_0", 32, 34},   {"Q4_0", 32, 18},   {"Q4_1", 32, 20},
    {"Q5_0", 32, 22}, {"Q5_1", 32, 24}, {"Q4_K", 256, 144}, {"Q5_K", 256, 176}, {"Q6_K", 256, 210}, {"I8", 1, 1},
    {"U8", 1, 1},     {"I16", 1, 2},    {"I32", 1, 4},    {"I64", 1, 8},      {"F64", 1, 8},      {"BOOL", 1, 1},
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

}  // namespace

const DTypeTraits& dtype_traits(DType type) {
  const auto index = static_cast<size_t>(type);
  CHECK(index < kDTypeCount, "dtype outside the table");
  return kTraits[index];
}

Result<size_t> byte_size(DType type, uint64_t elements) {
  const DTypeTraits& traits = dtype_traits(type);
  if (elements % traits.block_elements != 0) {
    return Error{ErrorCode::kDataLoss, fmt::format("[core] {} comes in blocks of {} elements; got {} elements", traits.name,
                                                   traits.block_elements, elements)};
  }
  const uint64_t blocks = elements / traits.block_elements;
  if (blocks > std::numeric_limits<size_t>::max() / traits.block_bytes) {
    return Error{ErrorCode::kDataLoss, fmt::format("[core] a tensor fits the address space; got {} elements", elements)};
  }
  return static_cast<size_t>(blocks * traits.block_bytes);
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i) {
    if (equal_ignoring_case(kTraits[i].name, name)) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace accelerate
