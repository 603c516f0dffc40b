#include "accelerate/engine/engine.h"

#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/fingerprint.h"
#include "accelerate/engine/hardware.h"
#include "accelerate/engine/records.h"
#include "tests/engine/fake_encoder.h"
#include "tests/engine/fake_engine.h"
#include "tests/engine/faulty_backends.h"
#include "tests/engine/mortal_decoder.h"
#include "tests/engine/scratch.h"

namespace accelerate {

std::unique_ptr<Backend> make_cpu_backend(BackendContext& context);

namespace {

using ::testing::HasSubstr;

TEST(Engine, OpensByPathUnderTheNameOfTheFile) {
  FakeEngine fake;
  const auto endpoint = fake.open();
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_EQ((*endpoint)->info().name, "llama_f32");
  EXPECT_EQ((*endpoint)->info().target, "fake@cpu:0");
  EXPECT_EQ(fake.engine->find("llama_f32"), *endpoint);
  EXPECT_EQ(fake.engine->find("llama"), nullptr);
  const auto folder = fake.open("llama_hf_f32");
  ASSERT_TRUE(folder) << to_string(folder.error());
  EXPECT_EQ((*folder)->info().name, "llama_hf_f32");
  const auto slash = fake.engine->open(fixture_path("llama_hf_bf16").string() + "/", {}, no_progress());
  ASSERT_TRUE(slash) << to_string(slash.error());
  EXPECT_EQ((*slash)->info().name, "llama_hf_bf16");
  EXPECT_EQ(fake.engine->endpoints().size(), 3u);
  EXPECT_EQ(fake.backend->probes, 1) << "hardware is probed once";
}

TEST(Engine, ABackendWhoseDevicesChangedIsProbedAgain) {
  FakeEngine fake;
  fake.backend->verdicts[0].state = Verdict::State::kAbsent;
  fake.backend->verdicts[0].reason = "unplugged";
  const auto refused = fake.open();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("unplugged"));
  fake.backend->verdicts[0].state = Verdict::State::kAvailable;
  EXPECT_FALSE(fake.open()) << "what was found is kept";
  fake.backend->changed();
  EXPECT_TRUE(fake.open());
  EXPECT_EQ(fake.backend->probes, 2);
}

TEST(Engine, ALoadAndAPlanFollowTheRecordsOfThisMachine) {
  const TemporaryFolder home;
  const ScopedEnvironment state("XDG_STATE_HOME", (home / "state").string()), cache("XDG_CACHE_HOME", (home / "cache").string());
  FakeEngine fake;
  fake.backend->verdicts[0].devices = {{.kind = "cpu", .index = 0}, {.kind = "cpu", .index = 1}};
  const std::string path = fixture_path("llama_f32.gguf").string();
  EXPECT_EQ((*fake.open("llama_f32.gguf", {.name = "before"}))->info().target, "fake@cpu:0");
  const Record record{.key = {.model_id = *fake.engine->model_id(path, nullptr), .quantization = "F32", .shape = "p512-g128-b1", .target = "fake@cpu:1",
                              .versions = release_versions(""), .fingerprint = device_fingerprint(), .threads = fake.engine->context().threads},
                      .kind = "bench", .samples = {{"ttft_ms", {10}}, {"tpot_ms", {1}}}, .notes = {}};
  ASSERT_TRUE(fake.engine->records()->add(record));
  const auto plan = fake.engine->plan(path, {});
  ASSERT_TRUE(plan) << to_string(plan.error());
  EXPECT_EQ(to_string(plan->plan.best()->target), "fake@cpu:1");
  EXPECT_EQ(plan->use.name, "chat");
  EXPECT_EQ((*fake.open("llama_f32.gguf", {.name = "after"}))->info().target, "fake@cpu:1");
  EXPECT_EQ((*fake.open("llama_f32.gguf", {.hardware = "fake@cpu:0", .name = "exactly"}))->info().target, "fake@cpu:0");
  EXPECT_EQ(fake.engine->plan(path, {.constraints = {.forbidden = {"gpu"}}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(fake.open("llama_f32.gguf", {.name = "no", .constraints = {.forbidden = {"gpu"}}}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Engine, RecordsThatCanNotBeOpenedStopNothing) {
  const TemporaryFolder home;
  const ScopedEnvironment state("XDG_STATE_HOME", (home / "state").string()), cache("XDG_CACHE_HOME", (home / "cache").string());
  write_text(home / "state" / "ipfs-accelerate", "a file where the folder should be");
  FakeEngine fake;
  EXPECT_EQ(fake.engine->records(), nullptr);
  EXPECT_TRUE(fake.open());
  EXPECT_THAT(fake.engine->plan(fixture_path("llama_f32.gguf").string(), {})->notes, ::testing::SizeIs(1));
}

TEST(Engine, ATakenNameIsRefusedAndFreeAgainAfterClose) {
  FakeEngine fake;
  ASSERT_TRUE(fake.open());
  const auto again = fake.open();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(again.error().message, HasSubstr("llama_f32"));
  EXPECT_TRUE(fake.open("llama_f32.gguf", {.name = "second"}));
  EXPECT_TRUE(fake.engine->close("llama_f32"));
  EXPECT_EQ(fake.engine->close("llama_f32").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(fake.open());
}

TEST(Engine, ClosingEndsStreamsWhileHoldersKeepTheEndpoint) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions&, Progress&) {
    auto program = std::make_unique<CountingDecoder>();
    program->vocabulary_value = 280;
    program->step_time = std::chrono::milliseconds(1);
    return Result<std::unique_ptr<Program>>(std::move(program));
  };
  const auto endpoint = fake.open();
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  Request request{.text = {}, .tokens = std::vector<uint32_t>{5}, .max_tokens = 400};
  request.ignore_end = true;
  const auto stream = (*endpoint)->generate(request);
  ASSERT_TRUE((*stream)->next(std::chrono::seconds(5)));
  fake.engine.reset();
  while (!(*stream)->done()) (*stream)->next(std::chrono::seconds(5));
  EXPECT_EQ((*stream)->result().error().code, ErrorCode::kCancelled);
  EXPECT_EQ((*endpoint)->generate(request).error().code, ErrorCode::kUnavailable);
}

TEST(Engine, UnknownModelsAreNotFoundWithNearMatches) {
  const TemporaryFolder models;
  const ScopedEnvironment variable("IPFS_ACCELERATE_MODELS", models.path());
  FakeEngine fake;
  for (const auto& result : {fake.engine->open("smollm3", {}, no_progress()), fake.engine->open("/no/such/model.gguf", {}, no_progress())}) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  }
  EXPECT_THAT(fake.engine->open("smolm2", {}, no_progress()).error().message, HasSubstr("smollm2"));
  EXPECT_EQ(fake.engine->describe("smolm2", {}).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(fake.engine->endpoints().empty());
}

TEST(Engine, RefusedHardwareListsTheReasons) {
  FakeEngine fake;
  for (const char* name : {"max", "cuda", "qnn", "webgpu"}) {
    const auto refused = fake.open("llama_f32.gguf", {.hardware = name});
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable) << name;
    EXPECT_THAT(refused.error().message, HasSubstr(std::string(name) + ": ")) << "the reason follows the name";
  }
  const auto unknown = fake.open("llama_f32.gguf", {.hardware = "gpu"});
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  fake.backend->support = {.yes = false, .reason = "[fake] too large"};
  EXPECT_THAT(fake.open().error().message, HasSubstr("[fake] too large"));
  fake.backend->support = {.yes = true};
  EXPECT_TRUE(fake.open()) << "none of the refusals has taken the name";
}

TEST(Engine, ABadFileIsItsReadersError) {
  const TemporaryFolder folder;
  write_text(folder / "text.gguf", "no model");
  FakeEngine fake;
  const auto refused = fake.engine->open((folder / "text.gguf").string(), {}, no_progress());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument) << to_string(refused.error());
  EXPECT_FALSE(fake.engine->describe((folder / "text.gguf").string(), {}));
}

TEST(Engine, WhatCannotAnswerACanaryIsNotOpened) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions&, Progress&) {
    auto program = std::make_unique<CountingDecoder>();
    program->vocabulary_value = 280;
    program->step_error = Error{ErrorCode::kInternal, "[test] broken at once"};
    return Result<std::unique_ptr<Program>>(std::move(program));
  };
  const auto refused = fake.open();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("broken at once"));
  EXPECT_EQ(fake.engine->find("llama_f32"), nullptr);
  fake.backend->make = FakeBackend().make;
  EXPECT_TRUE(fake.open());
}

