// BERT encoders (MiniLM, BGE, E5 ...): learned positions, post-norm layers with biases, full attention; the hidden states
// are the result, pooled by the program as the model's own files say. Source: BERT (arXiv 1810.04805).
// Cross-encoders (BertForSequenceClassification with one label) end in a score instead: the first token's state through
// pooler, tanh and classifier. Both run on all rows, because a graph has no op that picks one: 1 of 73 products of MiniLM-L6.
#include <cmath>

#include "accelerate/models/builder.h"
#include "accelerate/models/family_list.h"
#include "accelerate/models/names.h"

namespace accelerate {
namespace {

constexpr std::string_view kCrossEncoder = "BertForSequenceClassification";

const std::vector<std::string_view> kHarmless = {
    "architectures",                       // checked below
    "model_type", "position_embedding_type",  // checked below
};

class BertBuilder {
 public:
  explicit BertBuilder(const Model& model)
      : model_(model), config_(model.config), names_(model, prefix_of(model), "encoder.layer."), builder_(model, "bert") {}

  Result<Graph> build(GraphNotes* notes) {
    ACC_TRY_VOID(check());
    ACC_TRY(ValueId x, embeddings());
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      ACC_TRY(x, attention(layer, x));
      ACC_TRY(x, mlp(layer, x));
    }
    if (is_cross_encoder()) {
      ACC_TRY(x, score(x));
      builder_.output({.kind = Output::Kind::kHead, .x = x, .head = {}});
    } else {
      builder_.output({.kind = Output::Kind::kHidden, .x = x, .head = {}});
      builder_.graph().pooling = model_.pooling;
      builder_.graph().normalize = model_.normalize_embeddings;
    }
    leave_out_heads();
    return builder_.finish(notes);
  }

 private:
  /// "bert." when the file was saved from a model with a head on top, else nothing.
  static std::string prefix_of(const Model& model) { return model.find("bert.embeddings.word_embeddings.weight") ? "bert." : ""; }

  bool is_cross_encoder() const {
    const auto said = config_.other.find("architectures");
    return said != config_.other.end() && said->second == kCrossEncoder;
  }

  Result<void> check() {
    ACC_TRY_VOID(check_config(config_));
    ACC_TRY_VOID(check_other_fields(config_, kHarmless));
    ACC_TRY_VOID(check_architectures(config_, {"BertModel", "BertForMaskedLM", "BertForPreTraining", kCrossEncoder}));
    if (is_cross_encoder() && config_.labels != 1) {
      return Error{ErrorCode::kUnimplemented, "[models] a cross-encoder scores one label; got a classifier of " + std::to_string(config_.labels)};
    }
    if (is_cross_encoder() && model_.pooling != Pooling::kNone) {
      return Error{ErrorCode::kUnimplemented, "[models] a model gives scores or vectors; got a classifier and a pooling of hidden states"};
    }
    if (config_.kv_heads != config_.heads) {
      return Error{ErrorCode::kUnimplemented, "[models] a bert model has as many kv heads as heads; got " + std::to_string(config_.kv_heads)};
    }
    if (uint64_t{config_.heads} * config_.head_width != config_.width) {
      return Error{ErrorCode::kDataLoss, "[models] a bert model's heads fill its width of " + std::to_string(config_.width) + "; got " +
                                             std::to_string(config_.heads) + " of " + std::to_string(config_.head_width)};
    }
    const auto positions = config_.other.find("position_embedding_type");
    if (positions != config_.other.end() && positions->second != "absolute") {
      return Error{ErrorCode::kUnimplemented, "[models] position_embedding_type is absolute; got '" + shown(positions->second) + "'"};
    }
    return {};
  }

  Result<ValueId> embeddings() {
    const uint64_t width = config_.width;
    ACC_TRY(const WeightId words, builder_.weight(names_.top("token_embd.weight", "embeddings.word_embeddings.weight"), {config_.vocabulary, width}));
    ACC_TRY(const WeightId positions, builder_.weight(names_.top("position_embd.weight", "embeddings.position_embeddings.weight"), {config_.context, width}));
    ValueId x = builder_.add(TokenEmbedding{.table = words}, "embedding", width);
    x = builder_.add(PositionEmbedding{.x = x, .table = positions}, "position_sum", width);
    const std::string types = names_.top("token_types.weight", "embeddings.token_type_embeddings.weight");
    // A text on its own is segment A: row 0; of a pair the second text is segment B. Files without the table have no such term.
    if (const TensorView* table = builder_.find(types)) {
      const uint64_t rows = config_.token_types != 0 || table->shape.empty() ? config_.token_types : table->shape.front();
      ACC_TRY(const WeightId weight, builder_.weight(types, {rows, width}));
      if (is_cross_encoder()) x = builder_.add(SegmentEmbedding{.x = x, .table = weight}, "type_sum", width);
      else x = builder_.add(RowEmbedding{.x = x, .table = weight, .row = 0}, "type_sum", width);
    }
    return norm(x, names_.top("token_embd_norm", "embeddings.LayerNorm"), "embedding_norm");
  }

