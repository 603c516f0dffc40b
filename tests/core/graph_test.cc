#include "accelerate/core/graph.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace accelerate {
namespace {

constexpr uint32_t kVocabulary = 32, kContext = 16, kWidth = 8, kInner = 12;

// A graph with every kind of op, and a Model whose tensors it names.
struct Sample {
  Graph graph;
  Model model;

  WeightId weight(std::string name, std::vector<uint64_t> shape) {
    model.tensors.push_back({.name = name, .shape = shape});
    graph.weights.push_back({std::move(name), std::move(shape)});
    return {static_cast<uint32_t>(graph.weights.size() - 1)};
  }
  ValueId value(std::string name, uint32_t width) {
    graph.values.push_back({std::move(name), width});
    return {static_cast<uint32_t>(graph.values.size() - 1)};
  }
  template <class T> T& op(size_t index) { return std::get<T>(graph.ops.at(index)); }
};

Sample every_op() {
  Sample s;
  s.graph = {.family = "sample", .kv_layers = 1, .vocabulary = kVocabulary, .context = kContext};
  const ValueId tokens = s.value("tokens", kWidth), placed = s.value("placed", kWidth), typed = s.value("typed", kWidth);
  s.graph.ops.push_back(TokenEmbedding{.table = s.weight("tokens", {kVocabulary, kWidth}), .out = tokens});                    // 0
  s.graph.ops.push_back(PositionEmbedding{.x = tokens, .table = s.weight("positions", {kContext + 2, kWidth}), .offset = 2, .out = placed});  // 1
  s.graph.ops.push_back(RowEmbedding{.x = placed, .table = s.weight("types", {2, kWidth}), .row = 1, .out = typed});           // 2
  const ValueId normed = s.value("normed", kWidth), q = s.value("q", kWidth), k = s.value("k", 4), v = s.value("v", 4);
  s.graph.ops.push_back(RmsNorm{.x = typed, .weight = s.weight("norm", {kWidth}), .out = normed});                              // 3
  s.graph.ops.push_back(Linear{.x = normed, .weight = s.weight("q", {kWidth, kWidth}), .bias = s.weight("q.bias", {kWidth}), .out = q});  // 4
  s.graph.ops.push_back(Linear{.x = normed, .weight = s.weight("k", {4, kWidth}), .out = k});                                   // 5
  s.graph.ops.push_back(Linear{.x = normed, .weight = s.weight("v", {4, kWidth}), .out = v});                                   // 6
  const ValueId q_norm = s.value("q_norm", kWidth), turned = s.value("turned", kWidth), seen = s.value("seen", kWidth);
  s.graph.ops.push_back(RmsNorm{.x = q, .weight = s.weight("q_norm", {4}), .group = 4, .out = q_norm});                         // 7
  s.graph.ops.push_back(Rope{.x = q_norm, .heads = 2, .head_width = 4, .rotated = 4, .out = turned});                           // 8
  s.graph.ops.push_back(Attention{.q = turned, .k = k, .v = v, .heads = 2, .kv_heads = 1, .head_width = 4, .scale = 0.5f, .cache = 0, .out = seen});  // 9
  const ValueId sum = s.value("sum", kWidth), gated = s.value("gated", kWidth), mlp = s.value("mlp", kWidth), layered = s.value("layered", kWidth);
  s.graph.ops.push_back(Add{.a = typed, .b = seen, .out = sum});                                                                // 10
  s.graph.ops.push_back(GatedMlp{.x = sum, .gate = s.weight("gate", {kInner, kWidth}), .up = s.weight("up", {kInner, kWidth}),
                                 .down = s.weight("down", {kWidth, kInner}), .out = gated});                                    // 11
  s.graph.ops.push_back(Mlp{.x = gated, .up = s.weight("up2", {kInner, kWidth}), .down = s.weight("down2", {kWidth, kInner}),
                            .up_bias = s.weight("up2.bias", {kInner}), .down_bias = s.weight("down2.bias", {kWidth}), .out = mlp});  // 12
  s.graph.ops.push_back(LayerNorm{.x = mlp, .weight = s.weight("ln", {kWidth}), .bias = s.weight("ln.bias", {kWidth}), .out = layered});  // 13
  const ValueId active = s.value("active", kWidth);
  s.graph.ops.push_back(Activate{.x = layered, .out = active});                                                                 // 14
  s.graph.ops.push_back(Output{.kind = Output::Kind::kLogits, .x = active, .head = s.weight("head", {kVocabulary, kWidth})});   // 15
  s.graph.ops.push_back(SegmentEmbedding{.x = active, .table = s.weight("segments", {2, kWidth}), .out = s.value("segmented", kWidth)});  // 16
  return s;
}

struct Defect {
  const char* what;
  size_t op;                          // that the error names; kNoOp = the graph as a whole
  std::function<void(Sample&)> make;
  ErrorCode code = ErrorCode::kInternal;
};
constexpr size_t kNoOp = SIZE_MAX;

void expect_refused(const Defect& defect) {
  Sample sample = every_op();
  defect.make(sample);
  const Result<void> checked = check_graph(sample.graph, sample.model);
  ASSERT_FALSE(checked.ok()) << defect.what;
  EXPECT_EQ(checked.error().code, defect.code) << defect.what << ": " << checked.error().message;
  if (defect.op == kNoOp) return;
  const std::string name = "op " + std::to_string(defect.op) + " (" + std::string(op_name(sample.graph.ops.at(defect.op))) + ")";
  EXPECT_NE(checked.error().message.find(name), std::string::npos) << defect.what << ": " << checked.error().message;
}

TEST(Graph, OneOfEveryOpPasses) {
  const Sample sample = every_op();
  std::set<std::string_view> names;
  for (const Op& op : sample.graph.ops) names.insert(op_name(op));
  EXPECT_EQ(names.size(), std::variant_size_v<Op>);
  const Result<void> checked = check_graph(sample.graph, sample.model);
  EXPECT_TRUE(checked.ok()) << (checked.ok() ? "" : checked.error().message);
}

TEST(Graph, OpsHaveNames) {
  EXPECT_EQ(op_name(TokenEmbedding{}), "token_embedding");
  EXPECT_EQ(op_name(RmsNorm{}), "rms_norm");
  EXPECT_EQ(op_name(GatedMlp{}), "gated_mlp");
  EXPECT_EQ(op_name(Output{}), "output");
}

TEST(Graph, BrokenWiringIsRefused) {
  const Defect defects[] = {
      {"reads a value out of range", 10, [](Sample& s) { s.op<Add>(10).b = {999}; }},
      {"writes a value out of range", 10, [](Sample& s) { s.op<Add>(10).out = {999}; }},
      {"reads what is written later", 10, [](Sample& s) { s.op<Add>(10).b = s.op<Activate>(14).out; }},
      {"reads its own result", 14, [](Sample& s) { s.op<Activate>(14).x = s.op<Activate>(14).out; }},
      {"writes twice", 10, [](Sample& s) { s.op<Add>(10).out = s.op<RmsNorm>(3).out; }},
      {"names a weight out of range", 3, [](Sample& s) { s.op<RmsNorm>(3).weight = {999}; }},
      {"names a bias out of range", 4, [](Sample& s) { s.op<Linear>(4).bias = WeightId{999}; }},
      {"has no output", kNoOp, [](Sample& s) { s.graph.ops.erase(s.graph.ops.begin() + 15); }},
      {"has two outputs", kNoOp, [](Sample& s) { s.graph.ops.push_back(s.graph.ops.back()); }},
      {"is empty", kNoOp, [](Sample& s) { s.graph.ops.clear(); }},
      {"names a missing tensor", kNoOp, [](Sample& s) { s.model.tensors.erase(s.model.tensors.begin()); }, ErrorCode::kDataLoss},
      {"names a tensor of another shape", kNoOp, [](Sample& s) { s.model.tensors[0].shape = {kVocabulary + 1, kWidth}; }, ErrorCode::kDataLoss},
      {"names a tensor of another rank", kNoOp, [](Sample& s) { s.model.tensors[3].shape = {kWidth, 1}; }, ErrorCode::kDataLoss},
  };
  for (const Defect& defect : defects) expect_refused(defect);
}

std::vector<uint64_t>& shape_of(Sample& s, WeightId id) { return s.graph.weights.at(id.index).shape; }

TEST(Graph, SizesThatDisagreeAreRefused) {
  const Defect defects[] = {
      {"embedding narrower than its value", 0, [](Sample& s) { shape_of(s, s.op<TokenEmbedding>(0).table)[1] = 7; }},
      {"embedding without a row for each token", 0, [](Sample& s) { shape_of(s, s.op<TokenEmbedding>(0).table)[0] = kVocabulary - 1; }},
      {"embedding of rank 1", 0, [](Sample& s) { shape_of(s, s.op<TokenEmbedding>(0).table) = {kWidth}; }},
      {"too few positions", 1, [](Sample& s) { s.op<PositionEmbedding>(1).offset = 3; }},
      {"an offset that wraps", 1, [](Sample& s) { s.op<PositionEmbedding>(1).offset = UINT32_MAX; }},
      {"a row outside the table", 2, [](Sample& s) { s.op<RowEmbedding>(2).row = 2; }},
      {"a segment without a row", 16, [](Sample& s) { shape_of(s, s.op<SegmentEmbedding>(16).table)[0] = 1; }},
      {"scores with a head", 15, [](Sample& s) { s.op<Output>(15).kind = Output::Kind::kHead; }},
      {"norm weight of another width", 3, [](Sample& s) { shape_of(s, s.op<RmsNorm>(3).weight) = {4}; }},
      {"groups that do not divide the width", 7, [](Sample& s) { s.op<RmsNorm>(7).group = 3; }},
      {"groups wider than the width", 7, [](Sample& s) { s.op<RmsNorm>(7).group = 16; }},
      {"linear input", 5, [](Sample& s) { shape_of(s, s.op<Linear>(5).weight)[1] = 9; }},
      {"linear output", 5, [](Sample& s) { shape_of(s, s.op<Linear>(5).weight)[0] = 5; }},
      {"linear bias", 4, [](Sample& s) { shape_of(s, *s.op<Linear>(4).bias) = {7}; }},
      {"layer norm bias", 13, [](Sample& s) { shape_of(s, s.op<LayerNorm>(13).bias) = {7}; }},
      {"gate and up of two sizes", 11, [](Sample& s) { shape_of(s, s.op<GatedMlp>(11).up)[0] = 13; }},
      {"down of another inner size", 11, [](Sample& s) { shape_of(s, s.op<GatedMlp>(11).down)[1] = 13; }},
      {"mlp bias", 12, [](Sample& s) { shape_of(s, *s.op<Mlp>(12).up_bias) = {kWidth}; }},
      {"mlp out bias", 12, [](Sample& s) { shape_of(s, *s.op<Mlp>(12).down_bias) = {kInner}; }},
      {"sides of two widths", 10, [](Sample& s) { s.op<Add>(10).b = s.op<Linear>(5).out; }},
      {"a head that is not the vocabulary", 15, [](Sample& s) { shape_of(s, *s.op<Output>(15).head)[0] = kVocabulary + 1; }},
      {"logits without a head", 15, [](Sample& s) { s.op<Output>(15).head.reset(); }},
      {"hidden rows with a head", 15, [](Sample& s) { s.op<Output>(15).kind = Output::Kind::kHidden; }},
  };
  for (const Defect& defect : defects) expect_refused(defect);
}

TEST(Graph, AttentionThatMakesNoSenseIsRefused) {
  const Defect defects[] = {
      {"rope heads", 8, [](Sample& s) { s.op<Rope>(8).heads = 3; }},
      {"rope heads whose product wraps 32 bits", 8, [](Sample& s) { s.op<Rope>(8).heads = 1u << 30; s.op<Rope>(8).head_width = 4; }},
      {"odd rotation", 8, [](Sample& s) { s.op<Rope>(8).rotated = 3; }},
      {"no rotation", 8, [](Sample& s) { s.op<Rope>(8).rotated = 0; }},
      {"rotation beyond the head", 8, [](Sample& s) { s.op<Rope>(8).rotated = 6; }},
      {"q width", 9, [](Sample& s) { s.op<Attention>(9).q = s.op<Linear>(5).out; }},
      {"k width", 9, [](Sample& s) { s.op<Attention>(9).k = s.op<Linear>(4).out; }},
      {"v width", 9, [](Sample& s) { s.op<Attention>(9).v = s.op<Linear>(4).out; }},
      {"no kv heads", 9, [](Sample& s) { s.op<Attention>(9).kv_heads = 0; }},
      {"no heads", 9, [](Sample& s) { s.op<Attention>(9).heads = 0; }},
      {"a cache beyond kv_layers", 9, [](Sample& s) { s.op<Attention>(9).cache = 1; }},
      {"a cache without causality", 9, [](Sample& s) { s.op<Attention>(9).causal = false; }},
      {"kv_layers nobody uses", kNoOp, [](Sample& s) { s.graph.kv_layers = 2; }},
      {"kv_layers without a cached attention", kNoOp, [](Sample& s) { s.op<Attention>(9).cache.reset(); }},
      {"two attentions on one cache", 10, [](Sample& s) {
         Attention twin = s.op<Attention>(9);
         twin.out = s.value("twin", kWidth);
         s.graph.ops.insert(s.graph.ops.begin() + 10, twin);
         s.graph.kv_layers = 2;
       }},
  };
  for (const Defect& defect : defects) expect_refused(defect);
}

TEST(GraphHash, NamesDoNotCount) {
  Sample a = every_op(), b = every_op();
  EXPECT_EQ(graph_hash(a.graph).size(), 64u);
  for (Weight& weight : b.graph.weights) weight.tensor = "other." + weight.tensor;
  for (ValueInfo& value : b.graph.values) value.name.clear();
  EXPECT_EQ(graph_hash(a.graph), graph_hash(b.graph));
}

// Every field that changes what is computed changes the hash, each to a hash of its own.
TEST(GraphHash, EverythingThatComputesCounts) {
  const std::vector<std::function<void(Sample&)>> changes = {
      [](Sample&) {},
      [](Sample& s) { s.graph.family = "other"; },
      [](Sample& s) { s.graph.kv_layers = 2; },
      [](Sample& s) { s.graph.vocabulary = 33; },
      [](Sample& s) { s.graph.context = 17; },
      [](Sample& s) { s.graph.pooling = Pooling::kMean; },
      [](Sample& s) { s.graph.normalize = true; },
      [](Sample& s) { s.graph.weights[0].shape[0] = 64; },
      [](Sample& s) { s.graph.values[0].width = 9; },
      [](Sample& s) { s.op<TokenEmbedding>(0).scale = 2; },
      [](Sample& s) { s.op<PositionEmbedding>(1).offset = 1; },
      [](Sample& s) { s.op<RowEmbedding>(2).row = 0; },
      [](Sample& s) { s.op<RmsNorm>(3).epsilon = 1e-6f; },
      [](Sample& s) { s.op<RmsNorm>(3).weight_offset = 1; },
      [](Sample& s) { s.op<RmsNorm>(7).group = 2; },
      [](Sample& s) { s.op<LayerNorm>(13).epsilon = 1e-6f; },
      [](Sample& s) { s.op<Linear>(4).bias.reset(); },
      [](Sample& s) { s.op<Linear>(4).weight.index += 2; },
      [](Sample& s) { s.op<Rope>(8).style = RopeStyle::kInterleaved; },
      [](Sample& s) { s.op<Rope>(8).rotated = 2; },
      [](Sample& s) { s.op<Rope>(8).frequencies.base = 5e5; },
      [](Sample& s) { s.op<Rope>(8).frequencies.scaling = "linear"; },
      [](Sample& s) { s.op<Rope>(8).frequencies.factor = 8; },
      [](Sample& s) { s.op<Rope>(8).frequencies.low_frequency_factor = 2; },
      [](Sample& s) { s.op<Rope>(8).frequencies.high_frequency_factor = 5; },
      [](Sample& s) { s.op<Rope>(8).frequencies.original_context = 8192; },
      [](Sample& s) { s.op<Attention>(9).scale = 0.25f; },
      [](Sample& s) { s.op<Attention>(9).softcap = 50; },
      [](Sample& s) { s.op<Attention>(9).causal = false; },
      [](Sample& s) { s.op<Attention>(9).window = 8; },
      [](Sample& s) { s.op<Attention>(9).cache.reset(); },
      [](Sample& s) { std::swap(s.op<Attention>(9).k, s.op<Attention>(9).v); },
      [](Sample& s) { s.op<GatedMlp>(11).activation = Activation::kGeluTanh; },
      [](Sample& s) { std::swap(s.op<GatedMlp>(11).gate, s.op<GatedMlp>(11).up); },
      [](Sample& s) { s.op<Mlp>(12).activation = Activation::kRelu; },
      [](Sample& s) { s.op<Mlp>(12).up_bias.reset(); },
      [](Sample& s) { s.op<Activate>(14).activation = Activation::kSilu; },
      [](Sample& s) { s.op<Output>(15).softcap = 30; },
      [](Sample& s) { s.op<Output>(15).kind = Output::Kind::kHidden; },
      [](Sample& s) { s.op<Output>(15).kind = Output::Kind::kHead; },
      [](Sample& s) { s.op<SegmentEmbedding>(16).table = s.op<RowEmbedding>(2).table; },
      [](Sample& s) { std::swap(s.graph.ops[5], s.graph.ops[6]); },
  };
  std::set<std::string> hashes;
  for (size_t i = 0; i < changes.size(); ++i) {
    Sample sample = every_op();
    changes[i](sample);
    EXPECT_TRUE(hashes.insert(graph_hash(sample.graph)).second) << "change " << i << " hashes like an earlier one";
  }
}

}  // namespace
}  // namespace accelerate
