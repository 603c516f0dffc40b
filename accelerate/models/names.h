// TensorNames - the two dialects tensors are named in: GGUF's and Hugging Face's.
//
//   const TensorNames names(model, "model.");
//   names.layer(3, "attn_q.weight", "self_attn.q_proj.weight");   // "blk.3.attn_q.weight" or
//                                                                  // "model.layers.3.self_attn.q_proj.weight"
//
// Plain data; thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "accelerate/core/model.h"

namespace accelerate {

class TensorNames {
 public:
  /// `prefix` and `layers` are Hugging Face's ("model.", "layers."); GGUF is told by Model::format.
  TensorNames(const Model& model, std::string prefix, std::string layers = "layers.")
      : gguf_(model.format.starts_with("gguf")), prefix_(std::move(prefix)), layers_(std::move(layers)) {}

  bool gguf() const { return gguf_; }
  /// A tensor outside the layers; Hugging Face's gets the prefix.
  std::string top(std::string_view gguf, std::string_view hugging_face) const {
    return gguf_ ? std::string(gguf) : prefix_ + std::string(hugging_face);
  }
  std::string layer(uint32_t index, std::string_view gguf, std::string_view hugging_face) const {
    const std::string number = std::to_string(index) + ".";
    return gguf_ ? "blk." + number + std::string(gguf) : prefix_ + layers_ + number + std::string(hugging_face);
  }

 private:
  bool gguf_;
  std::string prefix_, layers_;
};

}  // namespace accelerate
