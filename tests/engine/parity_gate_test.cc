#include "accelerate/engine/parity_gate.h"

#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/cpu.h"
#include "tests/engine/faulty_backends.h"
#include "tests/engine/fake_encoder.h"
#include "tests/engine/scratch.h"
#include "tests/real_models.h"

namespace accelerate {

std::unique_ptr<Backend> make_cpu_backend(BackendContext& context);

namespace {

using ::testing::HasSubstr;
using State = ParityVerdict::State;

const Device kCpu{.kind = "cpu", .index = 0, .name = "", .memory_bytes = 0, .features = {}};

Backend& cpu() {
  static BackendContext context{.threads = cpu_info().threads_usable};
  static const std::unique_ptr<Backend> backend = make_cpu_backend(context);
  return *backend;
}

std::unique_ptr<Program> compile(std::shared_ptr<const Model> model, const CompileOptions& options) {
  Result<Compiled> compiled = cpu().compile(std::move(model), kCpu, options, no_progress());
  EXPECT_TRUE(compiled) << (compiled ? "" : to_string(compiled.error()));
  return compiled ? std::move(compiled->program) : nullptr;
}

std::unique_ptr<DecoderProgram> decoder(std::shared_ptr<const Model> model, const CompileOptions& options = {.slots = 4}) {
  std::unique_ptr<Program> program = compile(std::move(model), options);
  return std::unique_ptr<DecoderProgram>(dynamic_cast<DecoderProgram*>(program.release()));
}

ParityReference reference_of(const std::shared_ptr<const Model>& model, const std::optional<std::string>& quantization = {}) {
  const std::unique_ptr<Program> exact = compile(model, {.quantization = quantization, .precision = Precision::kExact, .slots = 1});
  Result<ParityReference> reference = compute_reference(*exact, *model, {});
  EXPECT_TRUE(reference) << (reference ? "" : to_string(reference.error()));
  return reference ? *std::move(reference) : ParityReference{};
}

ParityVerdict judge(Program& program, const ParityReference& reference, Precision precision = Precision::kDefault) {
  const Result<ParityVerdict> verdict = compare_with_reference(program, reference, parity_bounds({}, precision), {});
  EXPECT_TRUE(verdict) << (verdict ? "" : to_string(verdict.error()));
  if (verdict) std::printf("  %s\n", to_string(*verdict).c_str());
  return verdict ? *verdict : ParityVerdict{};
}

void expect_refused(Program& program, const ParityReference& reference, const char* fault) {
  const ParityVerdict verdict = judge(program, reference);
  EXPECT_EQ(verdict.state, State::kFail) << fault;
  EXPECT_FALSE(verdict.reason.empty());
}

/// Every committed fault on one model; `query` is layer 0's query weight.
void expect_all_faults_refused(const std::shared_ptr<const Model>& model, const std::string& query, const std::optional<std::string>& quantization = {}) {
  const ParityReference reference = reference_of(model, quantization);
  const CompileOptions options{.quantization = quantization, .slots = 4};
  EXPECT_EQ(judge(*decoder(model, options), reference).state, State::kPass);
  const FaultyModel scale = wrong_scale(*model), heads = swapped_heads(*model, query);
  expect_refused(*decoder(scale.model, options), reference, "wrong scale in one layer");
  expect_refused(*decoder(heads.model, options), reference, "swapped heads");
  OffByOneDecoder off_by_one(decoder(model, options));
  expect_refused(off_by_one, reference, "off-by-one positions");
  MixedSlotsDecoder mixed(decoder(model, options));
  expect_refused(mixed, reference, "mixed-up slots");
  WrongLastChunkDecoder last(decoder(model, options));
  expect_refused(last, reference, "wrong last chunk");
  NotANumberDecoder nan(decoder(model, options));
  expect_refused(nan, reference, "NaN");
}

TEST(ParityGate, RightProgramsPassInEveryModeAndQuantization) {
  for (const char* name : {"llama_f32.gguf", "llama_bf16.gguf", "llama_q8_0.gguf", "llama_q4_k.gguf", "llama_q6_k.gguf", "gemma3_f16.gguf", "bert_hf", "bert_cross_hf"}) {
    const std::shared_ptr<const Model> model = fixture_model(name);
    const ParityReference reference = reference_of(model);
    std::printf(" %s\n", name);
    EXPECT_EQ(judge(*compile(model, {}), reference).state, State::kPass) << name;
    EXPECT_EQ(judge(*compile(model, {.deterministic = true}), reference).state, State::kPass) << name;
    EXPECT_EQ(judge(*compile(model, {.precision = Precision::kExact}), reference, Precision::kExact).state, State::kPass) << name;
  }
}

TEST(ParityGate, CommittedFaultsAreRefusedOnRandomWeights) {
  expect_all_faults_refused(fixture_model("llama_hf_f32"), "model.layers.0.self_attn.q_proj.weight");
}

TEST(ParityGate, CommittedFaultsAreRefusedOnARealModel) {
  const std::filesystem::path path = testing::real_model("smollm2");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << testing::real_model_absent(path);
  Result<std::shared_ptr<Model>> model = open_model(path);
  ASSERT_TRUE(model);
  (*model)->graph = std::make_shared<const Graph>(*build_graph(**model));
  expect_all_faults_refused(*model, "blk.0.attn_q.weight");
  std::printf(" as Q4_0\n");
  expect_all_faults_refused(*model, "blk.0.attn_q.weight", "Q4_0");  // as the gate does with weights that became smaller at load
}

TEST(ParityGate, FewSlotsAndLittleContextLimitTheProbeAndAreSaid) {
  const std::shared_ptr<const Model> model = fixture_model("llama_f32.gguf");
  const ParityReference reference = reference_of(model);
  const ParityVerdict one_slot = judge(*compile(model, {.slots = 1}), reference);
  EXPECT_EQ(one_slot.state, State::kPass);
  const ParityVerdict short_context = judge(*compile(model, {.context = 30, .slots = 2}), reference);
  EXPECT_EQ(short_context.state, State::kPass);
  EXPECT_THAT(short_context.notes, ::testing::Contains(HasSubstr("of 128 tokens")));
}

TEST(ParityGate, AProgramOfAnotherShapeIsAFailNotACrash) {
  const ParityReference reference = reference_of(fixture_model("llama_f32.gguf"));
  CountingDecoder other;
  EXPECT_THAT(judge(other, reference).reason, HasSubstr("another size"));
  FakeEncoder encoder;
  EXPECT_EQ(judge(encoder, reference).state, State::kFail);
}

TEST(ParityGate, AStopIsAnErrorAndNoVerdict) {
  const std::shared_ptr<const Model> model = fixture_model("llama_f32.gguf");
  const ParityReference reference = reference_of(model);
  const std::atomic<bool> stop{true};
  const auto verdict = compare_with_reference(*compile(model, {}), reference, parity_bounds({}, Precision::kDefault), {.deadline = {}, .stop = &stop});
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, ErrorCode::kCancelled);
}

TEST(ParityGate, BoundsWidenWithFewerBits) {
  EXPECT_LT(parity_bounds({}, Precision::kExact).kl_mean_max, parity_bounds({}, Precision::kDefault).kl_mean_max);
  EXPECT_LT(parity_bounds("Q8_0", Precision::kDefault).kl_mean_max, parity_bounds("q4_k", Precision::kDefault).kl_mean_max);
  EXPECT_EQ(parity_bounds("int8", Precision::kDefault).name, "Q8_0");
  EXPECT_EQ(parity_bounds("int4", Precision::kDefault).name, "Q4_0");
  EXPECT_EQ(parity_bounds("something", Precision::kDefault).name, "Q4_0");
}

// The gate as Engine::open uses it.
class GateOfALoad : public ::testing::Test {
 protected:
  void SetUp() override {
    records_ = *Records::open(folder_ / "records.sqlite");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    probed_ = {{&cpu(), cpu().probe(deadline)}};
  }
  ParityRequest request(const std::string& version = "1") {
    return {.model = model_, .name = "m", .target = "cpu@cpu:0", .backend_version = version, .compile = {}, .threads = 1, .backends = probed_,
            .records = [this] { return records_.get(); }, .cache = folder_ / "cache"};
  }
  TemporaryFolder folder_;
  ScopedEnvironment cache_{"XDG_CACHE_HOME", (folder_ / "hashes").string()};
  std::unique_ptr<Records> records_;
  std::vector<ProbedBackend> probed_;
  std::shared_ptr<const Model> model_ = fixture_model("llama_f32.gguf");
};

TEST_F(GateOfALoad, AVerdictIsRememberedUntilAVersionChanges) {
  ParityGate first(request());
  ASSERT_TRUE(first.prepare(no_progress()));
  ASSERT_TRUE(first.check(*compile(model_, {}), no_progress()));
  EXPECT_EQ(first.verdict().state, State::kPass);
  EXPECT_FALSE(first.verdict().remembered);
  ParityGate again(request());
  ASSERT_TRUE(again.prepare(no_progress()));
  EXPECT_TRUE(again.verdict().remembered);
  EXPECT_DOUBLE_EQ(again.verdict().numbers.kl_mean, first.verdict().numbers.kl_mean);
  EXPECT_EQ(again.verdict().numbers.rows, first.verdict().numbers.rows);
  CountingDecoder untouched;
  ASSERT_TRUE(again.check(untouched, no_progress()));
  EXPECT_EQ(untouched.steps, 0u);
  ParityGate newer(request("2"));
  ASSERT_TRUE(newer.prepare(no_progress()));
  EXPECT_FALSE(newer.verdict().remembered);
}

TEST_F(GateOfALoad, AFailIsRefusedWithNumbersAndRememberedBeforeTheNextLoad) {
  ParityGate gate(request());
  ASSERT_TRUE(gate.prepare(no_progress()));
  OffByOneDecoder faulty(decoder(model_));
  const Result<void> refused = gate.check(faulty, no_progress());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("cosine distance"));
  EXPECT_THAT(refused.error().message, HasSubstr("--parity off"));
  const Result<void> again = ParityGate(request()).prepare(no_progress());
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("remembered"));
}

