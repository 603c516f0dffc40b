#include "accelerate/formats/gguf.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/gguf_writer.h"

namespace accelerate {
namespace {

using testing::AlignedBytes;
using testing::GgufWriter;
using ::testing::HasSubstr;

Error error_of(const GgufWriter& writer) {
  const AlignedBytes file = writer.build();
  const auto parsed = parse_gguf(file.span());
  if (parsed.ok()) return Error{ErrorCode::kInternal, "the file was accepted"};
  EXPECT_TRUE(parsed.error().message.starts_with("[gguf] ")) << parsed.error().message;
  return parsed.error();
}

TEST(Gguf, ReadsEveryKindOfMetadata) {
  GgufWriter writer;
  writer.entry("u8", 0, GgufWriter::raw<uint8_t>(200)).entry("i8", 1, GgufWriter::raw<int8_t>(-3));
  writer.entry("u16", 2, GgufWriter::raw<uint16_t>(60000)).entry("i16", 3, GgufWriter::raw<int16_t>(-300));
  writer.u32("u32", 4000000000u).entry("i32", 5, GgufWriter::raw<int32_t>(-5)).f32("f32", 0.5f);
  writer.boolean("yes", true).text("text", "hello").texts("texts", {"a", "", "c"});
  writer.entry("u64", 10, GgufWriter::raw<uint64_t>(1ull << 60)).entry("i64", 11, GgufWriter::raw<int64_t>(7));
  writer.entry("f64", 12, GgufWriter::raw<double>(0.25)).list<int16_t>("numbers", 3, {1, -2, 3, 4, 5, 6});
  const AlignedBytes file = writer.build();
  const auto gguf = parse_gguf(file.span());
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(*gguf->integer("u8").value(), 200u);
  EXPECT_EQ(std::get<int64_t>(*gguf->find("i8")), -3);
  EXPECT_EQ(*gguf->integer("u16").value(), 60000u);
  EXPECT_EQ(std::get<int64_t>(*gguf->find("i16")), -300);
  EXPECT_EQ(*gguf->integer("u32").value(), 4000000000u);
  EXPECT_EQ(*gguf->number("i32").value(), -5.0);
  EXPECT_EQ(*gguf->number("f32").value(), 0.5);
  EXPECT_EQ(*gguf->boolean("yes").value(), true);
  EXPECT_EQ(*gguf->text("text").value(), "hello");
  EXPECT_EQ(*gguf->integer("u64").value(), 1ull << 60);
  EXPECT_EQ(*gguf->integer("i64").value(), 7u);
  EXPECT_EQ(*gguf->number("f64").value(), 0.25);
  EXPECT_THAT(gguf->array("texts").value()->strings, ::testing::ElementsAre("a", "", "c"));
  EXPECT_EQ(gguf->array("numbers").value()->number(1), -2.0);
  EXPECT_EQ(gguf->array("numbers").value()->number(6), std::nullopt);
  EXPECT_EQ(to_string(*gguf->find("numbers")), "[1, -2, 3, 4, ... 2 more]");
}

TEST(Gguf, SaysWhichKeyHasTheWrongType) {
  const AlignedBytes file = GgufWriter().text("layers", "many").entry("minus", 5, GgufWriter::raw<int32_t>(-1)).build();
  const auto gguf = parse_gguf(file.span());
  ASSERT_TRUE(gguf.ok());
  EXPECT_THAT(gguf->integer("layers").error().message, HasSubstr("'layers' is a whole number, not negative; got 'many'"));
  EXPECT_FALSE(gguf->integer("minus").ok());
  EXPECT_FALSE(gguf->number("layers").ok());
  EXPECT_FALSE(gguf->boolean("layers").ok());
  EXPECT_FALSE(gguf->text("minus").ok());
  EXPECT_FALSE(gguf->array("layers").ok());
  EXPECT_EQ(gguf->integer("absent").value(), std::nullopt);
  EXPECT_EQ(gguf->array("absent").value(), nullptr);
}

TEST(Gguf, GivesTensorsOutermostFirstWithTheirBytes) {
  GgufWriter writer;
  writer.version = 2;
  writer.tensor("a", {32, 3}, 8, 3 * 34);  // Q8_0
  writer.tensor("b", {5}, 30, 10);         // BF16
  const AlignedBytes file = writer.build();
  const auto gguf = parse_gguf(file.span());
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(gguf->version, 2u);
  ASSERT_EQ(gguf->tensors.size(), 2u);
  EXPECT_EQ(to_string(gguf->tensors[0]), "[3, 32] Q8_0");
  EXPECT_EQ(gguf->tensors[0].bytes.data(), file.span().data() + gguf->data_offset);
  EXPECT_EQ(gguf->tensors[0].bytes.size(), 102u);
  EXPECT_EQ(gguf->tensors[1].bytes.data(), file.span().data() + gguf->data_offset + 128);
  EXPECT_EQ(gguf->data_offset % 32, 0u);
}

TEST(Gguf, ReadsEverySupportedTensorTypeAndRefusesOthersByName) {
  const std::vector<std::pair<uint32_t, DType>> types = {
      {0, DType::kF32}, {1, DType::kF16}, {30, DType::kBF16}, {8, DType::kQ8_0}, {2, DType::kQ4_0}, {3, DType::kQ4_1},
      {6, DType::kQ5_0}, {7, DType::kQ5_1}, {12, DType::kQ4_K}, {13, DType::kQ5_K}, {14, DType::kQ6_K}, {24, DType::kI8},
      {25, DType::kI16}, {26, DType::kI32}, {27, DType::kI64}, {28, DType::kF64}};
  for (const auto& [number, dtype] : types) {
    GgufWriter writer;
    writer.tensor("t", {256, 2}, number, byte_size(dtype, 512).value());
    const AlignedBytes file = writer.build();
    const auto gguf = parse_gguf(file.span());
    ASSERT_TRUE(gguf.ok()) << number << " " << gguf.error().message;
    EXPECT_EQ(gguf->tensors[0].dtype, dtype);
  }
  GgufWriter known, unknown;
  known.tensor("blk.0.w", {256}, 20, 144);
  unknown.tensor("blk.0.w", {256}, 77, 144);
  EXPECT_EQ(error_of(known).code, ErrorCode::kUnimplemented);
  EXPECT_THAT(error_of(known).message, HasSubstr("got IQ4_NL (type number 20) in 'blk.0.w'"));
  EXPECT_THAT(error_of(unknown).message, HasSubstr("got an unknown type (type number 77) in 'blk.0.w'"));
}

TEST(Gguf, RefusesForeignFilesVersionsAndByteOrders) {
  GgufWriter foreign, first, newer, big;
  foreign.magic = "PK\x03\x04";
  first.version = 1;
  newer.version = 4;
  big.version = 0x03000000;
  EXPECT_EQ(error_of(foreign).code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error_of(foreign).message, HasSubstr("got 'PK?"));
  EXPECT_THAT(error_of(first).message, HasSubstr("got version 1"));
  EXPECT_THAT(error_of(newer).message, HasSubstr("got version 4"));
  EXPECT_THAT(error_of(big).message, HasSubstr("big-endian"));
  EXPECT_THAT(parse_gguf({}).error().message, HasSubstr("an empty file"));
}

TEST(Gguf, EveryPrefixOfAFileIsAnError) {
  const AlignedBytes file = testing::small_llama().build();
  ASSERT_TRUE(parse_gguf(file.span()).ok());
  for (size_t size = 0; size < file.size(); ++size) {
    ASSERT_FALSE(parse_gguf(file.first(size)).ok()) << size << " of " << file.size();
  }
}

TEST(Gguf, SurvivesEveryBitFlip) {
  AlignedBytes file = testing::small_llama().build();
  const size_t header = parse_gguf(file.span()).value().data_offset;
  size_t refused = 0;
  for (size_t at = 0; at < header; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      file.data()[at] ^= std::byte{1} << bit;
      const auto gguf = parse_gguf(file.span());
      refused += !gguf.ok();
      if (gguf.ok()) {  // whatever was read lies inside the file
        for (const TensorView& tensor : gguf->tensors) {
          EXPECT_GE(tensor.bytes.data(), file.span().data());
          EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), file.span().data() + file.size());
        }
      }
      file.data()[at] ^= std::byte{1} << bit;
    }
  }
  EXPECT_GT(refused, header);  // most flips of lengths, types and offsets are noticed
}

