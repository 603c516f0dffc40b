#include "accelerate/wire/rows.h"

#include <map>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

constexpr uint32_t kVocabulary = 7;

struct Collected final : LogitsSink {
  std::map<std::pair<size_t, size_t>, std::vector<float>> rows;
  void row(size_t input, size_t token, std::span<const float> logits) override { rows[{input, token}].assign(logits.begin(), logits.end()); }
};

std::vector<float> row_of(size_t token) { return std::vector<float>(kVocabulary, static_cast<float>(token)); }

class Rows : public ::testing::TestWithParam<bool> {};

TEST_P(Rows, MoreThanFitGoInPieces) {
  SharedMemory region;
  if (GetParam()) region = *SharedMemory::create(3 * kVocabulary * sizeof(float));
  const std::vector<uint32_t> tokens(10);
  const std::vector<SlotInput> inputs = {{.slot = {}, .tokens = tokens, .want = Want::kAll}};
  Collected sink;
  int messages = 0;
  const auto give = [&](const WireMessage& message) {
    const Result<void> read = read_rows(message, kVocabulary, region, inputs, sink);
    EXPECT_TRUE(read) << to_string(read.error());
    ++messages;
    return true;
  };
  RowsWriter writer(kVocabulary, region, [&](WireMessage message) { return give(message); }, 3 * kVocabulary * sizeof(float));
  for (size_t t = 0; t < tokens.size(); ++t) writer.row(0, t, row_of(t));
  WireMessage answer("done");
  writer.finish(answer);
  give(answer);
  EXPECT_EQ(messages, 4);
  ASSERT_EQ(sink.rows.size(), 10u);
  for (size_t t = 0; t < tokens.size(); ++t) EXPECT_EQ(sink.rows.at({0, t}), row_of(t)) << t;
}
INSTANTIATE_TEST_SUITE_P(SharedAndBlobs, Rows, ::testing::Bool());

TEST(RowsOfAStep, InputsComeBack) {
  const std::vector<uint32_t> first = {1, 2, 3}, second = {4};
  const std::vector<SlotInput> sent = {{.slot = {5, 6}, .tokens = first, .want = Want::kNone}, {.slot = {7, 8}, .tokens = second, .want = Want::kAll, .top_k = 9}};
  WireMessage request("step");
  add_step_inputs(request, sent);
  const auto tokens = request.blob_u32(1);
  ASSERT_TRUE(tokens);
  const auto got = step_inputs_of(request, *tokens);
  ASSERT_TRUE(got) << to_string(got.error());
  ASSERT_EQ(got->size(), 2u);
  EXPECT_EQ((*got)[0].slot, (Slot{5, 6}));
  EXPECT_EQ(std::vector<uint32_t>((*got)[0].tokens.begin(), (*got)[0].tokens.end()), first);
  EXPECT_EQ((*got)[1].want, Want::kAll);
  EXPECT_EQ((*got)[1].top_k, 9u);
}

TEST(RowsOfAStep, InputsThatSayMoreThanIsThereAreRefused) {
  const std::vector<uint32_t> tokens = {1, 2};
  for (const std::vector<uint32_t>& table : std::vector<std::vector<uint32_t>>{{0, 0, 3, 0, 0}, {0, 0, 1, 3, 0}, {0, 0, 1, 0}}) {
    WireMessage request("step");
    request.add_blob(std::as_bytes(std::span(table))).add_blob(std::as_bytes(std::span(tokens)));
    EXPECT_FALSE(step_inputs_of(request, tokens));
  }
}

TEST(RowsOfAStep, RowsNobodyAskedForAreRefused) {
  const std::vector<uint32_t> tokens = {1, 2};
  const std::vector<SlotInput> inputs = {{.slot = {}, .tokens = tokens, .want = Want::kLast}};
  const SharedMemory none;
  for (const std::vector<uint32_t>& table : std::vector<std::vector<uint32_t>>{{0, 0}, {1, 1}, {0, 2}, {0}, {0, 1, 0, 1}}) {
    WireMessage message("rows");
    const std::vector<float> row = row_of(1);
    message.add_blob(std::as_bytes(std::span(table))).add_blob(std::as_bytes(std::span(row)));
    Collected sink;
    EXPECT_FALSE(read_rows(message, kVocabulary, none, inputs, sink));
  }
}

TEST(RowsOfAStep, StatusesAndCapacityComeBack) {
  std::vector<SlotStatus> statuses(3);
  statuses[1].error = Error{ErrorCode::kResourceExhausted, "no KV"};
  WireMessage answer("done");
  add_statuses(answer, statuses);
  add_capacity(answer, {.kv_tokens_free = 1, .kv_tokens_total = 2, .slots_free = 3});
  std::vector<SlotStatus> got(3);
  got[0].error = Error{ErrorCode::kInternal, "old"};
  ASSERT_TRUE(read_statuses(answer, got));
  EXPECT_FALSE(got[0].error);
  ASSERT_TRUE(got[1].error);
  EXPECT_EQ(got[1].error->code, ErrorCode::kResourceExhausted);
  std::vector<SlotStatus> fewer(1);
  EXPECT_FALSE(read_statuses(answer, fewer)) << "an input that is none of ours";
  EXPECT_EQ(capacity_of(answer)->slots_free, 3u);
  EXPECT_FALSE(capacity_of(WireMessage("done")));
}

}  // namespace
}  // namespace accelerate
