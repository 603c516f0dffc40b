#include "accelerate/host/decoder.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/host/harness.h"

namespace accelerate {
namespace {

using harness::compile_decoder;
using harness::feed;
using harness::open;
using reference::relative_error;
using reference::Rows;

constexpr double kExactBound = 2e-5;   // float sums of a few hundred terms against double, through a few layers
constexpr double kSameBound = 1e-5;    // two orders of computing the same thing

Rows tail(const Rows& rows, size_t from) { return {rows.begin() + static_cast<std::ptrdiff_t>(from), rows.end()}; }

TEST(HostDecoder, EqualsTheReferenceOnLlamas) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1}) {
    const auto model = tiny::llama({.dtype = dtype, .seed = 7});
    const auto tokens = tiny::random_tokens(45, 70, 3);
    const auto decoder = compile_decoder(model);
    const Rows got = feed(*decoder, open(*decoder), tokens);
    EXPECT_LT(relative_error(got, reference::Interpreter(*model).run(tokens)), kExactBound) << dtype_traits(dtype).name;
  }
}

TEST(HostDecoder, EqualsTheReferenceOnSuperBlocks) {
  for (const DType dtype : {DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    const auto model = tiny::llama({.width = 256, .heads = 16, .kv_heads = 4, .head_width = 16, .inner = 512, .layers = 1, .dtype = dtype});
    const auto tokens = tiny::random_tokens(20, 70, 5);
    const auto decoder = compile_decoder(model);
    const Rows got = feed(*decoder, open(*decoder), tokens);
    EXPECT_LT(relative_error(got, reference::Interpreter(*model).run(tokens)), kExactBound) << dtype_traits(dtype).name;
  }
}

TEST(HostDecoder, EqualsTheReferenceOnRopeVariantsAndOddHeads) {
  const RopeConfig llama3{.base = 10000, .scaling = "llama3", .factor = 8, .low_frequency_factor = 1, .high_frequency_factor = 4, .original_context = 64};
  const RopeConfig linear{.base = 5000, .scaling = "linear", .factor = 4};
  for (const RopeConfig& rope : {llama3, linear}) {
    for (const RopeStyle style : {RopeStyle::kHalves, RopeStyle::kInterleaved}) {
      const auto model = tiny::llama({.heads = 6, .kv_heads = 3, .head_width = 20, .seed = 11}, rope, style);
      const auto tokens = tiny::random_tokens(70, 70, 4);
      const auto decoder = compile_decoder(model);
      const Rows got = feed(*decoder, open(*decoder), tokens);
      EXPECT_LT(relative_error(got, reference::Interpreter(*model).run(tokens)), kExactBound) << rope.scaling;
    }
  }
}

TEST(HostDecoder, EqualsTheReferenceOnGemmas) {
  const auto model = tiny::gemma({.heads = 4, .kv_heads = 1, .head_width = 32, .layers = 3, .dtype = DType::kQ8_0});
  const auto tokens = tiny::random_tokens(80, 70, 6);
  const auto decoder = compile_decoder(model);
  const Rows got = feed(*decoder, open(*decoder), tokens);
  EXPECT_LT(relative_error(got, reference::Interpreter(*model).run(tokens)), kExactBound);
}

TEST(HostDecoder, DefaultPrecisionStaysNear) {
  const auto model = tiny::llama({.dtype = DType::kQ4_1, .seed = 9});
  const auto tokens = tiny::random_tokens(40, 70, 8);
  const auto isa = usable_isa();
  ASSERT_TRUE(isa.ok());
  const auto decoder = compile_decoder(model, {.precision = Precision::kDefault, .isa = *isa});
  const Rows got = feed(*decoder, open(*decoder), tokens);
  const double error = relative_error(got, reference::Interpreter(*model).run(tokens));
  EXPECT_LT(error, 0.05);
  EXPECT_GT(error, 0);  // KV is f16
}

TEST(HostDecoder, AnyCutOfAPromptGivesTheSameRows) {
  const auto model = tiny::gemma({.layers = 2, .context = 256, .dtype = DType::kQ4_0});
  const auto tokens = tiny::random_tokens(150, 70, 2);
  const auto decoder = compile_decoder(model, {.threads = 2});
  const Rows whole = feed(*decoder, open(*decoder), tokens);
  for (const size_t piece : {1u, 7u, 8u, 9u, 64u, 100u}) {
    const Slot slot = open(*decoder);
    Rows rows;
    for (size_t at = 0; at < tokens.size(); at += piece) {
      const size_t count = std::min(piece, tokens.size() - at);
      for (auto& row : feed(*decoder, slot, std::span(tokens).subspan(at, count))) rows.push_back(std::move(row));
    }
    EXPECT_LT(relative_error(rows, whole), kSameBound) << piece;
    decoder->close(slot);
  }
}

TEST(HostDecoder, AStepLongerThanABatchRunsAsSeveral) {
  const auto model = tiny::llama({.layers = 1, .context = 1400});
  const auto tokens = tiny::random_tokens(1300, 70, 2);
  const auto decoder = compile_decoder(model, {.threads = 2, .kv_tokens = 4096});
  ASSERT_LT(decoder->limits().batch_tokens_max, tokens.size());
  harness::Collector sink;
  const Slot long_slot = open(*decoder), short_slot = open(*decoder);
  const SlotInput inputs[] = {{.slot = short_slot, .tokens = std::span(tokens).first(5)}, {.slot = long_slot, .tokens = tokens}};
  SlotStatus statuses[2];
  ASSERT_TRUE(decoder->step(inputs, statuses, sink, {}).ok());
  ASSERT_EQ(sink.rows.size(), 2u);
  EXPECT_EQ(sink.rows[1].input, 1u);
  EXPECT_EQ(sink.rows[1].token, 1299u);
  EXPECT_EQ(decoder->length(long_slot), 1300u);
  const Rows want = reference::Interpreter(*model).run(tokens);
  EXPECT_LT(relative_error({sink.rows[1].values}, {want[1299]}), kExactBound);
  EXPECT_LT(relative_error({sink.rows[0].values}, {want[4]}), kExactBound);
}

TEST(HostDecoder, SlotsDoNotMix) {
  const auto model = tiny::llama({});
  const auto decoder = compile_decoder(model, {.threads = 3});
  std::vector<std::vector<uint32_t>> texts;
  std::vector<Slot> slots;
  for (uint32_t i = 0; i < 12; ++i) {
    texts.push_back(tiny::random_tokens(30 + i, 70, 100 + i));
    slots.push_back(open(*decoder));
  }
  std::vector<Rows> got(12);
  for (size_t at = 0; at < 42; at += 3) {  // three tokens of each at a time, the number of sequences shrinking
    std::vector<SlotInput> inputs;
    std::vector<size_t> whose;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (at >= texts[i].size()) continue;
      inputs.push_back({.slot = slots[i], .tokens = std::span(texts[i]).subspan(at, std::min<size_t>(3, texts[i].size() - at)), .want = Want::kAll});
      whose.push_back(i);
    }
    if (inputs.empty()) break;
    std::vector<SlotStatus> statuses(inputs.size());
    harness::Collector sink;
    ASSERT_TRUE(decoder->step(inputs, statuses, sink, {}).ok());
    for (auto& row : sink.rows) got[whose[row.input]].push_back(std::move(row.values));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_LT(relative_error(got[i], reference::Interpreter(*model).run(texts[i])), kExactBound) << i;
  }
}