TEST(Gguf, RefusesImpossibleCountsBeforeAllocating) {
  for (const int64_t extra : {int64_t{1}, int64_t{1} << 20, int64_t{1} << 62}) {
    GgufWriter tensors = testing::small_llama(), metadata = testing::small_llama();
    tensors.extra_tensors = metadata.extra_metadata = extra;
    EXPECT_NE(error_of(tensors).code, ErrorCode::kInternal) << extra;
    EXPECT_NE(error_of(metadata).code, ErrorCode::kInternal) << extra;
  }
  const std::string huge = GgufWriter::raw<uint64_t>(UINT64_MAX);
  EXPECT_THAT(error_of(GgufWriter().entry("k", 8, huge)).message, HasSubstr("text lies inside the file"));
  EXPECT_THAT(error_of(GgufWriter().entry("k", 9, GgufWriter::raw<uint32_t>(10) + huge)).message, HasSubstr("items fit the file"));
  EXPECT_THAT(error_of(GgufWriter().entry("k", 9, GgufWriter::raw<uint32_t>(8) + huge)).message, HasSubstr("items fit the file"));
  EXPECT_THAT(error_of(GgufWriter().entry("k", 99, huge)).message, HasSubstr("got type 99 for 'k'"));
  EXPECT_THAT(error_of(GgufWriter().entry("k", 9, GgufWriter::raw<uint32_t>(50) + GgufWriter::raw<uint64_t>(0))).message, HasSubstr("got type 50"));
}

