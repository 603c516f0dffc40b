// Memory: what a model takes is known before it is loaded, kept to a budget, and given back.
//
// IPFS_ACCELERATE_LOADS says how often a model is loaded and unloaded (10; bench/results has 100).

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "accelerate/backends/registry.h"
#include "accelerate/base/cpu.h"
#include "accelerate/engine/engine.h"
#include "tests/conformance/harness.h"
#include "tests/real_models.h"

namespace accelerate::conformance {
namespace {

constexpr uint32_t kContext = 128;
uint32_t kv_tokens() { return is_portable() ? 2 * kContext : 16 * kContext; }  // plain kernels fill 50 tokens a second

std::unique_ptr<Engine> engine_of(uint64_t memory_bytes = 0) {
  EngineOptions options{.backends = {}, .memory_bytes = memory_bytes};
  for (const BackendEntry& entry : backend_registry()) options.backends.push_back({std::string(entry.name), entry.make});
  auto engine = Engine::create(options);
  if (!engine) throw std::runtime_error(to_string(engine.error()));
  return *std::move(engine);
}

OpenOptions options_of() {
  OpenOptions options;
  options.compile.context = kContext;
  options.compile.kv_tokens = kv_tokens();
  options.parity = ParityMode::kOff;  // the reference is loaded and gone before: no part of what is measured here
  return options;
}

// Answers until every page of the KV has been written.
void fill_kv(Endpoint& endpoint, const CompileOptions& compile) {
  std::vector<std::shared_ptr<Stream>> streams;
  for (uint32_t i = 0; i < compile.kv_tokens / compile.context + 1; ++i) {
    std::vector<uint32_t> tokens(compile.context - 1);
    for (uint32_t t = 0; t < tokens.size(); ++t) tokens[t] = 100 + (i * 131 + t * 7) % 1000;
    auto stream = endpoint.generate({.messages = {}, .text = {}, .tokens = tokens, .max_tokens = 1, .stop = {}});
    ASSERT_TRUE(stream) << to_string(stream.error());
    streams.push_back(*stream);
  }
  for (const auto& stream : streams) {
    while (!stream->done()) stream->next();
    ASSERT_TRUE(stream->result()) << to_string(stream->result().error());
  }
}

// As many and as long texts as an encoder takes at once.
void fill_batch(Endpoint& endpoint) {
  std::vector<EmbedInput> inputs;
  for (uint32_t i = 0; i < 32; ++i) {
    std::vector<uint32_t> tokens(endpoint.info().context - 2);
    for (uint32_t t = 0; t < tokens.size(); ++t) tokens[t] = 1000 + (i * 131 + t * 7) % 1000;
    inputs.emplace_back(std::move(tokens));
  }
  const auto reply = endpoint.embed(inputs);
  ASSERT_TRUE(reply) << to_string(reply.error());
}

void fill(Endpoint& endpoint, const CompileOptions& compile) {
  if (endpoint.info().kind == ProgramKind::kDecoder) fill_kv(endpoint, compile);
  else fill_batch(endpoint);
}

class Memory : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path file = testing::real_model(testing::kSmolLM2File);
    if (!std::filesystem::exists(file)) GTEST_SKIP() << testing::real_model_absent(file);
    path_ = file.string();
  }
  std::string path_;
};

struct MemoryCase {
  std::string name, file;
  CompileOptions compile{};
};

class MemoryEstimate : public ::testing::TestWithParam<MemoryCase> {};

