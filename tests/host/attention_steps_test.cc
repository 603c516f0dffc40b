#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/host/state_harness.h"

namespace accelerate {
namespace {

using harness::StateHarness;

HostPlan attention_plan(uint32_t heads, uint32_t kv_heads, uint32_t head_width) {
  HostPlan plan;
  plan.buffer_widths = {heads * head_width, heads * head_width, kv_heads * head_width, kv_heads * head_width};
  plan.matmul_depth_max = 32;
  plan.kv_layers = {{.kv_heads = kv_heads, .head_width = (head_width + 15) / 16 * 16, .half = false}};
  plan.attention_steps = 1;
  const Place q{.buffer = 0, .width = heads * head_width}, out{.buffer = 1, .width = heads * head_width};
  plan.steps.push_back({.step = AttentionStep{.q = q, .layer = 0, .heads = heads, .head_width = head_width, .scale = 0.25f, .softcap = 0,
                                              .causal = true, .window = 0, .ordinal = 0, .out = out}});
  return plan;
}

TEST(AttentionSteps, BlocksCoverEveryRowOnce) {
  StateHarness h(attention_plan(4, 2, 16), 300, 1);
  h.batch({{0, 1}, {10, 100}, {64, 32}, {0, 33}});
  std::vector<int> seen(h.state.rows, 0);
  for (const AttentionBlock& block : h.state.blocks) {
    EXPECT_LE(block.rows, kAttentionRowBlock);
    EXPECT_GT(block.rows, 0u);
    for (uint32_t row = block.row_begin; row < block.row_begin + block.rows; ++row) {
      ++seen[row];
      EXPECT_EQ(h.state.row_sequence[row], block.sequence);
    }
  }
  EXPECT_EQ(seen, std::vector<int>(h.state.rows, 1));
}

/// Rows whose K and V are stored one by one, then attended by any number of workers: all must see what one worker sees.
TEST(AttentionSteps, WorkersAndPaddingChangeNothing) {
  for (const uint32_t head_width : {16u, 20u}) {
    HostPlan plan = attention_plan(6, 3, head_width);
    const AttentionStep step = std::get<AttentionStep>(plan.steps[0].step);
    const Place k{.buffer = 2, .width = 3 * head_width}, v{.buffer = 3, .width = 3 * head_width};
    std::vector<float> want;
    for (const uint32_t workers : {1u, 2u, 5u}) {
      StateHarness h(plan, 200, workers);
      h.batch({{0, 100}, {0, 1}, {0, 70}});
      h.fill(step.q, 1, 1);
      h.fill(k, 1, 2);
      h.fill(v, 1, 3);
      run_row_step(h.state, StoreStep{k, v, 0, head_width}, {0, 1}, {0, h.state.rows});
      std::vector<std::thread> threads;
      for (uint32_t w = 0; w < workers; ++w) threads.emplace_back([&, w] { run_attention_step(h.state, step, {w, workers}); });
      for (std::thread& thread : threads) thread.join();
      std::vector<float> got;
      for (uint32_t row = 0; row < h.state.rows; ++row) got.insert(got.end(), h.at(step.out, 0, row), h.at(step.out, 0, row) + step.out.width);
      if (workers == 1) {
        want = got;
        // The first token of a sequence sees itself only: its own V, for each head of the group.
        for (uint32_t head = 0; head < 6; ++head) {
          for (uint32_t i = 0; i < head_width; ++i) EXPECT_FLOAT_EQ(h.at(step.out, 0, 100)[head * head_width + i], h.at(v, 0, 100)[head / 2 * head_width + i]);
        }
      }
      EXPECT_EQ(got, want) << workers;
    }
  }
}

}  // namespace
}  // namespace accelerate