TEST(Gguf, NestedArraysAreBoundedInDepthAndSize) {
  const auto nested = [](int depth) {
    std::string bytes;
    for (int i = 1; i < depth; ++i) bytes += GgufWriter::raw<uint32_t>(9) + GgufWriter::raw<uint64_t>(1);
    return bytes + GgufWriter::raw<uint32_t>(0) + GgufWriter::raw<uint64_t>(2) + "ab";
  };
  const AlignedBytes good = GgufWriter().entry("k", 9, nested(kGgufArrayDepthMax)).text("after", "here").build();
  const auto gguf = parse_gguf(good.span());
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(*gguf->text("after").value(), "here");
  EXPECT_EQ(to_string(*gguf->find("k")), "[[...]]");
  EXPECT_THAT(error_of(GgufWriter().entry("k", 9, nested(kGgufArrayDepthMax + 1))).message, HasSubstr("nest at most 4 deep"));
  EXPECT_THAT(error_of(GgufWriter().entry("k", 9, nested(5000))).message, HasSubstr("nest at most 4 deep"));
}

TEST(Gguf, RefusesHostileAlignment) {
  for (const uint32_t alignment : {0u, 1u, 7u, 24u, 1u << 31, UINT32_MAX}) {
    EXPECT_THAT(error_of(GgufWriter().u32("general.alignment", alignment)).message, HasSubstr("power of two from 8")) << alignment;
  }
  EXPECT_FALSE(parse_gguf(GgufWriter().text("general.alignment", "32").build().span()).ok());
  GgufWriter wide;
  wide.alignment = 4096;
  wide.u32("general.alignment", 4096);
  wide.tensor("a", {2}, 0, 8);
  wide.tensor("b", {2}, 0, 8);
  const AlignedBytes file = wide.build();
  const auto gguf = parse_gguf(file.span());
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ(gguf->data_offset, 4096u);
  EXPECT_EQ(gguf->tensors[1].bytes.data(), file.span().data() + 8192);
}

TEST(Gguf, RefusesImpossibleTensors) {
  const auto with = [](const std::vector<uint64_t>& shape, uint32_t type, uint64_t offset) {
    GgufWriter writer;
    writer.tensor("data", {64}, 0, 256);
    writer.tensor_at("bad", shape, type, offset);
    return error_of(writer).message;
  };
  EXPECT_THAT(with({}, 0, 0), HasSubstr("1 to 4 dimensions; got 0"));
  EXPECT_THAT(with({1, 1, 1, 1, 1}, 0, 0), HasSubstr("1 to 4 dimensions; got 5"));
  EXPECT_THAT(with({4, 0}, 0, 0), HasSubstr("at least 1"));
  EXPECT_THAT(with({1ull << 40, 1ull << 40}, 0, 0), HasSubstr("64 bits"));
  EXPECT_THAT(with({1ull << 63}, 0, 0), HasSubstr("address space"));
  EXPECT_THAT(with({33}, 8, 0), HasSubstr("blocks of 32"));
  EXPECT_THAT(with({16, 2}, 8, 0), HasSubstr("whole blocks"));
  EXPECT_THAT(with({4}, 0, 4), HasSubstr("multiples of 32"));
  EXPECT_THAT(with({4}, 0, 1ull << 40), HasSubstr("inside the file"));
  EXPECT_THAT(with({4}, 0, UINT64_MAX - 31), HasSubstr("inside the file"));
  EXPECT_THAT(with({128}, 0, 0), HasSubstr("inside the file"));
  EXPECT_THAT(with({8}, 0, 32), HasSubstr("do not overlap; got 'data' and 'bad'"));
}

TEST(Gguf, RefusesDuplicatesAndUnprintableNames) {
  GgufWriter tensors, names;
  tensors.tensor("same", {2}, 0, 8);
  tensors.tensor("same", {2}, 0, 8);
  names.tensor("a\nb", {2}, 0, 8);
  EXPECT_THAT(error_of(tensors).message, HasSubstr("'same' twice"));
  EXPECT_THAT(error_of(GgufWriter().u32("k", 1).u32("k", 2)).message, HasSubstr("'k' twice"));
  EXPECT_THAT(error_of(names).message, HasSubstr("'a?b'"));
  EXPECT_THAT(error_of(GgufWriter().u32("", 1)).message, HasSubstr("printable ASCII"));
  EXPECT_THAT(error_of(GgufWriter().u32(std::string(70000, 'k'), 1)).message, HasSubstr("got 70000 bytes"));
}

}  // namespace
}  // namespace accelerate