TEST_P(MemoryEstimate, IsWhatTheModelTakesThen) {
  const MemoryCase& one = GetParam();
  const std::filesystem::path file = testing::real_model(one.file);
  if (!std::filesystem::exists(file)) GTEST_SKIP() << testing::real_model_absent(file);
  OpenOptions options = options_of();
  if (one.compile.context != 0) options.compile.context = one.compile.context;
  if (one.compile.kv_tokens != 0 && !is_portable()) options.compile.kv_tokens = one.compile.kv_tokens;
  options.compile.precision = one.compile.precision;
  options.compile.quantization = one.compile.quantization;
  const auto engine = engine_of();
  { // what a first load leaves behind once (allocator, tables, threads) is nobody's estimate
    const auto warm = engine->open(file.string(), options, no_progress());
    ASSERT_TRUE(warm) << to_string(warm.error());
    fill(**warm, options.compile);
    ASSERT_TRUE(engine->close((*warm)->info().name));
  }
  const auto description = engine->describe(file.string(), options);
  ASSERT_TRUE(description) << to_string(description.error());
  const double estimate = static_cast<double>(description->memory_weights_bytes + description->memory_kv_bytes + description->memory_buffers_bytes);
  const uint64_t before = resident_bytes();
  const auto endpoint = engine->open(file.string(), options, no_progress());
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  fill(**endpoint, options.compile);
  const double resident = static_cast<double>(resident_bytes() - before);
  std::printf("  %s: %.1f MiB estimated, %.1f MiB resident when full (%+.1f %%)\n", one.name.c_str(), estimate / 1048576, resident / 1048576,
              100 * (resident / estimate - 1));
  EXPECT_NEAR(resident / estimate, 1, 0.1);
}

std::vector<MemoryCase> cases() {
  std::vector<MemoryCase> all = {{"smollm2", testing::kSmolLM2File}};
  if (is_portable()) return all;  // the same sizes, 30 times as slow to fill
  all.push_back({"smollm2_exact", testing::kSmolLM2File, {.precision = Precision::kExact}});
  all.push_back({"smollm2_q8_0", testing::kSmolLM2File, {.quantization = "Q8_0"}});
  all.push_back({"smollm2_long", testing::kSmolLM2File, {.context = 512, .kv_tokens = 4096}});
  all.push_back({"gemma3", testing::kGemma3File});
  all.push_back({"minilm", testing::kMiniLMFolder});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Cases, MemoryEstimate, ::testing::ValuesIn(cases()), [](const auto& info) { return info.param.name; });

TEST_F(Memory, ComesBack) {
  const char* asked = std::getenv("IPFS_ACCELERATE_LOADS");
  const int loads = asked != nullptr ? std::atoi(asked) : 10;
  const auto engine = engine_of();
  // The first load of all is not counted: what it leaves once (allocator, tables, threads) differs from run to run by 4 MiB. One look
  // at resident memory catches what a thread is about to give back, so each side is the median of three loads.
  std::vector<uint64_t> begin, end;
  for (int i = -1; i < loads + 3; ++i) {
    const auto endpoint = engine->open(path_, options_of(), no_progress());
    ASSERT_TRUE(endpoint) << to_string(endpoint.error());
    if (i < 3 || i >= loads) fill_kv(**endpoint, options_of().compile);
    if (i >= 0 && i < 3) begin.push_back(resident_bytes());
    if (i >= loads) end.push_back(resident_bytes());
    ASSERT_TRUE(engine->close((*endpoint)->info().name));
  }
  std::sort(begin.begin(), begin.end());
  std::sort(end.begin(), end.end());
  const uint64_t first = begin[1], last = end[1];
  std::printf("  smollm2: %.1f MiB resident with a load, %.1f with the %dth after it (%+.2f %%)\n", static_cast<double>(first) / 1048576,
              static_cast<double>(last) / 1048576, loads, 100 * (static_cast<double>(last) / static_cast<double>(first) - 1));
  EXPECT_NEAR(static_cast<double>(last) / static_cast<double>(first), 1, 0.02);
}

TEST_F(Memory, ABudgetIsForAllModelsTogether) {
  const auto without = engine_of();
  const auto description = without->describe(path_, options_of());
  ASSERT_TRUE(description) << to_string(description.error());
  const uint64_t one = description->memory_weights_bytes + description->memory_kv_bytes + description->memory_buffers_bytes;
  const auto engine = engine_of(one + one / 2);
  OpenOptions options = options_of();
  options.name = "first";
  ASSERT_TRUE(engine->open(path_, options, no_progress()));
  EXPECT_LT(engine->memory_left(), one);
  options.name = "second";
  const auto second = engine->open(path_, options, no_progress());
  ASSERT_FALSE(second) << "it has no room";
  EXPECT_EQ(second.error().code, ErrorCode::kResourceExhausted) << to_string(second.error());
  ASSERT_TRUE(engine->close("first"));
  EXPECT_TRUE(engine->open(path_, options, no_progress())) << "now it has";
}

}  // namespace
}  // namespace accelerate::conformance
