// Gemma 3 (text): decoder with norms before and after both attention and MLP, per-head norms of q and k, tanh-GELU gated
// MLP, and five sliding-window layers for each global one, with a rope base of their own.
// Source: Gemma 3 technical report (arXiv 2503.19786); norms and scaling as in Gemma 2 (arXiv 2408.00118).
#include <cmath>

#include "accelerate/models/builder.h"
#include "accelerate/models/family_list.h"
#include "accelerate/models/names.h"

namespace accelerate {
namespace {

const std::vector<std::string_view> kHarmless = {
    "architectures",  // checked below
    "model_type",
    "gemma3.mm.tokens_per_image",  // of the vision part, which is a file of its own
};

class GemmaBuilder {
 public:
  explicit GemmaBuilder(const Model& model)
      : model_(model), config_(model.config), names_(model, "model."), builder_(model, "gemma") {}

  Result<Graph> build(GraphNotes* notes) {
    ACC_TRY_VOID(check());
    ACC_TRY(const WeightId table, builder_.weight(names_.top("token_embd.weight", "embed_tokens.weight"), {config_.vocabulary, config_.width}));
    const auto scale = static_cast<float>(std::sqrt(static_cast<double>(config_.width)));
    ValueId x = builder_.add(TokenEmbedding{.table = table, .scale = scale}, "embedding", config_.width);
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      ACC_TRY(x, attention(layer, x));
      ACC_TRY(x, mlp(layer, x));
    }
    ACC_TRY(x, norm(x, names_.top("output_norm.weight", "norm.weight"), "output_norm", config_.width, 0));
    ACC_TRY(const WeightId head, tied_or_own_head(builder_, config_, table, names_.gguf() ? "output.weight" : "lm_head.weight"));
    builder_.output({.kind = Output::Kind::kLogits, .x = x, .head = head, .softcap = static_cast<float>(config_.final_softcap)});
    builder_.graph().vocabulary = config_.vocabulary;
    return builder_.finish(notes);
  }

 private:
  Result<void> check() {
    ACC_TRY_VOID(check_config(config_));
    ACC_TRY_VOID(check_rotated(config_));
    ACC_TRY_VOID(check_other_fields(config_, kHarmless));
    ACC_TRY_VOID(check_architectures(config_, {"Gemma3ForCausalLM"}));
    ACC_TRY_VOID(check_pooling_absent(model_));
    ACC_TRY_VOID(check_rope(config_.rope));
    return config_.rope_local ? check_rope(*config_.rope_local) : Result<void>();
  }

  /// Every n-th layer sees all positions; the others a window, and rotate with the local base.
  bool is_global(uint32_t layer) const {
    const uint32_t pattern = config_.sliding_window_pattern;
    return config_.sliding_window == 0 || pattern == 0 || (layer + 1) % pattern == 0;
  }

  /// `width` values, normed in groups of `group` (0 = all together).
  Result<ValueId> norm(ValueId x, const std::string& tensor, const std::string& name, uint64_t width, uint32_t group) {
    ACC_TRY(const WeightId weight, builder_.weight(tensor, {group == 0 ? width : group}));
    return builder_.add(RmsNorm{.x = x, .weight = weight, .group = group, .epsilon = static_cast<float>(config_.norm_epsilon),
                                .weight_offset = config_.norm_weight_is_offset ? 1.0f : 0.0f},
                        name, width);
  }
  Result<ValueId> layer_norm(uint32_t layer, ValueId x, const std::string& gguf, const std::string& hugging_face) {
    return norm(x, names_.layer(layer, gguf + ".weight", hugging_face + ".weight"), at(layer, gguf), config_.width, 0);
  }

  Result<ValueId> linear(uint32_t layer, ValueId x, const std::string& gguf, const std::string& hugging_face, uint64_t out, uint64_t in) {
    ACC_TRY(const WeightId weight, builder_.weight(names_.layer(layer, gguf + ".weight", hugging_face + ".weight"), {out, in}));
    return builder_.add(Linear{.x = x, .weight = weight, .bias = {}}, at(layer, gguf), out);
  }

