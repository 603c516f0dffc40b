// A RunState over a hand-made plan, for tests of single steps: buffers filled with numbers, one batch, any worker.
#pragma once

#include <gtest/gtest.h>

#include <random>

#include "accelerate/host/run_state.h"
#include "accelerate/host/rope_table.h"

namespace accelerate::harness {

class StateHarness {
 public:
  StateHarness(HostPlan plan, uint32_t rows, uint32_t workers, uint32_t context = 512) : plan_(std::move(plan)) {
    state.plan = &plan_;
    state.kernels = &native_kernels(Isa::kPortable);
    state.arena = *Arena::create(plan_, {.rows_max = rows, .workers = workers, .context_max = context});
    state.counters = std::vector<TaskCounter>(plan_.attention_steps);
    state.claims = std::vector<TaskCounter>(size_t{plan_.matmul_steps} * workers);
    if (!plan_.kv_layers.empty()) pool_ = *PagePool::create(plan_.kv_layers, 64);
    state.pool = &pool_;
    page_numbers_.resize(64);
    for (uint32_t i = 0; i < 64; ++i) page_numbers_[i] = (i * 29) % 64;  // pages of a sequence lie anywhere
  }

  /// Sequences of the given (position, rows); pages one behind another.
  void batch(const std::vector<std::pair<uint32_t, uint32_t>>& sequences) {
    sequences_.clear();
    uint32_t row = 0, page = 0;
    state.row_sequence.clear();
    state.row_position.clear();
    for (const auto& [position, rows] : sequences) {
      const uint32_t pages = (position + rows + kKvPageTokens - 1) / kKvPageTokens;
      sequences_.push_back({row, rows, position, std::span<const uint32_t>(page_numbers_).subspan(page, pages)});
      page += pages;
      row += rows;
      for (uint32_t i = 0; i < rows; ++i) {
        state.row_sequence.push_back(static_cast<uint32_t>(sequences_.size() - 1));
        state.row_position.push_back(position + i);
      }
    }
    tokens_.assign(row, 0);
    state.batch = {tokens_, sequences_};
    state.rows = row;
    state.few = row <= kReplicatedRowsMax;
    plan_attention(state);
    reset_claims(state);
  }

  /// Random values in rows of `place` as worker 0 sees it (and all others where it is replicated).
  void fill(const Place& place, uint32_t workers, uint32_t seed) {
    for (uint32_t w = 0; w < workers; ++w) {
      std::mt19937 random(seed);
      for (uint32_t row = 0; row < state.rows; ++row) {
        for (uint32_t i = 0; i < place.width; ++i) at(place, w, row)[i] = std::normal_distribution<float>(0, 1)(random);
      }
    }
  }
  float* at(const Place& place, uint32_t worker, uint32_t row) { return state.at(place, worker) + row * state.stride(place); }

  RunState state;

 private:
  HostPlan plan_;
  PagePool pool_;
  std::vector<uint32_t> page_numbers_, tokens_;
  std::vector<Sequence> sequences_;
};

}  // namespace accelerate::harness
