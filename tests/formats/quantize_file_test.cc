#include "accelerate/formats/quantize_file.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/file.h"
#include "accelerate/formats/gguf.h"
#include "accelerate/formats/gguf_writer.h"
#include "accelerate/formats/open.h"
#include "accelerate/kernels/quantize/dequantize.h"
#include "accelerate/kernels/quantize/quantize.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

std::filesystem::path fixture(const std::string& name) { return std::filesystem::path(ACC_TEST_DATA) / "fixtures" / name; }

class QuantizeFile : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::filesystem::path out_ = folder_ / "out.gguf";

  Result<QuantizedFile> quantize(const std::filesystem::path& in, DType type, bool replace = false, uint32_t threads = 2) {
    return quantize_gguf(in, out_, {.type = type, .threads = threads, .replace = replace}, no_progress());
  }
  /// A file with one matrix of these values, rows of 256.
  std::filesystem::path file_with(const std::vector<float>& values) {
    const std::filesystem::path path = folder_ / "in.gguf";
    GgufMetadata metadata;
    metadata.text("general.architecture", "llama");
    const auto writer = GgufFileWriter::create(path, metadata, {{"blk.0.ffn_up.weight", DType::kF32, {values.size() / 256, 256}}}, {.replace = true});
    EXPECT_TRUE(writer && (*writer)->write(std::as_bytes(std::span(values))) && (*writer)->finish());
    return path;
  }
};

std::vector<float> floats_of(const TensorView& tensor) {
  std::vector<float> out(tensor.element_count());
  dequantize_row(static_cast<WeightFormat>(tensor.dtype), tensor.bytes.data(), out.size(), out.data());
  return out;
}

TEST_F(QuantizeFile, EveryTensorIsWhatItsRowsQuantizeTo) {
  const auto before = MappedFile::open(fixture("llama_f16.gguf"));
  ASSERT_TRUE(before);
  const Result<GgufFile> in = parse_gguf((*before)->bytes());
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ4_K, DType::kQ6_K}) {
    const Result<QuantizedFile> done = quantize(fixture("llama_f16.gguf"), type, true);
    ASSERT_TRUE(done) << done.error().message;
    const auto after = MappedFile::open(out_);
    const Result<GgufFile> gguf = parse_gguf((*after)->bytes());
    ASSERT_TRUE(gguf) << gguf.error().message;
    EXPECT_EQ(done->bytes_before, (*before)->bytes().size());
    EXPECT_EQ(done->bytes_after, (*after)->bytes().size());
    ASSERT_EQ(gguf->tensors.size(), in->tensors.size());
    for (size_t i = 0; i < in->tensors.size(); ++i) {
      const TensorView& was = in->tensors[i];
      const TensorView& is = gguf->tensors[i];
      EXPECT_EQ(is.name, was.name);
      EXPECT_EQ(is.shape, was.shape);
      EXPECT_EQ(is.dtype, choose_quantization(was, type).type);
      std::vector<std::byte> want(is.bytes.size());
      const std::vector<float> floats = floats_of(was);
      ASSERT_FALSE(quantize_row(static_cast<WeightFormat>(is.dtype), floats.data(), floats.size(), want.data()));
      EXPECT_EQ(std::memcmp(want.data(), is.bytes.data(), want.size()), 0) << is.name << " " << dtype_traits(type).name;
    }
  }
}

