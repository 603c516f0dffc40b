#include "accelerate/host/executor.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/host/reference.h"
#include "tests/host/tiny_models.h"

namespace accelerate {
namespace {

struct Bench {
  explicit Bench(std::shared_ptr<const Model> m, uint32_t threads, const KernelTable& kernels = native_kernels(Isa::kPortable))
      : model(std::move(m)), plan(*make_plan(*model->graph, Precision::kExact)), pool({.threads = threads, .pin = false}),
        weights(std::move(*Weights::load(model, plan, pool, no_progress()))), pages(*PagePool::create(plan.kv_layers, 64)) {
    options = {.rows_max = 100, .sequences_max = 8, .context_max = 256};
    executor = std::move(*Executor::create(plan, *weights, pages, kernels, pool, options));
    numbers.resize(64);
    for (uint32_t i = 0; i < 64; ++i) numbers[i] = 63 - i;
  }
  Result<void> run(const std::vector<uint32_t>& tokens, const StepControl& control = {}) {
    const Sequence sequence{.row_begin = 0, .rows = static_cast<uint32_t>(tokens.size()), .position = 0, .pages = std::span<const uint32_t>(numbers).first(4)};
    return executor->run({tokens, {&sequence, 1}}, control);
  }

  std::shared_ptr<const Model> model;
  HostPlan plan;
  ThreadPool pool;
  std::unique_ptr<Weights> weights;
  PagePool pages;
  Executor::Options options;
  std::unique_ptr<Executor> executor;
  std::vector<uint32_t> numbers;
};

TEST(Executor, GivesLogitsOfTheRowsAskedForInAnyOrder) {
  Bench bench(tiny::gemma({}), 2);
  const auto tokens = tiny::random_tokens(60, 70, 1);
  ASSERT_TRUE(bench.run(tokens).ok());
  const reference::Rows want = reference::Interpreter(*bench.model).run(tokens);
  for (const std::vector<uint32_t>& rows : {std::vector<uint32_t>{59}, {3, 1, 58}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 50}}) {
    const LogitRows got = bench.executor->logits(rows);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(got.finite[i], 1);
      const std::vector<double> row(got.values + i * got.stride, got.values + i * got.stride + 70);
      EXPECT_LT(reference::relative_error({row}, {want[rows[i]]}), 2e-5);
    }
  }
}

TEST(Executor, KnowsARowThatIsNoNumber) {
  Bench bench(tiny::llama({}), 3);
  const auto tokens = tiny::random_tokens(20, 70, 1);
  ASSERT_TRUE(bench.run(tokens).ok());
  const_cast<float&>(bench.executor->hidden_row(7)[3]) = INFINITY;
  const std::vector<uint32_t> rows = {6, 7, 8};
  const LogitRows got = bench.executor->logits(rows);
  EXPECT_EQ(got.finite[0], 1);
  EXPECT_EQ(got.finite[1], 0);
  EXPECT_EQ(got.finite[2], 1);
}

std::atomic<bool> stop{false};
std::atomic<int> attentions{0};
KernelTable stopping_kernels() {
  KernelTable table = native_kernels(Isa::kPortable);
  table.attention = [](const AttentionTask& task, uint32_t begin, uint32_t end, std::byte* scratch) {
    native_kernels(Isa::kPortable).attention(task, begin, end, scratch);
    attentions.fetch_add(1);
    stop = true;
  };
  return table;
}

TEST(Executor, AStopTakesEffectAtTheNextLayer) {
  const KernelTable kernels = stopping_kernels();
  for (const uint32_t threads : {1u, 2u, 4u}) {
    Bench bench(tiny::llama({.layers = 6}), threads, kernels);
    for (const size_t rows : {size_t{2}, size_t{40}}) {
      stop = false;
      attentions = 0;
      const auto stopped = bench.run(tiny::random_tokens(rows, 70, 1), {.stop = &stop});
      ASSERT_FALSE(stopped.ok());
      EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
      EXPECT_LE(attentions, 8);  // the tasks of one layer: at most 2 blocks x 2 groups, or one a thread
    }
    stop = false;
    const auto again = tiny::random_tokens(40, 70, 2);
    EXPECT_TRUE(bench.run(again).ok());
  }
}

TEST(Executor, TakesTheBytesItSaid) {
  Bench bench(tiny::llama({}), 2);
  const uint64_t said = Executor::bytes_needed(bench.plan, 2, bench.options);
  EXPECT_EQ(bench.executor->bytes(), said);
}

TEST(ExecutorDeathTest, ABatchThatDoesNotFitIsOurOwnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Bench bench(tiny::llama({}), 1);
  EXPECT_DEATH((void)bench.run(std::vector<uint32_t>(101, 1)), "a batch fits the executor");
}

}  // namespace
}  // namespace accelerate
