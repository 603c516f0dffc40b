// Small models in memory for tests: a Model whose tensors are views of bytes it owns together with the config.
//
//   MadeModel made = small_llama_model();
//   made.model.config.heads = 3;               // now wrong
//   made.tensor("extra", {4});
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "accelerate/core/model.h"

namespace accelerate::testing {

struct MadeModel {
  Model model;
  std::vector<std::unique_ptr<std::vector<double>>> storage;  // doubles: aligned for every type

  MadeModel& tensor(const std::string& name, std::vector<uint64_t> shape, DType dtype = DType::kF32) {
    uint64_t count = 1;
    for (const uint64_t dimension : shape) count *= dimension;
    const size_t bytes = byte_size(dtype, count).value();
    storage.push_back(std::make_unique<std::vector<double>>(bytes / 8 + 1));
    const std::span<const std::byte> span(reinterpret_cast<const std::byte*>(storage.back()->data()), bytes);
    model.tensors.push_back({.name = name, .dtype = dtype, .shape = std::move(shape), .bytes = span});
    return *this;
  }
  void remove(const std::string& name) {
    std::erase_if(model.tensors, [&](const TensorView& tensor) { return tensor.name == name; });
  }
};

enum class Dialect { kGguf, kHuggingFace };

/// Two layers, width 8, 2 heads of 4, 1 kv head, vocabulary 10; tied.
inline MadeModel small_llama_model(Dialect dialect = Dialect::kGguf) {
  MadeModel made;
  ModelConfig& config = made.model.config;
  config.architecture = "llama";
  config.layers = 2, config.width = 8, config.ff_width = 12, config.heads = 2, config.kv_heads = 1, config.head_width = 4;
  config.vocabulary = 10, config.context = 16;
  config.norm_epsilon = 1e-5;
  const bool gguf = dialect == Dialect::kGguf;
  made.model.format = gguf ? "gguf v3" : "safetensors";
  config.rope_style = gguf ? RopeStyle::kInterleaved : RopeStyle::kHalves;
  const auto name = [&](int layer, const char* in_gguf, const char* in_hugging_face) {
    const std::string number = std::to_string(layer) + ".";
    return (gguf ? "blk." + number + in_gguf : "model.layers." + number + in_hugging_face) + ".weight";
  };
  made.tensor(gguf ? "token_embd.weight" : "model.embed_tokens.weight", {10, 8});
  for (int i = 0; i < 2; ++i) {
    made.tensor(name(i, "attn_norm", "input_layernorm"), {8}).tensor(name(i, "ffn_norm", "post_attention_layernorm"), {8});
    made.tensor(name(i, "attn_q", "self_attn.q_proj"), {8, 8}).tensor(name(i, "attn_k", "self_attn.k_proj"), {4, 8});
    made.tensor(name(i, "attn_v", "self_attn.v_proj"), {4, 8}).tensor(name(i, "attn_output", "self_attn.o_proj"), {8, 8});
    made.tensor(name(i, "ffn_gate", "mlp.gate_proj"), {12, 8}).tensor(name(i, "ffn_up", "mlp.up_proj"), {12, 8});
    made.tensor(name(i, "ffn_down", "mlp.down_proj"), {8, 12});
  }
  made.tensor(gguf ? "output_norm.weight" : "model.norm.weight", {8});
  return made;
}

/// Seven layers so that layer 5 is global; head width 6 is not width / heads.
inline MadeModel small_gemma_model(Dialect dialect = Dialect::kGguf) {
  MadeModel made;
  ModelConfig& config = made.model.config;
  const bool gguf = dialect == Dialect::kGguf;
  made.model.format = gguf ? "gguf v3" : "safetensors";
  config.architecture = gguf ? "gemma3" : "gemma3_text";
  config.layers = 7, config.width = 16, config.ff_width = 20, config.heads = 2, config.kv_heads = 1, config.head_width = 6;
  config.vocabulary = 10, config.context = 64, config.norm_epsilon = 1e-6;
  config.rope.base = 1e6;
  config.rope_local = RopeConfig{.base = 1e4};
  config.sliding_window = 8, config.sliding_window_pattern = 6;
  config.norm_weight_is_offset = !gguf;
  const auto name = [&](int layer, const char* in_gguf, const char* in_hugging_face) {
    const std::string number = std::to_string(layer) + ".";
    return (gguf ? "blk." + number + in_gguf : "model.layers." + number + in_hugging_face) + ".weight";
  };
  made.tensor(gguf ? "token_embd.weight" : "model.embed_tokens.weight", {10, 16});
  for (int i = 0; i < 7; ++i) {
    made.tensor(name(i, "attn_norm", "input_layernorm"), {16}).tensor(name(i, "post_attention_norm", "post_attention_layernorm"), {16});
    made.tensor(name(i, "ffn_norm", "pre_feedforward_layernorm"), {16}).tensor(name(i, "post_ffw_norm", "post_feedforward_layernorm"), {16});
    made.tensor(name(i, "attn_q_norm", "self_attn.q_norm"), {6}).tensor(name(i, "attn_k_norm", "self_attn.k_norm"), {6});
    made.tensor(name(i, "attn_q", "self_attn.q_proj"), {12, 16}).tensor(name(i, "attn_k", "self_attn.k_proj"), {6, 16});
    made.tensor(name(i, "attn_v", "self_attn.v_proj"), {6, 16}).tensor(name(i, "attn_output", "self_attn.o_proj"), {16, 12});
    made.tensor(name(i, "ffn_gate", "mlp.gate_proj"), {20, 16}).tensor(name(i, "ffn_up", "mlp.up_proj"), {20, 16});
    made.tensor(name(i, "ffn_down", "mlp.down_proj"), {16, 20});
  }
  made.tensor(gguf ? "output_norm.weight" : "model.norm.weight", {16});
  return made;
}

/// One layer, width 8, 2 heads; `prefix` is "" or "bert.".
inline MadeModel small_bert_model(Dialect dialect = Dialect::kHuggingFace, const std::string& prefix = "") {
  MadeModel made;
  ModelConfig& config = made.model.config;
  const bool gguf = dialect == Dialect::kGguf;
  made.model.format = gguf ? "gguf v3" : "safetensors";
  made.model.pooling = Pooling::kMean;
  made.model.normalize_embeddings = true;
  config.architecture = "bert";
  config.layers = 1, config.width = 8, config.ff_width = 12, config.heads = 2, config.kv_heads = 2, config.head_width = 4;
  config.vocabulary = 10, config.context = 16, config.token_types = 2, config.norm_epsilon = 1e-12;
  const auto both = [&](const std::string& name, std::vector<uint64_t> shape) {
    made.tensor(name + ".bias", {shape.front()}).tensor(name + ".weight", std::move(shape));
  };
  const std::string at = gguf ? "blk.0." : prefix + "encoder.layer.0.";
  made.tensor(gguf ? "token_embd.weight" : prefix + "embeddings.word_embeddings.weight", {10, 8});
  made.tensor(gguf ? "position_embd.weight" : prefix + "embeddings.position_embeddings.weight", {16, 8});
  made.tensor(gguf ? "token_types.weight" : prefix + "embeddings.token_type_embeddings.weight", {2, 8});
  both(gguf ? "token_embd_norm" : prefix + "embeddings.LayerNorm", {8});
  both(at + (gguf ? "attn_q" : "attention.self.query"), {8, 8});
  both(at + (gguf ? "attn_k" : "attention.self.key"), {8, 8});
  both(at + (gguf ? "attn_v" : "attention.self.value"), {8, 8});
  both(at + (gguf ? "attn_output" : "attention.output.dense"), {8, 8});
  both(at + (gguf ? "attn_output_norm" : "attention.output.LayerNorm"), {8});
  both(at + (gguf ? "ffn_up" : "intermediate.dense"), {12, 8});
  both(at + (gguf ? "ffn_down" : "output.dense"), {8, 12});
  both(at + (gguf ? "layer_output_norm" : "output.LayerNorm"), {8});
  return made;
}

}  // namespace accelerate::testing