TEST(HostDecoder, TruncateThenContinueEqualsAFreshSlot) {
  const auto model = tiny::llama({});
  const auto decoder = compile_decoder(model);
  const auto tokens = tiny::random_tokens(100, 70, 1), other = tiny::random_tokens(30, 70, 2);
  const Slot slot = open(*decoder);
  feed(*decoder, slot, tokens, Want::kNone);
  for (const uint32_t keep : {90u, 64u, 63u, 1u, 0u}) {
    ASSERT_TRUE(decoder->truncate(slot, keep).ok());
    const Rows got = feed(*decoder, slot, other);
    std::vector<uint32_t> whole(tokens.begin(), tokens.begin() + keep);
    whole.insert(whole.end(), other.begin(), other.end());
    const Slot fresh = open(*decoder);
    EXPECT_LT(relative_error(got, tail(feed(*decoder, fresh, whole), keep)), kSameBound) << keep;
    decoder->close(fresh);
    ASSERT_TRUE(decoder->truncate(slot, keep).ok());
  }
  EXPECT_EQ(decoder->truncate(slot, 1).error().code, ErrorCode::kOutOfRange);
}

TEST(HostDecoder, ForksShareThePastAndPartFromThere) {
  const auto model = tiny::llama({});
  const auto decoder = compile_decoder(model);
  const auto tokens = tiny::random_tokens(100, 70, 1), left = tiny::random_tokens(40, 70, 2), right = tiny::random_tokens(40, 70, 3);
  const Slot slot = open(*decoder);
  feed(*decoder, slot, tokens, Want::kNone);
  const uint64_t free_before = decoder->capacity().kv_tokens_free;
  const auto fork = decoder->fork(slot, 90);
  ASSERT_TRUE(fork.ok());
  EXPECT_EQ(decoder->capacity().kv_tokens_free, free_before);  // nothing copied yet
  const Rows got_right = feed(*decoder, *fork, right), got_left = feed(*decoder, slot, left);
  std::vector<uint32_t> whole(tokens.begin(), tokens.begin() + 90);
  whole.insert(whole.end(), right.begin(), right.end());
  EXPECT_LT(relative_error(got_right, tail(reference::Interpreter(*model).run(whole), 90)), kExactBound);
  whole = tokens;
  whole.insert(whole.end(), left.begin(), left.end());
  EXPECT_LT(relative_error(got_left, tail(reference::Interpreter(*model).run(whole), 100)), kExactBound);
}

