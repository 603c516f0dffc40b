#include "accelerate/engine/stopping.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

struct Switch final : Progress {
  std::atomic<bool> on{true};
  std::atomic<int> asked{0};
  bool update(std::string_view what, uint64_t, uint64_t, std::string_view) override {
    EXPECT_EQ(what, "work");
    ++asked;
    return on;
  }
};

TEST(Stopping, TheFlagFollowsTheProgressWhileWorkGoesOn) {
  Switch progress;
  const Stopping stopping(progress, "work");
  EXPECT_FALSE(stopping.flag());
  progress.on = false;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!stopping.flag() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(stopping.flag());
}

TEST(Stopping, AStopFromTheBeginningIsSeenAtOnceAndNobodyIsAskedAfterwards) {
  Switch progress;
  progress.on = false;
  EXPECT_TRUE(Stopping(progress, "work").flag());
  const int asked = progress.asked;
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  EXPECT_EQ(progress.asked, asked);
}

TEST(StopProgress, SaysStopOnceTheFlagIsSet) {
  std::atomic<bool> stop{false};
  StopProgress progress(&stop), endless(nullptr);
  EXPECT_TRUE(progress.update("work", 0, 0, ""));
  stop = true;
  EXPECT_FALSE(progress.update("work", 0, 0, ""));
  EXPECT_TRUE(endless.update("work", 0, 0, ""));
}

}  // namespace
}  // namespace accelerate
