#include "accelerate/core/worker.h"

#include <gtest/gtest.h>

#include "accelerate/core/backend.h"

namespace accelerate {
namespace {

TEST(Worker, ABackendWithoutASourceIsRefusedByName) {
  BackendContext context;
  const auto worker = context.workers->start({.name = "torch", .argv = {"python3"}, .environment = {}}, Deadline::max());
  ASSERT_FALSE(worker);
  EXPECT_EQ(worker.error().code, ErrorCode::kUnimplemented);
  EXPECT_NE(worker.error().message.find("'torch'"), std::string::npos);
  EXPECT_EQ(context.workers->take_connected("browser"), nullptr);
  EXPECT_EQ(context.workers, &no_workers());
  context.changed();  // nobody listens; calling it is always fine
}

}  // namespace
}  // namespace accelerate
