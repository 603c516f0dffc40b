// Arena - the memory of one executor: values of a batch, scratch of the kernels, logits, and what each worker has for itself.
//
//   ACC_TRY(Arena arena, Arena::create(plan, {.rows_max = 512, .workers = 2, .context_max = 8192}));
//   float* row = arena.shared(place.buffer) + t * arena.stride(place.buffer);
//
// One allocation, sized for the largest batch, every part at a multiple of 64 bytes. Strides avoid multiples of 4 KiB,
// where the rows of a batch would fall into one set of the L1 cache. Plain memory: who writes what is the HostPlan's business.
#pragma once

#include <vector>

#include "accelerate/base/buffer.h"
#include "accelerate/host/plan.h"

namespace accelerate {

inline constexpr uint64_t kLogitsBytesMax = uint64_t{32} << 20;  // of the rows one pass of the head makes
inline constexpr uint32_t kLogitRowsMax = 64;
inline constexpr uint32_t kAttentionRowBlock = 32;  // query rows of one attention task: enough tasks for all, long enough to reuse K and V

class Arena {
 public:
  struct Options {
    uint32_t rows_max = kBatchTokensMax;
    uint32_t workers = 1;
    uint32_t context_max = 0;
    bool rowwise = false;  // MatmulInput::rowwise
  };
  static Result<Arena> create(const HostPlan& plan, const Options& options);
  static uint64_t bytes_needed(const HostPlan& plan, const Options& options);

  float* shared(uint32_t buffer) const { return reinterpret_cast<float*>(memory_ + shared_[buffer]); }
  float* own(uint32_t worker, uint32_t buffer) const { return reinterpret_cast<float*>(worker_at(worker) + own_[buffer]); }
  size_t stride(uint32_t buffer) const { return strides_[buffer]; }

  std::byte* scratch() const { return memory_ + scratch_; }
  std::byte* own_scratch(uint32_t worker) const { return worker_at(worker) + own_scratch_; }
  std::byte* attention_scratch(uint32_t worker) const { return worker_at(worker) + attention_scratch_; }
  /// Room for the pages of one sequence.
  const std::byte** page_list(uint32_t worker) const { return reinterpret_cast<const std::byte**>(worker_at(worker) + page_list_); }
  /// One row of the widest value.
  float* own_table_row(uint32_t worker) const { return reinterpret_cast<float*>(worker_at(worker) + own_table_row_); }
  /// kAttentionRowBlock rows of the widest padded query each; only where heads need padding.
  float* padded_query(uint32_t worker) const { return reinterpret_cast<float*>(worker_at(worker) + padded_query_); }
  float* padded_result(uint32_t worker) const { return reinterpret_cast<float*>(worker_at(worker) + padded_result_); }

  /// Rows of x that the head reads: gathered by all (many) or by each worker for itself (few).
  float* gathered() const { return reinterpret_cast<float*>(memory_ + gathered_); }
  float* own_gathered(uint32_t worker) const { return reinterpret_cast<float*>(worker_at(worker) + own_gathered_); }
  size_t gathered_stride() const { return gathered_stride_; }
  float* logits() const { return reinterpret_cast<float*>(memory_ + logits_); }
  size_t logits_stride() const { return logits_stride_; }
  uint32_t logit_rows() const { return logit_rows_; }

  uint64_t bytes() const { return buffer_.size(); }

 private:
  void lay_out(const HostPlan& plan, const Options& options);
  std::byte* worker_at(uint32_t worker) const { return memory_ + workers_ + worker * worker_bytes_; }

  Buffer buffer_;
  std::byte* memory_ = nullptr;
  std::vector<size_t> shared_, own_, strides_;
  size_t scratch_ = 0, gathered_ = 0, logits_ = 0, workers_ = 0, worker_bytes_ = 0, bytes_ = 0;
  size_t own_scratch_ = 0, attention_scratch_ = 0, page_list_ = 0, padded_query_ = 0, padded_result_ = 0, own_gathered_ = 0,
         own_table_row_ = 0;
  size_t gathered_stride_ = 0, logits_stride_ = 0;
  uint32_t logit_rows_ = 0;
};

}  // namespace accelerate
