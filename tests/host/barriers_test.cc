#include <gtest/gtest.h>

#include "accelerate/host/plan.h"
#include "tests/host/tiny_models.h"

namespace accelerate {
namespace {

Place shared(uint32_t buffer) { return {.buffer = buffer, .width = 8, .replicated = false}; }
Place own(uint32_t buffer) { return {.buffer = buffer, .width = 8, .replicated = true}; }

struct Case {
  std::vector<Step> steps;
  std::vector<int> few, many;  // steps with a barrier before them
};

TEST(Barriers, StandBetweenConflictsOnly) {
  const auto matmul = [](Place x, Place out) { return MatmulStep{.x = x, .parts = {{0, {}, 8, out}}}; };
  const std::vector<Case> cases = {
      // Row steps of the same rows need nobody else; a product reads what all prepared.
      {{RmsNormStep{.x = own(0), .out = own(1)}, AddStep{own(0), own(1), own(2)}, PrepareStep{own(2)}, matmul(own(2), shared(3))}, {}, {3}},
      // Rows of a product's result are read by others than those who wrote the columns.
      {{matmul(own(0), shared(1)), AddStep{own(0), shared(1), own(2)}}, {1}, {1}},
      // The next product may not overwrite the scratch that the last one still reads.
      {{PrepareStep{own(0)}, matmul(own(0), shared(1)), PrepareStep{own(0)}, matmul(own(0), shared(2))}, {}, {1, 2, 3}},
      // Keys stored by one are read by all, and pages are not stored anew while some still read them.
      {{StoreStep{own(0), own(1), 0, 8}, AttentionStep{.q = own(2), .out = shared(3)}, StoreStep{own(0), own(1), 0, 8}}, {1, 2}, {1, 2}},
      // A buffer that others still read is not written.
      {{matmul(shared(0), shared(1)), matmul(own(2), shared(0))}, {1}, {1}},
      // Products of one region that touch different buffers run side by side.
      {{matmul(own(0), shared(1)), matmul(own(0), shared(2))}, {}, {}},
  };
  for (size_t c = 0; c < cases.size(); ++c) {
    HostPlan plan;
    plan.buffer_widths = {8, 8, 8, 8};
    for (const Step& step : cases[c].steps) plan.steps.push_back({.step = step});
    place_barriers(plan);
    std::vector<int> few, many;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      if (plan.steps[i].barrier_few) few.push_back(static_cast<int>(i));
      if (plan.steps[i].barrier_many) many.push_back(static_cast<int>(i));
    }
    EXPECT_EQ(few, cases[c].few) << "case " << c;
    EXPECT_EQ(many, cases[c].many) << "case " << c;
  }
}

std::pair<int, int> barriers_of(const Model& model) {
  const auto plan = make_plan(*model.graph, Precision::kDefault);
  std::pair<int, int> count{0, 0};
  for (const PlannedStep& step : plan->steps) {
    count.first += step.barrier_few;
    count.second += step.barrier_many;
  }
  return count;
}

TEST(Barriers, ALayerMeetsAsOftenAsTheHeaderSays) {
  const auto nine = barriers_of(*tiny::llama({.layers = 9})), ten = barriers_of(*tiny::llama({.layers = 10}));
  EXPECT_EQ(ten.first - nine.first, 6);
  EXPECT_EQ(ten.second - nine.second, 10);
}

TEST(Barriers, EveryAttentionHasOneBeforeIt) {  // where a stop is decided
  for (const auto& model : {tiny::llama({}), tiny::gemma({}), tiny::bert({})}) {
    const auto plan = make_plan(*model->graph, Precision::kDefault);
    for (const PlannedStep& step : plan->steps) {
      if (!std::holds_alternative<AttentionStep>(step.step)) continue;
      EXPECT_TRUE(step.barrier_few);
      EXPECT_TRUE(step.barrier_many);
    }
  }
}

}  // namespace
}  // namespace accelerate
