// ParityGate - no Target serves a model before its numbers were compared with the reference's.
//
//   ParityGate gate({.model = model, .target = "cpu@cpu:0", .compile = options, .backends = probed, .records = records});
//   ACC_TRY_VOID(gate.prepare(progress));            // before the candidate is loaded: the reference never stands beside it
//   Compiled compiled = ...;
//   ACC_TRY_VOID(gate.check(*compiled.program, progress));
//
// The reference: the model's own weights, dequantized exactly, with float32 arithmetic on the backend "cpu".
// Weights that are quantized at load are compared with the file's first, in exact arithmetic and by the bounds of their type;
// then the program is compared with exact arithmetic on those same weights, by the bounds of a file's own. A verdict is
// kept in Records for (model id, quantization, target and mode, versions and build, machine, threads) and asked for first:
// a second load costs one look-up. One thread; one gate per load.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/backend.h"
#include "accelerate/engine/logits_comparison.h"
#include "accelerate/engine/parity_reference.h"
#include "accelerate/engine/planner.h"
#include "accelerate/engine/records.h"

namespace accelerate {

/// Computes references: the backend whose Precision::kExact is float32 throughout.
inline constexpr std::string_view kReferenceBackend = "cpu";
/// It among `backends`, and its device; null where it does not run here.
Backend* find_reference_backend(std::span<const ProbedBackend> backends, Device& device);

/// What a candidate may differ from the reference by.
struct ParityBounds {
  std::string_view name;           // of the quantization, or "exact" and "own"
  double kl_mean_max = 0;          // nats
  double cosine_distance_max = 0;  // of any row of logits
  double vector_distance_max = 0;  // the same of an encoder's rows, which have nothing else
  double top1_agreement_min = 0;
  std::string_view reason;
};
/// By what the weights become: nothing = as the file has them. int4, int8 and f16 stand for what backends make of them.
const ParityBounds& parity_bounds(const std::optional<std::string>& quantization, Precision precision);

struct ParityVerdict {
  enum class State : uint8_t { kPass, kFail, kNoReference, kNotApplicable } state = State::kNotApplicable;
  LogitsComparison numbers;        // of all rows; encoders: cosine_distance_max and rows only
  std::string reason;              // of everything but a pass: which bound, by how much, in which way
  std::vector<std::string> notes;  // what was left out
  double reference_s = 0, gate_s = 0;
  bool remembered = false;
};
std::string_view parity_state_name(ParityVerdict::State state);  // "pass", "fail", "no_reference", "not_applicable"
/// "pass: mean KL 1.2e-05, top-1 100 %, cosine distance 3.1e-06 over 64 rows".
std::string to_string(const ParityVerdict& verdict);

/// Puts the candidate through the probe and compares. Errors of the program are a fail with its message; cancelled stays an error.
Result<ParityVerdict> compare_with_reference(Program& candidate, const ParityReference& reference, const ParityBounds& bounds,
                                             const StepControl& control);

/// Two references of one probe: what was made of the weights against the file's.
ParityVerdict compare_references(const ParityReference& candidate, const ParityReference& reference, const ParityBounds& bounds);

/// The mode of a target where it is not the default: "cpu@cpu:0", "cpu@cpu:0 exact deterministic".
std::string target_label(const std::string& target, const CompileOptions& compile);
/// What `compile` makes of the weights (core/quantization.h), or the file's type.
std::string quantization_label(const Model& model, const CompileOptions& compile);
/// The conditions of a proof: exact versions, this machine.
RecordKey parity_key(const std::string& model_id, const Model& model, const std::string& target, const CompileOptions& compile,
                     std::string_view backend_version, uint32_t threads);
std::optional<ParityVerdict> parity_verdict_of(const Record& record);

struct ParityRequest {
  std::shared_ptr<const Model> model;            // with its graph
  std::string name, target, backend_version;     // name: for messages
  CompileOptions compile;
  uint32_t threads = 0;                          // that compile.threads = 0 stands for
  std::span<const ProbedBackend> backends;       // the reference is looked for among them
  std::function<Records*()> records;             // asked when there is something to look up; empty or null: nothing is remembered
  std::filesystem::path cache;                   // of references; empty = the user's
};

class ParityGate {
 public:
  explicit ParityGate(ParityRequest request);
  ~ParityGate();
  /// A remembered fail is failed_precondition with its numbers. Else makes the reference where the store has none.
  Result<void> prepare(Progress& progress);
  /// failed_precondition with the numbers for a fail. Does nothing where prepare() knew the verdict.
  Result<void> check(Program& candidate, Progress& progress);
  const ParityVerdict& verdict() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