TEST_F(QuantizeFile, MetadataIsKeptInOrderAndSaysWhatTheFileIs) {
  ASSERT_TRUE(quantize(fixture("llama_f16.gguf"), DType::kQ8_0));
  const auto before = MappedFile::open(fixture("llama_f16.gguf")), after = MappedFile::open(out_);
  const Result<GgufFile> in = parse_gguf((*before)->bytes()), gguf = parse_gguf((*after)->bytes());
  ASSERT_TRUE(in && gguf);
  EXPECT_EQ(*gguf->integer("general.file_type"), 7u);
  EXPECT_EQ(*gguf->integer("general.quantization_version"), 2u);
  ASSERT_GE(gguf->entries.size(), in->entries.size());
  for (size_t i = 0; i < in->entries.size(); ++i) {
    EXPECT_EQ(gguf->entries[i].key, in->entries[i].key);
    if (in->entries[i].key == "general.file_type" || in->entries[i].key == "general.quantization_version") continue;
    ASSERT_EQ(gguf->entries[i].bytes.size(), in->entries[i].bytes.size());
    EXPECT_EQ(std::memcmp(gguf->entries[i].bytes.data(), in->entries[i].bytes.data(), in->entries[i].bytes.size()), 0) << in->entries[i].key;
  }
}

TEST_F(QuantizeFile, TheResultOpensAndThreadsDoNotChangeIt) {
  for (const char* name : {"llama_f32.gguf", "gemma3_f16.gguf", "llama_q4_k.gguf"}) {
    ASSERT_TRUE(quantize(fixture(name), DType::kQ4_K, true, 1)) << name;
    const std::string once = *read_file(out_, 1 << 26);
    ASSERT_TRUE(quantize(fixture(name), DType::kQ4_K, true, 3)) << name;
    EXPECT_EQ(*read_file(out_, 1 << 26), once) << name;
    const auto model = open_model(out_);
    ASSERT_TRUE(model) << model.error().message;
  }
}

TEST_F(QuantizeFile, AnExistingFileNeedsReplace) {
  folder_.write("out.gguf", "precious");
  const auto refused = quantize(fixture("llama_f16.gguf"), DType::kQ8_0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(*read_file(out_, 100), "precious");
}

TEST_F(QuantizeFile, InAndOutAreTwoFiles) {
  const auto path = file_with(std::vector<float>(256, 1.0f));
  const auto refused = quantize_gguf(path, folder_.path() / "." / "in.gguf", {.replace = true}, no_progress());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(QuantizeFile, AValueThatIsNoNumberIsNamedAndNothingIsLeft) {
  for (const float wild : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f}) {
    std::vector<float> values(256 * 40, 0.5f);
    values[256 * 17 + 3] = wild;
    values[256 * 33 + 9] = wild;
    const auto path = file_with(values);
    const auto refused = quantize(path, DType::kQ4_K);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(refused.error().message, HasSubstr("row 17, column 3 of 'blk.0.ffn_up.weight'"));
    EXPECT_EQ(folder_.file_count(), 1u);
  }
}

TEST_F(QuantizeFile, AStopLeavesNothing) {
  struct Stopping : Progress {
    int left = 0;
    bool update(std::string_view, uint64_t done, uint64_t total, std::string_view) override { EXPECT_LE(done, total); return --left > 0; }
  };
  for (int after = 1; after < 6; ++after) {
    Stopping stopping;
    stopping.left = after;
    const auto stopped = quantize_gguf(fixture("llama_f32.gguf"), out_, {.type = DType::kQ8_0}, stopping);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(folder_.file_count(), 0u);
  }
}

TEST_F(QuantizeFile, OtherFilesAreRefused) {
  folder_.write("text", "hello");
  EXPECT_EQ(quantize(folder_ / "text", DType::kQ8_0).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(quantize(folder_ / "absent", DType::kQ8_0).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(quantize(folder_.path(), DType::kQ8_0).error().code, ErrorCode::kInvalidArgument);
  const std::string whole = *read_file(fixture("llama_f16.gguf"), 1 << 26);
  for (size_t size = 0; size < whole.size(); size += whole.size() / 37) {
    folder_.write("cut.gguf", std::string_view(whole).substr(0, size));
    ASSERT_FALSE(quantize(folder_ / "cut.gguf", DType::kQ8_0)) << size;
    EXPECT_FALSE(std::filesystem::exists(out_));
  }
}

}  // namespace
}  // namespace accelerate
