// Vector attention over a Simd struct: query vectors of one KV head (rows x heads of the group) pass over K and V together,
// page by page, with online softmax. Included by attention_<isa>.cc only.
//
// Scores: q[i] * K[i][16 tokens], one vector per 16 (8) tokens, up to S::kAttentionRows query vectors at once. Sums: p[token]
// * V[token][16 elements], the same shape. Positions a row does not see are taken out twice: their scores become -infinity,
// and their rows of V are never multiplied, since 0 * NaN is NaN.
#pragma once

#include "accelerate/kernels/attention/attention.h"
#include "accelerate/kernels/attention/visible.h"
#include "accelerate/kernels/isa/unrolled.h"
#include "accelerate/kernels/isa/vector_math.h"

namespace accelerate {

template <class S, bool kHalf>
struct AttentionPass {
  using F = typename S::F;
  using Math = VectorMath<S>;
  static constexpr uint32_t kVectors = 4;                       // vectors of tokens, or of head elements, at once
  static constexpr uint32_t kSpan = kVectors * S::kWidth;
  static constexpr uint32_t kElementBytes = kHalf ? 2 : 4;
  static constexpr float kMinusInfinity = -__builtin_inff();

  const AttentionTask& task;
  uint32_t width;         // of a head
  uint32_t vectors;       // query vectors of this pass
  uint32_t row, head, group;  // vector i is row `row` + i / group, head `head` + i % group
  float* q;               // [vectors][width], scaled
  float* sums;            // [vectors][width]
  float* scores;          // [vectors][kKvPageTokens], then weights
  float* maxima;          // [vectors]
  float* totals;          // [vectors]
  struct Range { uint32_t begin, end; };
  Range* seen;            // [vectors]: tokens of the current page that the vector sees

  ACC_INLINE F load(const std::byte* p) {
    if constexpr (kHalf) return S::half(p);
    else return S::load(reinterpret_cast<const float*>(p));
  }
  ACC_INLINE uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }
  ACC_INLINE uint32_t most(uint32_t a, uint32_t b) { return a > b ? a : b; }

  /// kRows query vectors from `first` on times kCount vectors of tokens from `token` on.
  template <int kRows, int kCount>
  void score_tile(const std::byte* keys, uint32_t first, uint32_t token) {
    F tile[kRows][kCount];
    each<kRows, kCount>([&](auto r, auto v) __attribute__((always_inline)) { tile[r][v] = S::zero(); });
    const std::byte* at = keys + size_t{token / 16} * width * 16 * kElementBytes + token % 16 * kElementBytes;
    const float* x = q + size_t{first} * width;
    for (uint32_t i = 0; i < width; ++i) {
      F k[kCount];
      unrolled<kCount>([&](auto v) __attribute__((always_inline)) {
        constexpr uint32_t kToken = v * S::kWidth;  // token is a multiple of 16, so whole groups follow it
        k[v] = load(at + (size_t{kToken / 16} * width * 16 + kToken % 16) * kElementBytes);
      });
      unrolled<kRows>([&](auto r) __attribute__((always_inline)) {
        const F value = S::set(x[size_t{r} * width + i]);
        unrolled<kCount>([&](auto v) __attribute__((always_inline)) { tile[r][v] = S::fma(value, k[v], tile[r][v]); });
      });
      at += 16 * kElementBytes;
    }
    float* to = scores + size_t{first} * kKvPageTokens + token;
    each<kRows, kCount>([&](auto r, auto v) __attribute__((always_inline)) { S::store(to + r * kKvPageTokens + v * S::kWidth, tile[r][v]); });
  }

  /// kRows query vectors: sums += weights[begin, end) * V, kCount vectors of elements from `element` on.
  template <int kRows, int kCount>
  void sum_tile(const std::byte* values, uint32_t first, Range tokens, uint32_t element) {
    F tile[kRows][kCount];
    float* to = sums + size_t{first} * width + element;
    each<kRows, kCount>([&](auto r, auto v) __attribute__((always_inline)) { tile[r][v] = S::load(to + size_t{r} * width + v * S::kWidth); });
    const std::byte* at = values + (size_t{tokens.begin} * width + element) * kElementBytes;
    const float* weight = scores + size_t{first} * kKvPageTokens;
    for (uint32_t token = tokens.begin; token < tokens.end; ++token) {
      F value[kCount];
      unrolled<kCount>([&](auto v) __attribute__((always_inline)) { value[v] = load(at + v * S::kWidth * kElementBytes); });
      unrolled<kRows>([&](auto r) __attribute__((always_inline)) {
        const F p = S::set(weight[r * kKvPageTokens + token]);
        unrolled<kCount>([&](auto v) __attribute__((always_inline)) { tile[r][v] = S::fma(p, value[v], tile[r][v]); });
      });
      at += size_t{width} * kElementBytes;
    }
    each<kRows, kCount>([&](auto r, auto v) __attribute__((always_inline)) { S::store(to + size_t{r} * width + v * S::kWidth, tile[r][v]); });
  }

