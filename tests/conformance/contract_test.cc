// The promises of core/program.h and core/backend.h beside the numbers: errors leave slots as they were, stops stop,
// limits are named, what cannot be run is refused with a reason.

#include <atomic>
#include <chrono>

#include <gmock/gmock.h>

#include "tests/conformance/bounds.h"
#include "tests/conformance/goldens.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

constexpr uint32_t kSlots = 3;
const OnRow kIgnore = [](size_t, size_t, std::span<const float>) {};
const OnRow kNever = [](size_t, size_t, std::span<const float>) { ADD_FAILURE() << "no row was asked for"; };

class Contract : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    golden_ = decoder_goldens().at(4);
    ASSERT_EQ(golden_.model, "llama_f32.gguf");
    model_ = open_fixture(golden_.model);
    program_ = compiled({.precision = Precision::kExact, .slots = kSlots});
  }
  std::unique_ptr<DecoderProgram> compiled(const CompileOptions& options) {
    auto program = compile_decoder(GetParam(), model_, options);
    if (!program) throw std::runtime_error(to_string(program.error()));
    return *std::move(program);
  }
  Slot opened() {
    const Result<Slot> slot = program_->open();
    EXPECT_TRUE(slot);
    return *slot;
  }
  // Feeds golden tokens [from, to) to a slot that holds the ones before, and compares their logits.
  void expect_continues(Slot slot, size_t from, size_t to) {
    ASSERT_EQ(program_->length(slot), from);
    std::vector<float> logits;
    const Result<void> ran = step_one(*program_, slot, std::span(golden_.tokens).subspan(from, to - from), Want::kAll,
                                      [&](size_t, size_t, std::span<const float> row) { logits.insert(logits.end(), row.begin(), row.end()); });
    ASSERT_TRUE(ran) << to_string(ran.error());
    const auto wanted = std::span(golden_.logits).subspan(from * golden_.vocabulary, (to - from) * golden_.vocabulary);
    EXPECT_LE(relative_error(logits, wanted), kFixtureErrorExact);
    EXPECT_EQ(program_->length(slot), to);
  }
  Result<void> feed(Slot slot, size_t from, size_t to) {
    return step_one(*program_, slot, std::span(golden_.tokens).subspan(from, to - from), Want::kNone, kNever);
  }

  DecoderGolden golden_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<DecoderProgram> program_;
};

TEST_P(Contract, LimitsAreSaidAndKept) {
  const DecoderLimits limits = program_->limits();
  EXPECT_EQ(limits.slots_max, kSlots);
  EXPECT_GE(limits.batch_tokens_max, 1u);
  EXPECT_EQ(limits.context_max, model_->graph->context);
  const uint32_t all = kSlots + limits.slots_kept_max;
  EXPECT_EQ(program_->capacity().slots_free, all);
  EXPECT_GT(program_->capacity().kv_tokens_total, 0u);
  EXPECT_GT(program_->memory_bytes(), 0u);
  std::vector<Slot> slots;
  for (uint32_t i = 0; i < all; ++i) slots.push_back(opened());
  EXPECT_EQ(program_->capacity().slots_free, 0u);
  const Result<Slot> one_more = program_->open();
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code, ErrorCode::kResourceExhausted);
  program_->close(slots[1]);
  EXPECT_TRUE(program_->open()) << "a closed slot is free again";
}

TEST_P(Contract, EachWantGivesItsRows) {
  const Slot slot = opened();
  ASSERT_TRUE(step_one(*program_, slot, std::span(golden_.tokens).first(4), Want::kNone, kNever));
  std::vector<size_t> tokens;
  const OnRow count = [&](size_t input, size_t token, std::span<const float> logits) {
    EXPECT_EQ(input, 0u);
    EXPECT_EQ(logits.size(), program_->vocabulary());
    tokens.push_back(token);
  };
  ASSERT_TRUE(step_one(*program_, slot, std::span(golden_.tokens).subspan(4, 3), Want::kLast, count));
  EXPECT_EQ(tokens, (std::vector<size_t>{2}));
  tokens.clear();
  ASSERT_TRUE(step_one(*program_, slot, std::span(golden_.tokens).subspan(7, 3), Want::kAll, count));
  EXPECT_EQ(tokens, (std::vector<size_t>{0, 1, 2}));
  expect_continues(slot, 10, golden_.tokens.size());
}

