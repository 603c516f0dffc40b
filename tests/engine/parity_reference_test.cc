#include "accelerate/engine/parity_reference.h"

#include <gtest/gtest.h>

#include "accelerate/base/log.h"
#include "tests/engine/fixture_model.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

ParityReference small() {
  return {.probe = {.sequences = {{1, 2, 3}, {4}}}, .blocks = {{.output = "logits", .columns = 2, .places = {1, 3, 65536}, .rows = {1, 2, 3, 4, 5, 6}}}};
}

TEST(ParityReference, RowsAreFoundByTheirPlace) {
  const ParityBlock block = small().blocks[0];
  ASSERT_EQ(block.row(0, 3).size(), 2u);
  EXPECT_EQ(block.row(0, 3)[0], 3);
  EXPECT_EQ(block.row(1, 0)[1], 6);
  EXPECT_TRUE(block.row(0, 2).empty());
  EXPECT_TRUE(block.row(2, 0).empty());
}

TEST(ParityReference, IsTheProgramsRows) {
  CountingDecoder program;
  program.vocabulary_value = 280;
  program.limits_value.batch_tokens_max = 128;
  const auto model = fixture_model("llama_f32.gguf");
  const Result<ParityReference> reference = compute_reference(program, *model, {});
  ASSERT_TRUE(reference) << to_string(reference.error());
  ASSERT_EQ(reference->blocks.size(), 1u);
  EXPECT_EQ(reference->blocks[0].columns, 280u);
  EXPECT_EQ(reference->blocks[0].places.size(), 64u);
  const uint32_t token = reference->probe.sequences[2][7];
  EXPECT_EQ(reference->blocks[0].row(2, 7)[(token + 1) % 280], 1.0f);
}

TEST(ReferenceStore, WhatWasSavedIsLoaded) {
  const TemporaryFolder folder;
  const ReferenceStore store(folder / "parity");
  EXPECT_FALSE(store.load("id"));
  store.save("id", small());
  const auto loaded = store.load("id");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->probe.sequences, small().probe.sequences);
  EXPECT_EQ(loaded->blocks[0].rows, small().blocks[0].rows);
  EXPECT_EQ(loaded->blocks[0].output, "logits");
  EXPECT_FALSE(store.load("other"));
}

TEST(ReferenceStore, ABrokenFileIsLeftAsideWhereverItIsCut) {
  const TemporaryFolder folder;
  const ReferenceStore store(folder / "parity");
  store.save("id", small());
  const LogLevel level = log_level();
  set_log_level(LogLevel::kError);  // hundreds of warnings
  const std::string whole = read_text(store.path_of("id"));
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    write_text(store.path_of("id"), whole.substr(0, bytes));
    EXPECT_FALSE(store.load("id")) << bytes;
  }
  for (size_t at = 0; at < whole.size(); at += 7) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    write_text(store.path_of("id"), changed);
    EXPECT_FALSE(store.load("id")) << at;
    EXPECT_FALSE(std::filesystem::exists(store.path_of("id")));
  }
  set_log_level(level);
  write_text(store.path_of("id"), whole);
  EXPECT_TRUE(store.load("id"));
}

TEST(ReferenceStore, AFolderThatCanNotBeMadeStopsNothing) {
  const TemporaryFolder folder;
  write_text(folder / "file", "x");
  const ReferenceStore store(folder / "file" / "parity");
  store.save("id", small());
  EXPECT_FALSE(store.load("id"));
}

}  // namespace
}  // namespace accelerate
