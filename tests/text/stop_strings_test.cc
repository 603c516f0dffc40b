#include "accelerate/text/stop_strings.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "accelerate/core/request.h"
#include "accelerate/text/limits.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

struct Found {
  std::string text;
  std::optional<size_t> matched;
};

// The definition, said plainly: the shortest prefix of the text that ends with a stop string; of those, the longest.
Found naive(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<size_t> best;
    for (size_t i = 0; i < stops.size(); ++i) {
      if (!text.substr(0, end).ends_with(stops[i])) continue;
      if (!best || stops[i].size() > stops[*best].size()) best = i;
    }
    if (best) return {text.substr(0, end - stops[*best].size()), best};
  }
  return {text, std::nullopt};
}

Found in_pieces(const std::string& text, const std::vector<std::string>& stops, std::mt19937& random) {
  Result<StopMatcher> matcher = StopMatcher::create(stops);
  Found found;
  for (size_t at = 0; at < text.size();) {
    const size_t size = 1 + random() % 5;
    const StopMatcher::Step step = matcher->push(std::string_view(text).substr(at, size));
    found.text += step.text;
    if (step.matched) {
      found.matched = step.matched;
      return found;
    }
    at += size;
  }
  found.text += matcher->finish();
  return found;
}

TEST(StopMatcher, EqualsNaiveSearchOverRandomSplits) {
  std::mt19937 random(7);
  int matches = 0;
  for (int round = 0; round < 20000; ++round) {
    const auto word = [&](size_t longest) {
      std::string result;
      for (size_t i = 1 + random() % longest; i > 0; --i) result += static_cast<char>('a' + random() % 2);
      return result;
    };
    std::vector<std::string> stops;
    for (size_t i = random() % (kStopStringsMax + 1); i > 0; --i) stops.push_back(word(6));
    const std::string text = word(24);
    const Found expected = naive(text, stops), got = in_pieces(text, stops, random);
    ASSERT_EQ(got.text, expected.text) << text;
    ASSERT_EQ(got.matched.has_value(), expected.matched.has_value()) << text;
    if (got.matched) {
      ASSERT_EQ(stops[*got.matched], stops[*expected.matched]);
      ++matches;
    }
  }
  EXPECT_GT(matches, 5000);  // the comparison saw both outcomes
  EXPECT_LT(matches, 19000);
}

TEST(StopMatcher, HoldsBackOnlyWhatCouldBecomeAStop) {
  Result<StopMatcher> stop = StopMatcher::create({"\nUser:", "###"});
  EXPECT_EQ(stop->push(" and so\nUs").text, " and so");
  EXPECT_EQ(stop->push("ual").text, "\nUsual");
  EXPECT_EQ(stop->push(" ##").text, " ");
  EXPECT_EQ(stop->push("# tail").matched, std::optional<size_t>(1));
}

TEST(StopMatcher, TextAfterTheMatchNeverComesOut) {
  Result<StopMatcher> stop = StopMatcher::create({"END"});
  const StopMatcher::Step step = stop->push("one END two");
  EXPECT_EQ(step.text, "one ");
  EXPECT_EQ(step.matched, std::optional<size_t>(0));
}

TEST(StopMatcher, FinishGivesWhatWasHeld) {
  Result<StopMatcher> stop = StopMatcher::create({"abc"});
  EXPECT_EQ(stop->push("xab").text, "x");
  EXPECT_EQ(stop->finish(), "ab");
  EXPECT_EQ(stop->push("c").text, "c");  // a fresh start: "ab" was given out
}

TEST(StopMatcher, CutsAtCharacterBorders) {
  Result<StopMatcher> stop = StopMatcher::create({"\xE4\xBD\xA0\xE5\xA5\xBD"});
  const StopMatcher::Step step = stop->push("a\xE4\xBD\xA0");
  EXPECT_EQ(step.text, "a");
  const StopMatcher::Step next = stop->push("\xE4\xBD\xA1");  // shares two bytes with the stop's beginning
  EXPECT_TRUE(utf8_is_valid(next.text));
  EXPECT_EQ(next.text, "\xE4\xBD\xA0\xE4\xBD\xA1");
}

TEST(StopMatcher, RefusesWhatItsLimitsName) {
  const auto code = [](std::vector<std::string> stops) { return StopMatcher::create(std::move(stops)).error().code; };
  EXPECT_EQ(code({""}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({"\xFF"}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({std::string(limits::kStopStringBytesMax + 1, 'x')}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(std::vector<std::string>(kStopStringsMax + 1, "x")), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(StopMatcher::create({std::string(limits::kStopStringBytesMax, 'x')}).ok());
}

}  // namespace
}  // namespace accelerate
