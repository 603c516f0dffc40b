#include "accelerate/engine/isolated_backend.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/backends/cpu/cpu.h"
#include "accelerate/engine/worker.h"
#include "accelerate/wire/supervisor.h"
#include "tests/engine/artifact_backend.h"
#include "tests/engine/fixture_model.h"
#include "tests/wire/thread_worker.h"

namespace accelerate {
namespace {

std::unique_ptr<Backend> make_artifact_backend(BackendContext&) { return std::make_unique<ArtifactBackend>(); }

// Workers that are threads of the test with the real worker's life.
struct ThreadWorkers final : WorkerSource {
  std::vector<WorkerSpec> started;
  ThreadWorker* last = nullptr;
  std::optional<Error> refusal;
  Result<std::unique_ptr<Worker>> start(const WorkerSpec& spec, Deadline deadline) override {
    if (refusal) return *refusal;
    started.push_back(spec);
    auto worker = std::make_unique<ThreadWorker>([](Channel& channel) { (void)run_worker(channel, {{"cpu", &make_cpu_backend}, {"fake", &make_artifact_backend}}); });
    last = worker.get();
    ACC_TRY_VOID(shake_hands(worker->channel(), deadline));
    return std::unique_ptr<Worker>(std::move(worker));
  }
  std::unique_ptr<Worker> take_connected(std::string_view) override { return nullptr; }
};

struct Isolated {
  ThreadWorkers workers;
  BackendContext context{.threads = 1, .memory_bytes = 0, .cache_dir = {}, .workers = &workers};
  std::unique_ptr<Backend> inner = make_cpu_backend(context);
  std::unique_ptr<Backend> backend = make_isolated_backend(*inner, context, {"self", "worker"});
  Device device() { return backend->probe(std::chrono::steady_clock::now() + std::chrono::seconds(20)).front().devices.front(); }
};

std::vector<float> logits_of(Program& program, const std::vector<uint32_t>& tokens) {
  struct Sink final : LogitsSink {
    std::vector<float> values;
    void row(size_t, size_t, std::span<const float> logits) override { values.insert(values.end(), logits.begin(), logits.end()); }
  } sink;
  auto& decoder = static_cast<DecoderProgram&>(program);
  const auto slot = decoder.open();
  EXPECT_TRUE(slot);
  const SlotInput input{.slot = *slot, .tokens = tokens, .want = Want::kAll};
  SlotStatus status;
  EXPECT_TRUE(decoder.step({&input, 1}, {&status, 1}, sink, {}));
  EXPECT_FALSE(status.error);
  decoder.close(*slot);
  return sink.values;
}

TEST(IsolatedBackend, ItsProgramsAnswerBitForBit) {
  Isolated isolated;
  EXPECT_EQ(isolated.backend->about().name, "cpu-isolated");
  const std::shared_ptr<const Model> model = fixture_model("llama_q8_0.gguf");
  const CompileOptions options{.deterministic = true, .threads = 1, .context = 64};
  ASSERT_TRUE(isolated.backend->supports(*model, isolated.device(), options).yes);
  auto there = isolated.backend->compile(model, isolated.device(), options, no_progress());
  ASSERT_TRUE(there) << to_string(there.error());
  auto here = isolated.inner->compile(model, isolated.device(), options, no_progress());
  ASSERT_TRUE(here) << to_string(here.error());
  ASSERT_EQ(isolated.workers.started.size(), 1u);
  EXPECT_EQ(isolated.workers.started[0].name, "cpu-isolated@cpu:0");
  EXPECT_EQ(isolated.workers.started[0].argv, (std::vector<std::string>{"self", "worker"}));
  const std::vector<uint32_t> tokens = {1, 17, 42, 99, 3, 250, 7};
  EXPECT_EQ(logits_of(*there->program, tokens), logits_of(*here->program, tokens));
  EXPECT_EQ(there->program->memory_bytes(), here->program->memory_bytes());
  EXPECT_EQ(there->program->notes(), here->program->notes());
  isolated.workers.last->kill();
  EXPECT_FALSE(there->program->alive());
}

TEST(IsolatedBackend, AnEncoderToo) {
  Isolated isolated;
  const std::shared_ptr<const Model> model = fixture_model("bert_hf");
  auto there = isolated.backend->compile(model, isolated.device(), {.threads = 1}, no_progress());
  ASSERT_TRUE(there) << to_string(there.error());
  auto here = isolated.inner->compile(model, isolated.device(), {.threads = 1}, no_progress());
  ASSERT_TRUE(here);
  struct Sink final : MatrixSink {
    std::vector<float> values;
    void matrix(size_t, std::span<const float> rows, size_t, size_t) override { values.assign(rows.begin(), rows.end()); }
  } ours, theirs;
  const std::vector<uint32_t> tokens = {2, 5, 9, 3};
  const EncoderInput input(tokens);
  ASSERT_TRUE(static_cast<EncoderProgram&>(*there->program).encode({&input, 1}, EncodeOutput::kPooled, theirs, {}));
  ASSERT_TRUE(static_cast<EncoderProgram&>(*here->program).encode({&input, 1}, EncodeOutput::kPooled, ours, {}));
  EXPECT_EQ(theirs.values, ours.values);
  EXPECT_FALSE(ours.values.empty());
}

TEST(IsolatedBackend, WhoComputesIsTold) {
  EXPECT_EQ(backend_named("cpu@cpu:0"), "cpu");
  EXPECT_EQ(backend_named("cpu-isolated@cpu:0"), "cpu");
  EXPECT_EQ(backend_named("torch@cuda:1"), "torch");
  EXPECT_EQ(backend_named("cpu"), "cpu");
}

TEST(IsolatedBackend, ArtifactsAreWrittenAndLoadedInTheWorker) {
  const TemporaryFolder folder;
  ThreadWorkers workers;
  const BackendContext context{.threads = 1, .memory_bytes = 0, .cache_dir = {}, .workers = &workers};
  ArtifactBackend inner;
  const auto backend = make_isolated_backend(inner, context, {"self", "worker"});
  EXPECT_TRUE(backend->about().artifacts);
  const std::shared_ptr<const Model> model = fixture_model("llama_f32.gguf");
  const Device device = inner.verdicts[0].devices[0];
  auto compiled = backend->compile(model, device, {.artifact_dir = folder.path().string()}, no_progress());
  ASSERT_TRUE(compiled) << to_string(compiled.error());
  ASSERT_TRUE(compiled->artifact);
  EXPECT_EQ(compiled->artifact->path, (folder / "model.bin").string());
  EXPECT_EQ(read_text(compiled->artifact->path), "ARTIFACT");
  EXPECT_EQ(inner.compiles, 0) << "not here";
  const auto loaded = backend->load(model, *compiled->artifact, device, {}, no_progress());
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  EXPECT_EQ(static_cast<DecoderProgram&>(**loaded).vocabulary(), 280u);
  EXPECT_EQ(backend->load(model, {.id = {}, .path = (folder / "none").string()}, device, {}, no_progress()).error().code, ErrorCode::kDataLoss);
  EXPECT_FALSE(backend->compile(model, device, {}, no_progress())->artifact) << "nothing is written where nothing is wanted";
  Isolated cpu;
  EXPECT_EQ(cpu.backend->load(model, *compiled->artifact, cpu.device(), {}, no_progress()).error().code, ErrorCode::kUnimplemented);
}

TEST(IsolatedBackend, NoWorkerIsAnError) {
  Isolated isolated;
  isolated.workers.refusal = Error{ErrorCode::kUnavailable, "[test] no process"};
  const auto compiled = isolated.backend->compile(fixture_model("llama_f32.gguf"), isolated.device(), {}, no_progress());
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().message, "[test] no process");
}

}  // namespace
}  // namespace accelerate
