#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "tests/host/state_harness.h"
#include "tests/host/tiny_models.h"

namespace accelerate {
namespace {

// What a product computes is tested through whole graphs; here: every column is somebody's, once, in legal ranges.
std::mutex calls_mutex;
std::map<const PackedMatrix*, std::vector<std::pair<uint32_t, uint32_t>>> calls;

KernelTable recording_kernels() {
  KernelTable table = native_kernels(Isa::kPortable);
  table.matmul = [](const MatmulTask& task, uint32_t begin, uint32_t end) {
    {
      std::lock_guard lock(calls_mutex);
      calls[task.weight].push_back({begin, end});
    }
    native_kernels(Isa::kPortable).matmul(task, begin, end);
  };
  return table;
}

void expect_whole(std::vector<std::pair<uint32_t, uint32_t>> ranges, uint32_t n) {
  std::sort(ranges.begin(), ranges.end());
  uint32_t next = 0;
  for (const auto& [begin, end] : ranges) {
    EXPECT_EQ(begin, next);
    EXPECT_GT(end, begin);
    EXPECT_EQ(begin % kColumnBlock, 0u);
    EXPECT_TRUE(end % kColumnBlock == 0 || end == n);
    next = end;
  }
  EXPECT_EQ(next, n);
}

TEST(MatmulSteps, ColumnsArePartedAmongAnyNumberOfWorkers) {
  const KernelTable kernels = recording_kernels();
  for (const auto& [width, kv_heads, inner] : {std::tuple{64u, 2u, 96u}, {96u, 1u, 200u}, {64u, 2u, 1000u}}) {
    const auto model = tiny::llama({.width = width, .heads = 4, .kv_heads = kv_heads, .head_width = 16, .inner = inner, .layers = 1});
    HostPlan plan = *make_plan(*model->graph, Precision::kExact);
    ThreadPool pool({.threads = 1});
    const auto weights = std::move(*Weights::load(model, plan, pool, no_progress()));
    for (const uint32_t workers : {1u, 2u, 3u, 7u}) {
      for (const uint32_t rows : {1u, 8u, 9u, 30u}) {
        harness::StateHarness h(plan, 32, workers);
        h.state.weights = weights.get();
        h.state.kernels = &kernels;
        h.batch({{0, rows}});
        calls.clear();
        std::set<uint32_t> matrices;
        for (const PlannedStep& planned : plan.steps) {
          const MatmulStep* step = std::get_if<MatmulStep>(&planned.step);
          if (!step) continue;
          for (uint32_t w = 0; w < workers; ++w) run_matmul_step(h.state, *step, {w, workers});
          for (const MatmulPart& part : step->parts) matrices.insert(part.matrix);
        }
        for (const uint32_t matrix : matrices) expect_whole(calls[&weights->matrix(matrix)], weights->matrix(matrix).n());
      }
    }
  }
}

// A worker begins with its own share of the merged columns, and takes the others' when they do not come.
TEST(MatmulSteps, AWorkerBeginsWithItsOwnShareAndHelpsWithTheRest) {
  const auto model = tiny::llama({.width = 320, .heads = 20, .kv_heads = 4, .head_width = 16, .layers = 1});  // q 320, k 64, v 64: 14 blocks
  HostPlan plan = *make_plan(*model->graph, Precision::kExact);
  ThreadPool pool({.threads = 1});
  const auto weights = std::move(*Weights::load(model, plan, pool, no_progress()));
  harness::StateHarness h(plan, 16, 2);
  const KernelTable kernels = recording_kernels();
  h.state.weights = weights.get();
  h.state.kernels = &kernels;
  h.batch({{0, 1}});
  const MatmulStep* merged = nullptr;
  for (const PlannedStep& planned : plan.steps) {
    const MatmulStep* step = std::get_if<MatmulStep>(&planned.step);
    if (step && step->parts.size() == 3) merged = step;
  }
  ASSERT_NE(merged, nullptr);
  const auto columns_taken = [] {
    uint32_t columns = 0;
    for (const auto& [matrix, ranges] : calls) {
      for (const auto& [begin, end] : ranges) columns += end - begin;
    }
    return columns;
  };
  const auto& q_calls = calls[&weights->matrix(merged->parts[0].matrix)];
  for (const uint32_t first : {0u, 1u}) {
    for (auto& [matrix, ranges] : calls) ranges.clear();
    reset_claims(h.state);
    run_matmul_step(h.state, *merged, {first, 2});
    EXPECT_EQ(q_calls.front().first, first * 224u) << "half of 448 columns is each worker's own";
    EXPECT_EQ(columns_taken(), 448u) << "alone, it does all";
    run_matmul_step(h.state, *merged, {1 - first, 2});
    EXPECT_EQ(columns_taken(), 448u) << "and leaves nothing to do";
  }
}

TEST(MatmulSteps, WorkersSideBySideTakeEveryColumnOnce) {
  const auto model = tiny::llama({.width = 320, .heads = 20, .kv_heads = 4, .head_width = 16, .inner = 2000, .layers = 1});
  HostPlan plan = *make_plan(*model->graph, Precision::kExact);
  constexpr uint32_t kWorkers = 3;
  ThreadPool pool({.threads = kWorkers});
  const auto weights = std::move(*Weights::load(model, plan, pool, no_progress()));
  harness::StateHarness h(plan, 16, kWorkers);
  const KernelTable kernels = recording_kernels();
  h.state.weights = weights.get();
  h.state.kernels = &kernels;
  for (int round = 0; round < 20; ++round) {
    h.batch({{0, 3}});
    calls.clear();
    pool.run([&](const PoolWorker& worker) {
      for (const PlannedStep& planned : plan.steps) {
        if (const MatmulStep* step = std::get_if<MatmulStep>(&planned.step)) run_matmul_step(h.state, *step, {worker.index, worker.count});
        worker.barrier();
      }
    });
    for (const auto& [matrix, ranges] : calls) expect_whole(ranges, matrix->n());
  }
}

}  // namespace
}  // namespace accelerate
