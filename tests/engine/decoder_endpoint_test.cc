#include <algorithm>
#include <future>
#include <numeric>
#include <regex>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/limits.h"
#include "tests/engine/fixture_model.h"
#include "tests/engine/mortal_decoder.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

class DecoderEndpointTest : public ::testing::Test {
 protected:
  void SetUp() override { model_ = fixture_model("llama_f32.gguf"); }
  // Gives the program to the endpoint and keeps a look at it.
  std::shared_ptr<Endpoint> make(std::unique_ptr<CountingDecoder> program) {
    program_ = program.get();
    auto endpoint = make_endpoint({.model = model_, .program = std::move(program), .name = "fixture", .path = "/x", .target = "test@cpu:0",
                                   .started = std::chrono::steady_clock::now()});
    EXPECT_TRUE(endpoint) << (endpoint ? "" : to_string(endpoint.error()));
    return endpoint ? *endpoint : nullptr;
  }
  std::unique_ptr<CountingDecoder> counting(uint32_t context = 512) {
    auto program = std::make_unique<CountingDecoder>();
    program->vocabulary_value = 280;
    program->limits_value.context_max = context;
    return program;
  }
  static std::vector<uint32_t> some_tokens(size_t count) { return std::vector<uint32_t>(count, 10); }
  static Request of_tokens(size_t count, std::optional<uint32_t> most = {}) {
    return {.text = {}, .tokens = some_tokens(count), .sampling = {.temperature = 0}, .max_tokens = most, .stop = {}};
  }
  ErrorCode refused(Endpoint& endpoint, const Request& request) {
    const auto stream = endpoint.generate(request);
    EXPECT_FALSE(stream);
    return stream ? ErrorCode::kUnknown : stream.error().code;
  }
  std::shared_ptr<Model> model_;
  CountingDecoder* program_ = nullptr;
};

TEST_F(DecoderEndpointTest, AnswersWhatTheProgramSays) {
  const auto tokenizer = *Tokenizer::create(*model_->tokenizer);
  const std::vector<uint32_t> said = *tokenizer->encode("The answer is 42. 🙂", {.add_special = false});
  const std::vector<uint32_t> prompt = *tokenizer->encode("Question", {.add_special = true});
  const auto endpoint = make(scripted_decoder(said, prompt.size(), *tokenizer->eos()));
  const auto stream = endpoint->generate({.text = "Question", .sampling = {.temperature = 0}});
  ASSERT_TRUE(stream) << to_string(stream.error());
  EXPECT_EQ(read_all(**stream), "The answer is 42. 🙂");
  const auto reply = (*stream)->result();
  ASSERT_TRUE(reply) << to_string(reply.error());
  EXPECT_EQ(reply->finish_reason, FinishReason::kStop);
  EXPECT_EQ(reply->usage.prompt_tokens, prompt.size());
  EXPECT_EQ(reply->usage.completion_tokens, said.size() + 1);
  EXPECT_EQ(reply->served_by, "test@cpu:0");
  const EndpointStats stats = endpoint->stats();
  EXPECT_EQ(stats.requests, 1u);
  EXPECT_EQ(stats.prompt_tokens, prompt.size());
  EXPECT_EQ(stats.completion_tokens, said.size() + 1);
  EXPECT_EQ(stats.failed + stats.cancelled, 0u);
}

TEST_F(DecoderEndpointTest, InfoIsWhatItIs) {
  const auto endpoint = make(counting(300));
  const EndpointInfo& info = endpoint->info();
  EXPECT_EQ(info.name, "fixture");
  EXPECT_EQ(info.context, 300u);
  EXPECT_TRUE(info.chat);
  EXPECT_EQ(info.kind, ProgramKind::kDecoder);
  EXPECT_EQ(info.family, "llama");
  EXPECT_EQ(info.quantization, "F32");
  EXPECT_EQ(info.parameters, model_->parameter_count());
}

