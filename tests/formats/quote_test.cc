#include "accelerate/formats/quote.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Quote, ShowsPrintableTextAndHidesTheRest) {
  EXPECT_EQ(in_quotes("blk.0.w"), "'blk.0.w'");
  EXPECT_EQ(in_quotes(std::string_view("a\n\x1b[0m\xc3\xa9\0z", 10)), "'a??[0m???z'");
}

TEST(Quote, CutsLongTexts) {
  const std::string shown = in_quotes(std::string(1000, 'x'));
  EXPECT_EQ(shown, "'" + std::string(kInQuotesBytesMax, 'x') + "...'");
}

TEST(Quote, NamesArePrintableAscii) {
  EXPECT_TRUE(is_printable_name("model.layers.0.weight"));
  EXPECT_FALSE(is_printable_name(""));
  EXPECT_FALSE(is_printable_name("a\tb"));
  EXPECT_FALSE(is_printable_name("\xc3\xa9"));
}

}  // namespace
}  // namespace accelerate
