#include "accelerate/host/arena.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/kernels/matmul/matmul.h"

namespace accelerate {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kBadStrideBytes = 4096;

/// Hands out offsets one behind another.
class Cursor {
 public:
  size_t take(size_t bytes) {
    const size_t at = next_;
    next_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  size_t end() const { return next_; }

 private:
  size_t next_ = 0;
};

size_t row_stride(uint32_t width) {
  size_t floats = (size_t{width} + 15) / 16 * 16;
  if (floats * sizeof(float) % kBadStrideBytes == 0) floats += 16;
  return floats;
}

/// Widest q of an attention step with padded heads, 0 where no head is padded; and the scratch its kernel wants.
struct AttentionNeeds {
  size_t padded_width = 0, scratch_bytes = 0;
};

AttentionNeeds attention_needs(const HostPlan& plan) {
  AttentionNeeds needs;
  for (const PlannedStep& planned : plan.steps) {
    const AttentionStep* step = std::get_if<AttentionStep>(&planned.step);
    if (!step) continue;
    const KvLayout& layout = plan.kv_layers[step->layer];
    AttentionTask task{};
    task.layout = layout;
    task.heads = step->heads;
    task.rows = kAttentionRowBlock;
    needs.scratch_bytes = std::max(needs.scratch_bytes, attention_scratch_bytes(task));
    if (layout.head_width != step->head_width) needs.padded_width = std::max(needs.padded_width, size_t{step->heads} * layout.head_width);
  }
  return needs;
}

}  // namespace

void Arena::lay_out(const HostPlan& plan, const Options& options) {
  Cursor all, own;
  for (const uint32_t width : plan.buffer_widths) {
    strides_.push_back(row_stride(width));
    shared_.push_back(all.take(options.rows_max * strides_.back() * sizeof(float)));
    own_.push_back(own.take(kReplicatedRowsMax * strides_.back() * sizeof(float)));
  }
  const auto widest = std::max_element(strides_.begin(), strides_.end());
  own_table_row_ = own.take((widest == strides_.end() ? 0 : *widest) * sizeof(float));
  const size_t few_bytes = matmul_scratch_bytes(kReplicatedRowsMax, plan.matmul_depth_max, options.rowwise);
  scratch_ = all.take(std::max(few_bytes, matmul_scratch_bytes(options.rows_max, plan.matmul_depth_max, options.rowwise)));
  own_scratch_ = own.take(few_bytes);
  if (plan.head) {
    gathered_stride_ = row_stride(plan.result.width);
    logits_stride_ = row_stride(plan.head_columns);
    const uint64_t fitting = kLogitsBytesMax / (logits_stride_ * sizeof(float));
    logit_rows_ = static_cast<uint32_t>(std::clamp<uint64_t>(fitting, 1, std::min(kLogitRowsMax, options.rows_max)));
    gathered_ = all.take(logit_rows_ * gathered_stride_ * sizeof(float));
    own_gathered_ = own.take(kReplicatedRowsMax * gathered_stride_ * sizeof(float));
    logits_ = all.take(logit_rows_ * logits_stride_ * sizeof(float));
  }
  const AttentionNeeds needs = attention_needs(plan);
  attention_scratch_ = own.take(needs.scratch_bytes);
  page_list_ = own.take((size_t{options.context_max} / kKvPageTokens + 1) * sizeof(std::byte*));
  padded_query_ = own.take(kAttentionRowBlock * needs.padded_width * sizeof(float));
  padded_result_ = own.take(kAttentionRowBlock * needs.padded_width * sizeof(float));
  worker_bytes_ = own.end() + kAlignment;  // two workers never share a line
  workers_ = all.take(worker_bytes_ * options.workers);
  bytes_ = all.end();
}

uint64_t Arena::bytes_needed(const HostPlan& plan, const Options& options) {
  Arena arena;
  arena.lay_out(plan, options);
  return arena.bytes_;
}

Result<Arena> Arena::create(const HostPlan& plan, const Options& options) {
  Arena arena;
  arena.lay_out(plan, options);
  auto buffer = Buffer::allocate(arena.bytes_);
  if (!buffer) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[host] working memory of a batch takes {} MiB; got {}", arena.bytes_ >> 20,
                                                            buffer.error().message)};
  }
  arena.buffer_ = std::move(*buffer);
  arena.memory_ = arena.buffer_.data();
  return arena;
}

}  // namespace accelerate