TEST(HostDecoder, ThreadsDoNotChangeANumber) {
  const auto model = tiny::gemma({.dtype = DType::kQ4_1});
  const auto tokens = tiny::random_tokens(60, 70, 1);
  Rows want;
  for (const uint32_t threads : {1u, 2u, 3u}) {
    const auto decoder = compile_decoder(model, {.threads = threads});
    const Slot slot = open(*decoder);
    Rows rows = feed(*decoder, slot, std::span(tokens).first(50));
    for (size_t i = 50; i < 60; ++i) rows.push_back(feed(*decoder, slot, std::span(tokens).subspan(i, 1))[0]);
    if (threads == 1) want = rows;
    EXPECT_EQ(rows, want) << threads;
  }
}

TEST(HostDecoder, WantsDecideWhichRowsCome) {
  const auto decoder = compile_decoder(tiny::llama({}));
  const auto tokens = tiny::random_tokens(100, 70, 1);
  EXPECT_EQ(feed(*decoder, open(*decoder), tokens, Want::kNone).size(), 0u);
  const Rows last = feed(*decoder, open(*decoder), tokens, Want::kLast), all = feed(*decoder, open(*decoder), tokens, Want::kAll);
  ASSERT_EQ(all.size(), 100u);  // more than one pass of the head
  EXPECT_LT(relative_error(last, {all[99]}), kSameBound);
}

struct Refusal {
  std::vector<uint32_t> tokens;
  ErrorCode code;
};