  template <int kRows>
  void score_rows(const std::byte* keys, uint32_t first, Range tokens) {
    for (uint32_t token = tokens.begin / 16 * 16; token < tokens.end; token += kSpan) {
      const uint32_t count = (least(kSpan, (tokens.end - token + 15) / 16 * 16)) / S::kWidth;
      with_count<kVectors>(count, [&](auto v) __attribute__((always_inline)) { score_tile<kRows, v>(keys, first, token); });
    }
  }
  template <int kRows>
  void sum_rows(const std::byte* values, uint32_t first, Range tokens) {
    if (tokens.begin >= tokens.end) return;
    for (uint32_t element = 0; element < width; element += kSpan) {
      const uint32_t count = least(kSpan, width - element) / S::kWidth;
      with_count<kVectors>(count, [&](auto v) __attribute__((always_inline)) { sum_tile<kRows, v>(values, first, tokens, element); });
    }
  }

  /// Turns vector i's scores of the page into weights; rescales what it has summed when its maximum grows.
  void soften(uint32_t i) {
    const Range range = seen[i];
    if (range.begin >= range.end) return;
    float* line = scores + size_t{i} * kKvPageTokens;
    const uint32_t begin = range.begin / 16 * 16, end = (range.end + 15) / 16 * 16;
    if (task.softcap > 0) {
      const F cap = S::set(task.softcap), inverse = S::set(1.0f / task.softcap);
      for (uint32_t t = begin; t < end; t += S::kWidth) S::store(line + t, S::mul(cap, Math::tanh(S::mul(S::load(line + t), inverse))));
    }
    for (uint32_t t = begin; t < range.begin; ++t) line[t] = kMinusInfinity;
    for (uint32_t t = range.end; t < end; ++t) line[t] = kMinusInfinity;
    F largest = S::set(maxima[i]);
    for (uint32_t t = begin; t < end; t += S::kWidth) largest = S::max(largest, S::load(line + t));
    const float maximum = S::maximum(largest);
    if (maximum > maxima[i]) {
      const F rescale = Math::exp(S::set(maxima[i] - maximum));  // 0 on the first page
      totals[i] *= first_lane(rescale);
      float* to = sums + size_t{i} * width;
      for (uint32_t element = 0; element < width; element += S::kWidth) S::store(to + element, S::mul(S::load(to + element), rescale));
      maxima[i] = maximum;
    }
    F total = S::zero();
    for (uint32_t t = begin; t < end; t += S::kWidth) {
      const F weight = Math::exp(S::sub(S::load(line + t), S::set(maximum)));
      total = S::add(total, weight);
      S::store(line + t, weight);
    }
    totals[i] += S::sum(total);
  }
  ACC_INLINE float first_lane(F x) {
    float lanes[S::kWidth];
    S::store(lanes, x);
    return lanes[0];
  }

  /// kRows vectors: the tokens all of them see together, the rest one by one; always in order of the tokens, so that a
  /// row's sum does not depend on its neighbours.
  template <int kRows>
  void weigh_rows(const std::byte* values, uint32_t first) {
    Range common{0, kKvPageTokens};
    for (uint32_t i = first; i < first + kRows; ++i) {
      common.begin = most(common.begin, seen[i].begin);
      common.end = least(common.end, seen[i].end);
    }
    if (common.begin >= common.end) common = {kKvPageTokens, kKvPageTokens};
    for (uint32_t i = first; i < first + kRows; ++i) sum_rows<1>(values, i, {seen[i].begin, least(seen[i].end, common.begin)});
    sum_rows<kRows>(values, first, common);
    for (uint32_t i = first; i < first + kRows; ++i) {
      sum_rows<1>(values, i, {most(seen[i].begin, common.end), seen[i].end});
    }
  }

  void page(uint32_t index, const std::byte* base) {
    const uint32_t start = index * kKvPageTokens;
    Range any{kKvPageTokens, 0};
    for (uint32_t i = 0; i < vectors; ++i) {
      const VisibleRange range = visible_range(task, row + i / group);
      seen[i] = {range.begin > start ? least(range.begin - start, kKvPageTokens) : 0,
                 range.end > start ? least(range.end - start, kKvPageTokens) : 0};
      if (seen[i].begin >= seen[i].end) continue;
      any = {least(any.begin, seen[i].begin), most(any.end, seen[i].end)};
    }
    if (any.begin >= any.end) return;
    const std::byte* values = base + size_t{kKvPageTokens} * width * kElementBytes;
    for (uint32_t i = 0; i < vectors; i += S::kAttentionRows) {
      with_count<S::kAttentionRows>(least(S::kAttentionRows, vectors - i),
                                    [&](auto rows) __attribute__((always_inline)) { score_rows<rows>(base, i, any); });
    }
    for (uint32_t i = 0; i < vectors; ++i) soften(i);
    for (uint32_t i = 0; i < vectors; i += S::kAttentionRows) {
      with_count<S::kAttentionRows>(least(S::kAttentionRows, vectors - i),
                                    [&](auto rows) __attribute__((always_inline)) { weigh_rows<rows>(values, i); });
    }
  }

