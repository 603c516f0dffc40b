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

TEST(Channel, FilesTravelOnlyWhereTheyCan) {
  struct Plain final : Channel {
    Result<void> send(std::span<const std::byte>, Deadline) override { return {}; }
    Result<std::vector<std::byte>> receive(Deadline) override { return std::vector<std::byte>{}; }
  } channel;
  EXPECT_FALSE(channel.carries_files());
  EXPECT_EQ(channel.attach(0).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(channel.take_file(), -1);
}

}  // namespace
}  // namespace accelerate
