#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class TokenizeVerb : public CliTest {
 protected:
  const std::string model_ = fixture("llama_f32.gguf");
};

TEST_F(TokenizeVerb, ThereAndBackIsTheSameText) {
  const std::string text = "Hello, wörld! 你好\n";
  const Json there = cli({"tokenize", model_, "--json", text}).json();
  std::vector<std::string> args = {"tokenize", model_, "--decode"};
  for (const Json& id : there["ids"]) args.push_back(std::to_string(id.get<uint32_t>()));
  EXPECT_EQ(there["ids"].size(), there["pieces"].size());
  EXPECT_GT(there["ids"].size(), 3u);
  const CliRun back = cli(args);
  EXPECT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(back.out, text + "\n");
}

TEST_F(TokenizeVerb, IdsGoThroughAPipe) {
  const CliRun ids = cli({"tokenize", model_, "--ids", "abc abc"});
  ASSERT_EQ(ids.code, 0) << ids.err;
  EXPECT_EQ(ids.out.find_first_not_of("0123456789 \n"), std::string::npos) << ids.out;
  EXPECT_EQ(cli({"tokenize", model_, "--decode"}, {.text = ids.out}).out, "abc abc\n");
}

TEST_F(TokenizeVerb, ControlTokensAreTextUnlessAskedFor) {
  const Json plain = cli({"tokenize", model_, "--json", "<|im_start|>"}).json();
  const Json special = cli({"tokenize", model_, "--json", "--special", "<|im_start|>"}).json();
  EXPECT_GT(plain["ids"].size(), 1u);
  ASSERT_EQ(special["ids"].size(), 1u);
  EXPECT_EQ(special["pieces"][0], "<|im_start|>");
}

TEST_F(TokenizeVerb, TheTableShowsSpacesAndLineEnds) {
  const CliRun run = cli({"tokenize", model_, "a\nb"});
  EXPECT_TRUE(holds(run.out, "\"\\n\"")) << run.out;
}

TEST_F(TokenizeVerb, WrongIdsAndTextsAreRefused) {
  for (const char* word : {"abc", "999999", "-1", "99999999999999999999", "1.5"}) {
    EXPECT_EQ(cli({"tokenize", model_, "--decode", "--", word}).code, 2) << word;
  }
  EXPECT_EQ(cli({"tokenize", model_, "two", "texts"}).code, 2);
  EXPECT_EQ(cli({"tokenize", model_, "\xff\xfe"}).code, 2) << "ill-formed UTF-8";
}

}  // namespace
}  // namespace accelerate
