#include "accelerate/host/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "accelerate/core/quantization.h"
#include "accelerate/kernels/quantize/quantize.h"
#include "tests/host/tiny_models.h"

namespace accelerate {
namespace {

ThreadPool& pool() {
  static ThreadPool pool({.threads = 3, .pin = false});
  return pool;
}

struct Loaded {
  HostPlan plan;
  std::unique_ptr<Weights> weights;
};
Loaded load(const std::shared_ptr<const Model>& model) {
  Loaded loaded{*make_plan(*model->graph, Precision::kDefault), nullptr};
  auto weights = Weights::load(model, loaded.plan, pool(), no_progress());
  EXPECT_TRUE(weights.ok()) << weights.error().message;
  loaded.weights = std::move(*weights);
  return loaded;
}

std::vector<float> dequantized(const Model& model, uint32_t weight) {
  const TensorView& tensor = *model.find(model.graph->weights[weight].tensor);
  std::vector<float> values(tensor.element_count());
  dequantize_row(static_cast<WeightFormat>(tensor.dtype), tensor.bytes.data(), values.size(), values.data());
  return values;
}

TEST(Weights, HoldEveryTensorBitForBit) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ4_1, DType::kQ8_0}) {
    const auto model = tiny::gemma({.vocabulary = 75, .dtype = dtype});
    const Loaded l = load(model);
    for (uint32_t m = 0; m < l.plan.matrices.size(); ++m) {
      const std::vector<float> want = dequantized(*model, l.plan.matrices[m]);
      const PackedMatrix& matrix = l.weights->matrix(m);
      std::vector<float> row(matrix.k());
      ASSERT_EQ(size_t{matrix.n()} * matrix.k(), want.size());
      for (uint32_t n = 0; n < matrix.n(); ++n) {
        unpack_row(matrix, n, row.data());
        ASSERT_EQ(std::memcmp(row.data(), &want[size_t{n} * matrix.k()], row.size() * 4), 0) << m << " row " << n;
      }
    }
    for (uint32_t v = 0; v < l.plan.vectors.size(); ++v) {
      const std::vector<float> want = dequantized(*model, l.plan.vectors[v]);
      EXPECT_EQ(std::memcmp(l.weights->vector(v), want.data(), want.size() * 4), 0) << v;
    }
  }
}

TEST(Weights, ATiedTableIsReadFromThePackedHead) {
  const auto model = tiny::gemma({.dtype = DType::kQ4_0});
  const Loaded l = load(model);
  const std::vector<float> want = dequantized(*model, l.plan.tables[0]);
  std::vector<float> row(64);
  EXPECT_EQ(l.weights->table_row_in_place(0, 3), nullptr);
  for (const uint32_t r : {0u, 3u, 69u}) {
    l.weights->table_row(0, r, row.data());
    EXPECT_EQ(std::memcmp(row.data(), &want[r * 64], 256), 0);
  }
}

TEST(Weights, ASmallTableIsKeptAsFloatsAndALargeOneStaysInTheFile) {
  const auto small = tiny::llama({.dtype = DType::kQ8_0});
  const Loaded kept = load(small);
  ASSERT_NE(kept.weights->table_row_in_place(0, 5), nullptr);
  EXPECT_EQ(kept.weights->table_row_in_place(0, 5)[7], dequantized(*small, kept.plan.tables[0])[5 * 64 + 7]);
  const auto large = tiny::llama({.vocabulary = 40000, .dtype = DType::kQ8_0});  // 40000 x 64 floats are 10 MB
  const Loaded mapped = load(large);
  EXPECT_EQ(mapped.weights->table_row_in_place(0, 5), nullptr);
  std::vector<float> row(64);
  mapped.weights->table_row(0, 39999, row.data());
  EXPECT_EQ(row[63], dequantized(*large, mapped.plan.tables[0]).back());
}

TEST(Weights, TakeWhatTheEstimateSays) {
  const auto model = tiny::llama({.vocabulary = 5000, .dtype = DType::kQ4_1});
  const Loaded l = load(model);
  const uint64_t estimate = Weights::bytes_needed(*model, l.plan);
  EXPECT_GE(l.weights->bytes(), estimate);
  EXPECT_LE(l.weights->bytes(), estimate + (uint64_t{2} << 20));  // at most a huge page of rounding in all
}

class StopAfter final : public Progress {
 public:
  explicit StopAfter(int updates) : left_(updates) {}
  bool update(std::string_view, uint64_t done, uint64_t total, std::string_view unit) override {
    EXPECT_EQ(unit, "bytes");
    EXPECT_LE(done, total);
    EXPECT_GE(done, last_);
    last_ = done;
    total_ = total;
    return left_-- > 0;
  }
  uint64_t last_ = 0, total_ = 0;

 private:
  int left_;
};

TEST(Weights, ReportProgressAndStopWhenAsked) {
  const auto model = tiny::llama({});
  const auto plan = make_plan(*model->graph, Precision::kDefault);
  StopAfter all(1 << 30), some(3);
  ASSERT_TRUE(Weights::load(model, *plan, pool(), all).ok());
  EXPECT_EQ(all.last_, all.total_);
  const auto stopped = Weights::load(model, *plan, pool(), some);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_LT(some.last_, some.total_);
}

