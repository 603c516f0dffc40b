// Attention of every instruction set against a double-precision softmax, with NaN wherever nothing may be read.
#include "accelerate/kernels/attention/attention.h"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "tests/kernels/random_weights.h"
#include "tests/kernels/usable.h"

namespace accelerate {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Layout {
  uint32_t heads = 4, kv_heads = 2, head_width = 32, rows = 1, position = 0, length = 1, window = 0;
  float softcap = 0;
  uint32_t half = 0, encoder = 0;  // 1 = f16 pages; 1 = not causal
};

/// Pages filled with NaN and then `length` tokens; q, and k and v as the kernels see them (rounded to f16 where they are).
struct Scene {
  Layout s;
  std::vector<float> q, k, v;
  std::vector<std::vector<float>> storage;
  std::vector<const std::byte*> pages;
  AttentionTask task;

  Scene(const Layout& setup, const KernelTable& table, uint32_t seed) : s(setup) {
    const size_t row_width = size_t{s.heads} * s.head_width, kv_width = size_t{s.kv_heads} * s.head_width;
    q = test::random_floats(s.rows * (row_width + 2), seed, 2.0f);
    k = test::random_floats(s.length * kv_width, seed + 1);
    v = test::random_floats(s.length * kv_width, seed + 2);
    const KvLayout layout{s.kv_heads, s.head_width, s.half != 0};
    for (uint32_t page = 0; page * kKvPageTokens < s.length; ++page) {
      storage.emplace_back((kv_page_bytes(layout) + 3) / 4, kNan);  // all-ones halves are NaN too
      if (s.half) std::fill_n(reinterpret_cast<uint16_t*>(storage.back().data()), kv_page_bytes(layout) / 2, uint16_t{0x7e00});
    }
    for (auto& page : storage) pages.push_back(reinterpret_cast<const std::byte*>(page.data()));
    for (uint32_t token = 0; token < s.length; ++token) {
      table.kv_store(layout, reinterpret_cast<std::byte*>(storage[token / kKvPageTokens].data()), token % kKvPageTokens, &k[token * kv_width],
                     &v[token * kv_width]);
    }
    if (s.half) for (auto* values : {&k, &v}) for (float& x : *values) x = f16_to_f32(f32_to_f16(x));
    task = {layout, q.data(), row_width + 2, nullptr, row_width + 1, s.rows, s.position, pages.data(), s.length,
            s.heads, 1.0f / std::sqrt(static_cast<float>(s.head_width)), s.softcap, s.encoder == 0, s.window};
  }

  std::vector<float> run(const KernelTable& table, uint32_t parts) {
    std::vector<float> out(s.rows * task.out_stride, 77.0f);
    AttentionTask copy = task;
    copy.out = out.data();
    std::vector<float> scratch(attention_scratch_bytes(task) / 4 + 1, kNan);
    for (uint32_t i = 0; i < parts; ++i) {
      table.attention(copy, s.heads * i / parts, s.heads * (i + 1) / parts, reinterpret_cast<std::byte*>(scratch.data()));
    }
    return out;
  }

