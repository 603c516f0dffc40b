// Small models with random weights, built by hand: a Graph, its tensors in any weight format, and the bytes behind them.
#pragma once

#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "accelerate/base/numbers.h"
#include "accelerate/core/graph.h"
#include "accelerate/core/model.h"
#include "accelerate/kernels/quantize/dequantize.h"

namespace accelerate::tiny {

/// A Model that owns its tensors' bytes.
struct Owned {
  Model model;
  std::deque<std::vector<std::byte>> bytes;
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
};

class Builder {
 public:
  explicit Builder(uint32_t seed) : random_(seed) {}

  /// Random blocks whose values are about +-spread.
  WeightId weight(const std::string& name, std::vector<uint64_t> shape, DType dtype = DType::kF32, float spread = 0.1f, float center = 0.0f) {
    uint64_t count = 1;
    for (const uint64_t d : shape) count *= d;
    std::vector<std::byte>& bytes = owned_->bytes.emplace_back(*byte_size(dtype, count));
    fill(bytes, dtype, count, spread, center);
    owned_->model.tensors.push_back({.name = name, .dtype = dtype, .shape = shape, .bytes = bytes});
    owned_->graph->weights.push_back({name, shape});
    return WeightId{static_cast<uint32_t>(owned_->graph->weights.size() - 1)};
  }
  ValueId value(const std::string& name, uint32_t width) {
    owned_->graph->values.push_back({name, width});
    return ValueId{static_cast<uint32_t>(owned_->graph->values.size() - 1)};
  }
  template <class O> ValueId op(O o, uint32_t width, const std::string& name = "v") {
    o.out = value(name, width);
    owned_->graph->ops.push_back(o);
    return o.out;
  }
  void output(Output o) { owned_->graph->ops.push_back(o); }
  Graph& graph() { return *owned_->graph; }
  std::shared_ptr<const Model> finish() {
    owned_->model.graph = owned_->graph;
    return {owned_, &owned_->model};
  }
  Owned& owned() { return *owned_; }

 private:
  float normal() { return std::normal_distribution<float>(0, 1)(random_); }
  void put_half(std::byte* at, float value) {
    const uint16_t bits = f32_to_f16(value);
    std::memcpy(at, &bits, 2);
  }
  void fill(std::vector<std::byte>& bytes, DType dtype, uint64_t count, float spread, float center) {
    if (dtype_traits(dtype).block_elements == 1) {
      for (uint64_t i = 0; i < count; ++i) {
        const float value = center + spread * normal();
        const uint16_t bf16 = f32_to_bf16(value);
        if (dtype == DType::kF32) std::memcpy(&bytes[4 * i], &value, 4);
        if (dtype == DType::kBF16) std::memcpy(&bytes[2 * i], &bf16, 2);
        if (dtype == DType::kF16) put_half(&bytes[2 * i], value);
      }
      return;
    }
    for (std::byte& b : bytes) b = static_cast<std::byte>(random_() & 0xff);
    const size_t block = dtype_traits(dtype).block_bytes;
    for (size_t at = 0; at < bytes.size(); at += block) {
      std::byte* b = &bytes[at];
      switch (dtype) {
        case DType::kQ4_0: put_half(b, spread / 6); break;
        case DType::kQ8_0: put_half(b, spread / 90); break;
        case DType::kQ5_0: put_half(b, spread / 12); break;
        case DType::kQ4_1: put_half(b, spread / 6); put_half(b + 2, -spread * 1.2f); break;
        case DType::kQ5_1: put_half(b, spread / 12); put_half(b + 2, -spread * 1.2f); break;
        case DType::kQ4_K: put_half(b, spread / 150); put_half(b + 2, spread / 25); break;
        case DType::kQ5_K: put_half(b, spread / 300); put_half(b + 2, spread / 25); break;
        case DType::kQ6_K: put_half(b + 208, spread / 1500); break;
        default: break;
      }
    }
  }

