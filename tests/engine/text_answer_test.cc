#include "accelerate/engine/text_answer.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

class TextAnswerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = fixture_model("llama_f32.gguf");
    auto tokenizer = Tokenizer::create(*model_->tokenizer);
    ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
    tokenizer_ = *tokenizer;
    end_ = *tokenizer_->eos();
  }
  std::vector<uint32_t> ids(std::string_view text) { return *tokenizer_->encode(text, {.add_special = false}); }

  struct Options {
    std::vector<std::string> stop = {};
    uint32_t tokens_max = 1000;
    bool ignore_end = false;
    SamplingOptions sampling = {.temperature = 0, .logit_bias = {}};
    std::optional<uint32_t> top_logprobs = {};
    std::optional<Grammar> grammar = {};
    std::optional<ToolAnswer> tools = {};
  };
  TextAnswer answer(const Options& options) {
    stream_ = std::make_shared<Stream>();
    std::unique_ptr<GrammarMatcher> matcher;
    if (options.grammar) {
      auto made = GrammarEngine::create(tokenizer_)->matcher(*options.grammar);
      EXPECT_TRUE(made.ok()) << made.error().message;
      if (made) matcher = *std::move(made);
    }
    return TextAnswer({.stream = stream_, .tokenizer = tokenizer_, .shaper = LogitShaper(options.sampling, {}),
                       .sampler = Sampler(options.sampling, 1),
                       .stop = *StopMatcher::create(options.stop), .grammar = std::move(matcher), .stop_strings = options.stop, .continues_text = false,
                       .ignore_end = options.ignore_end, .top_logprobs = options.top_logprobs, .tools = options.tools, .tokens_max = options.tokens_max,
                       .reply = {.usage = {.prompt_tokens = 3}, .served_by = "test@cpu:0", .seed = 7, .notes = {"a note"}},
                       .on_end = [this](const Result<Reply>& result) { ended_with_.push_back(result); }});
  }
  // Feeds one-hot rows until the answer is over; how many it took.
  size_t feed(TextAnswer& answer, const std::vector<uint32_t>& tokens) {
    std::vector<float> logits(280);
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::fill(logits.begin(), logits.end(), 0.0f);
      logits[tokens[i]] = 1;
      const bool more = answer.take(logits);
      EXPECT_EQ(answer.last_token(), tokens[i]);
      if (!more) return i + 1;
    }
    return tokens.size();
  }
  std::shared_ptr<Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<Stream> stream_;
  std::vector<Result<Reply>> ended_with_;
  uint32_t end_ = 0;
};

TEST_F(TextAnswerTest, AnEndTokenEndsItAndIsNoText) {
  TextAnswer one = answer({});
  one.started(0);
  std::vector<uint32_t> said = ids("Hello, wörld 🙂!");
  const size_t tokens = said.size();
  said.push_back(end_);
  EXPECT_EQ(feed(one, said), tokens + 1);
  EXPECT_EQ(read_all(*stream_), "Hello, wörld 🙂!");
  const Result<Reply> reply = stream_->result();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->finish_reason, FinishReason::kStop);
  EXPECT_EQ(reply->stop_string, "");
  EXPECT_EQ(reply->usage.prompt_tokens, 3u);
  EXPECT_EQ(reply->usage.completion_tokens, tokens + 1);
  EXPECT_EQ(reply->served_by, "test@cpu:0");
  EXPECT_EQ(reply->seed, 7u);
  EXPECT_EQ(reply->notes, (std::vector<std::string>{"a note"}));
  EXPECT_GE(reply->ttft_ms, reply->queue_ms);
  ASSERT_EQ(ended_with_.size(), 1u);
  EXPECT_TRUE(ended_with_[0]);
}

TEST_F(TextAnswerTest, TheLimitEndsItWithLength) {
  TextAnswer one = answer({.tokens_max = 4});
  EXPECT_EQ(feed(one, ids("abcdefghijkl")), 4u);
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kLength);
  EXPECT_EQ(stream_->result()->usage.completion_tokens, 4u);
  EXPECT_FALSE(read_all(*stream_).empty());
}

TEST_F(TextAnswerTest, AnOpenCharacterAtTheLimitBecomesTheReplacement) {
  const std::vector<uint32_t> smile = ids("🙂");
  ASSERT_GT(smile.size(), 1u) << "the fixture spells it in bytes";
  TextAnswer one = answer({.tokens_max = 1});
  feed(one, smile);
  EXPECT_EQ(read_all(*stream_), "\uFFFD");
}