TEST(Engine, CompileErrorsAndStopsArePassedOn) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions&, Progress& progress) -> Result<std::unique_ptr<Program>> {
    if (!progress.update("packing", 0, 10, "tensors")) return Error{ErrorCode::kCancelled, "[fake] stopped"};
    return Error{ErrorCode::kResourceExhausted, "[fake] no memory"};
  };
  EXPECT_EQ(fake.open().error().code, ErrorCode::kResourceExhausted);
  RecordingProgress stopper;
  stopper.stop_at = "packing";
  EXPECT_EQ(fake.engine->open(fixture_path("llama_f32.gguf").string(), {}, stopper).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(fake.engine->endpoints().empty());
}

TEST(Engine, OptionsReachTheBackend) {
  FakeEngine fake;
  CompileOptions seen;
  fake.backend->make = [&seen](const CompileOptions& options, Progress& progress) {
    seen = options;
    return FakeBackend().make(options, progress);
  };
  const auto endpoint = fake.open("llama_f32.gguf", {.compile = {.quantization = "int8", .threads = 3, .context = 77, .slots = 5}, .chat_template = "{{ 1 }}"});
  ASSERT_TRUE(endpoint);
  EXPECT_EQ(seen.quantization, "Q8_0") << "one spelling";
  EXPECT_EQ((*endpoint)->info().quantization, "Q8_0");
  EXPECT_EQ(seen.threads, 3u);
  EXPECT_EQ(seen.context, 77u);
  EXPECT_EQ(seen.slots, 5u);
  EXPECT_TRUE((*endpoint)->info().chat);
}

