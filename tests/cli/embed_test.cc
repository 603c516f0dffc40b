#include <cmath>

#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class Embed : public CliTest {
 protected:
  const std::string model_ = fixture("bert_hf");
};

TEST_F(Embed, OneArrayALine) {
  const CliRun run = cli({"embed", model_, "hello", "[a, b]", "hello"});
  ASSERT_EQ(run.code, 0) << run.err;
  std::istringstream lines(run.out);
  std::vector<Json> vectors;
  for (std::string line; std::getline(lines, line);) vectors.push_back(*parse_json(line));
  ASSERT_EQ(vectors.size(), 3u) << "a text in brackets is one text";
  EXPECT_EQ(vectors[0].size(), 48u);
  EXPECT_EQ(vectors[0], vectors[2]);
  EXPECT_NE(vectors[0], vectors[1]);
}

TEST_F(Embed, LinesOfAPipeAreTheSameTexts) {
  std::string lines;
  for (int i = 0; i < 150; ++i) lines += "hello\n";  // more than two batches
  const Json piped = cli({"embed", model_, "--json", "--precision", "exact"}, {.text = lines}).json();
  const Json typed = cli({"embed", model_, "hello", "--json", "--precision", "exact"}).json();
  ASSERT_EQ(piped["embeddings"].size(), 150u);
  for (size_t i = 0; i < 48; ++i) {
    EXPECT_NEAR(piped["embeddings"][149][i].get<double>(), typed["embeddings"][0][i].get<double>(), 1e-5);
  }
  EXPECT_EQ(piped["usage"]["prompt_tokens"].get<int>(), 150 * typed["usage"]["prompt_tokens"].get<int>());
  EXPECT_EQ(typed["width"], 48);
}

TEST_F(Embed, RefusesWhatItCannotEmbed) {
  const CliRun decoder = cli({"embed", fixture("llama_f32.gguf"), "hello"});
  EXPECT_EQ(decoder.code, 11) << decoder.err;
  const CliRun wide = cli({"embed", model_, std::string(5000, 'x') + " " + std::string(5000, 'y')});
  EXPECT_TRUE(wide.code == 0 || wide.code == 10) << "WordPiece may make one unknown token of it: " << wide.err;
  std::string many;
  for (int i = 0; i < 500; ++i) many += "hello ";
  EXPECT_EQ(cli({"embed", model_, many}).code, 10) << "64 positions, never cut";
  EXPECT_EQ(cli({"embed", model_, "\xff"}).code, 2);
  EXPECT_EQ(cli({"embed", model_}, {.text = ""}).out, "");
}

}  // namespace
}  // namespace accelerate
