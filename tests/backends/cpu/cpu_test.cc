#include "accelerate/backends/cpu/cpu.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "accelerate/base/cpu.h"
#include "tests/host/harness.h"

namespace accelerate {
namespace {

const Device kCpu{.kind = "cpu"};

std::unique_ptr<Backend> make(BackendContext context = {.threads = 2, .memory_bytes = uint64_t{2} << 30}) { return make_cpu_backend(context); }

TEST(CpuBackend, ProbesWhatItRan) {
  auto backend = make();
  EXPECT_EQ(backend->about().name, "cpu");
  const auto verdicts = backend->probe(std::chrono::steady_clock::now() + std::chrono::seconds(10));
  ASSERT_EQ(verdicts.size(), 1u);
  EXPECT_EQ(verdicts[0].hardware, "cpu");
  EXPECT_EQ(verdicts[0].state, Verdict::State::kAvailable) << verdicts[0].reason;
  ASSERT_EQ(verdicts[0].devices.size(), 1u);
  EXPECT_EQ(to_string(verdicts[0].devices[0]), "cpu:0");
  EXPECT_EQ(verdicts[0].devices[0].features, std::vector<std::string>{std::string(isa_name(*usable_isa()))});
  EXPECT_EQ(verdicts[0].devices[0].memory_bytes, uint64_t{2} << 30);
}

TEST(CpuBackend, SupportsWithTheMemoryItWillTake) {
  auto backend = make();
  const auto model = tiny::llama({.vocabulary = 20000, .dtype = DType::kQ4_1});
  const Support support = backend->supports(*model, kCpu, {});
  ASSERT_TRUE(support.yes) << support.reason;
  EXPECT_EQ(support.memory_bytes, support.memory.total());
  auto compiled = backend->compile(model, kCpu, {}, no_progress());
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  EXPECT_NEAR(static_cast<double>(compiled->program->memory_bytes()), static_cast<double>(support.memory_bytes),
              0.1 * static_cast<double>(support.memory_bytes) + (4 << 20));
}

struct Refused {
  std::shared_ptr<const Model> model;
  Device device;
  CompileOptions options;
  ErrorCode code;
  std::string word;
};

TEST(CpuBackend, RefusesByNamingThePart) {
  auto backend = make();
  auto bare = std::make_shared<Model>();
  bare->config.architecture = "mystery";
  const auto model = tiny::llama({.dtype = DType::kQ4_1});
  CompileOptions nonsense;
  nonsense.quantization = "int3";
  const std::vector<Refused> cases = {
      {bare, kCpu, {}, ErrorCode::kUnimplemented, "mystery"},
      {model, {.kind = "cuda"}, {}, ErrorCode::kInvalidArgument, "cuda:0"},
      {model, kCpu, nonsense, ErrorCode::kInvalidArgument, "int3"},
      {model, kCpu, {.context = 100000}, ErrorCode::kOutOfRange, "256"},
      {model, kCpu, {.kv_tokens = uint64_t{1} << 40}, ErrorCode::kResourceExhausted, "KV"},
      {model, kCpu, {.threads = 1u << 30}, ErrorCode::kInvalidArgument, "threads"},
  };
  for (const Refused& refused : cases) {
    const Support support = backend->supports(*refused.model, refused.device, refused.options);
    EXPECT_FALSE(support.yes);
    EXPECT_NE(support.reason.find(refused.word), std::string::npos) << support.reason;
    const auto compiled = backend->compile(refused.model, refused.device, refused.options, no_progress());
    ASSERT_FALSE(compiled.ok()) << refused.word;
    EXPECT_EQ(compiled.error().code, refused.code) << compiled.error().message;
  }
  EXPECT_EQ(backend->load(model, {}, kCpu, {}, no_progress()).error().code, ErrorCode::kUnimplemented);
}

TEST(CpuBackend, TheFilesOwnQuantizationMayBeNamed) {
  CompileOptions options;
  options.quantization = "q4_1";  // and changes nothing
  EXPECT_TRUE(make()->supports(*tiny::llama({.dtype = DType::kQ4_1}), kCpu, options).yes);
}

TEST(CpuBackend, WeightsBecomeWhatIsAskedForAndNotesSaySo) {
  auto backend = make();
  const auto model = tiny::llama({.dtype = DType::kF32});
  const uint64_t own = backend->supports(*model, kCpu, {}).memory.weights;
  for (const char* name : {"int8", "int4", "Q4_0", "q6_k", "bf16"}) {
    CompileOptions options;
    options.quantization = name;
    const Support support = backend->supports(*model, kCpu, options);
    ASSERT_TRUE(support.yes) << support.reason;
    EXPECT_LT(support.memory.weights, own) << name;
    const auto compiled = backend->compile(model, kCpu, options, no_progress());
    ASSERT_TRUE(compiled.ok()) << compiled.error().message;
    const std::vector<std::string> notes = compiled->program->notes();
    EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [](const std::string& note) { return note.find("instead of F32, made at load") != std::string::npos; }));
  }
}

TEST(CpuBackend, CompilesDecodersAndEncodersThatAgreeWithTheReference) {
  auto backend = make();
  const auto llama = tiny::llama({.dtype = DType::kQ8_0});
  auto compiled = backend->compile(llama, kCpu, {.precision = Precision::kExact}, no_progress());
  ASSERT_TRUE(compiled.ok());
  ASSERT_EQ(compiled->program->kind(), ProgramKind::kDecoder);
  auto& decoder = static_cast<DecoderProgram&>(*compiled->program);
  const auto tokens = tiny::random_tokens(50, 70, 1);
  EXPECT_LT(reference::relative_error(harness::feed(decoder, harness::open(decoder), tokens), reference::Interpreter(*llama).run(tokens)), 2e-5);
  EXPECT_NE(compiled->report[0].find("2 threads"), std::string::npos);
  EXPECT_NE(std::find(decoder.notes().begin(), decoder.notes().end(), "KV f32"), decoder.notes().end());

  const auto bert = tiny::bert({});
  auto encoder = backend->compile(bert, kCpu, {.precision = Precision::kExact, .threads = 1}, no_progress());
  ASSERT_TRUE(encoder.ok());
  harness::Matrices sink;
  const EncoderInput text(tokens);
  ASSERT_TRUE(static_cast<EncoderProgram&>(*encoder->program).encode({&text, 1}, EncodeOutput::kHidden, sink, {}).ok());
  EXPECT_LT(reference::relative_error(sink.results[0], reference::Interpreter(*bert).run(tokens)), 2e-5);
}

TEST(CpuBackend, ProgramsOutliveTheBackend) {
  auto backend = make();
  auto compiled = backend->compile(tiny::llama({}), kCpu, {}, no_progress());
  ASSERT_TRUE(compiled.ok());
  backend.reset();
  auto& decoder = static_cast<DecoderProgram&>(*compiled->program);
  EXPECT_EQ(harness::feed(decoder, harness::open(decoder), tiny::random_tokens(20, 70, 1), Want::kLast).size(), 1u);
}

TEST(CpuBackend, CompilingStopsWhenAsked) {
  struct Stop final : Progress {
    bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { return false; }
  } stop;
  EXPECT_EQ(make()->compile(tiny::llama({}), kCpu, {}, stop).error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace accelerate