TEST(Engine, OneOfManyWhoOpenTheSameNameWins) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions& options, Progress& progress) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return FakeBackend().make(options, progress);
  };
  std::vector<std::future<bool>> opens;
  for (int i = 0; i < 6; ++i) {
    opens.push_back(std::async(std::launch::async, [&] {
      const auto endpoint = fake.open();
      EXPECT_TRUE(endpoint || endpoint.error().code == ErrorCode::kAlreadyExists);
      return endpoint.ok();
    }));
  }
  int won = 0;
  for (auto& open : opens) won += open.get();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(fake.engine->endpoints().size(), 1u);
}

TEST(Engine, ComparingTakesTheBackendThatComputesReferences) {
  FakeEngine fake;
  const std::string model = fixture_path("llama_f32.gguf").string();
  const auto compared = fake.engine->compare(model, model, no_progress(), {});
  ASSERT_FALSE(compared);
  EXPECT_EQ(compared.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(compared.error().message, ::testing::HasSubstr("'cpu'"));
}

TEST(Engine, DescribesWithoutLoading) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions&, Progress&) -> Result<std::unique_ptr<Program>> {
    ADD_FAILURE() << "describing compiles nothing";
    return Error{ErrorCode::kInternal, ""};
  };
  const auto found = fake.engine->describe(fixture_path("llama_q4_k.gguf").string(), {});
  ASSERT_TRUE(found) << to_string(found.error());
  EXPECT_EQ(found->name, "llama_q4_k");
  EXPECT_EQ(found->format, "gguf v3");
  EXPECT_EQ(found->family, "llama");
  EXPECT_EQ(found->quantization, "Q4_K");
  EXPECT_EQ(found->refusal, "");
  EXPECT_EQ(found->layers, 1u);
  EXPECT_EQ(found->width, 256u);
  EXPECT_EQ(found->vocabulary, 280u);
  EXPECT_EQ(found->file_bytes, std::filesystem::file_size(fixture_path("llama_q4_k.gguf")));
  EXPECT_EQ(found->memory_weights_bytes, 10u);
  EXPECT_EQ(found->memory_kv_bytes, 20u);
  EXPECT_EQ(found->memory_buffers_bytes, 30u + 280 * 115 + 21 * 274) << "the program's, 280 tokens and 21 merges";
  EXPECT_FALSE(found->chat_template.empty());
  EXPECT_EQ(found->tokenizer, "gpt2/smollm");
  EXPECT_GT(found->tensor_types.at("Q4_K"), 0u);
  // 2 operations a weight: q and o 256x256, k and v 32x256, three of 256x256; the head 280x256 apart.
  EXPECT_EQ(found->flops_per_token, 2.0 * (2 * 256 * 256 + 2 * 32 * 256 + 3 * 256 * 256));
  EXPECT_EQ(found->flops_per_logits, 2.0 * 280 * 256);
}

TEST(Engine, DescribesARefusalAsAText) {
  FakeEngine fake;
  fake.backend->support = {.yes = false, .reason = "[fake] too large"};
  const auto found = fake.engine->describe(fixture_path("bert_hf").string(), {});
  ASSERT_TRUE(found);
  EXPECT_THAT(found->refusal, HasSubstr("[fake] too large"));
  EXPECT_EQ(found->tokenizer, "tokenizer.json");
}

