#include "accelerate/formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/gguf_writer.h"

namespace accelerate {
namespace {

using testing::AlignedBytes;
using testing::GgufWriter;
using ::testing::HasSubstr;

/// Header, padded to a multiple of 8 as writers do, and `data` zero bytes.
std::string file_of(std::string header, size_t data) {
  while (header.size() % 8 != 0) header += ' ';
  return GgufWriter::raw<uint64_t>(header.size()) + header + std::string(data, '\0');
}

std::string error_of(const std::string& text) {
  const AlignedBytes file(text);
  const auto parsed = parse_safetensors(file.span());
  if (parsed) return "the file was accepted";
  EXPECT_TRUE(parsed.error().message.starts_with("[safetensors]") || parsed.error().message.starts_with("[core]")) << parsed.error().message;
  return parsed.error().message;
}
std::string error_of(const std::string& header, size_t data) { return error_of(file_of(header, data)); }

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, uint64_t begin, uint64_t end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" + std::to_string(begin) + "," +
         std::to_string(end) + "]}";
}

const std::string kGood = "{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "F32", "[2,3]", 8, 32) + "," + entry("a", "BF16", "[4]", 0, 8) + "," +
                          entry("c", "I64", "[]", 32, 40) + "}";

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirBytes) {
  const AlignedBytes file(file_of(kGood, 40));
  const auto parsed = parse_safetensors(file.span());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->metadata.at("format"), "pt");
  ASSERT_EQ(parsed->tensors.size(), 3u);
  EXPECT_EQ(parsed->tensors[0].name, "a");
  EXPECT_EQ(to_string(parsed->tensors[1]), "[2, 3] F32");
  EXPECT_EQ(parsed->tensors[1].bytes.data(), parsed->tensors[0].bytes.data() + 8);
  EXPECT_TRUE(parsed->tensors[2].shape.empty());
}

TEST(Safetensors, ReadsEverySupportedTypeAndRefusesOthersByName) {
  const std::pair<const char*, DType> types[] = {{"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"F64", DType::kF64},
                                                 {"I64", DType::kI64}, {"I32", DType::kI32}, {"I16", DType::kI16}, {"I8", DType::kI8},
                                                 {"U8", DType::kU8}, {"BOOL", DType::kBool}};
  for (const auto& [name, dtype] : types) {
    const size_t size = 3 * dtype_traits(dtype).block_bytes;
    const AlignedBytes file(file_of("{" + entry("t", name, "[3]", 0, size) + "}", size));
    const auto parsed = parse_safetensors(file.span());
    ASSERT_TRUE(parsed.ok()) << name << parsed.error().message;
    EXPECT_EQ(parsed->tensors[0].dtype, dtype);
  }
  EXPECT_THAT(error_of("{" + entry("layer.w", "F8_E4M3", "[3]", 0, 3) + "}", 3), HasSubstr("got 'F8_E4M3' in 'layer.w'"));
}

TEST(Safetensors, EveryPrefixIsAnErrorAndNoBitFlipIsHarmful) {
  const std::string text = file_of(kGood, 40);
  for (size_t size = 0; size < text.size(); ++size) EXPECT_NE(error_of(text.substr(0, size)), "the file was accepted") << size;
  AlignedBytes file(text);
  for (size_t at = 0; at < text.size() - 40; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      file.data()[at] ^= std::byte{1} << bit;
      if (const auto parsed = parse_safetensors(file.span())) {
        for (const TensorView& tensor : parsed->tensors) EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), file.data() + file.size());
      }
      file.data()[at] ^= std::byte{1} << bit;
    }
  }
}

TEST(Safetensors, ChecksTheHeadersLengthFirst) {
  EXPECT_THAT(error_of(GgufWriter::raw<uint64_t>(UINT64_MAX) + "{}"), HasSubstr("at most 100000000 bytes"));
  EXPECT_THAT(error_of(GgufWriter::raw<uint64_t>(100) + "{}"), HasSubstr("with 2 bytes left"));
  EXPECT_THAT(error_of("short"), HasSubstr("got 5 bytes"));
  EXPECT_THAT(error_of(file_of("[]", 0)), HasSubstr("begins with '{'"));
  EXPECT_THAT(error_of(file_of("{", 0)), HasSubstr("valid JSON"));
  EXPECT_THAT(error_of(file_of("{\"a\xff\":{}}", 0)), HasSubstr("valid JSON in UTF-8"));
}

