// Portable attention: one query vector at a time, online softmax page by page. The reference of the vector forms.
#include "accelerate/kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "accelerate/base/numbers.h"
#include "accelerate/kernels/attention/visible.h"
#include "accelerate/kernels/isa/entries.h"

namespace accelerate {

size_t kv_page_bytes(const KvLayout& layout) {
  return size_t{2} * kKvPageTokens * layout.kv_heads * layout.head_width * (layout.half ? 2 : 4);
}

size_t attention_scratch_bytes(const AttentionTask& task) {
  return size_t{kQueryBlock} * (size_t{2} * task.layout.head_width + kKvPageTokens + 4) * sizeof(float);
}

namespace portable {
namespace {

/// K and V of one KV head in one page.
struct HeadPage {
  const std::byte* base;
  uint32_t head_width;
  bool half;

  float element(size_t index) const {
    if (half) {
      uint16_t bits;
      std::memcpy(&bits, base + 2 * index, 2);
      return f16_to_f32(bits);
    }
    float value;
    std::memcpy(&value, base + 4 * index, 4);
    return value;
  }
  float k(uint32_t token, uint32_t i) const { return element((size_t{token / 16} * head_width + i) * 16 + token % 16); }
  float v(uint32_t token, uint32_t i) const { return element(size_t{kKvPageTokens + token} * head_width + i); }
};

void store_element(std::byte* base, size_t index, bool half, float value) {
  if (half) {
    const uint16_t bits = f32_to_f16(value);
    std::memcpy(base + 2 * index, &bits, 2);
  } else {
    std::memcpy(base + 4 * index, &value, 4);
  }
}

float score_of(const AttentionTask& task, const float* q, const HeadPage& page, uint32_t token) {
  float sum = 0;
  for (uint32_t i = 0; i < page.head_width; ++i) sum += q[i] * page.k(token, i);
  sum *= task.scale;
  return task.softcap > 0 ? task.softcap * std::tanh(sum / task.softcap) : sum;
}

void attend(const AttentionTask& task, uint32_t row, uint32_t head, float* sums) {
  const uint32_t width = task.layout.head_width, kv_head = head / (task.heads / task.layout.kv_heads);
  const float* q = task.q + row * task.q_stride + size_t{head} * width;
  const VisibleRange visible = visible_range(task, row);
  std::fill_n(sums, width, 0.0f);
  float maximum = -std::numeric_limits<float>::infinity(), total = 0;
  for (uint32_t token = visible.begin; token < visible.end;) {
    const uint32_t page_end = std::min(visible.end, (token / kKvPageTokens + 1) * kKvPageTokens);
    const std::byte* base = task.pages[token / kKvPageTokens] + kv_page_bytes(task.layout) / task.layout.kv_heads * kv_head;
    const HeadPage page{base, width, task.layout.half};
    float scores[kKvPageTokens];
    float page_maximum = maximum;
    for (uint32_t t = token; t < page_end; ++t) {
      scores[t - token] = score_of(task, q, page, t % kKvPageTokens);
      page_maximum = std::max(page_maximum, scores[t - token]);
    }
    const float rescale = std::exp(maximum - page_maximum);  // 0 on the first page
    maximum = page_maximum;
    total *= rescale;
    for (uint32_t i = 0; i < width; ++i) sums[i] *= rescale;
    for (uint32_t t = token; t < page_end; ++t) {
      const float weight = std::exp(scores[t - token] - maximum);
      total += weight;
      for (uint32_t i = 0; i < width; ++i) sums[i] += weight * page.v(t % kKvPageTokens, i);
    }
    token = page_end;
  }
  float* out = task.out + row * task.out_stride + size_t{head} * width;
  for (uint32_t i = 0; i < width; ++i) out[i] = total > 0 ? sums[i] / total : 0.0f * sums[i];
}

}  // namespace

void kv_store(const KvLayout& layout, std::byte* page, uint32_t token, const float* k, const float* v) {
  const uint32_t width = layout.head_width;
  for (uint32_t head = 0; head < layout.kv_heads; ++head) {
    std::byte* base = page + kv_page_bytes(layout) / layout.kv_heads * head;
    for (uint32_t i = 0; i < width; ++i) {
      store_element(base, (size_t{token / 16} * width + i) * 16 + token % 16, layout.half, k[size_t{head} * width + i]);
      store_element(base, size_t{kKvPageTokens + token} * width + i, layout.half, v[size_t{head} * width + i]);
    }
  }
}

void attention(const AttentionTask& task, uint32_t head_begin, uint32_t head_end, std::byte* scratch) {
  float* sums = reinterpret_cast<float*>(scratch);
  for (uint32_t head = head_begin; head < head_end; ++head) {
    for (uint32_t row = 0; row < task.rows; ++row) attend(task, row, head, sums);
  }
}

}  // namespace portable
}  // namespace accelerate