TEST(Engine, HardwareHasOneVerdictOrMoreForEachName) {
  FakeEngine fake;
  const auto verdicts = fake.engine->hardware(std::chrono::steady_clock::now() + std::chrono::seconds(20));
  std::vector<std::string> names;
  for (const Verdict& verdict : verdicts) {
    if (names.empty() || names.back() != verdict.hardware) names.push_back(verdict.hardware);
    EXPECT_FALSE(verdict.state == Verdict::State::kAvailable ? verdict.devices.empty() : verdict.reason.empty()) << verdict.hardware;
  }
  std::vector<std::string> wanted;
  for (const HardwareName& name : hardware_names()) wanted.emplace_back(name.name);
  EXPECT_EQ(names, wanted) << "in priority order";
}

TEST(Engine, ContextIsWhatWasAskedOrWhatIsThere) {
  const FakeEngine asked({.threads = 1, .memory_bytes = 123});
  EXPECT_EQ(asked.engine->context().threads, 1u);
  EXPECT_EQ(asked.engine->context().memory_bytes, 123u);
  EXPECT_GE(FakeEngine().engine->context().threads, 1u);
}

// One backend with two devices; programs of device 0 die as told.
struct TwoDevices {
  std::shared_ptr<Fate> fates[2] = {std::make_shared<Fate>(), std::make_shared<Fate>()};
  std::atomic<int> compiled{0};
  FakeEngine fake;
  TwoDevices() {
    fake.backend->verdicts[0].devices = {{.kind = "cpu", .index = 0}, {.kind = "cpu", .index = 1}};
    fake.backend->make_on = [this](const Device& device, const CompileOptions&) -> Result<std::unique_ptr<Program>> {
      ++compiled;
      const auto& fate = fates[device.index];
      ++fate->starts;
      if (fate->starts_that_fail > 0) {
        --fate->starts_that_fail;
        return *fate->start_error;
      }
      return std::unique_ptr<Program>(std::make_unique<MortalDecoder>(fate, fate->starts == 1));
    };
  }
  Result<std::shared_ptr<Endpoint>> open(OpenOptions options) {
    options.parity = ParityMode::kOff;
    options.limits.breaker.backoff_first = std::chrono::milliseconds(2);
    options.limits.watch_period = std::chrono::milliseconds(2);
    return fake.open("llama_f32.gguf", options);
  }
};

Result<Reply> ask(Endpoint& endpoint, std::vector<uint32_t>& tokens, uint32_t most = 8) {
  Request request{.text = {}, .tokens = std::vector<uint32_t>{5, 6}, .sampling = {.temperature = 0}, .max_tokens = most, .stop = {}};
  request.ignore_end = true;
  ACC_TRY(const std::shared_ptr<Stream> stream, endpoint.generate(request));
  while (!stream->done()) {
    if (const auto part = stream->next()) tokens.insert(tokens.end(), part->tokens.begin(), part->tokens.end());
  }
  return stream->result();
}

TEST(EngineFallback, ARunningAnswerGoesOnWithTheNextTargetOfThePlan) {
  TwoDevices two;
  two.fates[0]->dies_at = 4;  // the canary is one step
  const auto endpoint = two.open({});
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_EQ((*endpoint)->info().target, "fake@cpu:0");
  EXPECT_EQ(two.compiled, 1) << "the others stand by";
  std::vector<uint32_t> tokens;
  const auto reply = ask(**endpoint, tokens);
  ASSERT_TRUE(reply) << to_string(reply.error());
  EXPECT_EQ(tokens, hash_answer({5, 6}, 8));
  ASSERT_EQ(reply->served.size(), 2u);
  EXPECT_EQ(reply->served[1].target, "fake@cpu:1");
  EXPECT_EQ((*endpoint)->stats().targets[1].state, "running");
}

TEST(EngineFallback, WhatDoesNotStartIsPassedOverAndSaid) {
  TwoDevices two;
  two.fates[0]->starts_that_fail = 1;
  two.fates[0]->start_error = Error{ErrorCode::kUnavailable, "[fake] no device"};
  const auto endpoint = two.open({});
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_EQ((*endpoint)->info().target, "fake@cpu:1");
  EXPECT_THAT((*endpoint)->info().notes, ::testing::Contains(HasSubstr("fake@cpu:0 did not start: [fake] no device")));
  two.fates[0]->starts_that_fail = 1;
  EXPECT_THAT(two.open({.name = "strict", .fallback = Fallback::kForbid}).error().message, HasSubstr("a failure of fake@cpu:0: [fake] no device"));
}

