#include "accelerate/core/model.h"

#include <algorithm>
#include <array>

namespace accelerate {

const TensorView* Model::find(const std::string& name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const TensorView& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

uint64_t Model::parameter_count() const {
  uint64_t count = 0;
  for (const TensorView& tensor : tensors) count += tensor.element_count();
  return count;
}

uint64_t Model::weight_bytes() const {
  uint64_t bytes = 0;
  for (const TensorView& tensor : tensors) bytes += tensor.bytes.size();
  return bytes;
}

DType Model::main_dtype() const {
  std::array<uint64_t, kDTypeCount> bytes{};
  for (const TensorView& tensor : tensors) bytes[static_cast<size_t>(tensor.dtype)] += tensor.bytes.size();
  return static_cast<DType>(std::max_element(bytes.begin(), bytes.end()) - bytes.begin());
}

}  // namespace accelerate
