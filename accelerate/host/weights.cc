#include "accelerate/host/weights.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_map>

#include <fmt/format.h>

#include "accelerate/core/quantization.h"
#include "accelerate/kernels/quantize/dequantize.h"
#include "accelerate/kernels/quantize/quantize.h"

namespace accelerate {
namespace {

static_assert(static_cast<int>(DType::kF32) == static_cast<int>(WeightFormat::kF32) &&
              static_cast<int>(DType::kF16) == static_cast<int>(WeightFormat::kF16) &&
              static_cast<int>(DType::kBF16) == static_cast<int>(WeightFormat::kBF16) &&
              static_cast<int>(DType::kQ8_0) == static_cast<int>(WeightFormat::kQ8_0) &&
              static_cast<int>(DType::kQ4_0) == static_cast<int>(WeightFormat::kQ4_0) &&
              static_cast<int>(DType::kQ4_1) == static_cast<int>(WeightFormat::kQ4_1) &&
              static_cast<int>(DType::kQ5_0) == static_cast<int>(WeightFormat::kQ5_0) &&
              static_cast<int>(DType::kQ5_1) == static_cast<int>(WeightFormat::kQ5_1) &&
              static_cast<int>(DType::kQ4_K) == static_cast<int>(WeightFormat::kQ4_K) &&
              static_cast<int>(DType::kQ5_K) == static_cast<int>(WeightFormat::kQ5_K) &&
              static_cast<int>(DType::kQ6_K) == static_cast<int>(WeightFormat::kQ6_K));

constexpr size_t kAlignment = 64;
constexpr uint32_t kRowsPerTask = kColumnBlock;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Where everything goes in the one allocation.
struct Layout {
  std::vector<size_t> matrices, vectors, tables;  // offsets; kShared and kMapped for tables without memory of their own
  size_t bytes = 0;
};
constexpr size_t kShared = SIZE_MAX, kMapped = SIZE_MAX - 1;

using Tensors = std::vector<const TensorView*>;  // one per weight of the graph, null where missing or unreadable

/// What the matrix of `tensor` is made of.
DType matrix_type(const TensorView& tensor, std::optional<DType> quantization) {
  return quantization ? choose_quantization(tensor, *quantization).type : tensor.dtype;
}

Layout lay_out(const HostPlan& plan, const Tensors& tensors, std::optional<DType> quantization) {
  Layout layout;
  const auto take = [&](uint64_t bytes) {
    const size_t at = layout.bytes;
    layout.bytes += aligned(bytes);
    return at;
  };
  for (const uint32_t weight : plan.matrices) {
    const TensorView& t = *tensors[weight];
    layout.matrices.push_back(take(PackedMatrix::bytes_needed(static_cast<WeightFormat>(matrix_type(t, quantization)), static_cast<uint32_t>(t.rows()),
                                                              static_cast<uint32_t>(t.columns()))));
  }
  for (const uint32_t weight : plan.vectors) layout.vectors.push_back(take(tensors[weight]->element_count() * sizeof(float)));
  for (const uint32_t weight : plan.tables) {
    const uint64_t floats = tensors[weight]->element_count() * sizeof(float);
    const bool shared = std::find(plan.matrices.begin(), plan.matrices.end(), weight) != plan.matrices.end();
    layout.tables.push_back(shared ? kShared : floats <= kFloatTableBytesMax ? take(floats) : kMapped);
  }
  return layout;
}

Result<Tensors> tensors_of(const Model& model, const HostPlan& plan) {
  std::unordered_map<std::string_view, const TensorView*> by_name;
  for (const TensorView& tensor : model.tensors) by_name.emplace(tensor.name, &tensor);
  Tensors tensors(model.graph->weights.size(), nullptr);
  for (const std::vector<uint32_t>* list : {&plan.matrices, &plan.vectors, &plan.tables}) {
    for (const uint32_t weight : *list) {
      const std::string& name = model.graph->weights[weight].tensor;
      const auto found = by_name.find(name);
      if (found == by_name.end()) return Error{ErrorCode::kDataLoss, fmt::format("[host] every weight of the graph is in the model; got no tensor '{}'", name)};
      const TensorView& tensor = *found->second;
      if (!is_weight_type(tensor.dtype)) {
        return Error{ErrorCode::kUnimplemented, fmt::format("[host] weights are F32, F16, BF16 or GGUF blocks; got {} in '{}'", to_string(tensor), name)};
      }
      if (tensor.rows() > UINT32_MAX || tensor.columns() > UINT32_MAX) {
        return Error{ErrorCode::kUnimplemented, fmt::format("[host] dimensions of a weight fit 32 bits; got {} in '{}'", to_string(tensor), name)};
      }
      ACC_TRY_VOID(check_tensor(tensor));
      tensors[weight] = &tensor;
    }
  }
  return tensors;
}

}  // namespace

struct Weights::Loader {
  Weights& weights;
  const HostPlan& plan;
  const Tensors& tensors;
  const Layout& layout;
  std::optional<DType> quantization;
  ThreadPool& pool;
  Progress& progress;
  uint64_t done = 0, total = 0;

