#include "accelerate/cli/console.h"

#include <limits>

#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

TEST(Console, TablesPadByCharactersNotBytes) {
  EXPECT_EQ(format_table({{"A", "B"}, {"äöü", "x"}, {"longer", "y"}}), "A       B\näöü     x\nlonger  y\n");
  EXPECT_EQ(format_table({{"a", ""}}), "a\n") << "no spaces at line ends";
}

TEST(Console, SizesAndCounts) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(92'871'040), "92.9 MB");
  EXPECT_EQ(format_bytes(999'999), "1.0 MB") << "never 1000.0 kB";
  EXPECT_EQ(format_count(134'515'008), "134.5 M");
  EXPECT_EQ(format_count(12), "12");
  EXPECT_EQ(format_number(1.25), "1.2");
  EXPECT_EQ(format_number(std::numeric_limits<double>::quiet_NaN()), "unavailable");
}

TEST(Console, PrintableCutsAtCharactersAndDropsControls) {
  EXPECT_EQ(printable("a\x1b[0m\nb"), "a?[0m?b");
  EXPECT_EQ(printable("ääää", 3), "ä...") << "3 bytes would split the second";
}

TEST(Console, ReadAllStopsAtItsLimit) {
  std::istringstream small("abc"), large(std::string(50'000, 'x'));
  EXPECT_EQ(*read_all(small, 3), "abc");
  const Result<std::string> refused = read_all(large, 1000);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
}

TEST(Console, RemembersALostOutput) {
  std::istringstream in;
  std::ostringstream out, err;
  Streams streams{.in = in, .out = out, .err = err};
  Console console(streams);
  EXPECT_TRUE(console.put("x"));
  out.setstate(std::ios::badbit);
  EXPECT_FALSE(console.put("y"));
  out.clear();
  EXPECT_FALSE(console.put("z")) << "half an answer never goes on";
  EXPECT_EQ(out.str(), "x");
}

}  // namespace
}  // namespace accelerate