TEST_P(Contract, ABadInputFailsAloneAndItsSlotIsAsItWas) {
  const Slot good = opened(), bad = opened(), closed = opened();
  program_->close(closed);
  ASSERT_TRUE(feed(good, 0, 5));
  ASSERT_TRUE(feed(bad, 0, 5));
  const uint64_t free_before = program_->capacity().kv_tokens_free;
  const uint32_t outside[] = {golden_.tokens[5], program_->vocabulary()}, huge[] = {0xffffffffu};
  const SlotInput bads[] = {{.slot = bad, .tokens = outside, .want = Want::kAll}, {.slot = bad, .tokens = huge, .want = Want::kLast},
                            {.slot = bad, .tokens = {}, .want = Want::kLast}, {.slot = closed, .tokens = {golden_.tokens.data(), 1}},
                            {.slot = Slot{999, 1}, .tokens = {golden_.tokens.data(), 1}}, {.slot = Slot{}, .tokens = {golden_.tokens.data(), 1}}};
  for (size_t i = 0; i < std::size(bads); ++i) {
    const SlotInput inputs[] = {bads[i], {.slot = good, .tokens = std::span(golden_.tokens).subspan(5 + i, 1), .want = Want::kLast}};
    SlotStatus statuses[2];
    size_t rows = 0;
    const Result<void> ran = step(*program_, inputs, statuses, [&](size_t input, size_t, std::span<const float>) {
      EXPECT_EQ(input, 1u);
      ++rows;
    });
    ASSERT_TRUE(ran) << i << ": " << to_string(ran.error());
    ASSERT_TRUE(statuses[0].error) << i;
    EXPECT_FALSE(statuses[0].error->message.empty());
    EXPECT_FALSE(statuses[1].error) << i;
    EXPECT_EQ(rows, 1u) << i;
  }
  EXPECT_LE(program_->capacity().kv_tokens_free, free_before);
  expect_continues(good, 5 + std::size(bads), golden_.tokens.size());
  expect_continues(bad, 5, golden_.tokens.size());
}

TEST_P(Contract, TheSameSlotTwiceInAStepIsRefusedWithoutHarm) {
  const Slot slot = opened();
  const SlotInput inputs[] = {{.slot = slot, .tokens = std::span(golden_.tokens).first(4), .want = Want::kNone},
                              {.slot = slot, .tokens = std::span(golden_.tokens).subspan(4, 4), .want = Want::kNone}};
  SlotStatus statuses[2];
  ASSERT_TRUE(step(*program_, inputs, statuses, kNever));
  EXPECT_FALSE(statuses[0].error);
  ASSERT_TRUE(statuses[1].error);
  EXPECT_EQ(statuses[1].error->code, ErrorCode::kInvalidArgument);
  expect_continues(slot, 4, golden_.tokens.size());
}

TEST_P(Contract, PastTheContextIsAnErrorNeverACut) {
  constexpr uint32_t kContext = 12;
  program_ = compiled({.precision = Precision::kExact, .context = kContext, .slots = 1});
  ASSERT_EQ(program_->limits().context_max, kContext);
  const Slot slot = opened();
  Result<void> ran = feed(slot, 0, kContext + 1);
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(program_->length(slot), 0u);
  ASSERT_TRUE(feed(slot, 0, 8));
  ran = feed(slot, 8, kContext + 1);
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().code, ErrorCode::kOutOfRange);
  expect_continues(slot, 8, kContext);
  EXPECT_FALSE(feed(slot, kContext, kContext + 1));
  EXPECT_EQ(program_->length(slot), kContext);
}

TEST_P(Contract, WithoutKvAnInputFailsAndTheRestGoesOn) {
  program_ = compiled({.precision = Precision::kExact, .kv_tokens = 64, .slots = kSlots});
  const uint64_t total = program_->capacity().kv_tokens_total;
  std::vector<uint32_t> filler(total, golden_.tokens[1]);
  const Slot full = opened(), late = opened();
  ASSERT_TRUE(step_one(*program_, full, std::span(filler).first(total - 1), Want::kNone, kNever));
  const SlotInput inputs[] = {{.slot = late, .tokens = std::span(golden_.tokens).first(8), .want = Want::kLast},
                              {.slot = full, .tokens = std::span(filler).first(1), .want = Want::kLast}};
  SlotStatus statuses[2];
  ASSERT_TRUE(step(*program_, inputs, statuses, [](size_t input, size_t, std::span<const float>) { EXPECT_EQ(input, 1u); }));
  ASSERT_TRUE(statuses[0].error);
  EXPECT_EQ(statuses[0].error->code, ErrorCode::kResourceExhausted);
  EXPECT_FALSE(statuses[1].error);
  EXPECT_EQ(program_->length(late), 0u);
  program_->close(full);
  EXPECT_EQ(program_->capacity().kv_tokens_free, total);
  expect_continues(late, 0, golden_.tokens.size());
}