  std::vector<float> truth() const {
    std::vector<float> out(s.rows * task.out_stride, 77.0f);
    const size_t kv_width = size_t{s.kv_heads} * s.head_width;
    for (uint32_t row = 0; row < s.rows; ++row) {
      const uint32_t end = s.encoder ? s.length : std::min(s.length, s.position + row + 1);
      const uint32_t begin = s.window && end > s.window ? end - s.window : 0;
      for (uint32_t head = 0; head < s.heads; ++head) {
        const float* query = &q[row * task.q_stride + head * s.head_width];
        const size_t kv = head / (s.heads / s.kv_heads) * s.head_width;
        std::vector<double> scores;
        for (uint32_t t = begin; t < end; ++t) {
          double sum = 0;
          for (uint32_t i = 0; i < s.head_width; ++i) sum += static_cast<double>(query[i]) * k[t * kv_width + kv + i];
          sum *= task.scale;
          scores.push_back(s.softcap > 0 ? s.softcap * std::tanh(sum / s.softcap) : sum);
        }
        const double maximum = *std::max_element(scores.begin(), scores.end());
        double total = 0;
        for (double& score : scores) total += score = std::exp(score - maximum);
        for (uint32_t i = 0; i < s.head_width; ++i) {
          double sum = 0;
          for (uint32_t t = begin; t < end; ++t) sum += scores[t - begin] * v[t * kv_width + kv + i];
          out[row * task.out_stride + head * s.head_width + i] = static_cast<float>(sum / total);
        }
      }
    }
    return out;
  }
};

class Attention : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override { ACC_SKIP_UNLESS_USABLE(GetParam()); }
  const KernelTable& table() const { return native_kernels(GetParam()); }
  void expect_right(const Layout& setup) {
    Scene scene(setup, table(), setup.length + setup.rows);
    const std::vector<float> got = scene.run(table(), 1), want = scene.truth();
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      const double error = std::fabs(static_cast<double>(got[i]) - want[i]);
      worst = error <= worst ? worst : error;
    }
    EXPECT_LE(worst, 2e-5) << "heads " << setup.heads << "/" << setup.kv_heads << " width " << setup.head_width << " rows " << setup.rows
                           << " position " << setup.position << " length " << setup.length << " window " << setup.window << " half " << setup.half;
  }
};

TEST_P(Attention, DecodeAtEveryDepthAroundPages) {
  for (uint32_t half : {0u, 1u}) {
    for (uint32_t length : {1u, 2u, 15u, 16u, 17u, 63u, 64u, 65u, 127u, 128u, 200u, 513u}) {
      expect_right({.position = length - 1, .length = length, .half = half});
    }
  }
}

TEST_P(Attention, PrefillFromNothingAndOnTop) {
  for (uint32_t half : {0u, 1u}) {
    for (uint32_t rows : {2u, 5u, 16u, 33u, 130u}) {
      expect_right({.heads = 6, .kv_heads = 2, .rows = rows, .position = 0, .length = rows, .half = half});
      expect_right({.heads = 6, .kv_heads = 2, .rows = rows, .position = 77, .length = 77 + rows, .half = half});
    }
  }
}

TEST_P(Attention, HeadShapes) {
  struct Heads { uint32_t heads, kv_heads, width; };
  for (const Heads h : {Heads{9, 3, 64}, Heads{4, 1, 256}, Heads{12, 12, 32}, Heads{7, 1, 80}, Heads{2, 2, 16}, Heads{64, 1, 48}, Heads{100, 2, 16}}) {
    expect_right({.heads = h.heads, .kv_heads = h.kv_heads, .head_width = h.width, .rows = 1, .position = 90, .length = 91});
    expect_right({.heads = h.heads, .kv_heads = h.kv_heads, .head_width = h.width, .rows = 20, .position = 50, .length = 70});
  }
}

TEST_P(Attention, WindowsForgetWhatIsBehindThem) {
  for (uint32_t window : {1u, 5u, 16u, 64u, 100u, 1000u}) {
    expect_right({.rows = 1, .position = 199, .length = 200, .window = window});
    expect_right({.rows = 60, .position = 140, .length = 200, .window = window});
    expect_right({.rows = 150, .position = 0, .length = 150, .window = window});
  }
}

TEST_P(Attention, SoftcapAndEncoder) {
  expect_right({.rows = 30, .position = 0, .length = 30, .softcap = 5.0f});
  expect_right({.heads = 12, .kv_heads = 12, .rows = 77, .position = 0, .length = 77, .encoder = 1});
  expect_right({.heads = 12, .kv_heads = 12, .rows = 16, .position = 0, .length = 16, .encoder = 1});
}

