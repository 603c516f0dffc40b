#include "accelerate/backends/torch/torch.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/core/graph.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

TEST(TorchVerdict, IsReadFromTheProbe) {
  const Verdict verdict = torch_verdict(R"({"torch":"2.15.0","transformers":"5.23.0","rocm":"","devices":[{"kind":"cpu","index":0,"name":"cpu","memory_bytes":0},)"
                                        R"({"kind":"cuda","index":1,"name":"H200","memory_bytes":150000000000}]})");
  EXPECT_EQ(verdict.state, Verdict::State::kAvailable);
  EXPECT_EQ(verdict.version, "torch 2.15.0 transformers 5.23.0");
  ASSERT_EQ(verdict.devices.size(), 2u);
  EXPECT_EQ(to_string(verdict.devices[1]), "cuda:1");
  EXPECT_EQ(verdict.devices[1].memory_bytes, 150'000'000'000u);
}

TEST(TorchVerdict, AnythingElseIsBrokenWithTheReason) {
  for (const char* printed : {"", "Segmentation fault", "{}", R"({"torch":"2","transformers":"5","rocm":"","devices":[]})",
                              R"({"torch":"2","transformers":"5","rocm":"","devices":[{"kind":"cpu"}]})"}) {
    const Verdict verdict = torch_verdict(printed);
    EXPECT_EQ(verdict.state, Verdict::State::kBroken) << printed;
    EXPECT_FALSE(verdict.reason.empty());
  }
}

class TorchBackendTest : public ::testing::Test {
 protected:
  TorchBackendTest() {
    model_.format = "gguf v3";
    model_.config = {.architecture = "llama", .layers = 2, .width = 64, .heads = 4, .kv_heads = 2, .head_width = 16, .vocabulary = 280, .context = 512};
    auto graph = std::make_shared<Graph>();
    graph->vocabulary = 280;
    model_.graph = graph;
  }
  Support ask(const CompileOptions& options = {}, const std::string& kind = "cpu") { return backend_->supports(model_, {.kind = kind}, options); }
  TemporaryFolder folder_;
  ScopedEnvironment cache_{"XDG_CACHE_HOME", folder_.path().c_str()};
  ScopedEnvironment python_{kTorchPythonVariable, {}};
  BackendContext context_;
  std::unique_ptr<Backend> backend_ = make_torch_backend(context_);
  Model model_;
};

TEST_F(TorchBackendTest, WithoutAnEnvironmentItIsAbsentAndSaysHowToGetIt) {
  const Verdict verdict = backend_->probe(std::chrono::steady_clock::now() + std::chrono::seconds(5)).front();
  EXPECT_EQ(verdict.state, Verdict::State::kAbsent);
  EXPECT_THAT(verdict.reason, HasSubstr(folder_.path().string()));
  EXPECT_EQ(verdict.how_to_get, "ipfs-accelerate install torch");
}

TEST_F(TorchBackendTest, APythonThatFailsIsBrokenWithItsWords) {
  folder_.write("python", "#!/bin/sh\necho no module named torch >&2\nexit 3\n");
  std::filesystem::permissions(folder_ / "python", std::filesystem::perms::owner_all);
  const ScopedEnvironment python(kTorchPythonVariable, (folder_ / "python").c_str());
  const Verdict verdict = backend_->probe(std::chrono::steady_clock::now() + std::chrono::seconds(5)).front();
  EXPECT_EQ(verdict.state, Verdict::State::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("exit 3): no module named torch"));
}

TEST_F(TorchBackendTest, AProbeIsRememberedForItsEnvironment) {
  folder_.write("python", "#!/bin/sh\necho run >> " + (folder_ / "runs").string() +
                              "\necho '{\"torch\":\"2\",\"transformers\":\"5\",\"rocm\":\"\",\"devices\":[{\"kind\":\"cpu\",\"index\":0,\"name\":\"c\",\"memory_bytes\":0}]}'\n");
  std::filesystem::permissions(folder_ / "python", std::filesystem::perms::owner_all);
  const ScopedEnvironment python(kTorchPythonVariable, (folder_ / "python").c_str());
  for (int i = 0; i < 2; ++i) {
    const Verdict verdict = backend_->probe(std::chrono::steady_clock::now() + std::chrono::seconds(5)).front();
    EXPECT_EQ(verdict.state, Verdict::State::kAvailable) << verdict.reason;
  }
  EXPECT_EQ(std::filesystem::file_size(folder_ / "runs"), 4u) << "run once";
}

TEST_F(TorchBackendTest, RefusalsNameTheReason) {
  EXPECT_TRUE(ask().yes);
  EXPECT_TRUE(ask({.quantization = "BF16"}).yes);
  EXPECT_LT(ask({.quantization = "bf16", .context = 128, .slots = 1}).memory.kv, ask({.context = 128, .slots = 1}).memory.kv);
  EXPECT_THAT(ask({.quantization = "int4"}).reason, HasSubstr("'int4'"));
  EXPECT_THAT(ask({.quantization = "f16"}).reason, HasSubstr("slower"));
  EXPECT_TRUE(ask({.quantization = "f16"}, "cuda").yes);
  EXPECT_THAT(ask({.deterministic = true}).reason, HasSubstr("bits"));
  EXPECT_EQ(ask({.context = 1000}).code, ErrorCode::kOutOfRange);
  EXPECT_EQ(ask({.memory_bytes = 1000}).code, ErrorCode::kResourceExhausted);
  model_.config.architecture = "qwen2";
  EXPECT_THAT(ask().reason, HasSubstr("safetensors"));
  model_.format = "safetensors";
  EXPECT_TRUE(ask().yes);
  model_.graph = nullptr;
  EXPECT_FALSE(ask().yes);
}

TEST_F(TorchBackendTest, WithoutWorkersNothingCompiles) {
  const auto compiled = backend_->compile(std::make_shared<Model>(model_), {.kind = "cpu"}, {}, no_progress());
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().code, ErrorCode::kUnimplemented);
}

}  // namespace
}  // namespace accelerate