TEST_P(Contract, TruncateGoesBackExactly) {
  if (!program_->limits().truncate_exact) GTEST_SKIP() << GetParam() << " does not truncate, and says so in its limits";
  const Slot slot = opened();
  ASSERT_TRUE(feed(slot, 0, golden_.tokens.size()));
  for (const uint32_t length : {15u, 9u, 4u, 4u, 1u, 0u}) {
    ASSERT_TRUE(program_->truncate(slot, length));
    expect_continues(slot, length, golden_.tokens.size());
    ASSERT_TRUE(program_->truncate(slot, length));
  }
  const Result<void> longer = program_->truncate(slot, 5);
  ASSERT_FALSE(longer) << "a slot is not made longer";
  EXPECT_EQ(longer.error().code, ErrorCode::kOutOfRange);
}

TEST_P(Contract, AForkGoesItsOwnWay) {
  if (program_->limits().fork == ForkKind::kNone) GTEST_SKIP() << GetParam() << " does not fork, and says so in its limits";
  const Slot slot = opened();
  ASSERT_TRUE(feed(slot, 0, 10));
  for (const uint32_t shared : {10u, 7u, 0u}) {
    const Result<Slot> fork = program_->fork(slot, shared);
    ASSERT_TRUE(fork) << to_string(fork.error());
    const uint32_t other[] = {golden_.tokens[0], golden_.tokens[3]};  // written behind the shared part, first by the fork
    ASSERT_TRUE(step_one(*program_, *fork, other, Want::kNone, kNever));
    const Result<Slot> second = program_->fork(slot, shared);
    ASSERT_TRUE(second);
    expect_continues(*second, shared, golden_.tokens.size());
    program_->close(*fork);
    program_->close(*second);
  }
  expect_continues(slot, 10, golden_.tokens.size());
  EXPECT_FALSE(program_->fork(slot, 1000)) << "beyond what the slot holds";
}

TEST_P(Contract, AForkOutlivesWhatItCameFrom) {
  if (program_->limits().fork == ForkKind::kNone) GTEST_SKIP() << GetParam() << " does not fork, and says so in its limits";
  const Slot slot = opened();
  ASSERT_TRUE(feed(slot, 0, 10));
  const Result<Slot> fork = program_->fork(slot, 10);
  ASSERT_TRUE(fork);
  program_->close(slot);
  const Slot other = opened();  // may take the memory of the closed one
  std::vector<uint32_t> filler(12, 7);
  ASSERT_TRUE(step_one(*program_, other, filler, Want::kNone, kNever));
  expect_continues(*fork, 10, golden_.tokens.size());
}

TEST_P(Contract, AStopAndADeadlineLeaveEverySlotAsItWas) {
  const Slot slot = opened();
  ASSERT_TRUE(feed(slot, 0, 5));
  const SlotInput input{.slot = slot, .tokens = std::span(golden_.tokens).subspan(5, 4), .want = Want::kLast};
  SlotStatus status;
  const std::atomic<bool> stop{true};
  const Result<void> stopped = step(*program_, {&input, 1}, {&status, 1}, kIgnore, {.stop = &stop});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(program_->length(slot), 5u);
  const auto past = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  const Result<void> late = step(*program_, {&input, 1}, {&status, 1}, kIgnore, {.deadline = past});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  expect_continues(slot, 5, golden_.tokens.size());
}

TEST_P(Contract, AStepOfNothingIsFine) {
  EXPECT_TRUE(step(*program_, {}, {}, kNever));
}

TEST_P(Contract, TheEstimateBoundsWhatIsThen) {
  for (const char* name : {"llama_q4_k.gguf", "gemma3_f16.gguf", "llama_hf_f16_sharded"}) {
    const auto model = open_fixture(name);
    const CompileOptions options{.context = 64, .slots = 2};
    const Support support = find_backend(GetParam())->supports(*model, *device_of(GetParam()), options);
    ASSERT_TRUE(support.yes) << support.reason;
    EXPECT_EQ(support.memory_bytes, support.memory.total());
    auto program = compile_decoder(GetParam(), model, options);
    ASSERT_TRUE(program) << to_string(program.error());
    // Both sides round up to pages, at most a huge page (2 MiB) for each of a few allocations.
    EXPECT_LE((*program)->memory_bytes(), support.memory_bytes + (16u << 20)) << name;
    EXPECT_GE((*program)->memory_bytes(), support.memory_bytes / 2) << name;
  }
}