TEST_P(Attention, WhatIsMaskedCannotPoison) {  // tokens after a row's own, and before its window, hold NaN
  Scene scene({.heads = 4, .kv_heads = 2, .rows = 3, .position = 67, .length = 100, .window = 20}, table(), 9);
  const std::vector<float> clean = scene.run(table(), 1);
  const std::vector<float> bad(64, kNan);
  for (uint32_t token = 0; token < 100; ++token) {
    const bool seen_by_all = token >= 50 && token <= 67;  // windows: [48, 68) [49, 69) [50, 70)
    if (seen_by_all) continue;
    std::byte* page = reinterpret_cast<std::byte*>(scene.storage[token / kKvPageTokens].data());
    table().kv_store(scene.task.layout, page, token % kKvPageTokens, bad.data(), bad.data());
    const std::vector<float> poisoned = scene.run(table(), 1);
    for (uint32_t row = 0; row < 3; ++row) {
      const bool sees = token >= 48 + row && token < 68 + row;
      for (uint32_t i = 0; i < 128; ++i) {
        const size_t at = row * scene.task.out_stride + i;
        if (sees) ASSERT_TRUE(std::isnan(poisoned[at])) << "row " << row << " must see token " << token;
        else ASSERT_EQ(poisoned[at], clean[at]) << "token " << token << " reached row " << row;
      }
    }
    const size_t kv_width = 64;
    table().kv_store(scene.task.layout, page, token % kKvPageTokens, &scene.k[token * kv_width], &scene.v[token * kv_width]);
  }
}

TEST_P(Attention, AnySplitOfHeadsGivesTheSameBits) {
  Scene scene({.heads = 9, .kv_heads = 3, .head_width = 64, .rows = 40, .position = 60, .length = 100}, table(), 4);
  const std::vector<float> whole = scene.run(table(), 1);
  for (uint32_t parts : {2u, 4u, 9u}) EXPECT_EQ(whole, scene.run(table(), parts)) << parts;
}

// A query alone and among others gives the same bits, also where windows begin inside a page.
TEST_P(Attention, ARowDoesNotDependOnItsNeighbours) {
  for (const uint32_t window : {0u, 40u, 100u}) {
    Scene scene({.heads = 6, .kv_heads = 2, .head_width = 64, .rows = 60, .position = 140, .length = 200, .window = window}, table(), 4);
    const std::vector<float> all = scene.run(table(), 1);
    const AttentionTask task = scene.task;
    for (uint32_t row = 0; row < 60; ++row) {
      scene.task.q = task.q + row * task.q_stride;
      scene.task.rows = 1;
      scene.task.position = task.position + row;
      const std::vector<float> one = scene.run(table(), 1);
      for (uint32_t i = 0; i < 6 * 64; ++i) ASSERT_EQ(one[i], all[row * task.out_stride + i]) << "window " << window << " row " << row;
    }
  }
}

TEST_P(Attention, LargeScoresDoNotOverflow) {
  Scene scene({.rows = 70, .position = 0, .length = 70}, table(), 4);
  for (float& x : scene.q) x *= 1000.0f;
  const std::vector<float> got = scene.run(table(), 1);
  EXPECT_TRUE(table().all_finite(got.data(), got.size()));
}

TEST_P(Attention, HalfPagesRoundTheSameEverywhere) {
  for (uint32_t half : {0u, 1u}) {
    const Scene mine({.rows = 1, .position = 69, .length = 70, .half = half}, table(), 4);
    const Scene reference({.rows = 1, .position = 69, .length = 70, .half = half}, native_kernels(Isa::kPortable), 4);
    for (size_t page = 0; page < mine.storage.size(); ++page) {
      EXPECT_EQ(0, std::memcmp(mine.storage[page].data(), reference.storage[page].data(), mine.storage[page].size() * 4));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Attention, testing::ValuesIn(test::kAllIsas), [](const auto& info) { return std::string(isa_name(info.param)); });

}  // namespace
}  // namespace accelerate
