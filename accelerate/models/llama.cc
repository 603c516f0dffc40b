// Llama 2 and 3, SmolLM2, Mistral: pre-norm decoder with rotary grouped-query attention and a SiLU-gated MLP.
// Formulas: LLaMA (arXiv 2302.13971), grouped queries (arXiv 2305.13245), Mistral's window (arXiv 2310.06825).
#include <cmath>

#include "accelerate/models/builder.h"
#include "accelerate/models/family_list.h"
#include "accelerate/models/names.h"
#include "accelerate/models/rope_factors.h"

namespace accelerate {
namespace {

/// Hugging Face and GGUF fields that are checked through tensors or change nothing here.
const std::vector<std::string_view> kHarmless = {
    "architectures",   // checked below
    "attention_bias",  // the bias tensors are there, or asked for below
    "model_type",
    "llama.tensor_data_layout",  // who converted the file; the layout is the same
};
constexpr std::string_view kRopeFactors = "rope_freqs.weight";

class LlamaBuilder {
 public:
  explicit LlamaBuilder(const Model& model)
      : model_(model), config_(model.config), names_(model, "model."), builder_(model, "llama") {}

  Result<Graph> build(GraphNotes* notes) {
    ACC_TRY_VOID(check());
    ACC_TRY_VOID(read_rope());
    ACC_TRY(const WeightId table, builder_.weight(names_.top("token_embd.weight", "embed_tokens.weight"), {config_.vocabulary, config_.width}));
    ValueId x = builder_.add(TokenEmbedding{.table = table}, "embedding", config_.width);
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      ACC_TRY(x, attention(layer, x));
      ACC_TRY(x, mlp(layer, x));
    }
    ACC_TRY(x, norm(x, names_.top("output_norm.weight", "norm.weight"), "output_norm"));
    ACC_TRY(const WeightId head, output_head(table));
    builder_.output({.kind = Output::Kind::kLogits, .x = x, .head = head, .softcap = static_cast<float>(config_.final_softcap)});
    builder_.graph().vocabulary = config_.vocabulary;
    return builder_.finish(notes);
  }

 private:
  Result<void> check() {
    ACC_TRY_VOID(check_config(config_));
    ACC_TRY_VOID(check_rotated(config_));
    ACC_TRY_VOID(check_other_fields(config_, kHarmless));
    ACC_TRY_VOID(check_architectures(config_, {"LlamaForCausalLM", "MistralForCausalLM"}));
    return check_pooling_absent(model_);
  }

  Result<void> read_rope() {
    rope_ = config_.rope;
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      builder_.ignore(names_.layer(layer, "attn_rot_embd", "self_attn.rotary_emb.inv_freq"), "frequencies follow from the rope base");
    }
    if (const TensorView* factors = builder_.find(std::string(kRopeFactors))) {
      ACC_TRY(rope_, rope_from_factors(*factors, config_.rope, rotated()));
      builder_.ignore(std::string(kRopeFactors), "taken as " + rope_.scaling + " rope scaling");
    }
    return check_rope(rope_);
  }

  uint32_t rotated() const { return config_.rope_width == 0 ? config_.head_width : config_.rope_width; }

  Result<ValueId> norm(ValueId x, const std::string& tensor, const std::string& name) {
    ACC_TRY(const WeightId weight, builder_.weight(tensor, {config_.width}));
    return builder_.add(RmsNorm{.x = x, .weight = weight, .epsilon = static_cast<float>(config_.norm_epsilon)}, name, config_.width);
  }

  /// q, k, v or the output projection. A bias is used where the file has one, and asked for where the config says so.
  Result<ValueId> linear(uint32_t layer, ValueId x, const std::string& gguf, const std::string& hugging_face, uint64_t out, uint64_t in) {
    ACC_TRY(const WeightId weight, builder_.weight(names_.layer(layer, gguf + ".weight", hugging_face + ".weight"), {out, in}));
    const std::string bias_name = names_.layer(layer, gguf + ".bias", hugging_face + ".bias");
    std::optional<WeightId> bias;
    if (const auto said = config_.other.find("attention_bias"); said != config_.other.end() && said->second == "true") {
      ACC_TRY(bias, builder_.weight(bias_name, {out}));
    } else {
      ACC_TRY(bias, builder_.weight_if_there(bias_name, {out}));
    }
    return builder_.add(Linear{.x = x, .weight = weight, .bias = bias}, at(layer, gguf), out);
  }

