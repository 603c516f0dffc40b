// What the fuzzers and the corpus test do with a file that was read: touch both ends of every tensor, print every value,
// and build the graph. Anything outside the file is for AddressSanitizer to see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "accelerate/core/graph.h"
#include "accelerate/formats/gguf.h"
#include "accelerate/formats/gguf_model.h"
#include "accelerate/formats/hf_config.h"
#include "accelerate/formats/hf_tokenizer.h"
#include "accelerate/formats/safetensors.h"
#include "accelerate/formats/token_ids.h"
#include "accelerate/models/families.h"

namespace accelerate::testing {

inline uint64_t touch(const std::vector<TensorView>& tensors) {
  uint64_t sum = 0;
  for (const TensorView& tensor : tensors) {
    if (tensor.bytes.empty()) continue;
    const volatile std::byte* bytes = tensor.bytes.data();
    sum += std::to_integer<uint64_t>(bytes[0]) + std::to_integer<uint64_t>(bytes[tensor.bytes.size() - 1]);
    sum += to_string(tensor).size() + tensor.rows() + tensor.columns();
  }
  return sum;
}

/// True when the bytes were a GGUF file with a graph.
inline bool walk_gguf(std::span<const std::byte> bytes) {
  const auto gguf = parse_gguf(bytes);
  if (!gguf) return false;
  uint64_t sum = touch(gguf->tensors);
  for (const auto& [key, value] : gguf->metadata) {
    sum += to_string(value).size();
    if (const auto* array = std::get_if<GgufArray>(&value)) sum += array->number(array->count - 1).has_value();
  }
  const auto model = model_from_gguf(bytes);
  return sum != 0 && model.ok() && build_graph(*model).ok();
}

/// The tensors as a llama of the size of the seeds; the text as every JSON file a model may have.
inline bool walk_safetensors(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with('{') || text.starts_with('[')) {
    (void)parse_safetensors_index(text);
    (void)find_token_ids(text, {"<s>", "a"});
    Result<ModelConfig> config = parse_hf_config(text);
    if (!config) return false;
    Model model;
    model.config = std::move(*config);
    return build_graph(model).ok();  // never: it has no tensors
  }
  (void)wordpiece_spec(text);
  auto file = parse_safetensors(bytes);
  if (!file) return false;
  touch(file->tensors);
  Model model;
  model.format = "safetensors";
  model.tensors = std::move(file->tensors);
  ModelConfig& config = model.config;
  config.architecture = "llama";
  config.layers = 1, config.width = 4, config.ff_width = 4, config.heads = 2, config.kv_heads = 1, config.head_width = 2;
  config.vocabulary = 3, config.context = 8;
  config.norm_epsilon = 1e-5;
  return build_graph(model).ok();
}

}  // namespace accelerate::testing
