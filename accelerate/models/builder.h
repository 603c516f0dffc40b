// GraphBuilder - what every family builds its Graph with: weights by name with the shape they must have, values with
// names for people, and at the end a check that nothing in the file was left unused without a reason.
//
//   GraphBuilder builder(model, "llama");
//   ACC_TRY(const WeightId table, builder.weight("token_embd.weight", {vocabulary, width}));
//   ValueId x = builder.token_embedding(table, scale);
//   ...
//   return builder.finish(notes);
//
// Lives for one build_graph call; refers to the Model. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/graph.h"
#include "accelerate/core/model.h"
#include "accelerate/models/families.h"

namespace accelerate {

class GraphBuilder {
 public:
  GraphBuilder(const Model& model, std::string family);

  const TensorView* find(const std::string& tensor) const;
  /// The tensor with exactly this shape and a floating or block-quantized type. data_loss if it is missing or differs.
  Result<WeightId> weight(const std::string& tensor, std::vector<uint64_t> shape);
  /// Nothing when the model has no such tensor.
  Result<std::optional<WeightId>> weight_if_there(const std::string& tensor, std::vector<uint64_t> shape);
  /// Says why `tensor`, if it is there, takes no part.
  void ignore(const std::string& tensor, const std::string& reason);

  /// Appends an op whose `out` is a new value of that width and name.
  template <class SomeOp> ValueId add(SomeOp op, std::string name, uint64_t width) {
    op.out = new_value(std::move(name), width);
    graph_.ops.emplace_back(op);
    return op.out;
  }
  void output(Output op) { graph_.ops.emplace_back(op); }
  uint32_t next_cache() { return graph_.kv_layers++; }
  Graph& graph() { return graph_; }

  /// unimplemented naming up to kRefusedNamesShown tensors that nothing used; then check_graph.
  Result<Graph> finish(GraphNotes* notes);

 private:
  ValueId new_value(std::string name, uint64_t width);

  const Model& model_;
  Graph graph_;
  std::unordered_map<std::string, const TensorView*> tensors_;
  std::unordered_map<std::string, WeightId> used_;
  std::unordered_map<std::string, std::string> ignored_;  // tensor -> reason
};

/// The name of a layer's value, for people: "layer3.attn_q".
inline std::string at(uint32_t layer, const std::string& name) { return "layer" + std::to_string(layer) + "." + name; }

inline constexpr size_t kShownBytesMax = 60;  // of a foreign text in an error
/// `text` for an error message: control and non-ASCII bytes shown as '?', cut after kShownBytesMax bytes.
std::string shown(std::string_view text);

/// Bounds of sizes named in error texts as `what`: 1 to `most`.
Result<void> check_size(std::string_view what, uint64_t value, uint64_t most);

/// What all families ask of the config: sizes in range, heads a multiple of kv heads, head width given or width / heads
/// whole, rotated width even and within the head.
Result<void> check_config(const ModelConfig& config);

/// Refuses fields of config.other outside `harmless` (names as in the file) whose value is not neutral (null, false, 0,
/// 1, empty), by name: unimplemented. "general training metadata" common to all families is allowed here.
Result<void> check_other_fields(const ModelConfig& config, const std::vector<std::string_view>& harmless);

/// Hugging Face's `architectures` (a file's word for the head on top), where the file has it: one of `served`.
Result<void> check_architectures(const ModelConfig& config, const std::vector<std::string_view>& served);

/// A decoder here makes tokens; files that pool a decoder's hidden states into vectors are refused.
Result<void> check_pooling_absent(const Model& model);

/// The logits' weight: the tensor `own` [vocabulary, width], or the embedding table where the file ties them.
Result<WeightId> tied_or_own_head(GraphBuilder& builder, const ModelConfig& config, WeightId table, const std::string& own);

/// For families with rope: what is rotated (rope_width, or the whole head) is even. data_loss if not.
Result<void> check_rotated(const ModelConfig& config);

/// none, linear and llama3 pass with sane parameters; anything else is refused by name.
Result<void> check_rope(const RopeConfig& rope);

}  // namespace accelerate