  Result<void> load() {
    for (const auto* list : {&plan.matrices, &plan.vectors}) {
      for (const uint32_t weight : *list) total += tensors[weight]->bytes.size();
    }
    for (size_t i = 0; i < plan.matrices.size(); ++i) ACC_TRY_VOID(pack(*tensors[plan.matrices[i]], layout.matrices[i]));
    for (size_t i = 0; i < plan.vectors.size(); ++i) {
      const TensorView& tensor = *tensors[plan.vectors[i]];
      weights.vectors_.push_back(floats(tensor, layout.vectors[i]));
      ACC_TRY_VOID(report(tensor));
    }
    for (size_t i = 0; i < plan.tables.size(); ++i) weights.tables_.push_back(table(plan.tables[i], layout.tables[i]));
    return {};
  }

  Result<void> pack(const TensorView& tensor, size_t offset) {
    const DType type = matrix_type(tensor, quantization);
    ACC_TRY(PackedMatrix matrix, PackedMatrix::place(static_cast<WeightFormat>(type), static_cast<uint32_t>(tensor.rows()),
                                                     static_cast<uint32_t>(tensor.columns()), weights.buffer_.data() + offset));
    const uint32_t tasks = (matrix.n() + kRowsPerTask - 1) / kRowsPerTask;
    std::optional<Error> refused;
    std::mutex mutex;
    pool.run([&](const PoolWorker& worker) {
      const auto share = [&](uint32_t index) { return static_cast<uint32_t>(uint64_t{tasks} * index / worker.count) * kRowsPerTask; };
      const uint32_t begin = share(worker.index), end = std::min(matrix.n(), share(worker.index + 1));
      if (begin >= end) return;
      if (type == tensor.dtype) return pack_rows(matrix, tensor.bytes.data(), begin, end);
      if (const Result<void> packed = quantize_rows(matrix, tensor, begin, end); !packed) {
        const std::lock_guard lock(mutex);
        refused = packed.error();
      }
    });
    if (refused) return *refused;
    weights.matrices_.push_back(std::move(matrix));
    release(tensor);
    return report(tensor);
  }

  /// Rows [begin, end) in the matrix's format, kRowsPerTask of them at a time.
  static Result<void> quantize_rows(PackedMatrix& matrix, const TensorView& tensor, uint32_t begin, uint32_t end) {
    const WeightFormatTraits traits = weight_format_traits(matrix.format());
    const size_t columns = matrix.k(), bytes_from = tensor.bytes.size() / tensor.rows(), bytes_to = columns / traits.block_elements * traits.block_bytes;
    ACC_TRY(Buffer memory, Buffer::allocate(kRowsPerTask * bytes_to + aligned(columns * sizeof(float))));
    float* const floats = reinterpret_cast<float*>(memory.data());
    std::byte* const rows = memory.data() + aligned(columns * sizeof(float));
    for (uint32_t first = begin; first < end; first += kRowsPerTask) {
      const uint32_t last = std::min(end, first + kRowsPerTask);
      for (uint32_t row = first; row < last; ++row) {
        const auto bad = requantize_row(static_cast<WeightFormat>(tensor.dtype), tensor.bytes.data() + row * bytes_from, matrix.format(), columns, floats,
                                        rows + (row - first) * bytes_to);
        if (!bad) continue;
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("[host] a weight is finite and fits its quantization; got {} in row {}, column {} of '{}'; try without --quantization",
                                 floats[*bad], row, *bad, tensor.name)};
      }
      pack_row_range(matrix, rows, first, last);
    }
    return {};
  }

