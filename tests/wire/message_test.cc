#include "accelerate/wire/message.h"

#include <cstring>
#include <numeric>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

std::vector<std::byte> bytes_of(std::string_view json, std::string_view blobs = "") {
  const auto size = static_cast<uint32_t>(json.size());
  std::vector<std::byte> bytes(4 + json.size() + blobs.size());
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, json.data(), json.size());
  std::memcpy(bytes.data() + 4 + json.size(), blobs.data(), blobs.size());
  return bytes;
}

TEST(WireMessage, ComesBackAsItWas) {
  const std::vector<uint32_t> tokens = {1, 2, 4'000'000'000};
  const std::vector<uint64_t> sizes = {0, UINT64_MAX};
  WireMessage sent("step");
  sent.set("n", 3).set_text("what", "\xc3\xa9").set_flag("more", true).set_texts("names", {"a", "b"}).set_numbers("sizes", sizes);
  sent.add_blob(std::as_bytes(std::span(tokens))).add_blob({});
  const auto got = WireMessage::decode(sent.encode());
  ASSERT_TRUE(got) << to_string(got.error());
  EXPECT_EQ(got->type(), "step");
  EXPECT_EQ(*got->number("n"), 3u);
  EXPECT_EQ(*got->text("what"), "\xc3\xa9");
  EXPECT_TRUE(*got->flag("more"));
  EXPECT_EQ(*got->texts("names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(*got->numbers("sizes"), sizes);
  ASSERT_EQ(got->blob_count(), 2u);
  EXPECT_EQ(*got->blob_u32(0), tokens);
  EXPECT_TRUE(got->blob(1)->empty());
  EXPECT_EQ(WireMessage::decode(got->encode())->blob_u32(0).value(), tokens) << "what was decoded encodes again";
}

TEST(WireMessage, WhatIsNotThereOrOfAnotherTypeIsAnError) {
  const auto message = WireMessage::decode(bytes_of(R"({"type":"t","n":-1,"x":1.5,"s":7,"l":[1,"a"]})"));
  ASSERT_TRUE(message);
  for (const char* key : {"n", "x", "l", "none"}) EXPECT_EQ(message->number(key).error().code, ErrorCode::kDataLoss) << key;
  EXPECT_FALSE(message->number("s", 6)) << "beyond the caller's limit";
  EXPECT_FALSE(message->text("s"));
  EXPECT_FALSE(message->flag("s"));
  EXPECT_FALSE(message->texts("l"));
  EXPECT_FALSE(message->numbers("l"));
  EXPECT_FALSE(message->blob(0));
  EXPECT_FALSE(message->has("none"));
}

TEST(WireMessage, BrokenBytesAreRefused) {
  EXPECT_FALSE(WireMessage::decode({}));
  EXPECT_FALSE(WireMessage::decode(std::vector<std::byte>(3)));
  EXPECT_FALSE(WireMessage::decode(std::vector<std::byte>(8, std::byte{0xff}))) << "a JSON of 4 GiB";
  EXPECT_FALSE(WireMessage::decode(bytes_of("[]")));
  EXPECT_FALSE(WireMessage::decode(bytes_of("{}")));
  EXPECT_FALSE(WireMessage::decode(bytes_of(R"({"type":3})")));
  EXPECT_FALSE(WireMessage::decode(bytes_of(R"({"type":"t")")));
  EXPECT_FALSE(WireMessage::decode(bytes_of(R"({"type":"t"})", "x"))) << "bytes that nobody announced";
  EXPECT_FALSE(WireMessage::decode(bytes_of(R"({"type":"t","blobs":[2]})", "x")));
  EXPECT_FALSE(WireMessage::decode(bytes_of(R"({"type":"t","blobs":[-1]})", "x")));
  EXPECT_FALSE(WireMessage::decode(bytes_of(R"({"type":"t","blobs":[18446744073709551615,2]})", "x")));
  EXPECT_FALSE(WireMessage::decode(bytes_of(R"({"type":"t","blobs":7})")));
  const auto odd = WireMessage::decode(bytes_of(R"({"type":"t","blobs":[1]})", "x"));
  ASSERT_TRUE(odd);
  EXPECT_FALSE(odd->blob_u32(0)) << "no whole number of values";
  EXPECT_FALSE(odd->blob_f32(0));
}

TEST(WireMessage, AnErrorComesBack) {
  const auto got = WireMessage::decode(to_message({ErrorCode::kOutOfRange, "[x] too long"}).encode());
  ASSERT_TRUE(got);
  EXPECT_EQ(error_of(*got).code, ErrorCode::kOutOfRange);
  EXPECT_EQ(error_of(*got).message, "[x] too long");
  EXPECT_EQ(error_of(WireMessage("error")).code, ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace accelerate
