#include "accelerate/cli/progress.h"

#include <algorithm>
#include <csignal>

#include "accelerate/cli/signals.h"
#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;

class ProgressTest : public ::testing::Test {
 protected:
  std::istringstream in_;
  std::ostringstream out_, err_;
  Streams streams_{.in = in_, .out = out_, .err = err_};
  Console console_{streams_};
  int lines() const {
    const std::string text = err_.str();
    return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }
};

TEST_F(ProgressTest, WithoutATerminalOneLineForTenPercent) {
  {
    ProgressLine progress(console_, 0ms);
    for (uint64_t done = 0; done <= 1000; ++done) EXPECT_TRUE(progress.update("fetching x", done, 1000, "bytes"));
  }
  EXPECT_EQ(lines(), 10) << err_.str();
  EXPECT_TRUE(holds(err_.str(), "fetching x: 50 % (500 B of 1.0 kB)\n")) << err_.str();
  EXPECT_EQ(out_.str(), "") << "never on stdout";
}

TEST_F(ProgressTest, OnATerminalABarThatIsWiped) {
  streams_.err_is_terminal = true;
  {
    ProgressLine progress(console_, 0ms);
    progress.update("fetching x", 500, 1000, "bytes");
    EXPECT_TRUE(holds(err_.str(), "[############------------]  50 %")) << err_.str();
  }
  EXPECT_TRUE(err_.str().ends_with("\r\x1b[K"));
  EXPECT_EQ(lines(), 0);
}

TEST_F(ProgressTest, ShortStagesLeaveNoTrace) {
  {
    ProgressLine progress(console_, 10s);
    progress.update("packing", 1, 2, "tensors");
  }
  EXPECT_EQ(err_.str(), "");
}

TEST_F(ProgressTest, UnknownTotalsAndOvershootAreHarmless) {
  ProgressLine progress(console_, 0ms);
  progress.update("waiting", 0, 0, "bytes");
  progress.update("waiting", 0, 0, "bytes");
  EXPECT_EQ(err_.str(), "waiting ...\n");
  progress.update("fetching", 20, 10, "bytes");
}

TEST_F(ProgressTest, ASignalAsksForAStop) {
  const SignalScope scope;
  ProgressLine progress(console_);
  EXPECT_TRUE(progress.update("x", 0, 1, "bytes"));
  std::raise(SIGINT);
  EXPECT_FALSE(progress.update("x", 0, 1, "bytes"));
}

}  // namespace
}  // namespace accelerate
