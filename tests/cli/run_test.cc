#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class RunVerb : public CliTest {
 protected:
  const std::string model_ = fixture("llama_f32.gguf");
};

TEST_F(RunVerb, AnswersOnStdoutAndCountsOnStderr) {
  const CliRun run = cli({"run", model_, "hello", "--max-tokens", "8"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_FALSE(run.out.empty());
  EXPECT_TRUE(run.out.ends_with("\n"));
  for (const char* word : {"cpu@cpu:0: ", " prompt + ", " answer tokens", "tokens/s", "peak memory "}) {
    EXPECT_TRUE(holds(run.err, word)) << word << " in " << run.err;
  }
}

TEST_F(RunVerb, JsonHoldsTheSameAnswer) {
  const CliRun text = cli({"run", model_, "hello", "--max-tokens", "6"});
  const Json json = cli({"run", model_, "hello", "--max-tokens", "6", "--json"}).json();
  EXPECT_EQ(json["text"].get<std::string>() + (json["text"].get<std::string>().ends_with("\n") ? "" : "\n"), text.out) << "greedy by default";
  EXPECT_EQ(json["usage"]["completion_tokens"].get<size_t>(), json["tokens"].size());
  EXPECT_GT(json["usage"]["prompt_tokens"].get<size_t>(), 5u) << "the template is around it";
  EXPECT_EQ(json["target"], "cpu@cpu:0");
  EXPECT_GT(json["timings"]["ttft_ms"].get<double>(), 0);
  EXPECT_GT(json["memory_peak_bytes"].get<uint64_t>(), 1'000'000u);
  EXPECT_EQ(json["model"], "llama_f32");
}

TEST_F(RunVerb, RawLeavesTheTemplateOut) {
  const Json raw = cli({"run", model_, "hello", "--raw", "--max-tokens", "2", "--json"}).json();
  const Json chat = cli({"run", model_, "hello", "--max-tokens", "2", "--json"}).json();
  EXPECT_LT(raw["usage"]["prompt_tokens"].get<int>(), chat["usage"]["prompt_tokens"].get<int>());
}

TEST_F(RunVerb, ThePromptMayComeFromAPipe) {
  const Json piped = cli({"run", model_, "--max-tokens", "2", "--json"}, {.text = "hello\n"}).json();
  const Json typed = cli({"run", model_, "hello", "--max-tokens", "2", "--json"}).json();
  EXPECT_EQ(piped["usage"]["prompt_tokens"], typed["usage"]["prompt_tokens"]);
  EXPECT_EQ(piped["tokens"], typed["tokens"]);
  EXPECT_EQ(cli({"run", model_, "-", "--max-tokens", "2"}, {.text = "hello"}).code, 0);
  EXPECT_EQ(cli({"run", model_}, {.text = ""}).code, 2);
}

TEST_F(RunVerb, SeedsRepeatAndAreTold) {
  const std::vector<std::string> args = {"run", model_, "hello", "--temperature", "1.5", "--seed", "7", "--max-tokens", "12", "--json"};
  const Json first = cli(args).json(), second = cli(args).json();
  EXPECT_EQ(first["tokens"], second["tokens"]);
  EXPECT_EQ(first["seed"], 7);
}

TEST_F(RunVerb, StopStringsEndTheAnswerAndAreNoPartOfIt) {
  const Json whole = cli({"run", model_, "hello", "--raw", "--max-tokens", "24", "--json"}).json();
  const std::string text = whole["text"];
  size_t at = text.size() / 2;
  while (at < text.size() && (text[at] & 0x80)) ++at;  // a random model speaks in bytes: take a plain character
  if (at >= text.size()) GTEST_SKIP() << "this random model's answer holds no plain character in its second half";
  const std::string stop(1, text[at]);
  const Json stopped = cli({"run", model_, "hello", "--raw", "--max-tokens", "24", "--stop", stop, "--json"}).json();
  EXPECT_EQ(stopped["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(stopped["finish_reason"], "stop");
  EXPECT_EQ(stopped["stop_string"], stop);
}

TEST_F(RunVerb, ASchemaOrGrammarBindsTheAnswer) {
  const std::string schema = R"({"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"], "additionalProperties": false})";
  const CliRun text = cli({"run", model_, "hello", "--json-schema", schema});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_TRUE(Json::parse(text.out)["yes"].is_boolean()) << text.out;
  write_text(home_ / "schema.json", schema);
  EXPECT_EQ(cli({"run", model_, "hello", "--json-schema", (home_ / "schema.json").string()}).out, text.out);
  const CliRun lark = cli({"run", model_, "hello", "--raw", "--grammar", "start: \"a\" \"b\"~3"});
  ASSERT_EQ(lark.code, 0) << lark.err;
  EXPECT_EQ(lark.out, "abbb\n");
  const CliRun refused = cli({"run", model_, "hello", "--json-schema", R"({"not": {}})"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(holds(refused.err, "'not' at #")) << refused.err;
  EXPECT_EQ(cli({"run", model_, "hello", "--json-schema", "{}", "--grammar", "start: \"a\""}).code, 2);
}

TEST_F(RunVerb, OptionsWithoutEffectAreSaid) {
  EXPECT_TRUE(holds(cli({"run", model_, "hi", "--top-k", "3", "--max-tokens", "1"}).err, "note: --top-p, --top-k")) << "greedy ignores it";
  EXPECT_EQ(cli({"run", model_, "hi", "--raw", "--system", "x"}).code, 2);
}

TEST_F(RunVerb, BadValuesComeBackAsErrors) {
  EXPECT_EQ(cli({"run", model_, "hi", "--temperature", "-1"}).code, 2);
  EXPECT_EQ(cli({"run", model_, "hi", "--temperature", "1", "--top-p", "0"}).code, 2);
  EXPECT_EQ(cli({"run", model_, "hi", "--stop", "a", "--stop", "b", "--stop", "c", "--stop", "d", "--stop", "e"}).code, 2);
  EXPECT_EQ(cli({"run", model_, "hi", "--max-tokens", "0"}).code, 2);
  EXPECT_EQ(cli({"run", model_, "\xff\xfe"}).code, 2) << "ill-formed UTF-8";
}

TEST_F(RunVerb, APromptBeyondTheContextIsRefusedNotCut) {
  const CliRun run = cli({"run", model_, std::string(50'000, 'x')});
  EXPECT_EQ(run.code, 10) << run.err;
  EXPECT_EQ(run.out, "");
}

TEST_F(RunVerb, ModelsThatCannotChatSayWhatToDo) {
  const CliRun base = cli({"run", fixture("gemma3_f16.gguf"), "hi"});
  EXPECT_EQ(base.code, 8) << base.err;
  EXPECT_TRUE(holds(base.err, "--raw")) << base.err;
  EXPECT_EQ(cli({"run", fixture("gemma3_f16.gguf"), "hi", "--raw", "--max-tokens", "2"}).code, 0);
  const CliRun encoder = cli({"run", fixture("bert_hf"), "hi"});
  EXPECT_EQ(encoder.code, 11) << encoder.err;
  EXPECT_TRUE(holds(encoder.err, "embed")) << encoder.err;
}

TEST_F(RunVerb, AnotherTemplateCanBeGiven) {
  write_text(home_ / "t.jinja", "{{ messages[0]['content'] }}");
  EXPECT_EQ(cli({"run", fixture("gemma3_f16.gguf"), "hi", "--chat-template", (home_ / "t.jinja").string(), "--max-tokens", "2"}).code, 0);
  write_text(home_ / "bad.jinja", "{% for %}");
  const CliRun bad = cli({"run", fixture("gemma3_f16.gguf"), "hi", "--chat-template", (home_ / "bad.jinja").string()});
  EXPECT_NE(bad.code, 0);
  EXPECT_TRUE(bad.err.starts_with("error: [")) << bad.err;
}

}  // namespace
}  // namespace accelerate
