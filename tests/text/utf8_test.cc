#include "accelerate/text/utf8.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

const std::string kBad = "\xEF\xBF\xBD";

// Right sides as Python 3.11's bytes.decode(errors="replace") gives them.
const std::vector<std::pair<std::string, std::string>> kRepairs = {
    {"", ""},
    {"plain", "plain"},
    {"\xE4\xBD\xA0!", "\xE4\xBD\xA0!"},
    {"\x80", kBad},
    {"\xC0\x80", kBad + kBad},
    {"\xC1\xBF", kBad + kBad},
    {"\xC3", kBad},
    {"\xC3(", kBad + "("},
    {"\xE2\x82", kBad},
    {"\xE2\x82(", kBad + "("},
    {"\xE0\x80\x80", kBad + kBad + kBad},
    {"\xED\xA0\x80", kBad + kBad + kBad},
    {"\xF0\x9F\x98", kBad},
    {"\xF0\x9F\x98x", kBad + "x"},
    {"\xF0\x80\x80\x80", kBad + kBad + kBad + kBad},
    {"\xF4\x90\x80\x80", kBad + kBad + kBad + kBad},
    {"\xF5\x80", kBad + kBad},
    {"a\xF0\x9F\x98\x80" "b\xFF" "c", "a\xF0\x9F\x98\x80" "b" + kBad + "c"},
    {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
    {"\xEF\xBF\xBF", "\xEF\xBF\xBF"},
};

TEST(Utf8, RepairsAsPythonDoes) {
  for (const auto& [bytes, text] : kRepairs) {
    EXPECT_EQ(utf8_repair(bytes), text) << ::testing::PrintToString(bytes);
    EXPECT_EQ(utf8_is_valid(bytes), bytes == text) << ::testing::PrintToString(bytes);
  }
}

TEST(Utf8, ValidPrefixEndsBeforeTheFirstIllFormedByte) {
  EXPECT_EQ(utf8_valid_prefix("0123456789\xC3"), 10u);
  EXPECT_EQ(utf8_valid_prefix("0123456\xC3\xA9 89abcdefgh\x80 more text here"), 20u);
  EXPECT_EQ(utf8_valid_prefix("\xED\xA0\x80"), 0u);
}

TEST(Utf8, AnySplitGivesTheSameText) {
  std::mt19937 random(1);
  const std::vector<std::string> parts = {"a", "\xC3\xA9", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "\x80", "\xC3", "\xE2\x82", "\xF0\x9F", "\xFF", "\xED\xA0\x80"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) bytes += parts[random() % parts.size()];
    Utf8Assembler assembler;
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = 1 + random() % 4;
      const std::string piece = assembler.push(std::string_view(bytes).substr(at, size));
      EXPECT_TRUE(utf8_is_valid(piece));
      text += piece;
      at += size;
    }
    text += assembler.finish();
    ASSERT_EQ(text, utf8_repair(bytes)) << ::testing::PrintToString(bytes);
  }
}

TEST(Utf8, HoldsBackOnlyAnOpenCharacter) {
  Utf8Assembler assembler;
  EXPECT_EQ(assembler.push("ab\xF0\x9F"), "ab");
  EXPECT_EQ(assembler.push("\x98"), "");
  EXPECT_EQ(assembler.push("\x80!"), "\xF0\x9F\x98\x80!");
  EXPECT_EQ(assembler.push("\xE4"), "");
  EXPECT_EQ(assembler.finish(), kBad);
  EXPECT_EQ(assembler.finish(), "");
}

TEST(Utf8, CharacterBytes) {
  EXPECT_EQ(utf8_character_bytes("a"), 1u);
  EXPECT_EQ(utf8_character_bytes("\xC3\xA9"), 2u);
  EXPECT_EQ(utf8_character_bytes("\xE4\xBD\xA0"), 3u);
  EXPECT_EQ(utf8_character_bytes("\xF0\x9F\x98\x80"), 4u);
}

}  // namespace
}  // namespace accelerate
