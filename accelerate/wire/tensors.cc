#include "accelerate/wire/tensors.h"

#include <fmt/format.h>

namespace accelerate {

void add_tensors(WireMessage& message, const NamedTensors& tensors) {
  std::vector<std::string> names, types;
  std::vector<uint64_t> ranks, shapes;
  for (const auto& [name, tensor] : tensors) {
    names.push_back(name);
    types.emplace_back(dtype_traits(tensor.dtype).name);
    ranks.push_back(tensor.shape.size());
    shapes.insert(shapes.end(), tensor.shape.begin(), tensor.shape.end());
    message.add_blob(tensor.bytes);
  }
  message.set_texts("names", names).set_texts("types", types).set_numbers("ranks", ranks).set_numbers("shapes", shapes);
}

Result<NamedTensors> tensors_of(const WireMessage& message) {
  ACC_TRY(const auto names, message.texts("names"));
  ACC_TRY(const auto types, message.texts("types"));
  ACC_TRY(const auto ranks, message.numbers("ranks"));
  ACC_TRY(const auto shapes, message.numbers("shapes"));
  if (names.size() != types.size() || names.size() != ranks.size() || names.size() != message.blob_count()) {
    return Error{ErrorCode::kDataLoss, "[wire] tensors have as many names as types, shapes and blobs"};
  }
  NamedTensors tensors;
  size_t at = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto dtype = dtype_from_name(types[i]);
    if (!dtype || ranks[i] > kTensorRankMax || ranks[i] > shapes.size() - at) {
      return Error{ErrorCode::kDataLoss, fmt::format("[wire] tensor '{}' has a known type and a rank up to {}; got '{}', {}", names[i], kTensorRankMax,
                                                     types[i], ranks[i])};
    }
    ACC_TRY(const auto bytes, message.blob(i));
    Tensor tensor{.dtype = *dtype, .shape = {shapes.begin() + static_cast<ptrdiff_t>(at), shapes.begin() + static_cast<ptrdiff_t>(at + ranks[i])}, .bytes = {}};
    at += ranks[i];
    ACC_TRY_VOID(check_tensor({.name = names[i], .dtype = *dtype, .shape = tensor.shape, .bytes = bytes}));
    tensor.bytes.assign(bytes.begin(), bytes.end());
    if (!tensors.emplace(names[i], std::move(tensor)).second) return Error{ErrorCode::kDataLoss, fmt::format("[wire] two tensors are named '{}'", names[i])};
  }
  if (at != shapes.size()) return Error{ErrorCode::kDataLoss, "[wire] shapes have as many dimensions as ranks say"};
  return tensors;
}

}  // namespace accelerate