TEST_F(TextAnswerTest, AStopStringAcrossTokensIsCutOff) {
  TextAnswer one = answer({.stop = {"END", "##"}});
  const std::vector<uint32_t> said = ids("one E EN END two");
  EXPECT_LT(feed(one, said), said.size());
  EXPECT_EQ(read_all(*stream_), "one E EN ");
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kStop);
  EXPECT_EQ(stream_->result()->stop_string, "END");
}

TEST_F(TextAnswerTest, AHalfStopStringComesOutAtTheEnd) {
  for (const bool by_limit : {true, false}) {
    std::vector<uint32_t> said = ids("text STO");
    TextAnswer one = answer({.stop = {"STOP"}, .tokens_max = by_limit ? static_cast<uint32_t>(said.size()) : 1000});
    if (!by_limit) said.push_back(end_);
    feed(one, said);
    EXPECT_EQ(read_all(*stream_), "text STO") << by_limit;
    EXPECT_EQ(stream_->result()->finish_reason, by_limit ? FinishReason::kLength : FinishReason::kStop);
    EXPECT_EQ(stream_->result()->stop_string, "");
  }
}

TEST_F(TextAnswerTest, EndTokensCanBeIgnored) {
  TextAnswer one = answer({.tokens_max = 5, .ignore_end = true});
  EXPECT_EQ(feed(one, {end_, end_, end_, end_, end_, end_}), 5u);
  EXPECT_EQ(read_all(*stream_), "") << "control tokens are no text";
  EXPECT_EQ(stream_->result()->usage.completion_tokens, 5u);
}

TEST_F(TextAnswerTest, EveryTokenIsInAPartWhenItIsMade) {
  TextAnswer one = answer({.stop = {"zzzz"}});
  const std::vector<uint32_t> said = ids("abc 🙂 def");
  feed(one, said);
  std::vector<uint32_t> tokens;
  std::string text;
  for (size_t i = 0; i < said.size(); ++i) {
    const auto part = stream_->next(std::chrono::milliseconds(0));
    ASSERT_TRUE(part) << i;
    tokens.insert(tokens.end(), part->tokens.begin(), part->tokens.end());
    text += part->text;
  }
  EXPECT_EQ(tokens, said);
  EXPECT_EQ(text, "abc 🙂 def");
}

ToolAnswer tools_of(bool single_call) {
  return {.parser = ToolCallParser(ToolStyle::kHermes, {"f"}), .marker_tokens = {}, .single_call = single_call, .grammar = {}, .loose_grammar = {}, .notes = {}};
}

TEST_F(TextAnswerTest, CallsAreTakenOutOfTheText) {
  for (const bool by_end : {true, false}) {
    std::vector<uint32_t> said = ids("So.<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": 1}}</tool_call>");
    TextAnswer one = answer({.tokens_max = by_end ? 1000 : static_cast<uint32_t>(said.size()), .tools = tools_of(false)});
    if (by_end) said.push_back(end_);
    EXPECT_EQ(feed(one, said), said.size());
    std::string text, arguments, name;
    size_t tokens = 0;
    while (const auto part = stream_->next(std::chrono::milliseconds(0))) {
      text += part->text;
      tokens += part->tokens.size();
      for (const ToolCallDelta& delta : part->tool_calls) {
        name += delta.name;
        arguments += delta.arguments;
      }
    }
    EXPECT_EQ(text, "So.");
    EXPECT_EQ(name, "f");
    EXPECT_EQ(arguments, "{\"x\": 1}");
    EXPECT_EQ(tokens, said.size() - (by_end ? 1 : 0)) << "every token is in a part";
    EXPECT_EQ(stream_->result()->finish_reason, by_end ? FinishReason::kToolCalls : FinishReason::kLength);
  }
}

TEST_F(TextAnswerTest, OneCallIsTheEndWhereOneIsAsked) {
  TextAnswer one = answer({.tools = tools_of(true)});
  const std::vector<uint32_t> said = ids("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>");
  EXPECT_LT(feed(one, said), said.size() / 2 + 1);
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kToolCalls);
}

TEST_F(TextAnswerTest, WithToolsTextIsStillText) {
  TextAnswer one = answer({.stop = {"END"}, .tools = tools_of(false)});
  feed(one, ids("a <tool_call> b END c"));
  EXPECT_EQ(read_all(*stream_), "a <tool_call> b ");
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kStop);
  TextAnswer cut = answer({.tools = tools_of(false)});
  std::vector<uint32_t> said = ids("a <tool_ca");
  said.push_back(end_);
  feed(cut, said);
  EXPECT_EQ(read_all(*stream_), "a <tool_ca");
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kStop);
}

