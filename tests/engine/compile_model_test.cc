#include "accelerate/engine/compile_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/artifact_backend.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

// An Engine over one ArtifactBackend, with state and cache of its own.
class CompileModel : public ::testing::Test {
 protected:
  void make(EngineOptions options = {}) {
    static ArtifactBackend* made = nullptr;
    options.backends = {{"fake", [](BackendContext&) -> std::unique_ptr<Backend> {
      auto one = std::make_unique<ArtifactBackend>();
      made = one.get();
      return one;
    }}};
    engine_ = *Engine::create(options);
    backend_ = made;
  }
  Result<CompileReport> compile(const OpenOptions& options = {}) { return compile_model(*engine_, model_, options, no_progress()); }

  TemporaryFolder home_;
  ScopedEnvironment state_{"XDG_STATE_HOME", (home_ / "state").string()}, cache_{"XDG_CACHE_HOME", (home_ / "cache").string()};
  const std::string model_ = fixture_path("llama_f32.gguf").string();
  std::unique_ptr<Engine> engine_;
  ArtifactBackend* backend_ = nullptr;  // the engine's
};

TEST_F(CompileModel, KeepsWhatTheBackendLeavesAndALaterOpenLoadsIt) {
  make();
  backend_->verdicts[0].devices.push_back({.kind = "cpu", .index = 1});
  const auto report = compile({.hardware = "fake@cpu:1"});
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->name, "llama_f32");
  EXPECT_EQ(report->path, model_);
  EXPECT_EQ(report->quantization, "F32");
  EXPECT_EQ(report->weights_bytes, std::filesystem::file_size(model_));
  EXPECT_GE(report->total_s, report->start.load_s);
  EXPECT_EQ(report->start.target, "fake@cpu:1");
  EXPECT_EQ(report->start.cached, "kept in the program cache");
  ASSERT_TRUE(report->start.parity);
  EXPECT_EQ(report->start.parity->state, ParityVerdict::State::kNoReference) << "there is no cpu backend here";
  ASSERT_TRUE(report->start.artifact);
  EXPECT_EQ(read_text(report->start.artifact->path), "ARTIFACT");
  EXPECT_TRUE(report->start.artifact->path.starts_with((home_ / "cache/ipfs-accelerate/programs").string()));
  EXPECT_TRUE(engine_->endpoints().empty());
  ASSERT_TRUE(engine_->open(model_, {.hardware = "fake@cpu:1"}, no_progress()));
  EXPECT_EQ(backend_->compiles, 1);
  EXPECT_EQ(backend_->loads, 1);
  EXPECT_EQ(compile({.hardware = "fake@cpu:1"}).error().code, ErrorCode::kAlreadyExists) << "it is being served";
  ASSERT_TRUE(engine_->close("llama_f32"));
  EXPECT_TRUE(compile({.hardware = "fake@cpu:1"})->start.from_cache);
  EXPECT_FALSE(compile({.hardware = "fake@cpu:0"})->start.from_cache);
}

TEST_F(CompileModel, AnotherVersionOfTheEngineCompilesAgain) {
  make();
  backend_->verdicts[0].version = "1";
  ASSERT_TRUE(compile());
  make();
  backend_->verdicts[0].version = "1";
  EXPECT_TRUE(compile()->start.from_cache);
  make();
  backend_->verdicts[0].version = "2";
  EXPECT_FALSE(compile()->start.from_cache);
}

TEST_F(CompileModel, SaysWhatHadNoEffectAndWhatFailed) {
  make({.program_cache_bytes_max = 0});
  OpenOptions options{.parity = ParityMode::kOff};
  options.compile.level = 3;
  const auto report = compile(options);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_FALSE(report->start.artifact);
  EXPECT_EQ(report->start.cached, "not kept: the program cache is off");
  EXPECT_FALSE(report->start.parity);
  EXPECT_THAT(report->start.report, ::testing::ElementsAre("fake has one level only: 3 changed nothing"));
  backend_->descriptor.levels = true;
  EXPECT_TRUE(compile(options)->start.report.empty());
  backend_->make = [](const CompileOptions&, Progress&) -> Result<std::unique_ptr<Program>> { return Error{ErrorCode::kInternal, "[fake] no"}; };
  EXPECT_EQ(compile(options).error().message, "[fake] no");
  EXPECT_EQ(compile_model(*engine_, "relay:office/model", options, no_progress()).error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(compile_model(*engine_, "/no/such.gguf", options, no_progress()).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace accelerate
