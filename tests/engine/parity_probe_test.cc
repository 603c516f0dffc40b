#include "accelerate/engine/parity_probe.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/engine/fake_encoder.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

size_t total(const ParityProbe& probe) {
  size_t tokens = 0;
  for (const auto& sequence : probe.sequences) tokens += sequence.size();
  return tokens;
}

TEST(ParityProbe, IsAlwaysTheSame256TokensOfTheVocabulary) {
  const ParityProbe probe = make_decoder_probe({.vocabulary = 280, .context = 512});
  EXPECT_EQ(total(probe), 256u);
  EXPECT_EQ(probe.sequences, make_decoder_probe({.vocabulary = 280, .context = 512}).sequences);
  for (const auto& sequence : probe.sequences) {
    for (const uint32_t token : sequence) EXPECT_LT(token, 280u);
  }
  EXPECT_NE(probe.sequences[3], probe.sequences[4]) << "slots that are mixed up must differ";
  EXPECT_EQ(total(make_decoder_probe({.vocabulary = 1, .context = 512})), 256u);
  EXPECT_EQ(total(make_decoder_probe({.vocabulary = 280, .context = 10})), 50u);
  EXPECT_EQ(total(make_encoder_probe({.vocabulary = 280, .context = 512})), 256u);
}

TEST(ParityProbe, HasOurTextWhereThereIsATokenizer) {
  const auto model = fixture_model("llama_f32.gguf");
  const auto tokenizer = Tokenizer::create(*model->tokenizer);
  ASSERT_TRUE(tokenizer);
  const ParityProbe probe = make_decoder_probe({.vocabulary = 280, .context = 512, .tokenizer = tokenizer->get()});
  EXPECT_NE((*tokenizer)->decode(probe.sequences[0]).find("ferry"), std::string::npos);
}

// The tokens of every sequence arrive once, in order, in the promised sizes, and no slot stays open.
TEST(ParityProbe, DecodersSeeChunksSinglesAndTwoSlots) {
  CountingDecoder program;
  program.limits_value.batch_tokens_max = 128;
  const ParityProbe probe = make_decoder_probe({.vocabulary = 1000, .context = 512});
  std::map<std::string, size_t> rows;
  std::vector<std::string> notes;
  const OnProbeRow on_row = [&](std::string_view way, size_t sequence, size_t position, std::span<const float> row) {
    ++rows[std::string(way)];
    EXPECT_EQ(row[(probe.sequences[sequence][position] + 1) % 1000], 1.0f) << way << " " << sequence << " " << position;
  };
  ASSERT_TRUE(run_decoder_probe(program, probe, ParityRun::kCandidate, on_row, notes, {}));
  EXPECT_EQ(rows, (std::map<std::string, size_t>{{"one chunk", 32}, {"uneven chunks", 16}, {"token by token", 6}, {"two interleaved slots", 10}}));
  EXPECT_EQ(program.tokens_computed, 256u);
  EXPECT_EQ(program.batched_max, 2u);
  EXPECT_EQ(program.open_slots(), 0u);
  EXPECT_TRUE(notes.empty());
}

TEST(ParityProbe, TakesTurnsWhereAProgramStepsOneSlot) {
  CountingDecoder program;
  program.limits_value.slots_max = 1;
  program.limits_value.slots_kept_max = 1;
  std::vector<std::string> notes;
  size_t rows = 0;
  ASSERT_TRUE(run_decoder_probe(program, make_decoder_probe({.vocabulary = 1000, .context = 512}), ParityRun::kCandidate,
                                [&](std::string_view, size_t, size_t, std::span<const float>) { ++rows; }, notes, {}));
  EXPECT_EQ(rows, 64u);
  EXPECT_EQ(program.batched_max, 1u);
  program.limits_value.slots_kept_max = 0;
  ASSERT_TRUE(run_decoder_probe(program, make_decoder_probe({.vocabulary = 1000, .context = 512}), ParityRun::kCandidate,
                                [](std::string_view, size_t, size_t, std::span<const float>) {}, notes, {}));
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("two interleaved slots"), std::string::npos);
}

TEST(ParityProbe, AnErrorClosesItsSlots) {
  CountingDecoder program;
  program.step_error = Error{ErrorCode::kInternal, "[test] gone"};
  std::vector<std::string> notes;
  EXPECT_FALSE(run_decoder_probe(program, make_decoder_probe({.vocabulary = 1000, .context = 512}), ParityRun::kCandidate,
                                 [](std::string_view, size_t, size_t, std::span<const float>) {}, notes, {}));
  EXPECT_EQ(program.open_slots(), 0u);
}

TEST(ParityProbe, EncodersSeeBatchesAndSingles) {
  FakeEncoder program;
  std::map<std::string, size_t> rows;
  ASSERT_TRUE(run_encoder_probe(program, make_encoder_probe({.vocabulary = 280, .context = 512}), EncodeOutput::kPooled, ParityRun::kCandidate,
                                [&](std::string_view way, size_t, size_t, std::span<const float>) { ++rows[std::string(way)]; }, {}));
  EXPECT_EQ(rows.size(), 3u);
}

}  // namespace
}  // namespace accelerate