// Control tokens give no text, but for those that calls are written with.
TEST_F(TextAnswerTest, MarkersThatAreControlTokensAreKept) {
  ToolAnswer tools = tools_of(false);
  tools.marker_tokens = {end_};
  std::vector<uint32_t> said = ids("a");
  said.push_back(end_);
  TextAnswer one = answer({.tokens_max = static_cast<uint32_t>(said.size()), .ignore_end = true, .tools = tools});
  feed(one, said);
  EXPECT_EQ(read_all(*stream_), "a" + *tokenizer_->eos_text());
}

TEST_F(TextAnswerTest, PenaltiesAndBiasesChangeTheChoiceAndNotTheLogprobs) {
  Options options;
  options.sampling.frequency_penalty = 0.6f;
  options.sampling.logit_bias = {{7, 0.25f}};
  options.top_logprobs = 2;
  TextAnswer one = answer(options);
  std::vector<float> logits(280, 0.0f);
  logits[5] = 1;
  logits[6] = 0.5f;
  logits[7] = 0.45f;
  std::vector<uint32_t> taken;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(one.take(logits));
    taken.push_back(one.last_token());
  }
  EXPECT_EQ(taken, (std::vector<uint32_t>{5, 7, 6, 5})) << "1 / 0.7 biased / 0.5; then 0.4 once penalized, against 0.1 and -0.1";
  std::vector<TokenLogprob> logprobs;
  while (const auto part = stream_->next(std::chrono::milliseconds(0))) {
    ASSERT_EQ(part->logprobs.size(), part->tokens.size());
    logprobs.insert(logprobs.end(), part->logprobs.begin(), part->logprobs.end());
  }
  ASSERT_EQ(logprobs.size(), 4u);
  EXPECT_EQ(logprobs[1].token, 7u);
  EXPECT_NEAR(logprobs[0].logprob - logprobs[1].logprob, 0.55, 1e-5) << "of the model's own row";
  EXPECT_EQ(logprobs[0].logprob, logprobs[3].logprob);
  ASSERT_EQ(logprobs[2].top.size(), 2u);
  EXPECT_EQ(logprobs[2].top[0].token, 5u);
  EXPECT_EQ(logprobs[2].top[1].token, 6u);
}

// What the answer takes when the model wants `wanted`, token by token, to the end of the answer or of `wanted`.
std::string said_under(TextAnswer& answer, Stream& stream, const std::vector<uint32_t>& wanted) {
  for (const uint32_t token : wanted) {
    std::vector<float> logits(280, 0.0f);
    logits[token] = 5;
    if (!answer.take(logits)) break;
  }
  std::string text;
  while (const auto part = stream.next(std::chrono::milliseconds(0))) text += part->text;
  return text;
}

TEST_F(TextAnswerTest, AGrammarMasksEndsAndAllowsTheEndTokenOnlyWhereItMayEnd) {
  const Grammar digits{Grammar::Kind::kRegex, "[0-9]+(xy)?"};
  TextAnswer one = answer({.grammar = digits});
  std::vector<uint32_t> wanted = {end_};  // too early: a digit comes instead
  for (const uint32_t id : ids("12xyz")) wanted.push_back(id);
  const std::string text = said_under(one, *stream_, wanted);
  EXPECT_EQ(text.substr(1), "12xy") << "nothing can follow: it ends by itself";
  EXPECT_TRUE(std::isdigit(text[0]));
  ASSERT_TRUE(stream_->done());
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kStop);
  TextAnswer two = answer({.grammar = digits});
  wanted = ids("12");
  wanted.push_back(end_);
  EXPECT_EQ(said_under(two, *stream_, wanted), "12");
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kStop);
}

TEST_F(TextAnswerTest, ABiasDoesNotUnmaskAndLogprobsStayTheModels) {
  const uint32_t forbidden = ids("q")[0], allowed = ids("a")[0];
  Options options{.top_logprobs = 1, .grammar = Grammar{Grammar::Kind::kRegex, "a+"}};
  options.sampling.logit_bias = {{forbidden, 100.0f}};
  options.sampling.temperature = 1;
  TextAnswer one = answer(options);
  std::vector<float> logits(280, 0.0f);
  logits[forbidden] = 20;
  EXPECT_TRUE(one.take(logits));
  EXPECT_EQ(one.last_token(), allowed);
  const auto part = stream_->next();
  ASSERT_TRUE(part && part->logprobs.size() == 1);
  EXPECT_EQ(part->logprobs[0].top[0].token, forbidden) << "of the model's own distribution";
  EXPECT_LT(part->logprobs[0].logprob, -19);
}