TEST_F(DecoderEndpointTest, APromptThatFillsTheContextIsAnErrorNeverCut) {
  const auto endpoint = make(counting(64));
  EXPECT_EQ(refused(*endpoint, of_tokens(64)), ErrorCode::kOutOfRange);
  EXPECT_EQ(refused(*endpoint, of_tokens(65)), ErrorCode::kOutOfRange);
  EXPECT_EQ(refused(*endpoint, of_tokens(1'000'000)), ErrorCode::kOutOfRange);
  EXPECT_EQ(refused(*endpoint, {.text = std::string(100'000, 'a')}), ErrorCode::kOutOfRange);
  EXPECT_EQ(refused(*endpoint, {.messages = {{"user", std::string(100'000, 'a')}}, .text = {}}), ErrorCode::kOutOfRange);
  EXPECT_EQ(refused(*endpoint, {.messages = {{"user", "<|im_end|>" + std::string(100'000, 'a')}}, .text = {}}), ErrorCode::kOutOfRange);
  EXPECT_EQ(program_->tokens_computed, 0u) << "nothing of them has run";
  const auto message = endpoint->generate(of_tokens(70)).error().message;
  EXPECT_THAT(message, HasSubstr("64"));
  EXPECT_THAT(message, HasSubstr("70"));
  const auto stream = endpoint->generate(of_tokens(63));
  ASSERT_TRUE(stream) << "one token of answer fits";
  read_all(**stream);
  EXPECT_EQ((*stream)->result()->finish_reason, FinishReason::kLength);
  EXPECT_EQ((*stream)->result()->usage.completion_tokens, 1u);
}

TEST_F(DecoderEndpointTest, LogitOptionsAreChecked) {
  const auto endpoint = make(counting());
  Request request = of_tokens(3, 2);
  request.sampling.logit_bias = {{280, 1.0f}};
  EXPECT_EQ(refused(*endpoint, request), ErrorCode::kInvalidArgument) << "no such token";
  request.sampling.logit_bias = {{279, 1.0f}};
  request.top_logprobs = kTopLogprobsMax + 1;
  EXPECT_EQ(refused(*endpoint, request), ErrorCode::kInvalidArgument);
  request.top_logprobs = 1;
  const auto stream = endpoint->generate(request);
  ASSERT_TRUE(stream) << to_string(stream.error());
  const auto part = (*stream)->next();
  ASSERT_TRUE(part);
  ASSERT_EQ(part->logprobs.size(), 1u);
  EXPECT_EQ(part->logprobs[0].top.size(), 1u);
}

TEST_F(DecoderEndpointTest, GrammarsAreCompiledBeforeAJobIsQueuedOrRefused) {
  const auto endpoint = make(counting());
  Request request = of_tokens(3);
  request.grammar = Grammar{Grammar::Kind::kJsonSchema, R"({"type": "object", "not": {}})"};
  EXPECT_EQ(refused(*endpoint, request), ErrorCode::kInvalidArgument);
  EXPECT_THAT(endpoint->generate(request).error().message, HasSubstr("'not' at #"));
  request.grammar->text = R"({"type": "boolean"})";
  request.ignore_end = true;
  EXPECT_EQ(refused(*endpoint, request), ErrorCode::kInvalidArgument);
  EXPECT_EQ(program_->tokens_computed, 0u) << "nothing of them has run";
  request.ignore_end = false;
  const auto stream = endpoint->generate(request);
  ASSERT_TRUE(stream) << to_string(stream.error());
  const std::string said = read_all(**stream);
  EXPECT_TRUE(said == "true" || said == "false") << said;
  EXPECT_EQ((*stream)->result()->finish_reason, FinishReason::kStop);
}

TEST_F(DecoderEndpointTest, PreemptedAnswersGoOnInTheirGrammar) {
  auto program = counting();
  program->kv_tokens = 100;
  program->limits_value.slots_max = 4;
  program->next_token = [](std::span<const uint32_t> held) { return static_cast<uint32_t>(held.size() * 7 % 280); };
  const auto endpoint = make(std::move(program));
  Request request = of_tokens(20);
  request.grammar = Grammar{Grammar::Kind::kRegex, "(ab(cd){0,2}e){9}"};
  const std::regex form("(ab(cd){0,2}e){9}");
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(*endpoint->generate(request));
  for (const auto& stream : streams) {
    const std::string said = read_all(*stream);
    ASSERT_TRUE(stream->result()) << to_string(stream->result().error());
    EXPECT_TRUE(std::regex_match(said, form)) << said;
  }
  EXPECT_GT(program_->tokens_computed, 4u * (20 + 27)) << "some of it twice";
}

TEST_F(DecoderEndpointTest, TheContextEndsAnAnswerWithLength) {
  const auto endpoint = make(counting(64));
  const auto stream = endpoint->generate(of_tokens(40));
  read_all(**stream);
  EXPECT_EQ((*stream)->result()->finish_reason, FinishReason::kLength);
  EXPECT_EQ((*stream)->result()->usage.completion_tokens, 24u) << "prompt and answer are the context together";
  const std::vector<std::string> notes = (*stream)->result()->notes;
  for (const std::string& note : notes) EXPECT_EQ(note.find("max_tokens"), std::string::npos) << "nobody asked for more";
}

TEST_F(DecoderEndpointTest, MaxTokensBeyondTheContextIsSaid) {
  const auto endpoint = make(counting(64));
  const auto stream = endpoint->generate(of_tokens(40, 1000));
  read_all(**stream);
  const auto reply = (*stream)->result();
  EXPECT_EQ(reply->usage.completion_tokens, 24u);
  ASSERT_FALSE(reply->notes.empty());
  EXPECT_THAT(reply->notes.back(), HasSubstr("1000"));
  EXPECT_THAT(reply->notes.back(), HasSubstr("24"));
  const auto fitting = endpoint->generate(of_tokens(40, 24));
  read_all(**fitting);
  const std::vector<std::string> fitting_notes = (*fitting)->result()->notes;
  for (const std::string& note : fitting_notes) EXPECT_EQ(note.find("max_tokens"), std::string::npos);
}

TEST_F(DecoderEndpointTest, TheSmallerOfContextAndKvIsTheContext) {
  auto program = counting(512);
  program->kv_tokens = 100;
  const auto endpoint = make(std::move(program));
  EXPECT_EQ(endpoint->info().context, 100u);
  EXPECT_EQ(refused(*endpoint, of_tokens(100)), ErrorCode::kOutOfRange);
}

TEST_F(DecoderEndpointTest, StopStringsEndTheText) {
  const auto tokenizer = *Tokenizer::create(*model_->tokenizer);
  const std::vector<uint32_t> said = *tokenizer->encode("one two STOP three", {.add_special = false});
  const auto endpoint = make(scripted_decoder(said, 1, *tokenizer->eos()));
  Request request = of_tokens(1);
  request.stop = {"never", "STOP"};
  const auto stream = endpoint->generate(request);
  ASSERT_TRUE(stream);
  EXPECT_EQ(read_all(**stream), "one two ");
  EXPECT_EQ((*stream)->result()->stop_string, "STOP");
  request.stop = {"a", "b", "c", "d", "e"};
  EXPECT_EQ(refused(*endpoint, request), ErrorCode::kInvalidArgument);
  request.stop = {""};
  EXPECT_EQ(refused(*endpoint, request), ErrorCode::kInvalidArgument);
}

TEST_F(DecoderEndpointTest, ASeedGivesTheSameAnswerAgain) {
  const auto endpoint = make(counting());
  const auto answer = [&](std::optional<uint64_t> seed) {
    Request request = of_tokens(3, 20);
    request.sampling = {.temperature = 1, .seed = seed};
    request.ignore_end = true;
    const auto stream = endpoint->generate(request);
    std::string text = read_all(**stream);
    return std::pair{text, (*stream)->result()->seed};
  };
  EXPECT_EQ(answer(7), answer(7));
  EXPECT_EQ(answer(7).second, 7u);
  EXPECT_NE(answer(7).first, answer(8).first);
  const auto drawn = answer({});
  EXPECT_NE(drawn.first, answer({}).first) << "a new seed each time";
  EXPECT_EQ(answer(drawn.second), drawn) << "and the one told repeats it";
}

TEST_F(DecoderEndpointTest, NoTokensAtAllIsThePromptComputed) {
  const auto endpoint = make(counting());
  Request request = of_tokens(5, 0);
  const auto silent = endpoint->generate(request);
  ASSERT_TRUE(silent.ok()) << to_string(silent.error());
  EXPECT_EQ(read_all(**silent), "");
  EXPECT_EQ((*silent)->result()->finish_reason, FinishReason::kLength);
  EXPECT_EQ((*silent)->result()->usage.completion_tokens, 0u);
  request.echo = true;
  const auto echoed = endpoint->generate(request);
  ASSERT_TRUE(echoed.ok()) << to_string(echoed.error());
  EXPECT_EQ(read_all(**echoed), *endpoint->detokenize(some_tokens(5)));
}

TEST_F(DecoderEndpointTest, WhatIsTurnedAwayOrBreaksIsCounted) {
  auto program = counting();
  program->step_time = std::chrono::seconds(1);
  auto endpoint = make(std::move(program));
  std::vector<std::shared_ptr<Stream>> waiting;
  size_t refusals = 0;
  while (refusals == 0 && waiting.size() < 2 * limits::kQueuedRequestsMax) {
    const auto stream = endpoint->generate(of_tokens(1, 1));
    if (stream) waiting.push_back(*stream);
    else ++refusals;
  }
  EXPECT_EQ(endpoint->stats().rejected, 1u);
  EXPECT_EQ(endpoint->stats().requests, waiting.size());
  EXPECT_FALSE(endpoint->check_health()) << "the queue is full";
  EXPECT_EQ(endpoint->stats().rejected, 1u) << "a canary is nobody's request";
  endpoint->close();
  EXPECT_EQ(endpoint->stats().cancelled, waiting.size());
  program = counting();
  program->step_error = Error{ErrorCode::kInternal, "[test] broken"};
  endpoint = make(std::move(program));
  const auto broken = endpoint->generate(of_tokens(1, 1));
  ASSERT_TRUE(broken.ok());
  read_all(**broken);
  EXPECT_EQ(endpoint->stats().failed, 1u);
}

TEST_F(DecoderEndpointTest, APromptSeenBeforeIsCounted) {
  auto program = counting();
  program->limits_value.slots_kept_max = 4;
  program->limits_value.fork = ForkKind::kShared;
  const auto endpoint = make(std::move(program));
  for (const uint32_t cached : {0u, 39u}) {
    const auto stream = endpoint->generate(of_tokens(40, 1));
    ASSERT_TRUE(stream.ok());
    read_all(**stream);
    EXPECT_EQ((*stream)->result()->usage.cached_tokens, cached);
  }
  EXPECT_EQ(endpoint->stats().cached_tokens, 39u);
}

TEST_F(DecoderEndpointTest, BadRequestsAreRefusedByWhatIsWrong) {
  const auto endpoint = make(counting());
  EXPECT_EQ(refused(*endpoint, {.text = {}}), ErrorCode::kInvalidArgument) << "no prompt";
  EXPECT_EQ(refused(*endpoint, {.text = "a", .tokens = some_tokens(1)}), ErrorCode::kInvalidArgument) << "two prompts";
  EXPECT_EQ(refused(*endpoint, {.text = {}, .tokens = std::vector<uint32_t>{}}), ErrorCode::kInvalidArgument) << "an empty one";
  EXPECT_EQ(refused(*endpoint, {.text = {}, .tokens = std::vector<uint32_t>{1, 280}}), ErrorCode::kInvalidArgument) << "no such token";
  EXPECT_EQ(refused(*endpoint, {.text = "\xff"}), ErrorCode::kInvalidArgument) << "no UTF-8";
  EXPECT_EQ(refused(*endpoint, {.messages = {{.role = "user", .content = "x"}}, .echo = true}), ErrorCode::kInvalidArgument) << "echo of messages";
  for (const SamplingOptions& sampling : {SamplingOptions{.temperature = -1}, SamplingOptions{.top_p = 0}, SamplingOptions{.top_p = 1.5f},
                                          SamplingOptions{.min_p = 2}, SamplingOptions{.temperature = std::numeric_limits<float>::quiet_NaN()}}) {
    Request request = of_tokens(1);
    request.sampling = sampling;
    EXPECT_EQ(refused(*endpoint, request), ErrorCode::kInvalidArgument);
  }
  const EmbedInput text = std::string("x");
  EXPECT_EQ(endpoint->embed({&text, 1}).error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(endpoint->stats().requests, 0u);
  EXPECT_EQ(program_->steps, 0u);
}

TEST_F(DecoderEndpointTest, MessagesNeedATemplate) {
  model_->chat_template.clear();
  const auto endpoint = make(counting());
  EXPECT_FALSE(endpoint->info().chat);
  EXPECT_EQ(refused(*endpoint, {.messages = {{"user", "x"}}, .text = {}}), ErrorCode::kFailedPrecondition);
}

TEST_F(DecoderEndpointTest, ABrokenTemplateIsRefusedWhenItIsLoaded) {
  model_->chat_template = "{% for %}";
  auto program = counting();
  const auto endpoint = make_endpoint({.model = model_, .program = std::move(program), .name = "x", .path = "/x", .target = "t", .started = {}});
  ASSERT_FALSE(endpoint);
  EXPECT_EQ(endpoint.error().code, ErrorCode::kInvalidArgument);
}

// Gemma 3's tokenizer has one more token than the model has rows.
TEST_F(DecoderEndpointTest, ATokenizerLargerThanTheModelServesAllButThoseTokens) {
  auto program = counting();
  program->vocabulary_value = 270;
  const auto endpoint = make(std::move(program));
  EXPECT_TRUE(endpoint->generate(of_tokens(2, 1)));
  EXPECT_EQ(refused(*endpoint, {.text = {}, .tokens = std::vector<uint32_t>{275}}), ErrorCode::kInvalidArgument);
}

TEST_F(DecoderEndpointTest, ACancelledAnswerFreesItsSlot) {
  auto program = counting();
  program->step_time = 2ms;
  const auto endpoint = make(std::move(program));
  Request request = of_tokens(1, 500);
  request.ignore_end = true;
  const auto stream = endpoint->generate(request);
  ASSERT_TRUE((*stream)->next(5s));
  (*stream)->cancel();
  const auto cancelled_at = std::chrono::steady_clock::now();
  while (!(*stream)->done()) (*stream)->next(5s);
  EXPECT_LT(std::chrono::steady_clock::now() - cancelled_at, 1s);
  EXPECT_EQ((*stream)->result().error().code, ErrorCode::kCancelled);
  for (int i = 0; i < 200 && endpoint->stats().running > 0; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(endpoint->stats().running, 0u);
  EXPECT_EQ(endpoint->stats().kv_tokens_free, endpoint->stats().kv_tokens_total);
  EXPECT_EQ(endpoint->stats().cancelled, 1u);
}

TEST_F(DecoderEndpointTest, CloseEndsWhatRunsAndRefusesWhatComes) {
  auto program = counting();
  program->step_time = 1ms;
  const auto endpoint = make(std::move(program));
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 8; ++i) {  // four run, four wait
    Request request = of_tokens(1, 400);
    request.ignore_end = true;
    streams.push_back(*endpoint->generate(request));
  }
  ASSERT_TRUE(streams[0]->next(5s));
  std::thread also([&] { endpoint->close(); });
  endpoint->close();
  also.join();
  endpoint->close();
  for (const auto& stream : streams) {
    while (!stream->done()) stream->next(5s);
    ASSERT_FALSE(stream->result());
    EXPECT_EQ(stream->result().error().code, ErrorCode::kCancelled);
  }
  EXPECT_EQ(refused(*endpoint, of_tokens(1)), ErrorCode::kUnavailable);
}

TEST_F(DecoderEndpointTest, ADeadProgramSaysSo) {
  auto program = counting();
  program->step_error = Error{ErrorCode::kInternal, "[test] gone"};
  const auto endpoint = make(std::move(program));
  EXPECT_EQ(endpoint->check_health().error().code, ErrorCode::kInternal);
  EXPECT_FALSE(endpoint->generate(of_tokens(1)));
}

TEST_F(DecoderEndpointTest, HealthRunsThePathAndIsNoRequest) {
  const auto endpoint = make(counting());
  EXPECT_TRUE(endpoint->check_health());
  EXPECT_GE(program_->steps, 1u);
  EXPECT_EQ(endpoint->stats().requests, 0u);
  EXPECT_EQ(endpoint->stats().completion_tokens, 0u);
}

TEST_F(DecoderEndpointTest, ManyClientsGetTheirOwnAnswers) {
  const auto endpoint = make(counting());
  std::vector<std::future<std::vector<uint32_t>>> answers;
  for (uint32_t first = 3; first < 19; ++first) {
    answers.push_back(std::async(std::launch::async, [&endpoint, first] {
      Request request{.text = {}, .tokens = std::vector<uint32_t>{first * 10}, .sampling = {.temperature = 0}, .max_tokens = 40};
      request.ignore_end = true;
      const auto stream = endpoint->generate(request);
      std::vector<uint32_t> tokens;
      while (!(*stream)->done()) {
        if (const auto part = (*stream)->next()) tokens.insert(tokens.end(), part->tokens.begin(), part->tokens.end());
      }
      return tokens;
    }));
  }
  for (uint32_t first = 3; first < 19; ++first) {
    const std::vector<uint32_t> tokens = answers[first - 3].get();
    ASSERT_EQ(tokens.size(), 40u);
    for (uint32_t i = 0; i < 40; ++i) EXPECT_EQ(tokens[i], (first * 10 + i + 1) % 280);
  }
}

TEST_F(DecoderEndpointTest, TokenizeAndBack) {
  const auto endpoint = make(counting());
  const auto plain = endpoint->tokenize("a <|im_end|> b", {}), special = endpoint->tokenize("a <|im_end|> b", {.parse_special = true});
  ASSERT_TRUE(plain);
  ASSERT_TRUE(special);
  EXPECT_GT(plain->size(), special->size());
  EXPECT_EQ(*endpoint->detokenize(*plain), "a <|im_end|> b");
  EXPECT_FALSE(endpoint->tokenize("\xff", {}));
  EXPECT_EQ(*endpoint->detokenize(*special), "a  b");
  EXPECT_EQ(*endpoint->detokenize(*special, {.skip_special = false}), "a <|im_end|> b");
  EXPECT_EQ(endpoint->detokenize(std::vector<uint32_t>{280}).error().code, ErrorCode::kInvalidArgument);
  const auto pieces = endpoint->token_pieces(*special);
  ASSERT_TRUE(pieces);
  EXPECT_EQ(pieces->size(), special->size());
  EXPECT_EQ(std::accumulate(pieces->begin(), pieces->end(), std::string()), "a <|im_end|> b");
  EXPECT_EQ(endpoint->token_pieces(std::vector<uint32_t>{280}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(DecoderEndpointTest, TheTemplateAsTextAndAsTheTokensOfAPrompt) {
  const auto endpoint = make(counting());
  const std::vector<Message> messages = {{.role = "user", .content = "hi <|im_end|>", .tool_calls = {}, .tool_call_id = "", .name = ""}};
  const auto text = endpoint->apply_template(messages, {}), closed = endpoint->apply_template(messages, {.add_generation_prompt = false});
  ASSERT_TRUE(text) << to_string(text.error());
  ASSERT_TRUE(closed);
  const std::string turns = "<|im_start|>system\nYou are a fixture<|im_end|>\n<|im_start|>user\nhi <|im_end|><|im_end|>\n";
  EXPECT_EQ(*text, turns + "<|im_start|>assistant\n");
  EXPECT_EQ(*closed, turns);
  const auto tokens = endpoint->tokenize_chat(messages, {}), fewer = endpoint->tokenize_chat(messages, {.add_generation_prompt = false});
  ASSERT_TRUE(tokens);
  ASSERT_TRUE(fewer);
  EXPECT_GT(tokens->size(), fewer->size());
  EXPECT_EQ(std::count(tokens->begin(), tokens->end(), 2u), 2) << "two turns: the user's <|im_end|> is text";
  const auto stream = endpoint->generate({.messages = messages, .max_tokens = 1});
  ASSERT_TRUE(stream);
  read_all(**stream);
  EXPECT_EQ((*stream)->result()->usage.prompt_tokens, tokens->size());
}

TEST_F(DecoderEndpointTest, ToolsAreInTheTemplateAsInAChat) {
  const auto endpoint = make(counting());
  const std::vector<Message> messages = {{.role = "user", .content = "hi", .tool_calls = {}, .tool_call_id = "", .name = ""}};
  ToolOptions tools{.tools = {{.name = "look_up", .description = "", .parameters = ""}}, .name = ""};
  const auto text = endpoint->apply_template(messages, {.tools = tools});
  ASSERT_TRUE(text) << to_string(text.error());
  EXPECT_THAT(*text, HasSubstr("look_up"));
  const auto tokens = endpoint->tokenize_chat(messages, {.tools = tools}), none = endpoint->tokenize_chat(messages, {});
  ASSERT_TRUE(tokens && none);
  EXPECT_GT(tokens->size(), none->size());
  const auto stream = endpoint->generate({.messages = messages, .max_tokens = 1, .tools = tools});
  ASSERT_TRUE(stream) << to_string(stream.error());
  read_all(**stream);
  EXPECT_EQ((*stream)->result()->usage.prompt_tokens, tokens->size());
  tools.choice = ToolChoice::kNone;
  EXPECT_EQ(*endpoint->tokenize_chat(messages, {.tools = tools}), *none);
}

// Two Targets whose first dies at each step in turn: text, logprobs and a grammar's state go on as if nothing had happened.
TEST_F(DecoderEndpointTest, AnAnswerThatMovesIsTheSameAnswer) {
  const auto answer = [&](int64_t dies_at, Fallback fallback, Reply& reply) {
    auto dying = std::make_shared<Fate>(), heir = std::make_shared<Fate>();
    dying->dies_at = dies_at;
    auto endpoint = make_endpoint({.model = model_, .program = started_program("a@cpu:0", dying).program, .name = "x", .path = "/x", .target = "a@cpu:0",
                                   .started = {}, .candidates = {mortal_candidate("a@cpu:0", dying), mortal_candidate("b@cpu:0", heir)}, .fallback = fallback});
    EXPECT_TRUE(endpoint);
    Request request{.text = "Question", .tokens = {}, .sampling = {.temperature = 0.8f, .seed = 11}, .max_tokens = 24, .stop = {}};
    request.top_logprobs = 2;
    request.grammar = Grammar{Grammar::Kind::kRegex, "[a-z ]{40,80}"};
    const auto stream = (*endpoint)->generate(request);
    EXPECT_TRUE(stream) << to_string(stream.error());
    std::string all;
    while (!(*stream)->done()) {
      if (const auto part = (*stream)->next()) {
        all += part->text;
        for (const TokenLogprob& one : part->logprobs) all += std::to_string(one.logprob);
        EXPECT_TRUE(part->notice.empty() || fallback == Fallback::kNotify);
      }
    }
    const auto result = (*stream)->result();
    EXPECT_TRUE(result) << to_string(result.error());
    if (result) reply = *result;
    EXPECT_EQ((*endpoint)->stats().answers_moved, dies_at >= 0 ? 1u : 0u);
    return all;
  };
  Reply whole, moved;
  const std::string expected = answer(-1, Fallback::kAllow, whole);
  EXPECT_FALSE(expected.empty());
  EXPECT_TRUE(whole.served.empty());
  for (int64_t step = 1; step < 20; ++step) {
    EXPECT_EQ(answer(step, step % 2 ? Fallback::kAllow : Fallback::kNotify, moved), expected) << step;
    ASSERT_EQ(moved.served.size(), 2u);
    EXPECT_EQ(moved.served[0].tokens, step);
    EXPECT_EQ(moved.served[1].tokens, moved.usage.completion_tokens - step);
    EXPECT_EQ(moved.served_by, "a@cpu:0");
    EXPECT_THAT(moved.notes.back(), HasSubstr("moved from a@cpu:0 to b@cpu:0"));
  }
}

}  // namespace
}  // namespace accelerate