TEST(HostDecoder, ARefusedInputLeavesItsSlotAndTheOthersAlone) {
  const auto model = tiny::llama({.context = 100});
  const auto decoder = compile_decoder(model, {.context = 100, .kv_tokens = 256});
  const auto tokens = tiny::random_tokens(60, 70, 1);
  const Slot good = open(*decoder), bad = open(*decoder);
  feed(*decoder, good, tokens, Want::kNone);
  feed(*decoder, bad, tokens, Want::kNone);
  for (const Refusal& refusal : {Refusal{std::vector<uint32_t>(41, 1), ErrorCode::kOutOfRange}, Refusal{{}, ErrorCode::kInvalidArgument},
                                 Refusal{{1, 70}, ErrorCode::kInvalidArgument}, Refusal{{4000000000u}, ErrorCode::kInvalidArgument}}) {
    const uint32_t token = 5;
    const SlotInput inputs[] = {{.slot = bad, .tokens = refusal.tokens}, {.slot = good, .tokens = {&token, 1}}, {.slot = good, .tokens = {&token, 1}}};
    SlotStatus statuses[3];
    harness::Collector sink;
    const uint64_t free_before = decoder->capacity().kv_tokens_free;
    ASSERT_TRUE(decoder->step(inputs, statuses, sink, {}).ok());
    ASSERT_TRUE(statuses[0].error.has_value());
    EXPECT_EQ(statuses[0].error->code, refusal.code) << statuses[0].error->message;
    EXPECT_FALSE(statuses[1].error.has_value());
    ASSERT_TRUE(statuses[2].error.has_value());  // twice in one step
    EXPECT_EQ(statuses[2].error->code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(sink.rows.size(), 1u);
    EXPECT_EQ(decoder->length(bad), 60u);
    EXPECT_EQ(decoder->capacity().kv_tokens_free, free_before);
    ASSERT_TRUE(decoder->truncate(good, 60).ok());
  }
  EXPECT_LT(relative_error(feed(*decoder, bad, std::span(tokens).first(40)), feed(*decoder, good, std::span(tokens).first(40))), 1e-12);
}

TEST(HostDecoder, KvRunsOutByStatusAndComesBack) {
  const auto decoder = compile_decoder(tiny::llama({.context = 256}), {.context = 128, .slots = 4, .kv_tokens = 128});
  EXPECT_EQ(decoder->capacity().kv_tokens_total, 128u);
  const auto tokens = tiny::random_tokens(100, 70, 1);
  const Slot first = open(*decoder), second = open(*decoder);
  feed(*decoder, first, tokens, Want::kNone);
  const SlotInput input{.slot = second, .tokens = tokens};
  SlotStatus status;
  harness::Collector sink;
  ASSERT_TRUE(decoder->step({&input, 1}, {&status, 1}, sink, {}).ok());
  ASSERT_TRUE(status.error.has_value());
  EXPECT_EQ(status.error->code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(decoder->length(second), 0u);
  decoder->close(first);
  EXPECT_EQ(feed(*decoder, second, tokens, Want::kLast).size(), 1u);
}

TEST(HostDecoder, StaleHandlesAreRefused) {
  const auto decoder = compile_decoder(tiny::llama({}), {.slots = 2});
  const Slot slot = open(*decoder);
  decoder->close(slot);
  decoder->close(slot);  // ignored
  const uint32_t all = 2 + decoder->limits().slots_kept_max;
  EXPECT_EQ(decoder->capacity().slots_free, all);
  const Slot again = open(*decoder);
  EXPECT_EQ(again.index, slot.index);
  EXPECT_NE(again.generation, slot.generation);
  const uint32_t token = 1;
  for (const Slot stale : {slot, Slot{0, 0}, Slot{77, 1}}) {
    const SlotInput input{.slot = stale, .tokens = {&token, 1}};
    SlotStatus status;
    harness::Collector sink;
    ASSERT_TRUE(decoder->step({&input, 1}, {&status, 1}, sink, {}).ok());
    ASSERT_TRUE(status.error.has_value());
    EXPECT_EQ(status.error->code, ErrorCode::kFailedPrecondition);
    EXPECT_FALSE(decoder->truncate(stale, 0).ok());
    EXPECT_FALSE(decoder->fork(stale, 0).ok());
    EXPECT_EQ(decoder->length(stale), 0u);
  }
  for (uint32_t i = 1; i < all; ++i) open(*decoder);
  EXPECT_EQ(decoder->open().error().code, ErrorCode::kResourceExhausted);
}

TEST(HostDecoder, AStopOrADeadlineLeavesEverySlotAsItWas) {
  const auto model = tiny::llama({.context = 2048});
  const auto decoder = compile_decoder(model, {.threads = 2, .kv_tokens = 4096});
  const auto tokens = tiny::random_tokens(1000, 70, 1);
  const Slot slot = open(*decoder);
  feed(*decoder, slot, std::span(tokens).first(10), Want::kNone);
  const uint64_t free_before = decoder->capacity().kv_tokens_free;
  const SlotInput input{.slot = slot, .tokens = std::span(tokens).subspan(10)};
  SlotStatus status;
  harness::Collector sink;
  const std::atomic<bool> stop{true};
  EXPECT_EQ(decoder->step({&input, 1}, {&status, 1}, sink, {.stop = &stop}).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(decoder->step({&input, 1}, {&status, 1}, sink, {.deadline = std::chrono::steady_clock::now()}).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(sink.rows.empty());
  EXPECT_EQ(decoder->length(slot), 10u);
  EXPECT_EQ(decoder->capacity().kv_tokens_free, free_before);
  const Rows got = feed(*decoder, slot, std::span(tokens).subspan(10, 50));
  EXPECT_LT(relative_error(got, tail(reference::Interpreter(*model).run(std::span(tokens).first(60)), 10)), kExactBound);
}

/// The portable kernels, but one token's K is NaN while the flag is up.
std::atomic<bool> poison{false};
KernelTable poisoned_kernels() {
  KernelTable table = native_kernels(Isa::kPortable);
  table.kv_store = [](const KvLayout& layout, std::byte* page, uint32_t token, const float* k, const float* v) {
    if (poison.load() && token == 3) {
      const std::vector<float> nan(size_t{layout.kv_heads} * layout.head_width, NAN);
      native_kernels(Isa::kPortable).kv_store(layout, page, token, nan.data(), v);
    } else {
      native_kernels(Isa::kPortable).kv_store(layout, page, token, k, v);
    }
  };
  return table;
}

TEST(HostDecoder, LogitsThatAreNoNumbersAreAStatusAndTheSlotGoesOn) {
  const KernelTable kernels = poisoned_kernels();
  const auto model = tiny::llama({});
  const auto decoder = compile_decoder(model, {.threads = 2, .kernels = &kernels});
  const auto tokens = tiny::random_tokens(20, 70, 1);
  const Slot hit = open(*decoder), spared = open(*decoder);
  feed(*decoder, spared, std::span(tokens).first(10), Want::kNone);
  poison = true;
  const SlotInput inputs[] = {{.slot = hit, .tokens = tokens}, {.slot = spared, .tokens = std::span(tokens).subspan(10)}};
  SlotStatus statuses[2];
  harness::Collector sink;
  ASSERT_TRUE(decoder->step(inputs, statuses, sink, {}).ok());
  poison = false;
  ASSERT_TRUE(statuses[0].error.has_value());
  EXPECT_EQ(statuses[0].error->code, ErrorCode::kInternal);
  EXPECT_EQ(decoder->length(hit), 0u);
  EXPECT_FALSE(statuses[1].error.has_value());
  ASSERT_EQ(sink.rows.size(), 1u);
  const Rows want = reference::Interpreter(*model).run(tokens);
  EXPECT_LT(relative_error({sink.rows[0].values}, {want[19]}), kExactBound);
  EXPECT_LT(relative_error(feed(*decoder, hit, tokens), want), kExactBound);
}

TEST(HostDecoder, SaysWhatItIs) {
  const auto decoder = compile_decoder(tiny::llama({}), {.slots = 5});
  EXPECT_EQ(decoder->vocabulary(), 70u);
  EXPECT_EQ(decoder->limits().slots_max, 5u);
  EXPECT_EQ(decoder->limits().context_max, 256u);
  EXPECT_EQ(decoder->limits().batch_tokens_max, kBatchTokensMax);
  EXPECT_TRUE(decoder->limits().truncate_exact);
  EXPECT_EQ(decoder->limits().fork, ForkKind::kShared);
  EXPECT_GT(decoder->memory_bytes(), 0u);
  ASSERT_GE(decoder->notes().size(), 2u);
  EXPECT_EQ(decoder->notes()[0], "activations f32");
  EXPECT_EQ(decoder->notes()[1], "KV f32");
}

}  // namespace
}  // namespace accelerate
