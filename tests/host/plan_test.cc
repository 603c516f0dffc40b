#include "accelerate/host/plan.h"

#include <gtest/gtest.h>

#include "tests/host/tiny_models.h"

namespace accelerate {
namespace {

HostPlan plan_of(const Model& model, Precision precision = Precision::kExact) {
  auto plan = make_plan(*model.graph, precision);
  EXPECT_TRUE(plan.ok()) << plan.error().message;
  return std::move(*plan);
}

template <class S> size_t count(const HostPlan& plan) {
  return static_cast<size_t>(std::count_if(plan.steps.begin(), plan.steps.end(), [](const PlannedStep& p) { return std::holds_alternative<S>(p.step); }));
}

TEST(HostPlan, LinearsOfOneValueAreOneProduct) {
  const HostPlan plan = plan_of(*tiny::llama({.layers = 1}));
  std::vector<size_t> parts;
  for (const PlannedStep& planned : plan.steps) {
    if (const MatmulStep* step = std::get_if<MatmulStep>(&planned.step)) parts.push_back(step->parts.size());
  }
  EXPECT_EQ(parts, (std::vector<size_t>{3, 1, 2, 1}));  // q k v, o, gate up, down
  EXPECT_EQ(count<PrepareStep>(plan), 4u);
}

TEST(HostPlan, TheFirstProductsComeInTheirOrderWhateverStandsBetween) {
  const auto model = tiny::gemma({.layers = 1});  // q, its norm, k, its norm, v
  const HostPlan plan = plan_of(*model);
  const MatmulStep* first = nullptr;
  for (const PlannedStep& planned : plan.steps) {
    if (!first) first = std::get_if<MatmulStep>(&planned.step);
  }
  ASSERT_NE(first, nullptr);
  ASSERT_EQ(first->parts.size(), 3u);
  EXPECT_EQ(model->graph->weights[plan.matrices[first->parts[0].matrix]].tensor, "layer0.q");
  EXPECT_EQ(model->graph->weights[plan.matrices[first->parts[1].matrix]].tensor, "layer0.k");
  EXPECT_EQ(model->graph->weights[plan.matrices[first->parts[2].matrix]].tensor, "layer0.v");
}

/// Runs the placement on paper: each buffer remembers the value in it, and every read must find the one it wants.
TEST(HostPlan, NoBufferIsOverwrittenBeforeItsLastReader) {
  for (const auto& model : {tiny::llama({.layers = 3}), tiny::gemma({.layers = 3}), tiny::bert({.layers = 3})}) {
    const HostPlan plan = plan_of(*model);
    std::vector<std::pair<uint32_t, bool>> written;  // per buffer: (width, replicated) of what was written last
    written.resize(plan.buffer_widths.size(), {0, false});
    for (const PlannedStep& planned : plan.steps) {
      std::vector<uint32_t> outputs, inputs;
      for_each_place(planned.step, [&](const Place& place, Access access) {
        ASSERT_LT(place.buffer, plan.buffer_widths.size());
        EXPECT_LE(place.width, plan.buffer_widths[place.buffer]);
        if (access == Access::kRead) {
          EXPECT_EQ(written[place.buffer], std::pair(place.width, place.replicated));
          inputs.push_back(place.buffer);
        } else {
          EXPECT_EQ(std::count(outputs.begin(), outputs.end(), place.buffer), 0) << "two results of a step in one buffer";
          outputs.push_back(place.buffer);
        }
      });
      for_each_place(planned.step, [&](const Place& place, Access access) {
        if (access != Access::kWrite) return;
        EXPECT_EQ(place.replicated, is_row_step(planned.step));
        if (!is_row_step(planned.step)) {
          EXPECT_EQ(std::count(inputs.begin(), inputs.end(), place.buffer), 0) << "products do not run in place";
        }
        written[place.buffer] = {place.width, place.replicated};
      });
    }
  }
}

TEST(HostPlan, LayersReuseTheBuffersOfTheFirst) {
  EXPECT_EQ(plan_of(*tiny::llama({.layers = 1})).buffer_widths, plan_of(*tiny::llama({.layers = 30})).buffer_widths);
}

TEST(HostPlan, ListsWhatItsStepsName) {
  const auto model = tiny::gemma({.heads = 4, .kv_heads = 2, .head_width = 20, .layers = 2});
  const HostPlan plan = plan_of(*model, Precision::kDefault);
  EXPECT_EQ(plan.rope_tables.size(), 2u);  // two bases
  ASSERT_EQ(plan.kv_layers.size(), 2u);
  EXPECT_EQ(plan.kv_layers[0].head_width, 32u);  // 20, padded
  EXPECT_TRUE(plan.kv_layers[0].half);
  EXPECT_FALSE(plan_of(*model).kv_layers[0].half);
  EXPECT_TRUE(plan.cached);
  EXPECT_EQ(plan.attention_steps, 2u);
  ASSERT_TRUE(plan.head.has_value());
  EXPECT_EQ(plan.matrices[*plan.head], plan.tables[0]);  // tied: one weight
  EXPECT_EQ(plan.head_columns, 70u);
  EXPECT_EQ(plan.tokens_known, 70u);
  EXPECT_EQ(plan.head_softcap, 3.0f);
}

TEST(HostPlan, EncodersShareOnePageLayoutAndKnowTheirPositions) {
  const auto model = tiny::bert({.layers = 4, .context = 99});
  const HostPlan plan = plan_of(*model);
  EXPECT_FALSE(plan.cached);
  EXPECT_EQ(plan.kv_layers.size(), 1u);
  EXPECT_EQ(plan.context_max, 99u);
  EXPECT_EQ(plan.output, Output::Kind::kHidden);
  EXPECT_FALSE(plan.head.has_value());
}

TEST(HostPlan, RefusesWhatItCannotRun) {
  Graph mixed = *tiny::llama({})->graph;
  for (Op& op : mixed.ops) {
    if (Attention* attention = std::get_if<Attention>(&op); attention && attention->cache == 1u) attention->cache.reset();
  }
  EXPECT_EQ(make_plan(mixed, Precision::kDefault).error().code, ErrorCode::kUnimplemented);
  Graph unordered = *tiny::llama({})->graph;
  for (Op& op : unordered.ops) {
    if (Attention* attention = std::get_if<Attention>(&op)) attention->cache = 1 - *attention->cache;
  }
  EXPECT_EQ(make_plan(unordered, Precision::kDefault).error().code, ErrorCode::kInternal);
  Graph endless = *tiny::llama({})->graph;
  endless.context = 0;
  EXPECT_EQ(make_plan(endless, Precision::kDefault).error().code, ErrorCode::kDataLoss);
  Graph headless = *tiny::llama({})->graph;
  std::get<Output>(headless.ops.back()).head.reset();
  EXPECT_EQ(make_plan(headless, Precision::kDefault).error().code, ErrorCode::kUnimplemented);
}

}  // namespace
}  // namespace accelerate