TEST(Safetensors, RefusesGapsOverlapsAndWrongSizes) {
  EXPECT_THAT(error_of("{" + entry("a", "F32", "[1]", 4, 8) + "}", 8), HasSubstr("follow each other"));
  EXPECT_THAT(error_of("{" + entry("a", "F32", "[2]", 0, 8) + "," + entry("b", "F32", "[2]", 4, 12) + "}", 12), HasSubstr("follow each other"));
  EXPECT_THAT(error_of("{" + entry("a", "F32", "[1]", 4, 0) + "}", 4), HasSubstr("follow each other"));
  EXPECT_THAT(error_of("{" + entry("a", "F32", "[4]", 0, 16) + "}", 8), HasSubstr("follow each other"));
  EXPECT_THAT(error_of("{" + entry("a", "F32", "[1]", 0, 4) + "}", 8), HasSubstr("describes the whole file; got 4 bytes of 8"));
  EXPECT_THAT(error_of("{" + entry("a", "F32", "[3]", 0, 8) + "}", 8), HasSubstr("takes 12 bytes; got 8 in 'a'"));
  EXPECT_THAT(error_of("{" + entry("a", "F32", "[4294967296,4294967296,4294967296]", 0, 8) + "}", 8), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{" + entry("a", "U8", "[1]", 0, 1) + "," + entry("b", "F32", "[1]", 1, 5) + "}", 5), HasSubstr("multiples of"));
}

TEST(Safetensors, RefusesHeadersOfAnotherForm) {
  const char* bad[] = {
      "{\"a\":null}", "{\"a\":true}", "{\"a\":1}", "{\"a\":\"x\"}", "{\"a\":[]}", "{\"a\":{}}", "{\"a\":{\"dtype\":\"F32\"}}",
      "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]],\"data_offsets\":[0,4]}}", "{\"a\":{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[0,4]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}",
      "{\"a\":{\"dtype\":[\"F32\"],\"shape\":[1],\"data_offsets\":[0,4]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
      "{\"__metadata__\":{\"k\":1}}", "{\"__metadata__\":{\"k\":{\"deep\":\"x\"}}}", "{\"__metadata__\":{},\"__metadata__\":{}}", "{\"\":{}}",
  };
  for (const char* header : bad) EXPECT_NE(error_of(header, 4), "the file was accepted") << header;
  const std::string twice = "{" + entry("a", "F32", "[1]", 0, 4) + "," + entry("a", "F32", "[1]", 4, 8) + "}";
  EXPECT_THAT(error_of(twice, 8), HasSubstr("once"));
  EXPECT_THAT(error_of("{\"a\":" + std::string(100000, '['), 0), HasSubstr("lists of numbers"));
}

TEST(Safetensors, ReadsAnIndexOfPlainFileNames) {
  const auto index = parse_safetensors_index("{\"metadata\":{\"total_size\":8},\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
  ASSERT_TRUE(index.ok()) << index.error().message;
  EXPECT_EQ(index->at("b"), "two.safetensors");
  for (const char* bad : {"{}", "[]", "{\"weight_map\":{}}", "{\"weight_map\":[]}", "{\"weight_map\":{\"a\":1}}", "{\"weight_map\":{\"a\":\"../x\"}}",
                          "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "{\"weight_map\":{\"a\":\"..\"}}", "{\"weight_map\":{\"a\":\"\"}}", "{"}) {
    EXPECT_FALSE(parse_safetensors_index(bad).ok()) << bad;
  }
  std::string many = "{\"weight_map\":{";
  for (size_t i = 0; i <= kSafetensorsShardsMax; ++i) many += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"" + std::to_string(i) + ".st\"";
  EXPECT_THAT(parse_safetensors_index(many + "}}").error().message, HasSubstr("at most 1024 shards"));
}

}  // namespace
}  // namespace accelerate