// Bounds wide enough for 4 bits would let these through: quantized programs are held against their own weights.
TEST_F(GateOfALoad, QuantizedWeightsPassAndFaultsBehindThemDoNot) {
  model_ = fixture_model("llama_hf_f32");
  const std::string query = "model.layers.0.self_attn.q_proj.weight";
  for (const char* name : {"Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_1", "Q4_0", "BF16"}) {
    ParityRequest quantized = request();
    quantized.compile = {.quantization = name, .slots = 4};
    ParityGate gate(quantized);
    const Result<void> prepared = gate.prepare(no_progress());
    ASSERT_TRUE(prepared) << name << ": " << to_string(prepared.error());
    const Result<void> passed = gate.check(*compile(model_, quantized.compile), no_progress());
    EXPECT_TRUE(passed) << name << ": " << to_string(passed.error());
    std::printf("  %s: %s\n", name, to_string(gate.verdict()).c_str());
    EXPECT_GT(gate.verdict().numbers.kl_mean, 0) << "the numbers are those of the weights";
    const FaultyModel scale = wrong_scale(*model_), heads = swapped_heads(*model_, query);
    std::vector<std::unique_ptr<Program>> faulty;
    faulty.push_back(compile(scale.model, quantized.compile));
    faulty.push_back(compile(heads.model, quantized.compile));
    faulty.push_back(std::make_unique<OffByOneDecoder>(decoder(model_, quantized.compile)));
    faulty.push_back(std::make_unique<MixedSlotsDecoder>(decoder(model_, quantized.compile)));
    faulty.push_back(std::make_unique<WrongLastChunkDecoder>(decoder(model_, quantized.compile)));
    faulty.push_back(std::make_unique<NotANumberDecoder>(decoder(model_, quantized.compile)));
    for (size_t i = 0; i < faulty.size(); ++i) {
      ParityRequest unproven = quantized;
      unproven.records = [] { return static_cast<Records*>(nullptr); };
      ParityGate strict(unproven);
      ASSERT_TRUE(strict.prepare(no_progress()));
      EXPECT_FALSE(strict.check(*faulty[i], no_progress())) << name << ", fault " << i;
    }
  }
}