TEST_P(Contract, WhatCannotRunIsRefusedWithAReason) {
  Backend* backend = find_backend(GetParam());
  const Device device = *device_of(GetParam());
  Model bare = *model_;
  bare.graph = nullptr;
  const auto no_graph = std::make_shared<const Model>(bare);
  EXPECT_FALSE(backend->supports(*no_graph, device, {}).yes);
  EXPECT_THAT(backend->supports(*no_graph, device, {}).reason, ::testing::HasSubstr("graph"));
  EXPECT_FALSE(backend->compile(no_graph, device, {}, no_progress()));
  const CompileOptions bads[] = {{.quantization = "no-such-type"}, {.context = 1u << 30}, {.slots = 1u << 20}, {.threads = 100'000},
                                 {.kv_tokens = uint64_t{1} << 60}};
  for (size_t i = 0; i < std::size(bads); ++i) {
    const Support support = backend->supports(*model_, device, bads[i]);
    EXPECT_FALSE(support.yes) << i;
    EXPECT_FALSE(support.reason.empty()) << i;
    EXPECT_FALSE(backend->compile(model_, device, bads[i], no_progress())) << i;
  }
}

TEST_P(Contract, ACompileCanBeStopped) {
  struct Stopper final : Progress {
    int calls = 0;
    bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { ++calls; return false; }
  } stopper;
  const Result<Compiled> compiled = find_backend(GetParam())->compile(model_, *device_of(GetParam()), {}, stopper);
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().code, ErrorCode::kCancelled);
  EXPECT_GE(stopper.calls, 1);
}

TEST_P(Contract, AProgramKeepsItsModelAlive) {
  auto model = open_fixture("llama_q8_0.gguf");
  auto program = compile_decoder(GetParam(), model, {.precision = Precision::kExact});
  ASSERT_TRUE(program);
  const std::weak_ptr<const Model> watched = model;
  model.reset();
  const uint32_t tokens[] = {1, 2, 3};
  const Result<Slot> slot = (*program)->open();
  ASSERT_TRUE(slot);
  EXPECT_TRUE(step_one(**program, *slot, tokens, Want::kLast, kIgnore));
  program->reset();
  EXPECT_TRUE(watched.expired()) << "and lets it go";
}

TEST_P(Contract, TheDescriptorNamesWhatUsersSee) {
  const Descriptor& about = find_backend(GetParam())->about();
  EXPECT_EQ(about.name, GetParam());
  EXPECT_FALSE(about.hardware.empty());
  EXPECT_FALSE(about.summary.empty());
  EXPECT_FALSE(about.how_to_get.empty());
}

class EncoderContract : public BackendTest {};

TEST_P(EncoderContract, BadInputsAreRefusedByTheirIndex) {
  const auto model = open_fixture("bert_hf");
  auto program = compile_encoder(GetParam(), model, {.precision = Precision::kExact});
  ASSERT_TRUE(program) << to_string(program.error());
  const EncoderLimits limits = (*program)->limits();
  EXPECT_GT(limits.tokens_max, 0u);
  EXPECT_EQ(limits.width, model->config.width);
  const std::vector<uint32_t> good = {2, 79, 47, 3}, unknown = {2, model->config.vocabulary, 3}, empty, long_one(limits.tokens_max + 1, 5);
  struct Silent final : MatrixSink {
    int calls = 0;
    void matrix(size_t, std::span<const float>, size_t, size_t) override { ++calls; }
  };
  const std::pair<const std::vector<uint32_t>*, ErrorCode> cases[] = {
      {&unknown, ErrorCode::kInvalidArgument}, {&empty, ErrorCode::kInvalidArgument}, {&long_one, ErrorCode::kOutOfRange}};
  for (const auto& [bad, code] : cases) {
    Silent sink;
    const EncoderInput inputs[] = {TokenSpan(good), TokenSpan(*bad)};
    const Result<void> ran = (*program)->encode(inputs, EncodeOutput::kPooled, sink, {});
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().code, code) << to_string(ran.error());
    EXPECT_THAT(ran.error().message, ::testing::HasSubstr("input 1"));
  }
  Silent sink;
  const std::atomic<bool> stop{true};
  const EncoderInput inputs[] = {TokenSpan(good)};
  const Result<void> stopped = (*program)->encode(inputs, EncodeOutput::kPooled, sink, {.stop = &stop});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE((*program)->encode(inputs, EncodeOutput::kPooled, sink, {})) << "and goes on afterwards";
  EXPECT_EQ(sink.calls, 1);
}

INSTANTIATE_TEST_SUITE_P(Backends, Contract, ::testing::ValuesIn(backend_names()));
INSTANTIATE_TEST_SUITE_P(Backends, EncoderContract, ::testing::ValuesIn(backend_names()));

}  // namespace
}  // namespace accelerate::conformance
