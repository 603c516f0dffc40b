#include "accelerate/formats/quantize_file.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/thread_pool.h"
#include "accelerate/formats/gguf.h"
#include "accelerate/formats/gguf_writer.h"
#include "accelerate/formats/quote.h"
#include "accelerate/kernels/quantize/dequantize.h"
#include "accelerate/kernels/quantize/quantize.h"

namespace accelerate {
namespace {

constexpr uint64_t kPieceElements = uint64_t{1} << 20;  // per piece of rows: 4 MiB as floats, all the memory this takes
constexpr uint64_t kColumnsMax = uint64_t{1} << 24;     // of a row, which is quantized in one piece; real ones are under 2^18
constexpr uint32_t kQuantizationVersion = 2;            // of the block layouts, by the GGUF specification

/// general.file_type as the GGUF specification numbers it (llama_ftype). K types are "S": no tensor class gets more bits here.
uint32_t file_type(DType type) {
  switch (type) {
    case DType::kF16: return 1;
    case DType::kQ4_0: return 2;
    case DType::kQ4_1: return 3;
    case DType::kQ8_0: return 7;
    case DType::kQ5_0: return 8;
    case DType::kQ5_1: return 9;
    case DType::kQ4_K: return 14;
    case DType::kQ5_K: return 16;
    case DType::kQ6_K: return 18;
    case DType::kBF16: return 32;
    default: return 0;
  }
}

/// A row that could not be held: where, and by what.
struct BadValue {
  uint64_t row = 0;
  size_t column = 0;
  float value = 0;
};

class Converter {
 public:
  Converter(const MappedFile& file, GgufFileWriter& writer, uint32_t threads, Progress& progress)
      : file_(file), writer_(writer), pool_({.threads = std::clamp(threads, 1u, ThreadPool::kThreadsMax), .pin = false}), progress_(progress) {}

  Result<void> convert(const GgufFile& gguf, const QuantizationPlan& plan) {
    for (const TensorView& tensor : gguf.tensors) total_ += tensor.bytes.size();
    for (size_t i = 0; i < gguf.tensors.size(); ++i) {
      const TensorView& tensor = gguf.tensors[i];
      ACC_TRY_VOID(plan.choices[i].type == tensor.dtype ? copied(tensor) : quantized(tensor, plan.choices[i].type));
      file_.release(tensor.bytes);
    }
    return {};
  }

 private:
  Result<void> copied(const TensorView& tensor) {
    constexpr size_t kPieceBytes = kPieceElements * sizeof(float);
    for (size_t at = 0; at < tensor.bytes.size(); at += kPieceBytes) {
      const auto piece = tensor.bytes.subspan(at, std::min(kPieceBytes, tensor.bytes.size() - at));
      ACC_TRY_VOID(writer_.write(piece));
      ACC_TRY_VOID(report(tensor, piece.size()));
    }
    return {};
  }

  Result<void> quantized(const TensorView& tensor, DType to) {
    const auto from_format = static_cast<WeightFormat>(tensor.dtype), to_format = static_cast<WeightFormat>(to);
    const uint64_t columns = tensor.columns(), rows = tensor.rows();
    if (columns > kColumnsMax) {
      return Error{ErrorCode::kUnimplemented, fmt::format("[quantize] a row has at most {} elements; got {} in {}", kColumnsMax, columns, in_quotes(tensor.name))};
    }
    const size_t row_bytes_from = tensor.bytes.size() / rows;
    const size_t row_bytes_to = columns / dtype_traits(to).block_elements * dtype_traits(to).block_bytes;
    const uint64_t rows_a_piece = std::max<uint64_t>(1, kPieceElements / columns);
    std::vector<std::byte> out;
    for (uint64_t begin = 0; begin < rows; begin += rows_a_piece) {
      const uint64_t count = std::min(rows_a_piece, rows - begin);
      out.resize(count * row_bytes_to);
      std::optional<BadValue> bad;
      std::mutex mutex;
      pool_.run([&](const PoolWorker& worker) {
        std::vector<float> floats(columns);
        for (uint64_t r = count * worker.index / worker.count; r < count * (worker.index + 1) / worker.count; ++r) {
          const auto column = requantize_row(from_format, tensor.bytes.data() + (begin + r) * row_bytes_from, to_format, columns, floats.data(),
                                             out.data() + r * row_bytes_to);
          if (!column) continue;
          const std::lock_guard lock(mutex);
          if (!bad || begin + r < bad->row) bad = BadValue{begin + r, *column, floats[*column]};
        }
      });
      if (bad) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("[quantize] a weight is finite and fits {}; got {} in row {}, column {} of {}; try the original download, or bf16",
                                 dtype_traits(to).name, bad->value, bad->row, bad->column, in_quotes(tensor.name))};
      }
      ACC_TRY_VOID(writer_.write(out));
      ACC_TRY_VOID(report(tensor, count * row_bytes_from));
    }
    return {};
  }

