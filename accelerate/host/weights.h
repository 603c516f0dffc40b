// Weights - a model's tensors as the executor reads them: matrices packed in tile order with the file's own bits, norms and
// biases as floats, embedding tables looked up row by row.
//
//   ACC_TRY(std::unique_ptr<Weights> weights, Weights::load(model, plan, pool, progress));
//   weights->table_row(0, token, row);
//
// Where another quantization is asked for, matrices become it while they are packed, a few rows at a time, as
// core/quantization.h chooses for each; a table that is no matrix too stays as the file has it.
// Every matrix lives in one allocation (whole huge pages). Packing goes tensor by tensor, all threads on each, and tells
// the kernel to drop the mapped pages behind it, so that a model is resident once. An embedding table that is the output
// head too is read from the packed head; another one is read from the mapped file, or kept as floats where small.
// Immutable once loaded; any thread may read. Keeps the Model alive.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "accelerate/base/thread_pool.h"
#include "accelerate/core/backend.h"
#include "accelerate/host/plan.h"
#include "accelerate/kernels/matmul/matmul.h"

namespace accelerate {

inline constexpr uint64_t kFloatTableBytesMax = uint64_t{8} << 20;  // position tables: no dequantization per token

class Weights {
 public:
  /// cancelled when `progress` asked for a stop; unimplemented or data_loss for a tensor that cannot be read this way;
  /// resource_exhausted without memory; invalid_argument for a weight that is NaN, infinite or too large for `quantization`.
  /// `plan` was made from model->graph; `quantization`: a weight type, or nothing = the file's own.
  static Result<std::unique_ptr<Weights>> load(std::shared_ptr<const Model> model, const HostPlan& plan, ThreadPool& pool, Progress& progress,
                                               std::optional<DType> quantization = {});
  /// Bytes load() will allocate; 0 where a tensor is missing (load says which).
  static uint64_t bytes_needed(const Model& model, const HostPlan& plan, std::optional<DType> quantization = {});

  const PackedMatrix& matrix(uint32_t index) const { return matrices_[index]; }
  const float* vector(uint32_t index) const { return vectors_[index]; }
  /// Row `row` of table `table` as floats; `row` is below the tensor's rows (a HostPlan's tokens_known).
  void table_row(uint32_t table, uint32_t row, float* out) const;
  /// The same without a copy, where the table is kept as floats; else null.
  const float* table_row_in_place(uint32_t table, uint32_t row) const {
    return tables_[table].floats ? tables_[table].floats + size_t{row} * tables_[table].width : nullptr;
  }
  uint64_t bytes() const { return buffer_.size(); }

 private:
  struct Table {
    const PackedMatrix* packed = nullptr;  // shared with a matrix
    const float* floats = nullptr;         // copied
    const std::byte* mapped = nullptr;     // in the file
    WeightFormat format = WeightFormat::kF32;
    uint32_t width = 0;
    size_t row_bytes = 0;
  };
  struct Loader;

  std::shared_ptr<const Model> model_;
  Buffer buffer_;
  std::vector<PackedMatrix> matrices_;
  std::vector<const float*> vectors_;
  std::vector<Table> tables_;
};

}  // namespace accelerate
