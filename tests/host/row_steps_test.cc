#include <gtest/gtest.h>

#include <cmath>

#include "accelerate/base/numbers.h"
#include "tests/host/state_harness.h"

namespace accelerate {
namespace {

using harness::StateHarness;

// The steps' arithmetic is tested through whole graphs (decoder_test, encoder_test); here: which rows are touched by whom.

constexpr Place kX{.buffer = 0, .width = 32, .replicated = true}, kOut{.buffer = 1, .width = 32, .replicated = true};

HostPlan two_buffers() {
  HostPlan plan;
  plan.buffer_widths = {32, 32};
  plan.matmul_depth_max = 32;
  return plan;
}

TEST(RowSteps, TouchTheirRowsOnly) {
  StateHarness h(two_buffers(), 40, 2);
  h.batch({{0, 40}});
  h.fill(kX, 1, 1);
  for (uint32_t row = 0; row < 40; ++row) std::fill_n(h.at(kOut, 0, row), 32, -7.0f);
  run_row_step(h.state, AddStep{kX, kX, kOut}, {0, 2}, {10, 20});
  for (uint32_t row = 0; row < 40; ++row) {
    for (uint32_t i = 0; i < 32; ++i) {
      EXPECT_EQ(h.at(kOut, 0, row)[i], row >= 10 && row < 20 ? 2 * h.at(kX, 0, row)[i] : -7.0f);
    }
  }
}

TEST(RowSteps, WithFewRowsEachWorkerHasItsOwn) {
  StateHarness h(two_buffers(), 40, 2);
  h.batch({{0, 4}});
  ASSERT_NE(h.at(kX, 0, 0), h.at(kX, 1, 0));
  for (uint32_t worker : {0u, 1u}) {
    for (uint32_t row = 0; row < 4; ++row) std::fill_n(h.at(kX, worker, row), 32, 1.0f + static_cast<float>(worker));
  }
  run_row_step(h.state, ActivateStep{kX, UnaryFunction::kTanh, kOut}, {1, 2}, {0, 4});
  EXPECT_FLOAT_EQ(h.at(kOut, 1, 3)[31], std::tanh(2.0f));
  EXPECT_EQ(h.at(kOut, 0, 3)[31], 0.0f);  // the other worker's copy
}

TEST(RowSteps, RopeRunsInPlaceAndApart) {
  RopeTable table = *RopeTable::create({{.base = 100}, 8}, 100);
  table.fill(100);
  StateHarness h(two_buffers(), 40, 1);
  h.batch({{5, 10}, {90, 10}});
  h.state.cosines.resize(1);
  h.state.sines.resize(1);
  for (const uint32_t position : h.state.row_position) {
    h.state.cosines[0].push_back(table.cosines(position));
    h.state.sines[0].push_back(table.sines(position));
  }
  h.fill(kX, 1, 3);
  const RopeStep apart{.x = kX, .heads = 4, .head_width = 8, .rotated = 8, .interleaved = true, .frequencies = 0, .out = kOut};
  run_row_step(h.state, apart, {0, 1}, {0, 20});
  RopeStep in_place = apart;
  in_place.out = kX;
  run_row_step(h.state, in_place, {0, 1}, {0, 20});
  for (uint32_t row = 0; row < 20; ++row) {
    for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(h.at(kOut, 0, row)[i], h.at(kX, 0, row)[i]);
  }
}

TEST(RowSteps, KeysGoToThePageOfTheirPositionOnceEach) {
  for (const uint32_t head_width : {16u, 12u}) {  // 12: padded to 16 with zeros
    HostPlan plan = two_buffers();
    plan.kv_layers = {{.kv_heads = 2, .head_width = 16, .half = false}, {.kv_heads = 2, .head_width = 16, .half = false}};
    plan.steps.push_back({.step = AttentionStep{.q = kX, .heads = 2, .head_width = head_width, .out = kOut}});  // sizes the room for padding
    StateHarness h(std::move(plan), 40, 3);
    const Place k{.buffer = 0, .width = 2 * head_width, .replicated = true}, v{.buffer = 1, .width = 2 * head_width, .replicated = true};
    h.batch({{62, 4}, {3, 3}});  // over the end of a page; another sequence
    h.fill(k, 3, 1);
    h.fill(v, 3, 2);
    const StoreStep step{k, v, 1, head_width};
    for (uint32_t worker = 0; worker < 3; ++worker) run_row_step(h.state, step, {worker, 3}, {0, 7});
    for (uint32_t row = 0; row < 7; ++row) {
      const Sequence& sequence = h.state.batch.sequences[row < 4 ? 0 : 1];
      const uint32_t position = h.state.row_position[row], token = position % 64;
      const auto* page = reinterpret_cast<const float*>(h.state.pool->at(sequence.pages[position / 64], 1));
      for (uint32_t head = 0; head < 2; ++head) {
        const float* base = page + head * 2 * 64 * 16;
        for (uint32_t i = 0; i < 16; ++i) {
          EXPECT_EQ(base[(token / 16 * 16 + i) * 16 + token % 16], i < head_width ? h.at(k, 0, row)[head * head_width + i] : 0.0f);
          EXPECT_EQ(base[(64 + token) * 16 + i], i < head_width ? h.at(v, 0, row)[head * head_width + i] : 0.0f);
        }
      }
    }
  }
}

TEST(RowSteps, EachWorkerStoresItsShareOfTheRows) {
  HostPlan plan = two_buffers();
  plan.kv_layers = {{.kv_heads = 2, .head_width = 16, .half = false}};
  StateHarness h(std::move(plan), 40, 2);
  h.batch({{0, 4}});
  h.fill(kX, 2, 1);
  run_row_step(h.state, StoreStep{kX, kX, 0, 16}, {1, 2}, {0, 4});  // the second of two: rows 2 and 3
  const auto* page = reinterpret_cast<const float*>(h.state.pool->at(h.state.batch.sequences[0].pages[0], 0));
  EXPECT_EQ(page[1], 0.0f);
  EXPECT_EQ(page[2], h.at(kX, 1, 2)[0]);
}

}  // namespace
}  // namespace accelerate