  Result<ValueId> norm(ValueId x, const std::string& tensor, const std::string& name) {
    ACC_TRY(const WeightId weight, builder_.weight(tensor + ".weight", {config_.width}));
    ACC_TRY(const WeightId bias, builder_.weight(tensor + ".bias", {config_.width}));
    return builder_.add(LayerNorm{.x = x, .weight = weight, .bias = bias, .epsilon = static_cast<float>(config_.norm_epsilon)}, name, config_.width);
  }

  Result<ValueId> linear(uint32_t layer, ValueId x, const std::string& gguf, const std::string& hugging_face) {
    const std::string tensor = names_.layer(layer, gguf, hugging_face);
    ACC_TRY(const WeightId weight, builder_.weight(tensor + ".weight", {config_.width, config_.width}));
    ACC_TRY(const WeightId bias, builder_.weight(tensor + ".bias", {config_.width}));
    return builder_.add(Linear{.x = x, .weight = weight, .bias = bias}, at(layer, gguf), config_.width);
  }

  Result<ValueId> attention(uint32_t layer, ValueId x) {
    ACC_TRY(const ValueId q, linear(layer, x, "attn_q", "attention.self.query"));
    ACC_TRY(const ValueId k, linear(layer, x, "attn_k", "attention.self.key"));
    ACC_TRY(const ValueId v, linear(layer, x, "attn_v", "attention.self.value"));
    const double scale = 1.0 / std::sqrt(static_cast<double>(config_.head_width));
    const ValueId mixed = builder_.add(Attention{.q = q, .k = k, .v = v, .heads = config_.heads, .kv_heads = config_.kv_heads,
                                                 .head_width = config_.head_width, .scale = static_cast<float>(scale), .softcap = 0,
                                                 .causal = false, .window = 0, .cache = {}},
                                       at(layer, "attention"), config_.width);
    ACC_TRY(const ValueId out, linear(layer, mixed, "attn_output", "attention.output.dense"));
    const ValueId sum = builder_.add(Add{.a = x, .b = out}, at(layer, "attention_sum"), config_.width);
    return norm(sum, names_.layer(layer, "attn_output_norm", "attention.output.LayerNorm"), at(layer, "attention_norm"));
  }

  Result<ValueId> mlp(uint32_t layer, ValueId x) {
    const uint64_t width = config_.width, inner = config_.ff_width;
    const std::string up_name = names_.layer(layer, "ffn_up", "intermediate.dense"), down_name = names_.layer(layer, "ffn_down", "output.dense");
    ACC_TRY(const WeightId up, builder_.weight(up_name + ".weight", {inner, width}));
    ACC_TRY(const WeightId up_bias, builder_.weight(up_name + ".bias", {inner}));
    ACC_TRY(const WeightId down, builder_.weight(down_name + ".weight", {width, inner}));
    ACC_TRY(const WeightId down_bias, builder_.weight(down_name + ".bias", {width}));
    const ValueId out = builder_.add(Mlp{.x = x, .up = up, .down = down, .up_bias = up_bias, .down_bias = down_bias,
                                         .activation = config_.activation.value_or(Activation::kGeluErf)},
                                     at(layer, "mlp"), width);
    const ValueId sum = builder_.add(Add{.a = x, .b = out}, at(layer, "mlp_sum"), width);
    return norm(sum, names_.layer(layer, "layer_output_norm", "output.LayerNorm"), at(layer, "output_norm"));
  }

  Result<ValueId> score(ValueId x) {
    const uint64_t width = config_.width;
    const std::string pooler = names_.top("", "pooler.dense");
    ACC_TRY(const WeightId dense, builder_.weight(pooler + ".weight", {width, width}));
    ACC_TRY(const WeightId dense_bias, builder_.weight(pooler + ".bias", {width}));
    ACC_TRY(const WeightId classifier, builder_.weight("classifier.weight", {config_.labels, width}));
    ACC_TRY(const WeightId classifier_bias, builder_.weight("classifier.bias", {config_.labels}));
    x = builder_.add(Linear{.x = x, .weight = dense, .bias = dense_bias}, "pooler", width);
    x = builder_.add(Activate{.x = x, .activation = Activation::kTanh}, "pooled", width);
    return builder_.add(Linear{.x = x, .weight = classifier, .bias = classifier_bias}, "score", config_.labels);
  }

  /// What sits on top of the hidden states, or repeats what is known.
  void leave_out_heads() {
    const std::string prefix = names_.top("", "");
    builder_.ignore(prefix + "embeddings.position_ids", "positions are counted, not stored");
    for (const char* tensor : {"pooler.dense.weight", "pooler.dense.bias"}) {
      if (is_cross_encoder()) continue;
      builder_.ignore(prefix + tensor, "the pooler feeds next-sentence prediction; embeddings pool the hidden states");
    }
    for (const char* tensor : {"cls.predictions.bias", "cls.predictions.transform.dense.weight", "cls.predictions.transform.dense.bias",
                               "cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.bias",
                               "cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "cls.seq_relationship.weight",
                               "cls.seq_relationship.bias"}) {
      builder_.ignore(tensor, "a pre-training head; embeddings are the hidden states");
    }
  }

  const Model& model_;
  const ModelConfig& config_;
  TensorNames names_;
  GraphBuilder builder_;
};

}  // namespace

Result<Graph> build_bert(const Model& model, GraphNotes* notes) { return BertBuilder(model).build(notes); }

}  // namespace accelerate
