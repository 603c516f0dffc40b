#include "accelerate/engine/compile_wire.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(CompileWire, AnOrderComesBack) {
  const CompileOrder sent{.backend = "cpu", .device = "cpu:0", .model = "/tmp/é.gguf", .weight_bytes = 123'456'789'012,
                          .options = {.quantization = "Q4_K", .precision = Precision::kExact, .deterministic = true, .level = 3, .threads = 2, .context = 77,
                                      .kv_tokens = 1'000'000'000'000, .slots = 5, .memory_bytes = 42, .artifact_dir = "/tmp/new"},
                          .artifact = "/tmp/old/model.bin"};
  const auto message = WireMessage::decode(to_message(sent).encode());
  ASSERT_TRUE(message);
  const auto got = compile_order_of(*message);
  ASSERT_TRUE(got) << to_string(got.error());
  EXPECT_EQ(got->backend, sent.backend);
  EXPECT_EQ(got->device, sent.device);
  EXPECT_EQ(got->model, sent.model);
  EXPECT_EQ(got->weight_bytes, sent.weight_bytes);
  EXPECT_EQ(got->options.quantization, sent.options.quantization);
  EXPECT_EQ(got->options.precision, Precision::kExact);
  EXPECT_TRUE(got->options.deterministic);
  EXPECT_EQ(got->options.level, 3);
  EXPECT_EQ(got->options.threads, 2u);
  EXPECT_EQ(got->options.context, 77u);
  EXPECT_EQ(got->options.kv_tokens, sent.options.kv_tokens);
  EXPECT_EQ(got->options.slots, 5u);
  EXPECT_EQ(got->options.memory_bytes, 42u);
  EXPECT_EQ(got->options.artifact_dir, "/tmp/new");
  EXPECT_EQ(got->artifact, "/tmp/old/model.bin");
  EXPECT_FALSE(compile_order_of(to_message(CompileOrder{}))->options.quantization);
}

TEST(CompileWire, WhatIsMissingOrOutOfRangeIsRefused) {
  EXPECT_FALSE(compile_order_of(WireMessage("load")));
  WireMessage level = to_message(CompileOrder{});
  EXPECT_FALSE(compile_order_of(level.set("level", 4)));
  WireMessage threads = to_message(CompileOrder{});
  EXPECT_FALSE(compile_order_of(threads.set("threads", uint64_t{1} << 32)));
}

}  // namespace
}  // namespace accelerate
