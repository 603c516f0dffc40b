#include "accelerate/wire/remote_program.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/counting_decoder.h"
#include "tests/engine/fake_encoder.h"
#include "tests/wire/thread_worker.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;

struct Rows final : LogitsSink {
  std::map<std::pair<size_t, size_t>, uint32_t> best;
  void row(size_t input, size_t token, std::span<const float> logits) override {
    best[{input, token}] = static_cast<uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
};

struct RemoteCase {
  CountingDecoder* inner = nullptr;  // the worker's
  ThreadWorker* worker = nullptr;
  std::unique_ptr<Program> program;
  DecoderProgram& decoder() { return static_cast<DecoderProgram&>(*program); }
};

RemoteCase remote(bool files = true, LinkLimits limits = {}) {
  RemoteCase made;
  auto worker = ThreadWorker::serving([&](const WireMessage&, Progress& progress) -> Result<Compiled> {
    progress.update("tensors", 10, 10, "tensors");
    auto decoder = std::make_unique<CountingDecoder>();
    decoder->limits_value.fork = ForkKind::kCopy;
    made.inner = decoder.get();
    return Compiled{std::move(decoder), Artifact{.id = {}, .path = "/tmp/a"}, {"made"}};
  }, files, 3 * CountingDecoder::kVocabulary * sizeof(float));
  made.worker = worker.get();
  auto compiled = load_remote(std::move(worker), WireMessage("load"), no_progress(), limits);
  EXPECT_TRUE(compiled) << to_string(compiled.error());
  EXPECT_EQ(compiled->report, std::vector<std::string>{"made"});
  EXPECT_EQ(compiled->artifact.value_or(Artifact{}).path, "/tmp/a");
  made.program = std::move(compiled->program);
  return made;
}

class RemoteDecoderTest : public ::testing::TestWithParam<bool> {};

TEST_P(RemoteDecoderTest, AnswersAsTheProgramItself) {
  RemoteCase made = remote(GetParam());
  DecoderProgram& decoder = made.decoder();
  EXPECT_EQ(decoder.vocabulary(), CountingDecoder::kVocabulary);
  EXPECT_EQ(decoder.limits().slots_max, 4u);
  const auto slot = decoder.open();
  ASSERT_TRUE(slot);
  EXPECT_EQ(decoder.capacity().slots_free, 3u);
  const std::vector<uint32_t> prompt = {5, 6, 7, 8, 9, 10, 11, 12};
  const SlotInput input{.slot = *slot, .tokens = prompt, .want = Want::kAll};
  SlotStatus status;
  Rows rows;
  ASSERT_TRUE(decoder.step({&input, 1}, {&status, 1}, rows, {}));
  ASSERT_EQ(rows.best.size(), 8u) << "eight rows through room for three";
  for (size_t t = 0; t < prompt.size(); ++t) EXPECT_EQ((rows.best[{0, t}]), prompt[t] + 1);
  EXPECT_EQ(decoder.length(*slot), 8u);
  EXPECT_EQ(decoder.capacity().kv_tokens_free, (1u << 20) - 8);

  const auto forked = decoder.fork(*slot, 4);
  ASSERT_TRUE(forked);
  EXPECT_EQ(decoder.length(*forked), 4u);
  ASSERT_TRUE(decoder.truncate(*slot, 2));
  EXPECT_EQ(decoder.length(*slot), 2u);
  decoder.close(*slot);
  decoder.close(*forked);
  EXPECT_EQ(decoder.capacity().slots_free, 4u);
  EXPECT_EQ(made.inner->open_slots(), 0u);
}
INSTANTIATE_TEST_SUITE_P(FilesAndNone, RemoteDecoderTest, ::testing::Bool());

TEST(RemoteDecoder, AStatusErrorLeavesTheSlotAsItWas) {
  RemoteCase made = remote();
  made.inner->kv_tokens = 3;
  const auto slot = made.decoder().open();
  ASSERT_TRUE(slot);
  const std::vector<uint32_t> prompt = {1, 2, 3, 4};
  const SlotInput input{.slot = *slot, .tokens = prompt};
  SlotStatus status;
  Rows rows;
  ASSERT_TRUE(made.decoder().step({&input, 1}, {&status, 1}, rows, {}));
  ASSERT_TRUE(status.error);
  EXPECT_EQ(status.error->code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(made.decoder().length(*slot), 0u);
  EXPECT_TRUE(made.program->alive());
}

TEST(RemoteDecoder, AKilledWorkerIsAnErrorOfTheStepAndSeenBetween) {
  RemoteCase made = remote();
  const auto slot = made.decoder().open();
  ASSERT_TRUE(slot);
  made.inner->step_time = 10s;
  const std::vector<uint32_t> prompt = {1};
  const SlotInput input{.slot = *slot, .tokens = prompt};
  SlotStatus status;
  Rows rows;
  std::thread killer([&] {
    std::this_thread::sleep_for(100ms);
    made.worker->kill();
  });
  const auto stepped = made.decoder().step({&input, 1}, {&status, 1}, rows, {});
  killer.join();
  ASSERT_FALSE(stepped);
  EXPECT_EQ(stepped.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(made.program->alive());
  made.decoder().close(*slot);  // no crash, no wait
  EXPECT_FALSE(made.decoder().open());
}

TEST(RemoteDecoder, AStopIsObeyedAndTheProgramLives) {
  RemoteCase made = remote();
  const auto slot = made.decoder().open();
  made.inner->step_time = 10s;
  const std::vector<uint32_t> prompt = {1};
  const SlotInput input{.slot = *slot, .tokens = prompt};
  SlotStatus status;
  Rows rows;
  const auto stepped = made.decoder().step({&input, 1}, {&status, 1}, rows, {.deadline = std::chrono::steady_clock::now() + 50ms});
  ASSERT_FALSE(stepped);
  EXPECT_EQ(stepped.error().code, ErrorCode::kDeadlineExceeded) << "whatever word the worker has for it";
  EXPECT_TRUE(made.program->alive());
}

TEST(RemoteEncoder, GivesTheSameVectors) {
  auto compiled = load_remote(ThreadWorker::serving([](const WireMessage&, Progress&) -> Result<Compiled> {
                                return Compiled{std::make_unique<FakeEncoder>(), {}, {}};
                              }), WireMessage("load"), no_progress());
  ASSERT_TRUE(compiled) << to_string(compiled.error());
  auto& encoder = static_cast<EncoderProgram&>(*compiled->program);
  FakeEncoder inner;
  EXPECT_EQ(encoder.limits().width, inner.limits().width);
  struct Collected final : MatrixSink {
    std::vector<std::vector<float>> matrices;
    void matrix(size_t, std::span<const float> values, size_t, size_t) override { matrices.emplace_back(values.begin(), values.end()); }
  } ours, theirs;
  const std::vector<uint32_t> first = {1, 2, 3}, second = {4};
  const std::vector<EncoderInput> inputs = {EncoderInput(first), EncoderInput(second)};
  ASSERT_TRUE(encoder.encode(inputs, EncodeOutput::kPooled, theirs, {}));
  ASSERT_TRUE(inner.encode(inputs, EncodeOutput::kPooled, ours, {}));
  EXPECT_EQ(theirs.matrices, ours.matrices);
}

struct Doubling final : TensorProgram {
  uint64_t memory_bytes() const override { return 1; }
  Result<NamedTensors> run(const NamedTensors& inputs, const StepControl&) override {
    NamedTensors outputs = inputs;
    for (auto& [name, tensor] : outputs) {
      for (std::byte& b : tensor.bytes) b = static_cast<std::byte>(2 * static_cast<int>(b));
    }
    return outputs;
  }
};

TEST(RemoteTensor, RunsThere) {
  auto compiled = load_remote(ThreadWorker::serving([](const WireMessage&, Progress&) -> Result<Compiled> {
                                return Compiled{std::make_unique<Doubling>(), {}, {}};
                              }), WireMessage("load"), no_progress());
  ASSERT_TRUE(compiled) << to_string(compiled.error());
  NamedTensors inputs;
  inputs["x"] = {DType::kU8, {3}, {std::byte{1}, std::byte{2}, std::byte{3}}};
  const auto outputs = static_cast<TensorProgram&>(*compiled->program).run(inputs, {});
  ASSERT_TRUE(outputs) << to_string(outputs.error());
  EXPECT_EQ(outputs->at("x").bytes[2], std::byte{6});
}

TEST(RemoteProgram, AFailedLoadIsTheWorkersOwnError) {
  const auto compiled = load_remote(ThreadWorker::serving([](const WireMessage&, Progress&) -> Result<Compiled> {
                                      return Error{ErrorCode::kResourceExhausted, "[x] no memory"};
                                    }), WireMessage("load"), no_progress());
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().message, "[x] no memory");
}

TEST(RemoteProgram, ProgressIsSeenAndCanStop) {
  struct Stopping final : Progress {
    int seen = 0;
    bool update(std::string_view what, uint64_t, uint64_t total, std::string_view) override {
      EXPECT_EQ(what, "tensors");
      EXPECT_EQ(total, 10u);
      ++seen;
      return false;
    }
  } progress;
  const auto compiled = load_remote(ThreadWorker::serving([](const WireMessage&, Progress& inner) -> Result<Compiled> {
                                      while (inner.update("tensors", 1, 10, "tensors")) std::this_thread::sleep_for(1ms);
                                      return Error{ErrorCode::kCancelled, "[x] stopped"};
                                    }), WireMessage("load"), progress);
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().code, ErrorCode::kCancelled);
  EXPECT_GE(progress.seen, 1);
}

TEST(RemoteProgram, AWorkerTooQuickForTheStopLoadsNothing) {
  struct Stopping final : Progress {
    bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { return false; }
  } progress;
  const auto compiled = load_remote(ThreadWorker::serving([](const WireMessage&, Progress& inner) -> Result<Compiled> {
                                      inner.update("tensors", 10, 10, "tensors");
                                      return Compiled{std::make_unique<CountingDecoder>(), {}, {}};
                                    }, true, CountingDecoder::kVocabulary * sizeof(float)), WireMessage("load"), progress);
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace accelerate
