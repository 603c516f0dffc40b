#include "accelerate/host/arena.h"

#include <gtest/gtest.h>

#include "accelerate/kernels/matmul/matmul.h"
#include "tests/host/tiny_models.h"

namespace accelerate {
namespace {

struct Part {
  std::string name;
  const std::byte* begin;
  size_t bytes;
};

std::vector<Part> parts_of(const Arena& arena, const HostPlan& plan, const Arena::Options& options) {
  std::vector<Part> parts;
  const auto add = [&](std::string name, const void* begin, size_t bytes) { parts.push_back({std::move(name), static_cast<const std::byte*>(begin), bytes}); };
  for (uint32_t b = 0; b < plan.buffer_widths.size(); ++b) add("buffer", arena.shared(b), options.rows_max * arena.stride(b) * 4);
  add("scratch", arena.scratch(), matmul_scratch_bytes(options.rows_max, plan.matmul_depth_max));
  if (plan.head) {
    add("gathered", arena.gathered(), arena.logit_rows() * arena.gathered_stride() * 4);
    add("logits", arena.logits(), arena.logit_rows() * arena.logits_stride() * 4);
  }
  for (uint32_t w = 0; w < options.workers; ++w) {
    for (uint32_t b = 0; b < plan.buffer_widths.size(); ++b) add("own buffer", arena.own(w, b), kReplicatedRowsMax * arena.stride(b) * 4);
    add("own scratch", arena.own_scratch(w), matmul_scratch_bytes(kReplicatedRowsMax, plan.matmul_depth_max));
    add("attention", arena.attention_scratch(w), 64);
    add("pages", arena.page_list(w), (options.context_max / kKvPageTokens + 1) * sizeof(void*));
    add("table row", arena.own_table_row(w), 4 * *std::max_element(plan.buffer_widths.begin(), plan.buffer_widths.end()));
    if (plan.head) add("own gathered", arena.own_gathered(w), kReplicatedRowsMax * arena.gathered_stride() * 4);
  }
  return parts;
}

TEST(Arena, PartsAreAlignedAndApart) {
  for (const auto& model : {tiny::llama({}), tiny::bert({}), tiny::gemma({.vocabulary = 5000})}) {
    const auto plan = make_plan(*model->graph, Precision::kDefault);
    const Arena::Options options{.rows_max = 100, .workers = 3, .context_max = 256};
    auto arena = Arena::create(*plan, options);
    ASSERT_TRUE(arena.ok());
    std::vector<Part> parts = parts_of(*arena, *plan, options);
    std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.begin < b.begin; });
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(parts[i].begin) % 64, 0u) << parts[i].name;
      if (i + 1 == parts.size()) break;
      EXPECT_LE(parts[i].begin + parts[i].bytes, parts[i + 1].begin) << parts[i].name << " before " << parts[i + 1].name;
    }
    EXPECT_LE(parts.back().begin + parts.back().bytes, parts.front().begin + arena->bytes());
    EXPECT_GE(arena->bytes(), Arena::bytes_needed(*plan, options));
  }
}

TEST(Arena, StridesHoldTheRowAndAvoidOneSetOfTheCache) {
  const auto plan = make_plan(*tiny::llama({.width = 1024, .heads = 64, .inner = 1040, .layers = 1})->graph, Precision::kDefault);
  const auto arena = Arena::create(*plan, {.rows_max = 16, .workers = 1, .context_max = 64});
  for (uint32_t b = 0; b < plan->buffer_widths.size(); ++b) {
    EXPECT_GE(arena->stride(b), plan->buffer_widths[b]);
    EXPECT_NE(arena->stride(b) * 4 % 4096, 0u);
  }
}

TEST(Arena, LogitsStayWithinTheirLimit) {
  HostPlan plan;
  plan.head = 0;
  plan.result.width = 16;
  for (const auto& [columns, rows] : std::vector<std::pair<uint32_t, uint32_t>>{{100, 64}, {262144, 31}, {10000000, 1}}) {
    plan.head_columns = columns;
    const auto arena = Arena::create(plan, {.rows_max = 512, .workers = 1, .context_max = 64});
    ASSERT_TRUE(arena.ok());
    EXPECT_EQ(arena->logit_rows(), rows) << columns;
  }
}

TEST(Arena, WithoutMemoryIsAnError) {
  const auto plan = make_plan(*tiny::llama({})->graph, Precision::kDefault);
  const auto arena = Arena::create(*plan, {.rows_max = UINT32_MAX, .workers = 1, .context_max = 64});
  ASSERT_FALSE(arena.ok());
  EXPECT_EQ(arena.error().code, ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace accelerate
