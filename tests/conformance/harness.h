// What every conformance case needs: the backends of this binary, models with their graphs, tokens run in any schedule.
//
//   class MyCase : public BackendTest {};
//   TEST_P(MyCase, ...) { auto program = decoder(open_fixture("llama_q8_0.gguf"), {.precision = Precision::kExact}); ... }
//   INSTANTIATE_TEST_SUITE_P(All, MyCase, ::testing::ValuesIn(backend_names()));
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "accelerate/core/backend.h"
#include "accelerate/core/graph.h"

namespace accelerate::conformance {

/// Names that the suite is to run, with commas between them: "torch", "cpu-isolated".
inline constexpr const char* kConformanceVariable = "IPFS_ACCELERATE_CONFORMANCE";
/// Makes this program the worker of an isolated backend.
inline constexpr std::string_view kWorkerArgument = "--worker";

/// Those of kConformanceVariable; without it all of registered_names() that need no install.
std::vector<std::string> backend_names();
/// All of the registry that run weights: those that serve a hardware name (engine/hardware.h).
std::vector<std::string> registered_names();

/// One for the process; null if the registry has none of that name.
Backend* find_backend(const std::string& name);
/// The first device its probe found, or why there is none.
Result<Device> device_of(const std::string& backend);

/// Opened, with its graph. A fixture that does not open fails the test (std::runtime_error).
std::shared_ptr<const Model> open_fixture(const std::string& name);
std::filesystem::path fixture_path(const std::string& name);
/// A real model (tests/real_models.h) with its graph; the error says where it was looked for.
Result<std::shared_ptr<const Model>> open_real(const std::string& name);

Result<std::unique_ptr<DecoderProgram>> compile_decoder(const std::string& backend, std::shared_ptr<const Model> model, const CompileOptions& options);
Result<std::unique_ptr<EncoderProgram>> compile_encoder(const std::string& backend, std::shared_ptr<const Model> model, const CompileOptions& options);

/// Rows of a step as they come, `logits` valid during the call.
using OnRow = std::function<void(size_t input, size_t token, std::span<const float> logits)>;
Result<void> step(DecoderProgram& program, std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, const OnRow& on_row,
                  const StepControl& control = {});
/// One input, its status error returned as an error.
Result<void> step_one(DecoderProgram& program, Slot slot, std::span<const uint32_t> tokens, Want want, const OnRow& on_row);

/// A sequence on its way through a program, in chunks of the given sizes (the last one repeats until the tokens are up).
struct Walk {
  std::span<const uint32_t> tokens;
  std::vector<size_t> chunks;
  std::vector<float> logits = {};  // [tokens, vocabulary], where they are collected
};
using OnPosition = std::function<void(size_t walk, size_t position, std::span<const float> logits)>;
/// Runs the walks side by side in one step each time, each in a slot of its own that is closed at the end.
Result<void> run_walks(DecoderProgram& program, std::span<const Walk> walks, const OnPosition& on_position);
/// The same; fills Walk::logits.
Result<void> collect_walks(DecoderProgram& program, std::span<Walk> walks);

/// max|a - b| / max|b|; infinity when sizes differ or a value is no number.
double relative_error(std::span<const float> got, std::span<const float> golden);

/// log of the sum of exp(x), in double.
double log_sum_exp(std::span<const float> x);

/// Skips the test when the backend finds no device here, with its reason.
class BackendTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override;
};

/// What the process runs on, for output: "avx512bf16".
std::string isa_here();
/// Plain C++ kernels: right, and too slow for whole texts.
bool is_portable();

}  // namespace accelerate::conformance