  ValueId rope(uint32_t layer, ValueId x, uint32_t heads, const std::string& name) {
    return builder_.add(Rope{.x = x, .heads = heads, .head_width = config_.head_width, .rotated = rotated(),
                             .style = config_.rope_style, .frequencies = rope_},
                        at(layer, name), uint64_t{heads} * config_.head_width);
  }

  Result<ValueId> attention(uint32_t layer, ValueId x) {
    const uint64_t query = uint64_t{config_.heads} * config_.head_width, key = uint64_t{config_.kv_heads} * config_.head_width;
    ACC_TRY(const ValueId normed, norm(x, names_.layer(layer, "attn_norm.weight", "input_layernorm.weight"), at(layer, "attn_norm")));
    ACC_TRY(ValueId q, linear(layer, normed, "attn_q", "self_attn.q_proj", query, config_.width));
    ACC_TRY(ValueId k, linear(layer, normed, "attn_k", "self_attn.k_proj", key, config_.width));
    ACC_TRY(const ValueId v, linear(layer, normed, "attn_v", "self_attn.v_proj", key, config_.width));
    q = rope(layer, q, config_.heads, "q_rope");
    k = rope(layer, k, config_.kv_heads, "k_rope");
    const double scale = config_.attention_scale != 0 ? config_.attention_scale : 1.0 / std::sqrt(static_cast<double>(config_.head_width));
    const ValueId mixed = builder_.add(
        Attention{.q = q, .k = k, .v = v, .heads = config_.heads, .kv_heads = config_.kv_heads, .head_width = config_.head_width,
                  .scale = static_cast<float>(scale), .softcap = static_cast<float>(config_.attention_softcap), .causal = true,
                  .window = window(layer), .cache = builder_.next_cache()},
        at(layer, "attention"), query);
    ACC_TRY(const ValueId out, linear(layer, mixed, "attn_output", "self_attn.o_proj", config_.width, query));
    return builder_.add(Add{.a = x, .b = out}, at(layer, "attention_sum"), config_.width);
  }

  /// Mistral's window holds for every layer; with a pattern every n-th layer sees all.
  uint32_t window(uint32_t layer) const {
    const uint32_t pattern = config_.sliding_window_pattern;
    return pattern != 0 && (layer + 1) % pattern == 0 ? 0 : config_.sliding_window;
  }

  Result<ValueId> mlp(uint32_t layer, ValueId x) {
    const uint64_t width = config_.width, inner = config_.ff_width;
    ACC_TRY(const ValueId normed, norm(x, names_.layer(layer, "ffn_norm.weight", "post_attention_layernorm.weight"), at(layer, "ffn_norm")));
    ACC_TRY(const WeightId gate, builder_.weight(names_.layer(layer, "ffn_gate.weight", "mlp.gate_proj.weight"), {inner, width}));
    ACC_TRY(const WeightId up, builder_.weight(names_.layer(layer, "ffn_up.weight", "mlp.up_proj.weight"), {inner, width}));
    ACC_TRY(const WeightId down, builder_.weight(names_.layer(layer, "ffn_down.weight", "mlp.down_proj.weight"), {width, inner}));
    const ValueId out = builder_.add(GatedMlp{.x = normed, .gate = gate, .up = up, .down = down,
                                              .activation = config_.activation.value_or(Activation::kSilu)},
                                     at(layer, "mlp"), width);
    return builder_.add(Add{.a = x, .b = out}, at(layer, "mlp_sum"), width);
  }

  Result<WeightId> output_head(WeightId table) {
    return tied_or_own_head(builder_, config_, table, names_.gguf() ? "output.weight" : "lm_head.weight");
  }

  const Model& model_;
  const ModelConfig& config_;
  TensorNames names_;
  GraphBuilder builder_;
  RopeConfig rope_;
};

}  // namespace

Result<Graph> build_llama(const Model& model, GraphNotes* notes) { return LlamaBuilder(model).build(notes); }

}  // namespace accelerate
