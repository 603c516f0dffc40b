#include "accelerate/core/tensor.h"

#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace accelerate {

uint64_t TensorView::element_count() const {
  uint64_t count = 1;
  for (const uint64_t dimension : shape) count *= dimension;
  return count;
}

uint64_t TensorView::columns() const { return shape.empty() ? 1 : shape.back(); }

uint64_t TensorView::rows() const {
  uint64_t count = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) count *= shape[i];
  return count;
}

Result<void> check_tensor(const TensorView& tensor) {
  if (tensor.shape.size() > kTensorRankMax) {
    return Error{ErrorCode::kDataLoss, fmt::format("[core] a tensor has at most {} dimensions; got {} in '{}'",
                                                   kTensorRankMax, tensor.shape.size(), tensor.name)};
  }
  uint64_t count = 1;
  for (const uint64_t dimension : tensor.shape) {
    if (dimension != 0 && count > std::numeric_limits<uint64_t>::max() / dimension) {
      return Error{ErrorCode::kDataLoss, fmt::format("[core] tensor sizes fit 64 bits; got [{}] in '{}'",
                                                     fmt::join(tensor.shape, ", "), tensor.name)};
    }
    count *= dimension;
  }
  if (tensor.columns() % dtype_traits(tensor.dtype).block_elements != 0) {
    return Error{ErrorCode::kDataLoss, fmt::format("[core] rows are whole blocks; got {} in '{}'", to_string(tensor), tensor.name)};
  }
  ACC_TRY(const size_t expected, byte_size(tensor.dtype, count));
  if (expected != tensor.bytes.size()) {
    return Error{ErrorCode::kDataLoss, fmt::format("[core] {} takes {} bytes; got {} in '{}'", to_string(tensor), expected,
                                                   tensor.bytes.size(), tensor.name)};
  }
  return {};
}

std::string to_string(const TensorView& tensor) {
  return fmt::format("[{}] {}", fmt::join(tensor.shape, ", "), dtype_traits(tensor.dtype).name);
}

}  // namespace accelerate