TEST(EngineFallback, NamedTargetsAreThePlan) {
  TwoDevices two;
  const auto endpoint = two.open({.targets = {"fake@cpu:1"}});
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_EQ((*endpoint)->info().target, "fake@cpu:1");
  EXPECT_EQ((*endpoint)->stats().targets.size(), 1u);
  EXPECT_THAT(two.open({.name = "no", .targets = {"fake@cpu:7"}}).error().message, HasSubstr("'fake@cpu:7'"));
  EXPECT_EQ(two.open({.name = "twice", .targets = {"fake@cpu:0", "fake@cpu:0"}}).error().code, ErrorCode::kInvalidArgument);
}

TEST(EngineFallback, TogetherBothAnswer) {
  TwoDevices two;
  const auto endpoint = two.open({.targets = {"fake@cpu:0", "fake@cpu:1"}, .together = true});
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_EQ(two.compiled, 2);
  for (const TargetStats& target : (*endpoint)->stats().targets) EXPECT_EQ(target.state, "running");
  for (int i = 0; i < 4; ++i) {
    std::vector<uint32_t> tokens;
    ASSERT_TRUE(ask(**endpoint, tokens));
    EXPECT_EQ(tokens, hash_answer({5, 6}, 8));
  }
}

TEST(EngineFallback, SeveralAtOnceAreForModelsThatGenerate) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions&, Progress&) { return Result<std::unique_ptr<Program>>(std::make_unique<FakeEncoder>()); };
  const auto refused = fake.open("bert_hf", {.parity = ParityMode::kOff, .targets = {"fake@cpu:0"}, .together = true});
  EXPECT_EQ(refused.error().code, ErrorCode::kUnimplemented);
}

TEST(EngineFallback, AServedModelIsSwitchedToAnotherTarget) {
  TwoDevices two;
  const auto endpoint = two.open({});
  ASSERT_TRUE(endpoint);
  EXPECT_EQ((*endpoint)->switch_target("fake@cpu:9").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE((*endpoint)->switch_target("fake@cpu:1"));
  std::vector<uint32_t> tokens;
  const auto reply = ask(**endpoint, tokens);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->served_by, "fake@cpu:1");
  EXPECT_EQ(tokens, hash_answer({5, 6}, 8));
}

// Real numbers from the cpu backend, whose logits turn NaN after some rows on device 0: caught at the step, and the answer is
// that of a machine without the fault, byte by byte.
TEST(EngineFallback, NumbersThatGoWrongLateAreCaughtAtTheStep) {
  static BackendContext context{.threads = 1};
  const std::unique_ptr<Backend> cpu = make_cpu_backend(context);
  const std::shared_ptr<Model> model = fixture_model("llama_f32.gguf");
  const auto answer = [&](std::optional<uint32_t> nan_after, Reply& reply) {
    TwoDevices two;
    two.fake.backend->make_on = [&](const Device& device, const CompileOptions& options) -> Result<std::unique_ptr<Program>> {
      ACC_TRY(Compiled compiled, cpu->compile(model, {.kind = "cpu", .index = 0}, options, no_progress()));
      if (device.index != 0 || !nan_after) return std::move(compiled.program);
      auto faulty = std::make_unique<NotANumberDecoder>(std::unique_ptr<DecoderProgram>(static_cast<DecoderProgram*>(compiled.program.release())));
      faulty->after = *nan_after;
      return std::unique_ptr<Program>(std::move(faulty));
    };
    OpenOptions options;
    options.compile.deterministic = true;
    options.compile.slots = 4;
    const auto endpoint = two.open(options);
    EXPECT_TRUE(endpoint) << (endpoint ? "" : to_string(endpoint.error()));
    std::vector<uint32_t> tokens;
    if (!endpoint) return tokens;
    const auto result = ask(**endpoint, tokens, 24);
    EXPECT_TRUE(result) << (result ? "" : to_string(result.error()));
    if (result) reply = *result;
    return tokens;
  };
  Reply reply;
  const std::vector<uint32_t> expected = answer({}, reply);
  EXPECT_EQ(expected.size(), 24u);
  EXPECT_TRUE(reply.served.empty());
  for (const uint32_t after : {1u, 2u, 9u, 23u}) {  // the canary's row is one
    EXPECT_EQ(answer(after, reply), expected) << after;
    EXPECT_EQ(reply.served_by, after == 1 ? "fake@cpu:1" : "fake@cpu:0");
    EXPECT_THAT(reply.notes, ::testing::Contains(HasSubstr("logits are numbers; got NaN")));
  }
}

}  // namespace
}  // namespace accelerate
