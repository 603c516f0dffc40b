#include "accelerate/host/host_program.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/host/harness.h"

namespace accelerate {
namespace {

HostBuild build_of(std::shared_ptr<const Model> model) {
  return {.model = std::move(model), .kernels = &native_kernels(Isa::kPortable), .threads = std::make_shared<ThreadPool>(ThreadPool::Options{.threads = 2, .pin = false}),
          .options = {}, .machine = {.threads = 9, .memory_bytes = uint64_t{1} << 30}, .kernel_notes = "activations bf16"};
}

TEST(HostProgram, TheOutputDecidesTheKindAndTheReportSaysWhatWasDone) {
  std::vector<std::string> report;
  const auto decoder = build_host_program(build_of(tiny::llama({})), no_progress(), report);
  ASSERT_TRUE(decoder.ok());
  EXPECT_EQ((*decoder)->kind(), ProgramKind::kDecoder);
  EXPECT_EQ((*decoder)->notes()[0], "activations bf16");
  EXPECT_EQ((*decoder)->notes()[1], "KV f16");
  ASSERT_EQ(report.size(), 2u);
  EXPECT_NE(report[0].find("with 2 threads"), std::string::npos) << report[0];  // the pool's count rules
  const auto encoder = build_host_program(build_of(tiny::bert({})), no_progress(), report);
  ASSERT_TRUE(encoder.ok());
  EXPECT_EQ((*encoder)->kind(), ProgramKind::kEncoder);
}

TEST(HostProgram, ErrorsComeBack) {
  std::vector<std::string> report;
  EXPECT_EQ(build_host_program(build_of(std::make_shared<Model>()), no_progress(), report).error().code, ErrorCode::kFailedPrecondition);
  HostBuild build = build_of(tiny::llama({}));
  build.options.context = 257;
  EXPECT_EQ(build_host_program(build, no_progress(), report).error().code, ErrorCode::kOutOfRange);
  auto broken = std::make_shared<Model>(*tiny::llama({}));
  broken->tensors.clear();
  EXPECT_EQ(build_host_program(build_of(broken), no_progress(), report).error().code, ErrorCode::kDataLoss);
  const auto source = tiny::bert({});
  auto cacheless = std::make_shared<Model>(*source);  // a decoder needs a cache
  auto graph = std::make_shared<Graph>(*source->graph);
  Output& output = std::get<Output>(graph->ops.back());
  output.kind = Output::Kind::kLogits;
  output.head = std::get<TokenEmbedding>(graph->ops.front()).table;
  graph->vocabulary = 70;
  cacheless->graph = graph;
  EXPECT_EQ(build_host_program(build_of(cacheless), no_progress(), report).error().code, ErrorCode::kUnimplemented);
}

TEST(HostProgram, SeveralProgramsShareAPool) {
  HostBuild build = build_of(tiny::llama({.seed = 1}));
  std::vector<std::string> report;
  const auto first = build_host_program(build, no_progress(), report);
  const auto other_model = tiny::llama({.seed = 2});
  build.model = other_model;
  const auto second = build_host_program(build, no_progress(), report);
  ASSERT_TRUE(first.ok() && second.ok());
  const auto tokens = tiny::random_tokens(40, 70, 1);
  std::vector<std::thread> users;
  for (Program* program : {first->get(), second->get()}) {
    users.emplace_back([program, &tokens] {
      auto& decoder = static_cast<DecoderProgram&>(*program);
      for (int round = 0; round < 20; ++round) {
        const Slot slot = harness::open(decoder);
        EXPECT_EQ(harness::feed(decoder, slot, tokens, Want::kLast).size(), 1u);
        decoder.close(slot);
      }
    });
  }
  for (std::thread& user : users) user.join();
}

}  // namespace
}  // namespace accelerate