  Result<void> report(const TensorView& tensor, uint64_t bytes) {
    done_ += bytes;
    if (progress_.update("quantizing", done_, total_, "bytes")) return {};
    return Error{ErrorCode::kCancelled, fmt::format("[quantize] asked to stop; got to {}, {} of {} MiB; nothing is left behind", in_quotes(tensor.name),
                                                    done_ >> 20, total_ >> 20)};
  }

  const MappedFile& file_;
  GgufFileWriter& writer_;
  ThreadPool pool_;
  Progress& progress_;
  uint64_t done_ = 0, total_ = 0;
};

GgufMetadata metadata_of(const GgufFile& gguf, const QuantizationPlan& plan) {
  GgufMetadata metadata;
  for (const GgufEntry& entry : gguf.entries) metadata.copy(entry);
  const std::optional<DType> named = dtype_from_name(plan.name());
  metadata.integer("general.file_type", file_type(named.value_or(plan.asked)));
  const bool blocks = std::any_of(plan.groups.begin(), plan.groups.end(), [](const auto& group) { return dtype_traits(group.type).block_elements > 1; });
  if (blocks) metadata.integer("general.quantization_version", kQuantizationVersion);
  return metadata;
}

Result<void> check_splits(const GgufFile& gguf) {
  ACC_TRY(const std::optional<uint64_t> splits, gguf.integer("split.count"));
  if (splits.value_or(1) <= 1) return {};
  return Error{ErrorCode::kUnimplemented, fmt::format("[quantize] a model is one file; got one of {} splits; try merging them first", *splits)};
}

}  // namespace

Result<QuantizedFile> quantize_gguf(const std::filesystem::path& in, const std::filesystem::path& out, const QuantizeOptions& options,
                                    Progress& progress) {
  CHECK(is_weight_type(options.type), "a weight type is asked for");
  ACC_TRY(const std::shared_ptr<const MappedFile> file, MappedFile::open(in));
  std::error_code ignored;
  if (std::filesystem::equivalent(in, out, ignored)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[quantize] OUT is another file than IN; got '{}' for both; try another name", out.string())};
  }
  ACC_TRY(const GgufFile gguf, parse_gguf(file->bytes()));
  ACC_TRY_VOID(check_splits(gguf));
  QuantizedFile done{.bytes_before = file->bytes().size(), .plan = plan_quantization(gguf.tensors, options.type)};
  std::vector<GgufTensorInfo> infos;
  for (size_t i = 0; i < gguf.tensors.size(); ++i) infos.push_back({gguf.tensors[i].name, done.plan.choices[i].type, gguf.tensors[i].shape});
  ACC_TRY(const std::unique_ptr<GgufFileWriter> writer,
          GgufFileWriter::create(out, metadata_of(gguf, done.plan), std::move(infos), {.replace = options.replace, .alignment = gguf.alignment}));
  ACC_TRY_VOID(Converter(*file, *writer, options.threads, progress).convert(gguf, done.plan));
  ACC_TRY_VOID(writer->finish());
  done.bytes_after = writer->size_bytes();
  return done;
}

}  // namespace accelerate
