// Graph - what a model computes: typed ops at the granularity backends fuse, over values of [tokens, width] floats.
// Built once per family by models/, read by every exporter (host executor, Mojo, MAX, ONNX ...) with std::visit; an op
// a backend does not know is its `no(reason)`.
//
//   Graph graph;  GraphBuilder-style helpers live in models/.
//   for (const Op& op : graph.ops) std::visit([&](const auto& o) { emit(o); }, op);
//
// Values are rank 2: `tokens` is the symbolic number of tokens of a step (sequences packed one behind another, no
// padding), `width` is static. Which token belongs to which sequence and position is step data, not graph data.
// Ops are in execution order; each value is written once and before it is read (check_graph). Weights are indices into
// Graph::weights, which point at the Model's tensors by name, so a Graph holds no bytes and can be hashed and sent.
// Plain data; immutable once shared.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "accelerate/core/model.h"

namespace accelerate {

struct ValueId { uint32_t index = 0; };
struct WeightId { uint32_t index = 0; };

struct Weight {
  std::string tensor;           // name in Model::tensors
  std::vector<uint64_t> shape;  // [out, in] for linear, [n] for vectors
};
struct ValueInfo {
  std::string name;  // for people: "layer3.attention_norm"
  uint32_t width = 0;
};

/// out[t] = table[token[t]] * scale
struct TokenEmbedding { WeightId table; float scale = 1; ValueId out{}; };
/// out[t] = x[t] + table[position[t] + offset]  (learned positions)
struct PositionEmbedding { ValueId x; WeightId table; uint32_t offset = 0; ValueId out{}; };
/// out[t] = x[t] + table[row]  (token types; every token has the same row here)
struct RowEmbedding { ValueId x; WeightId table; uint32_t row = 0; ValueId out{}; };
/// out[t] = x[t] + table[1 if t belongs to the second segment of its input, else 0]  (token types of pairs)
struct SegmentEmbedding { ValueId x; WeightId table; ValueId out{}; };
/// Over groups of `group` elements (0 = the whole width; head width for per-head norms; weight has `group` elements):
/// out = x / sqrt(mean(x^2) + epsilon) * (weight + weight_offset).   arXiv 1910.07467
struct RmsNorm { ValueId x; WeightId weight; uint32_t group = 0; float epsilon = 1e-5f; float weight_offset = 0; ValueId out{}; };
/// out = (x - mean) / sqrt(var + epsilon) * weight + bias.   arXiv 1607.06450
struct LayerNorm { ValueId x; WeightId weight, bias; float epsilon = 1e-12f; ValueId out{}; };
/// out = x * weight^T + bias; weight [out, in]
struct Linear { ValueId x; WeightId weight; std::optional<WeightId> bias; ValueId out{}; };
/// Rotates each head's first `rotated` elements by position[t] * frequency; x is [tokens, heads * head_width].
struct Rope {
  ValueId x; uint32_t heads = 0, head_width = 0, rotated = 0; RopeStyle style = RopeStyle::kHalves; RopeConfig frequencies; ValueId out{};
};
/// Scaled dot-product attention of a sequence with itself. With `cache` set, K and V of earlier steps count too and the
/// new ones are appended under that layer index; else all tokens of the step's sequence see each other.
struct Attention {
  ValueId q, k, v;
  uint32_t heads = 0, kv_heads = 0, head_width = 0;
  float scale = 0, softcap = 0;          // softcap 0 = none: cap * tanh(score / cap)
  bool causal = true;
  uint32_t window = 0;                   // a query sees the last `window` positions, itself included; 0 = all
  std::optional<uint32_t> cache;         // KV layer index, dense from 0
  ValueId out{};
};
/// out = down(act(gate(x)) * up(x))
struct GatedMlp { ValueId x; WeightId gate, up, down; Activation activation = Activation::kSilu; ValueId out{}; };
/// out = down(act(up(x) + up_bias)) + down_bias
struct Mlp { ValueId x; WeightId up, down; std::optional<WeightId> up_bias, down_bias; Activation activation = Activation::kGeluErf; ValueId out{}; };
/// out = a + b
struct Add { ValueId a, b; ValueId out{}; };
/// out = act(x)
struct Activate { ValueId x; Activation activation = Activation::kTanh; ValueId out{}; };
/// Marks a result. kLogits: rows the step wants, vocabulary wide: x * weight^T, then softcap. kHidden: all rows of x.
/// kHead: the first row of each sequence, the scores of a classification head.
struct Output {
  enum class Kind : uint8_t { kLogits, kHidden, kHead } kind = Kind::kLogits;
  ValueId x; std::optional<WeightId> head; float softcap = 0;
};

using Op = std::variant<TokenEmbedding, PositionEmbedding, RowEmbedding, SegmentEmbedding, RmsNorm, LayerNorm, Linear, Rope,
                        Attention, GatedMlp, Mlp, Add, Activate, Output>;

class Graph {
 public:
  std::string family;              // "llama"
  std::vector<Weight> weights;
  std::vector<ValueInfo> values;
  std::vector<Op> ops;
  uint32_t kv_layers = 0;          // Attention ops with a cache
  uint32_t vocabulary = 0;         // width of the logits; 0 = none
  uint32_t context = 0;            // tokens a sequence may have
  Pooling pooling = Pooling::kNone;  // for encoders: applied by the program to the kHidden rows
  bool normalize = false;
};

/// The op's name ("rms_norm"), for errors, profiles and reports.
std::string_view op_name(const Op& op);

/// Invariants: ids in range, written once before read, widths agree, weight shapes match `model`'s tensors, exactly one
/// Output. data_loss or internal naming the op and value.
Result<void> check_graph(const Graph& graph, const Model& model);

/// sha256 (hex) over a canonical text of ops, widths and weight shapes: part of program-cache keys. Names do not count.
std::string graph_hash(const Graph& graph);

}  // namespace accelerate