TEST_F(TextAnswerTest, LimitsAndStopStringsCutAGrammarsAnswer) {
  const Grammar list{Grammar::Kind::kJsonSchema, R"({"type": "array", "items": {"type": "integer"}})"};
  TextAnswer cut = answer({.tokens_max = 3, .grammar = list});
  EXPECT_EQ(said_under(cut, *stream_, {'[' , end_, end_}).size(), 3u);
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kLength);
  TextAnswer stopped = answer({.stop = {","}, .grammar = list});
  EXPECT_EQ(said_under(stopped, *stream_, ids("[1,2]")), "[1");
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kStop);
  EXPECT_EQ(stream_->result()->stop_string, ",");
  TextAnswer exact = answer({.tokens_max = static_cast<uint32_t>(ids("[1]").size()), .grammar = list});
  EXPECT_EQ(said_under(exact, *stream_, ids("[1]")), "[1]");
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kStop) << "complete with its last token";
}

TEST_F(TextAnswerTest, AGrammarThatLeadsNowhereIsAnErrorNeverAToken) {
  TextAnswer one = answer({.grammar = Grammar{Grammar::Kind::kLark, "start: \"a\" NONE\nNONE: /[a-m]+/ & /[n-z]+/"}});
  EXPECT_EQ(said_under(one, *stream_, ids("aaa")), "a");
  ASSERT_TRUE(stream_->done());
  ASSERT_FALSE(stream_->result());
  EXPECT_EQ(stream_->result().error().code, ErrorCode::kFailedPrecondition);
}