  const float* floats(const TensorView& tensor, size_t offset) {
    float* out = reinterpret_cast<float*>(weights.buffer_.data() + offset);
    dequantize_row(static_cast<WeightFormat>(tensor.dtype), tensor.bytes.data(), tensor.element_count(), out);
    return out;
  }

  Table table(uint32_t weight, size_t offset) {
    const TensorView& tensor = *tensors[weight];
    Table table{.format = static_cast<WeightFormat>(tensor.dtype),
                .width = static_cast<uint32_t>(tensor.columns()), .row_bytes = tensor.bytes.size() / std::max<uint64_t>(tensor.rows(), 1)};
    if (offset == kShared) {
      const auto at = std::find(plan.matrices.begin(), plan.matrices.end(), weight) - plan.matrices.begin();
      table.packed = &weights.matrices_[static_cast<size_t>(at)];
    } else if (offset == kMapped) {
      table.mapped = tensor.bytes.data();
    } else {
      table.floats = floats(tensor, offset);
      release(tensor);
    }
    return table;
  }

  /// The tensor has been read: its mapped pages leave our resident set.
  void release(const TensorView& tensor) const {
    for (const auto& file : weights.model_->files) {
      const std::span<const std::byte> bytes = file->bytes();
      if (tensor.bytes.data() >= bytes.data() && tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + bytes.size()) {
        file->release(tensor.bytes);
        return;
      }
    }
  }

  Result<void> report(const TensorView& tensor) {
    done += tensor.bytes.size();
    if (progress.update("packing weights", done, total, "bytes")) return {};
    return Error{ErrorCode::kCancelled, fmt::format("[host] loading was asked to stop; got to '{}', {} of {} MiB", tensor.name, done >> 20, total >> 20)};
  }
};

Result<std::unique_ptr<Weights>> Weights::load(std::shared_ptr<const Model> model, const HostPlan& plan, ThreadPool& pool, Progress& progress,
                                               std::optional<DType> quantization) {
  CHECK(model && model->graph, "weights belong to a graph");
  ACC_TRY(const Tensors tensors, tensors_of(*model, plan));
  const Layout layout = lay_out(plan, tensors, quantization);
  auto weights = std::make_unique<Weights>();
  weights->model_ = std::move(model);
  ACC_TRY(weights->buffer_, Buffer::allocate(layout.bytes));
  weights->matrices_.reserve(plan.matrices.size());  // tables point at them
  Loader loader{*weights, plan, tensors, layout, quantization, pool, progress};
  ACC_TRY_VOID(loader.load());
  return weights;
}

uint64_t Weights::bytes_needed(const Model& model, const HostPlan& plan, std::optional<DType> quantization) {
  const Result<Tensors> tensors = tensors_of(model, plan);
  return tensors ? lay_out(plan, *tensors, quantization).bytes : 0;
}

void Weights::table_row(uint32_t table, uint32_t row, float* out) const {
  const Table& from = tables_[table];
  if (from.packed) {
    unpack_row(*from.packed, row, out);
  } else if (from.floats) {
    std::copy_n(from.floats + size_t{row} * from.width, from.width, out);
  } else {
    dequantize_row(from.format, from.mapped + size_t{row} * from.row_bytes, from.width, out);
  }
}

}  // namespace accelerate