TEST_F(GateOfALoad, AWorkersWeightsAreJudgedAsTheBackendsOwn) {
  model_ = fixture_model("llama_hf_f32");
  ParityRequest isolated = request();
  isolated.target = "cpu-isolated@cpu:0";
  isolated.compile = {.quantization = "Q4_0", .slots = 4};
  ParityGate gate(isolated);
  ASSERT_TRUE(gate.prepare(no_progress()));
  EXPECT_FALSE(gate.check(*compile(wrong_scale(*model_).model, isolated.compile), no_progress())) << "the bounds of 4 bits alone let it through";
}

TEST_F(GateOfALoad, WeightsThatAreRuinedAreRefusedBeforeTheLoad) {
  struct Ruining final : Backend {  // the "quantized" weights are another model's
    std::shared_ptr<const Model> other = fixture_model("llama_bf16.gguf");
    const Descriptor& about() const override { return cpu().about(); }
    std::vector<Verdict> probe(Deadline deadline) override { return cpu().probe(deadline); }
    Support supports(const Model& model, const Device& device, const CompileOptions& options) const override { return cpu().supports(model, device, options); }
    Result<Compiled> compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options, Progress& progress) override {
      return cpu().compile(options.quantization ? other : std::move(model), device, options, progress);
    }
    Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model>, const Artifact&, const Device&, const CompileOptions&, Progress&) override {
      return Error{ErrorCode::kUnimplemented, "no"};
    }
  } ruining;
  probed_ = {{&ruining, cpu().probe(std::chrono::steady_clock::now() + std::chrono::seconds(5))}};
  ParityRequest quantized = request();
  quantized.compile.quantization = "Q8_0";
  const Result<void> refused = ParityGate(quantized).prepare(no_progress());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("weights: "));
  EXPECT_THAT(ParityGate(quantized).prepare(no_progress()).error().message, HasSubstr("remembered"));
}