TEST(Weights, RefuseTensorsByName) {
  auto model = std::make_shared<Model>(*tiny::llama({}));
  const auto source = tiny::llama({});
  model->tensors = source->tensors;
  const auto plan = make_plan(*model->graph, Precision::kDefault);
  auto& tensor = model->tensors.back();
  const TensorView whole = tensor;
  const auto error = [&] { return Weights::load(model, *plan, pool(), no_progress()).error(); };
  tensor.name = "elsewhere";
  EXPECT_EQ(error().code, ErrorCode::kDataLoss);
  EXPECT_NE(error().message.find("'head'"), std::string::npos);
  EXPECT_EQ(Weights::bytes_needed(*model, *plan), 0u);
  tensor = whole;
  tensor.dtype = DType::kI32;
  EXPECT_EQ(error().code, ErrorCode::kUnimplemented);
  tensor = whole;
  tensor.bytes = tensor.bytes.first(tensor.bytes.size() - 1);
  EXPECT_EQ(error().code, ErrorCode::kDataLoss);
}

TEST(Weights, MappedPagesAreReleasedAndTheFileStaysReadable) {
  const auto source = tiny::llama({.dtype = DType::kQ8_0});
  const std::string path = testing::TempDir() + "weights_test.bin";
  {
    std::ofstream file(path, std::ios::binary);
    for (const TensorView& tensor : source->tensors) file.write(reinterpret_cast<const char*>(tensor.bytes.data()), static_cast<std::streamsize>(tensor.bytes.size()));
  }
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  auto model = std::make_shared<Model>(*source);
  model->files = {*file};
  size_t at = 0;
  for (TensorView& tensor : model->tensors) {
    tensor.bytes = (*file)->bytes().subspan(at, tensor.bytes.size());
    at += tensor.bytes.size();
  }
  for (int round = 0; round < 2; ++round) {  // the second one reads what the first one released
    const Loaded l = load(model);
    std::vector<float> row(64);
    unpack_row(l.weights->matrix(0), 1, row.data());
    EXPECT_EQ(std::memcmp(row.data(), &dequantized(*source, l.plan.matrices[0])[64], 256), 0);
  }
  std::remove(path.c_str());
}

TEST(Weights, BecomeAnotherQuantizationWhilePacked) {
  for (const DType from : {DType::kF32, DType::kBF16, DType::kQ8_0}) {
    const auto model = tiny::llama({.dtype = from});
    const HostPlan plan = *make_plan(*model->graph, Precision::kDefault);
    for (const DType asked : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ8_0, DType::kF16, DType::kQ4_K}) {
      const auto weights = Weights::load(model, plan, pool(), no_progress(), asked);
      ASSERT_TRUE(weights.ok()) << weights.error().message;
      const uint64_t estimate = Weights::bytes_needed(*model, plan, asked);
      EXPECT_GE((*weights)->bytes(), estimate);
      EXPECT_LE((*weights)->bytes(), estimate + (uint64_t{2} << 20));
      for (uint32_t m = 0; m < plan.matrices.size(); ++m) {
        const TensorView& tensor = *model->find(model->graph->weights[plan.matrices[m]].tensor);
        const PackedMatrix& matrix = (*weights)->matrix(m);
        const DType type = choose_quantization(tensor, asked).type;
        ASSERT_EQ(static_cast<int>(matrix.format()), static_cast<int>(type)) << tensor.name;
        std::vector<float> want = dequantized(*model, plan.matrices[m]), row(matrix.k());
        std::vector<std::byte> blocks(want.size() * 4);
        if (type != tensor.dtype) {  // else its bits stay
          ASSERT_FALSE(quantize_row(matrix.format(), want.data(), want.size(), blocks.data()));
          dequantize_row(matrix.format(), blocks.data(), want.size(), want.data());
        }
        for (uint32_t n = 0; n < matrix.n(); ++n) {
          unpack_row(matrix, n, row.data());
          // By value: a code of zero under a negative scale is -0 in one form and 0 in the other.
          for (uint32_t k = 0; k < matrix.k(); ++k) ASSERT_EQ(row[k], want[size_t{n} * matrix.k() + k]) << to_string(tensor) << " as " << dtype_traits(type).name << ", row " << n << " column " << k;
        }
      }
    }
  }
}

TEST(Weights, AWeightThatIsNoNumberIsNamedWhenQuantized) {
  const auto model = tiny::llama({.dtype = DType::kF32});
  const TensorView& tensor = model->tensors[2];
  ASSERT_GE(tensor.shape.size(), 2u) << tensor.name;
  const float nan = NAN;
  std::memcpy(const_cast<std::byte*>(tensor.bytes.data()) + 4 * (tensor.columns() + 5), &nan, 4);
  const HostPlan plan = *make_plan(*model->graph, Precision::kDefault);
  const auto refused = Weights::load(model, plan, pool(), no_progress(), DType::kQ8_0);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("row 1, column 5 of '" + tensor.name + "'"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(Weights::load(model, plan, pool(), no_progress()).ok()) << "as the file has it, it is the file's business";
}

}  // namespace
}  // namespace accelerate