TEST_F(TextAnswerTest, BrokenLogitsAreAnErrorNeverAToken) {
  TextAnswer one = answer({});
  std::vector<float> logits(280, 0.0f);
  logits[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(one.take(logits));
  ASSERT_TRUE(stream_->done());
  EXPECT_EQ(stream_->result().error().code, ErrorCode::kInternal);
  ASSERT_EQ(ended_with_.size(), 1u);
  EXPECT_FALSE(ended_with_[0]);
}

TEST_F(TextAnswerTest, FailEndsTheStreamWithItsError) {
  TextAnswer one = answer({});
  feed(one, ids("so far"));
  one.fail({ErrorCode::kCancelled, "[test] over"});
  EXPECT_EQ(read_all(*stream_), "so far");
  EXPECT_EQ(stream_->result().error().code, ErrorCode::kCancelled);
}

TEST_F(TextAnswerTest, CancelledIsTheStreams) {
  TextAnswer one = answer({});
  EXPECT_FALSE(one.cancelled());
  stream_->cancel();
  EXPECT_TRUE(one.cancelled());
}

TEST_F(TextAnswerTest, AnEchoComesFirstWithWhatTheModelThoughtOfIt) {
  const std::vector<uint32_t> prompt = ids("Hello");
  ASSERT_GE(prompt.size(), 2u);
  stream_ = std::make_shared<Stream>();
  TextAnswer one({.stream = stream_, .tokenizer = tokenizer_, .shaper = LogitShaper({}, {}), .sampler = Sampler({.temperature = 0}, 1),
                  .stop = *StopMatcher::create({}), .top_logprobs = 1, .echo = "Hello", .prompt = prompt, .tokens_max = 0,
                  .reply = {.usage = {.prompt_tokens = static_cast<uint32_t>(prompt.size())}}});
  one.started(0);
  std::vector<float> logits(280, 0.0f);
  for (size_t i = 0; i + 1 < prompt.size(); ++i) {
    one.take_prompt(i, logits);
    one.take_prompt(i, logits);  // again, after a preemption
  }
  EXPECT_FALSE(one.take(logits)) << "no token was asked for";
  const std::optional<Part> part = stream_->next();
  ASSERT_TRUE(part.has_value());
  EXPECT_TRUE(part->of_prompt);
  EXPECT_EQ(part->text, "Hello");
  EXPECT_EQ(part->tokens, prompt);
  ASSERT_EQ(part->logprobs.size(), prompt.size());
  EXPECT_TRUE(std::isnan(part->logprobs[0].logprob));
  EXPECT_NEAR(part->logprobs[1].logprob, -std::log(280.0f), 1e-4f);
  EXPECT_EQ(part->logprobs[1].token, prompt[1]);
  EXPECT_EQ(part->logprobs[1].top.size(), 1u);
  EXPECT_TRUE(stream_->done());
  EXPECT_EQ(stream_->result()->usage.completion_tokens, 0u);
  EXPECT_EQ(stream_->result()->finish_reason, FinishReason::kLength);
}

// Rendering, tokenizing and compiling a grammar come before there is an answer, and count for the client.
TEST_F(TextAnswerTest, TheFirstTokenCountsFromTheCall) {
  stream_ = std::make_shared<Stream>();
  TextAnswer one({.stream = stream_, .tokenizer = tokenizer_, .shaper = LogitShaper({}, {}), .sampler = Sampler({.temperature = 0}, 1),
                  .stop = *StopMatcher::create({}), .tokens_max = 5, .called = std::chrono::steady_clock::now() - std::chrono::seconds(3), .reply = {}});
  one.started(0);
  feed(one, {end_});
  EXPECT_GE(stream_->result()->ttft_ms, 3000);
  EXPECT_LT(stream_->result()->queue_ms, 1000);
}

TEST_F(TextAnswerTest, WhatWasCachedIsUsage) {
  TextAnswer one = answer({});
  one.started(2);
  one.started(3);  // after a preemption: the prompt was computed by ourselves
  feed(one, {end_});
  EXPECT_EQ(stream_->result()->usage.cached_tokens, 2u);
}

TEST_F(TextAnswerTest, TheWaitIsTheFirstOne) {
  TextAnswer one = answer({});
  one.started(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  one.started(0);  // taken up again after a preemption
  feed(one, {end_});
  EXPECT_LT(stream_->result()->queue_ms, 25);
  EXPECT_GE(stream_->result()->ttft_ms, 30);
}

TEST_F(TextAnswerTest, WhoComputedWhatIsTold) {
  TextAnswer one = answer({});
  one.computed_by("a@cpu:0", nullptr);
  one.started(0);
  const std::vector<uint32_t> said = ids("Hello there, you two");
  ASSERT_GT(said.size(), 5u);
  feed(one, {said.begin(), said.begin() + 2});
  one.computed_by("a@cpu:0", nullptr);  // stepped back for lack of KV: still the same
  const JobMove quiet{.from = "a@cpu:0", .why = "killed", .announce = false}, loud{.from = "b@cpu:0", .why = "hung\nfor long", .announce = true};
  one.computed_by("b@cpu:0", &quiet);  // and makes no token
  one.computed_by("c@cpu:0", &loud);
  std::vector<uint32_t> rest(said.begin() + 2, said.end());
  rest.push_back(end_);
  feed(one, rest);
  std::string text, notice;
  while (!stream_->done()) {
    if (const auto part = stream_->next()) {
      text += part->text;
      notice += part->notice;
      EXPECT_TRUE(part->notice.empty() || (part->text.empty() && part->tokens.empty()));
    }
  }
  EXPECT_EQ(text, "Hello there, you two");
  EXPECT_EQ(notice, "moved from b@cpu:0 to c@cpu:0 after token 2: hung for long") << "one line";
  const Reply reply = *stream_->result();
  EXPECT_EQ(reply.served_by, "a@cpu:0");
  ASSERT_EQ(reply.served.size(), 2u);
  EXPECT_EQ(reply.served[0].target, "a@cpu:0");
  EXPECT_EQ(reply.served[0].tokens, 2u);
  EXPECT_EQ(reply.served[1].target, "c@cpu:0");
  EXPECT_EQ(reply.served[1].first_token, 2u);
  EXPECT_EQ(reply.served[1].tokens, rest.size());
  EXPECT_EQ(reply.notes.size(), 3u);
  EXPECT_EQ(reply.notes[1], "moved from a@cpu:0 to b@cpu:0 after token 2: killed");
}

TEST_F(TextAnswerTest, AMoveBeforeTheFirstTokenLeavesOneServer) {
  TextAnswer one = answer({.tokens_max = 1});
  one.computed_by("a@cpu:0", nullptr);
  const JobMove move{.from = "a@cpu:0", .why = "killed", .announce = false};
  one.computed_by("b@cpu:0", &move);
  feed(one, ids("Hi"));
  EXPECT_EQ(stream_->result()->served_by, "b@cpu:0");
  EXPECT_TRUE(stream_->result()->served.empty());
}

}  // namespace
}  // namespace accelerate