TEST_F(GateOfALoad, AStopEndsItWithoutAVerdict) {
  RecordingProgress progress;
  progress.stop_at = "parity reference";
  const Result<void> stopped = ParityGate(request()).prepare(progress);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  ParityGate gate(request());
  ASSERT_TRUE(gate.prepare(no_progress()));
  progress.stop_at = "parity gate";
  EXPECT_EQ(gate.check(*compile(model_, {}), progress).error().code, ErrorCode::kCancelled);
  EXPECT_THAT(*records_->find({}), ::testing::SizeIs(0));
}

TEST_F(GateOfALoad, WithoutAReferenceItSaysSo) {
  probed_.clear();
  ParityGate gate(request());
  ASSERT_TRUE(gate.prepare(no_progress()));
  EXPECT_EQ(gate.verdict().state, State::kNoReference);
  CountingDecoder any;
  EXPECT_TRUE(gate.check(any, no_progress()));
  EXPECT_THAT(*records_->find({}), ::testing::SizeIs(0));
}

TEST_F(GateOfALoad, RecordsThatCanNotBeUsedStopNothing) {
  ParityRequest without = request();
  without.records = [] { return static_cast<Records*>(nullptr); };
  ParityGate gate(without);
  ASSERT_TRUE(gate.prepare(no_progress()));
  EXPECT_TRUE(gate.check(*compile(model_, {}), no_progress()));
}

}  // namespace
}  // namespace accelerate
