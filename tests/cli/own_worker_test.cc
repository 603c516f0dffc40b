#include "accelerate/cli/own_worker.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(OwnWorker, HasTheBackendsOfThisBinary) {
  const auto backends = own_backends();
  EXPECT_TRUE(std::any_of(backends.begin(), backends.end(), [](const BackendFactory& factory) { return factory.name == "cpu"; }));
  EXPECT_EQ(own_worker_argv().back(), "worker");
}

TEST(OwnWorkerDeathTest, WithoutASocketItIsRefusedWithAWordOfHelp) {
  EXPECT_EXIT(std::_Exit((::close(3), run_own_worker())), ::testing::ExitedWithCode(error_code_traits(ErrorCode::kFailedPrecondition).exit_code),
              "run --isolate");
}

}  // namespace
}  // namespace accelerate
