// TensorView - a named, typed, shaped look at bytes somebody else owns (a mapped model file, an arena).
//
// Dimensions are outermost first, so a linear weight is [out, in] and rows of `in` elements are contiguous; quantized
// blocks run along the last dimension. Plain data; the owner (Model::files) must outlive every view.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "accelerate/core/dtype.h"

namespace accelerate {

inline constexpr size_t kTensorRankMax = 8;

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;  // outermost first; at most kTensorRankMax
  std::span<const std::byte> bytes;

  /// Product of the dimensions (1 for a scalar). The reader of a foreign file has checked that it does not overflow.
  uint64_t element_count() const;
  /// shape.back() for rank >= 1, else 1.
  uint64_t columns() const;
  /// element_count() / columns().
  uint64_t rows() const;
};

/// Checks rank, overflow and that `shape` of `dtype` takes exactly `bytes` bytes; data_loss naming the tensor if not.
Result<void> check_tensor(const TensorView& tensor);

/// "[576, 1536] Q4_1"
std::string to_string(const TensorView& tensor);

/// For TensorPrograms: tensors with storage of their own.
struct Tensor {
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
  std::vector<std::byte> bytes;
};
using NamedTensors = std::map<std::string, Tensor>;

}  // namespace accelerate
