#include "accelerate/engine/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/backends/cpu/cpu.h"
#include "accelerate/engine/compile_wire.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

CompileOrder order_for(const std::string& fixture) {
  return {.backend = "cpu", .device = "cpu:0", .model = fixture_path(fixture).string(), .weight_bytes = fixture_model(fixture)->weight_bytes(),
          .options = {.threads = 1, .context = 64}};
}

Result<Compiled> follow(const CompileOrder& order) {
  static std::unique_ptr<Backend> backend;  // outlives the programs
  static BackendContext context;
  return compile_order(to_message(order), {{"cpu", &make_cpu_backend}}, backend, context, no_progress());
}

TEST(CompileOrder, MakesTheProgram) {
  const auto compiled = follow(order_for("llama_f32.gguf"));
  ASSERT_TRUE(compiled) << to_string(compiled.error());
  EXPECT_EQ(static_cast<DecoderProgram&>(*compiled->program).limits().context_max, 64u);
}

TEST(CompileOrder, WhatCannotBeIsNamed) {
  CompileOrder order = order_for("llama_f32.gguf");
  order.backend = "max";
  EXPECT_THAT(follow(order).error().message, HasSubstr("no backend 'max'"));
  order = order_for("llama_f32.gguf");
  order.device = "cpu:7";
  EXPECT_THAT(follow(order).error().message, HasSubstr("none named 'cpu:7'"));
  order = order_for("llama_f32.gguf");
  ++order.weight_bytes;
  EXPECT_EQ(follow(order).error().code, ErrorCode::kFailedPrecondition);
  order = order_for("llama_f32.gguf");
  order.model = "/no/such/model.gguf";
  EXPECT_EQ(follow(order).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace accelerate