  void run(uint32_t kv_head) {
    for (uint32_t i = 0; i < vectors; ++i) {
      const float* from = task.q + (row + i / group) * task.q_stride + size_t{head + i % group} * width;
      for (uint32_t e = 0; e < width; e += S::kWidth) {
        S::store(q + size_t{i} * width + e, S::mul(S::load(from + e), S::set(task.scale)));
        S::store(sums + size_t{i} * width + e, S::zero());
      }
      maxima[i] = kMinusInfinity;
      totals[i] = 0;
    }
    const uint32_t begin = visible_range(task, row).begin, end = visible_range(task, row + (vectors - 1) / group).end;
    for (uint32_t index = begin / kKvPageTokens; index * kKvPageTokens < end; ++index) {
      page(index, task.pages[index] + size_t{2} * kKvPageTokens * width * kElementBytes * kv_head);
    }
    for (uint32_t i = 0; i < vectors; ++i) {
      float* to = task.out + (row + i / group) * task.out_stride + size_t{head + i % group} * width;
      const F total = S::set(totals[i]);
      for (uint32_t e = 0; e < width; e += S::kWidth) {
        const F sum = S::load(sums + size_t{i} * width + e);
        S::store(to + e, totals[i] == 0 ? sum : S::div(sum, total));
      }
    }
  }
};

template <class S, bool kHalf>
void attention_range(const AttentionTask& task, uint32_t head_begin, uint32_t head_end, std::byte* scratch) {
  using Pass = AttentionPass<S, kHalf>;
  const uint32_t width = task.layout.head_width, group = task.heads / task.layout.kv_heads;
  float* floats = reinterpret_cast<float*>(scratch);
  for (uint32_t head = head_begin; head < head_end;) {
    const uint32_t kv_head = head / group;
    const uint32_t heads = Pass::least((kv_head + 1) * group, head_end) - head;
    for (uint32_t first = 0; first < heads; first += kQueryBlock) {  // more heads in a group than a pass takes: several passes
      const uint32_t part = Pass::least(kQueryBlock, heads - first), rows_max = kQueryBlock / part;
      for (uint32_t row = 0; row < task.rows; row += rows_max) {
        const uint32_t vectors = part * Pass::least(rows_max, task.rows - row);
        float* scores = floats + size_t{2} * kQueryBlock * width;
        float* maxima = scores + kQueryBlock * kKvPageTokens;
        Pass pass{task, width, vectors, row, head + first, part, floats, floats + size_t{kQueryBlock} * width, scores, maxima,
                  maxima + kQueryBlock, reinterpret_cast<typename Pass::Range*>(maxima + 2 * kQueryBlock)};
        pass.run(kv_head);
      }
    }
    head += heads;
  }
}

template <class S>
void attention_heads(const AttentionTask& task, uint32_t head_begin, uint32_t head_end, std::byte* scratch) {
  if (task.layout.half) attention_range<S, true>(task, head_begin, head_end, scratch);
  else attention_range<S, false>(task, head_begin, head_end, scratch);
}

template <class S>
void kv_store_heads(const KvLayout& layout, std::byte* page, uint32_t token, const float* k, const float* v) {
  const uint32_t width = layout.head_width, bytes = layout.half ? 2 : 4;
  for (uint32_t head = 0; head < layout.kv_heads; ++head) {
    std::byte* keys = page + size_t{2} * kKvPageTokens * width * bytes * head + (size_t{token / 16} * width * 16 + token % 16) * bytes;
    std::byte* values = page + (size_t{2} * kKvPageTokens * head + kKvPageTokens + token) * width * bytes;
    for (uint32_t e = 0; e < width; e += S::kWidth) {
      const float* from = k + size_t{head} * width + e;
      const typename S::F value = S::load(v + size_t{head} * width + e);
      if (layout.half) {
        uint16_t halves[S::kWidth];
        S::store_half(halves, S::load(from));
        for (uint32_t i = 0; i < S::kWidth; ++i) reinterpret_cast<uint16_t*>(keys)[size_t{e + i} * 16] = halves[i];
        S::store_half(values + e * 2, value);
      } else {
        for (uint32_t i = 0; i < S::kWidth; ++i) reinterpret_cast<float*>(keys)[size_t{e + i} * 16] = from[i];
        S::store(reinterpret_cast<float*>(values) + e, value);
      }
    }
  }
}

}  // namespace accelerate