  std::mt19937 random_;
  std::shared_ptr<Owned> owned_ = std::make_shared<Owned>();
};

struct Shape {
  uint32_t width = 64, heads = 4, kv_heads = 2, head_width = 16, inner = 96, layers = 2, vocabulary = 70, context = 256;
  DType dtype = DType::kF32;
  uint32_t seed = 1;
};

/// Pre-norm decoder with rotary grouped-query attention, SiLU gate and a head of its own.
inline std::shared_ptr<const Model> llama(const Shape& s, RopeConfig rope = {}, RopeStyle style = RopeStyle::kHalves) {
  Builder b(s.seed);
  const uint32_t q_width = s.heads * s.head_width, kv_width = s.kv_heads * s.head_width;
  ValueId x = b.op(TokenEmbedding{.table = b.weight("embedding", {s.vocabulary, s.width}, s.dtype, 1.0f)}, s.width, "x");
  for (uint32_t l = 0; l < s.layers; ++l) {
    const std::string at = "layer" + std::to_string(l) + ".";
    const auto norm = [&](ValueId v, const std::string& name) {
      return b.op(RmsNorm{.x = v, .weight = b.weight(at + name, {s.width}, DType::kF32, 0.1f, 1.0f)}, s.width);
    };
    const auto linear = [&](ValueId v, const std::string& name, uint32_t out, uint32_t in) {
      return b.op(Linear{.x = v, .weight = b.weight(at + name, {out, in}, s.dtype)}, out);
    };
    const ValueId normed = norm(x, "attention_norm");
    ValueId q = linear(normed, "q", q_width, s.width), k = linear(normed, "k", kv_width, s.width);
    const ValueId v = linear(normed, "v", kv_width, s.width);
    q = b.op(Rope{.x = q, .heads = s.heads, .head_width = s.head_width, .rotated = s.head_width, .style = style, .frequencies = rope}, q_width);
    k = b.op(Rope{.x = k, .heads = s.kv_heads, .head_width = s.head_width, .rotated = s.head_width, .style = style, .frequencies = rope}, kv_width);
    const ValueId mixed = b.op(Attention{.q = q, .k = k, .v = v, .heads = s.heads, .kv_heads = s.kv_heads, .head_width = s.head_width,
                                         .scale = 1.0f / std::sqrt(static_cast<float>(s.head_width)), .cache = l}, q_width);
    x = b.op(Add{.a = x, .b = linear(mixed, "o", s.width, q_width)}, s.width);
    const ValueId mlp_in = norm(x, "mlp_norm");
    const ValueId mlp = b.op(GatedMlp{.x = mlp_in, .gate = b.weight(at + "gate", {s.inner, s.width}, s.dtype),
                                      .up = b.weight(at + "up", {s.inner, s.width}, s.dtype),
                                      .down = b.weight(at + "down", {s.width, s.inner}, s.dtype)}, s.width);
    x = b.op(Add{.a = x, .b = mlp}, s.width);
  }
  x = b.op(RmsNorm{.x = x, .weight = b.weight("norm", {s.width}, DType::kF32, 0.1f, 1.0f)}, s.width);
  b.output({.kind = Output::Kind::kLogits, .x = x, .head = b.weight("head", {s.vocabulary, s.width}, s.dtype)});
  b.graph().kv_layers = s.layers;
  b.graph().vocabulary = s.vocabulary;
  b.graph().context = s.context;
  return b.finish();
}

/// As Gemma 3: norms with an offset before and behind, norms of q and k heads, windows, softcaps, tied head, tanh GELU.
inline std::shared_ptr<const Model> gemma(const Shape& s) {
  Builder b(s.seed);
  const uint32_t q_width = s.heads * s.head_width, kv_width = s.kv_heads * s.head_width;
  const WeightId table = b.weight("embedding", {s.vocabulary, s.width}, s.dtype, 0.5f);
  ValueId x = b.op(TokenEmbedding{.table = table, .scale = 1.5f}, s.width, "x");
  for (uint32_t l = 0; l < s.layers; ++l) {
    const std::string at = "layer" + std::to_string(l) + ".";
    const auto norm = [&](ValueId v, const std::string& name, uint32_t width, uint32_t group) {
      return b.op(RmsNorm{.x = v, .weight = b.weight(at + name, {group}, DType::kF32, 0.1f), .group = group == width ? 0 : group,
                          .epsilon = 1e-6f, .weight_offset = 1.0f}, width);
    };
    const auto linear = [&](ValueId v, const std::string& name, uint32_t out, uint32_t in) {
      return b.op(Linear{.x = v, .weight = b.weight(at + name, {out, in}, s.dtype)}, out);
    };
    const ValueId normed = norm(x, "attention_norm", s.width, s.width);
    ValueId q = norm(linear(normed, "q", q_width, s.width), "q_norm", q_width, s.head_width);
    ValueId k = norm(linear(normed, "k", kv_width, s.width), "k_norm", kv_width, s.head_width);
    const ValueId v = linear(normed, "v", kv_width, s.width);
    RopeConfig rope{.base = l % 2 == 0 ? 10000.0 : 1000000.0};
    if (l % 2 == 1) rope.scaling = "linear", rope.factor = 8;
    q = b.op(Rope{.x = q, .heads = s.heads, .head_width = s.head_width, .rotated = s.head_width / 2, .frequencies = rope}, q_width);
    k = b.op(Rope{.x = k, .heads = s.kv_heads, .head_width = s.head_width, .rotated = s.head_width / 2, .frequencies = rope}, kv_width);
    const ValueId mixed = b.op(Attention{.q = q, .k = k, .v = v, .heads = s.heads, .kv_heads = s.kv_heads, .head_width = s.head_width,
                                         .scale = 0.2f, .softcap = 5.0f, .window = l % 2 == 0 ? 7u : 0u, .cache = l}, q_width);
    x = b.op(Add{.a = x, .b = norm(linear(mixed, "o", s.width, q_width), "post_attention", s.width, s.width)}, s.width);
    const ValueId mlp = b.op(GatedMlp{.x = norm(x, "mlp_norm", s.width, s.width), .gate = b.weight(at + "gate", {s.inner, s.width}, s.dtype),
                                      .up = b.weight(at + "up", {s.inner, s.width}, s.dtype),
                                      .down = b.weight(at + "down", {s.width, s.inner}, s.dtype), .activation = Activation::kGeluTanh}, s.width);
    x = b.op(Add{.a = x, .b = norm(mlp, "post_mlp", s.width, s.width)}, s.width);
  }
  x = b.op(RmsNorm{.x = x, .weight = b.weight("norm", {s.width}, DType::kF32, 0.1f), .weight_offset = 1.0f}, s.width);
  b.output({.kind = Output::Kind::kLogits, .x = x, .head = table, .softcap = 3.0f});
  b.graph().kv_layers = s.layers;
  b.graph().vocabulary = s.vocabulary;
  b.graph().context = s.context;
  return b.finish();
}

/// As BERT: learned positions, token types, LayerNorm behind each sum, biases, GELU; attention without a cache. With `labels`
/// the types are those of pairs and a classifier of so many labels is on top.
inline std::shared_ptr<const Model> bert(const Shape& s, Pooling pooling = Pooling::kMean, bool normalize = true, uint32_t labels = 0) {
  Builder b(s.seed);
  const uint32_t q_width = s.heads * s.head_width;
  ValueId x = b.op(TokenEmbedding{.table = b.weight("embedding", {s.vocabulary, s.width}, s.dtype, 0.5f)}, s.width, "x");
  const WeightId types = b.weight("types", {2, s.width});
  x = labels > 0 ? b.op(SegmentEmbedding{.x = x, .table = types}, s.width) : b.op(RowEmbedding{.x = x, .table = types, .row = 1}, s.width);
  x = b.op(PositionEmbedding{.x = x, .table = b.weight("positions", {s.context + 2, s.width}), .offset = 2}, s.width);
  const auto norm = [&](ValueId v, const std::string& name) {
    return b.op(LayerNorm{.x = v, .weight = b.weight(name + ".w", {s.width}, DType::kF32, 0.1f, 1.0f), .bias = b.weight(name + ".b", {s.width})}, s.width);
  };
  x = norm(x, "norm");
  for (uint32_t l = 0; l < s.layers; ++l) {
    const std::string at = "layer" + std::to_string(l) + ".";
    const auto linear = [&](ValueId v, const std::string& name, uint32_t out, uint32_t in) {
      return b.op(Linear{.x = v, .weight = b.weight(at + name, {out, in}, s.dtype), .bias = b.weight(at + name + ".b", {out})}, out);
    };
    const ValueId q = linear(x, "q", q_width, s.width), k = linear(x, "k", q_width, s.width), v = linear(x, "v", q_width, s.width);
    const ValueId mixed = b.op(Attention{.q = q, .k = k, .v = v, .heads = s.heads, .kv_heads = s.heads, .head_width = s.head_width,
                                         .scale = 1.0f / std::sqrt(static_cast<float>(s.head_width)), .causal = false}, q_width);
    x = norm(b.op(Add{.a = x, .b = linear(mixed, "o", s.width, q_width)}, s.width), at + "attention_norm");
    const ValueId mlp = b.op(Mlp{.x = x, .up = b.weight(at + "up", {s.inner, s.width}, s.dtype), .down = b.weight(at + "down", {s.width, s.inner}, s.dtype),
                                 .up_bias = b.weight(at + "up.b", {s.inner}), .down_bias = b.weight(at + "down.b", {s.width})}, s.width);
    x = norm(b.op(Add{.a = x, .b = mlp}, s.width), at + "mlp_norm");
  }
  x = b.op(Activate{.x = x, .activation = Activation::kTanh}, s.width);
  if (labels > 0) x = b.op(Linear{.x = x, .weight = b.weight("classifier", {labels, s.width}), .bias = b.weight("classifier.b", {labels})}, labels);
  b.output({.kind = labels > 0 ? Output::Kind::kHead : Output::Kind::kHidden, .x = x});
  b.graph().vocabulary = 0;
  b.graph().context = s.context;
  b.graph().pooling = pooling;
  b.graph().normalize = normalize;
  return b.finish();
}

inline std::vector<uint32_t> random_tokens(size_t count, uint32_t vocabulary, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> tokens(count);
  for (uint32_t& token : tokens) token = random() % vocabulary;
  return tokens;
}

}  // namespace accelerate::tiny