  /// Query or key: projected, normed head by head, rotated.
  Result<ValueId> rotated(uint32_t layer, ValueId x, char which, uint32_t heads) {
    const uint64_t width = uint64_t{heads} * config_.head_width;
    const std::string gguf = std::string("attn_") + which, hugging_face = std::string("self_attn.") + which;
    ACC_TRY(ValueId y, linear(layer, x, gguf, hugging_face + "_proj", width, config_.width));
    ACC_TRY(y, norm(y, names_.layer(layer, gguf + "_norm.weight", hugging_face + "_norm.weight"), at(layer, gguf + "_norm"), width,
                    config_.head_width));
    const bool local = !is_global(layer) && config_.rope_local;
    return builder_.add(Rope{.x = y, .heads = heads, .head_width = config_.head_width,
                             .rotated = config_.rope_width == 0 ? config_.head_width : config_.rope_width, .style = config_.rope_style,
                             .frequencies = local ? *config_.rope_local : config_.rope},
                        at(layer, gguf + "_rope"), width);
  }

  Result<ValueId> attention(uint32_t layer, ValueId x) {
    const uint64_t query = uint64_t{config_.heads} * config_.head_width, key = uint64_t{config_.kv_heads} * config_.head_width;
    ACC_TRY(const ValueId normed, layer_norm(layer, x, "attn_norm", "input_layernorm"));
    ACC_TRY(const ValueId q, rotated(layer, normed, 'q', config_.heads));
    ACC_TRY(const ValueId k, rotated(layer, normed, 'k', config_.kv_heads));
    ACC_TRY(const ValueId v, linear(layer, normed, "attn_v", "self_attn.v_proj", key, config_.width));
    const double scale = config_.attention_scale != 0 ? config_.attention_scale : 1.0 / std::sqrt(static_cast<double>(config_.head_width));
    const ValueId mixed = builder_.add(
        Attention{.q = q, .k = k, .v = v, .heads = config_.heads, .kv_heads = config_.kv_heads, .head_width = config_.head_width,
                  .scale = static_cast<float>(scale), .softcap = static_cast<float>(config_.attention_softcap), .causal = true,
                  .window = is_global(layer) ? 0 : config_.sliding_window, .cache = builder_.next_cache()},
        at(layer, "attention"), query);
    ACC_TRY(ValueId out, linear(layer, mixed, "attn_output", "self_attn.o_proj", config_.width, query));
    ACC_TRY(out, layer_norm(layer, out, "post_attention_norm", "post_attention_layernorm"));
    return builder_.add(Add{.a = x, .b = out}, at(layer, "attention_sum"), config_.width);
  }

  Result<ValueId> mlp(uint32_t layer, ValueId x) {
    const uint64_t width = config_.width, inner = config_.ff_width;
    ACC_TRY(const ValueId normed, layer_norm(layer, x, "ffn_norm", "pre_feedforward_layernorm"));
    ACC_TRY(const WeightId gate, builder_.weight(names_.layer(layer, "ffn_gate.weight", "mlp.gate_proj.weight"), {inner, width}));
    ACC_TRY(const WeightId up, builder_.weight(names_.layer(layer, "ffn_up.weight", "mlp.up_proj.weight"), {inner, width}));
    ACC_TRY(const WeightId down, builder_.weight(names_.layer(layer, "ffn_down.weight", "mlp.down_proj.weight"), {width, inner}));
    ValueId out = builder_.add(GatedMlp{.x = normed, .gate = gate, .up = up, .down = down,
                                        .activation = config_.activation.value_or(Activation::kGeluTanh)},
                               at(layer, "mlp"), width);
    ACC_TRY(out, layer_norm(layer, out, "post_ffw_norm", "post_feedforward_layernorm"));
    return builder_.add(Add{.a = x, .b = out}, at(layer, "mlp_sum"), width);
  }

  const Model& model_;
  const ModelConfig& config_;
  TensorNames names_;
  GraphBuilder builder_;
};

}  // namespace

Result<Graph> build_gemma(const Model& model, GraphNotes* notes) { return GemmaBuilder(model).build(notes); }

}  // namespace accelerate
