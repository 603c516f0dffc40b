#include "accelerate/engine/parity_gate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/core/graph.h"
#include "accelerate/core/quantization.h"
#include "accelerate/engine/isolated_backend.h"
#include "accelerate/engine/fingerprint.h"
#include "accelerate/engine/stopping.h"
#include "accelerate/formats/model_id.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kReferenceContext = 128;  // the longest sequence of the probe

// Bounds of a file's own weights are some ten times what right programs were measured at (docs/choosing.md), and far below what
// the committed faults give. Weights that are made smaller differ by what was rounded away, which no arithmetic gets back: theirs
// are two to four times the worst measured (docs/quantize.md), and a candidate on them has to keep the bounds of its own weights
// besides. Below 6 bits one row may lie anywhere (SmolLM2 as Q4_K: distance 0.72 in one of 64 rows while mean KL is 0.081), and random
// weights have many near ties for the first choice; so there mean KL decides, and the others refuse what points elsewhere: swapped
// heads in random weights give KL 1.8 and 12 %. Behind each the worst of SmolLM2, Gemma 3 and random-weight fixtures | MiniLM:
constexpr ParityBounds kBounds[] = {
    {"exact", 1e-4, 1e-5, 1e-5, 0.95, "float32 throughout: only the order of sums differs"},
    {"own", 5e-3, 2e-2, 2e-2, 0.85, "bf16 activations (2^-9 a rounding) and an f16 KV cache on the file's own weights"},
    {"F32", 5e-3, 2e-2, 2e-2, 0.85, "as the file's own weights"},
    {"BF16", 1e-2, 2e-2, 2e-2, 0.85, "8 bits of mantissa"},                        // KL 6e-5, top-1 98 %
    {"F16", 5e-3, 2e-2, 2e-2, 0.85, "11 bits of mantissa"},
    {"Q8_0", 3e-2, 5e-2, 2e-2, 0.7, "8 bits in blocks of 32: relative error of a weight about 0.4 %"},  // KL 0.0039, 0.0055, 83..97 % | 0.0003
    {"Q6_K", 5e-2, 0.2, 2e-2, 0.75, "6 bits: about 1.7 %"},                        // KL 0.0076, 0.021, 89 % | 0.001
    {"Q5_K", 0.35, 1.0, 0.1, 0.3, "5 bits with offsets: about 3.4 %"},             // KL 0.095, 0.29, 80 % | 0.014
    {"Q5_1", 0.4, 1.0, 0.1, 0.3, "5 bits with offsets: about 3.9 %"},              // KL 0.17, 0.35, 55 %
    {"Q5_0", 0.4, 1.0, 0.1, 0.3, "5 bits: about 4.3 %"},                           // KL 0.13, 0.33, 42 % | 0.026
    {"Q4_K", 0.4, 1.0, 0.15, 0.3, "4 bits with offsets, 5 where rows do not divide by 256: about 7 %"},  // KL 0.13, 0.72, 42 % | 0.028
    {"Q4_1", 0.8, 1.0, 0.25, 0.2, "4 bits with offsets: about 8 %"},               // KL 0.34, 0.64, 31 % | 0.077
    {"Q4_0", 1.1, 1.0, 0.25, 0.2, "4 bits without offsets: about 9 %"},            // KL 0.48, 0.72, 31 % | 0.075
};

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return text;
}

const ParityBounds& bounds_named(std::string_view name) {
  for (const ParityBounds& bounds : kBounds) {
    if (bounds.name == name) return bounds;
  }
  return bounds_named("Q4_0");  // whatever else a backend makes of weights: nothing wider exists
}

StepControl control_of(const std::atomic<bool>& stop) { return {.deadline = {}, .stop = &stop}; }

// Which of the bounds is broken by one way; empty = none. A NaN breaks every comparison below.
std::string broken_bound(const LogitsComparison& n, const ParityBounds& bounds, bool logits) {
  if (logits && !(n.kl_mean <= bounds.kl_mean_max)) return fmt::format("mean KL {:.3g} over {:.3g}", n.kl_mean, bounds.kl_mean_max);
  const double most = logits ? bounds.cosine_distance_max : bounds.vector_distance_max;
  if (!(n.cosine_distance_max <= most)) return fmt::format("cosine distance {:.3g} over {:.3g}", n.cosine_distance_max, most);
  return {};
}

// Rows of one way and of all ways, against one block of the reference.
class BlockComparison {
 public:
  BlockComparison(const ParityBlock& block, bool as_one) : block_(block), as_one_(as_one) {}
  void add(std::string_view way, size_t sequence, size_t position, std::span<const float> values) {
    const std::span<const float> expected = block_.row(sequence, position);
    if (expected.size() != values.size()) {
      mismatch_ = true;
      return;
    }
    if (!as_one_) {
      ways_[std::string(way)].add(expected, values);
      all_.add(expected, values);
      return;
    }
    // Scores of few labels say little one by one: those of all inputs are one vector.
    auto& [ours, theirs] = gathered_[std::string(way)];
    theirs.insert(theirs.end(), expected.begin(), expected.end());
    ours.insert(ours.end(), values.begin(), values.end());
  }
  void finish() {
    for (const auto& [way, pair] : gathered_) {
      ways_[way].add(pair.second, pair.first);
      all_.add(pair.second, pair.first);
    }
  }
  bool mismatch() const { return mismatch_; }
  const std::map<std::string, LogitsComparator>& ways() const { return ways_; }
  LogitsComparison all() const { return all_.result(); }

 private:
  const ParityBlock& block_;
  bool as_one_, mismatch_ = false;
  std::map<std::string, LogitsComparator> ways_;
  std::map<std::string, std::pair<std::vector<float>, std::vector<float>>> gathered_;
  LogitsComparator all_;
};

void judge(const BlockComparison& comparison, const ParityBlock& block, const ParityBounds& bounds, ParityVerdict& verdict) {
  const bool logits = block.output == "logits";
  const LogitsComparison all = comparison.all();
  LogitsComparison& numbers = verdict.numbers;
  if (logits) numbers = all;
  else numbers.rows += all.rows, numbers.cosine_distance_max = std::max(numbers.cosine_distance_max, all.cosine_distance_max);
  const auto fail = [&](std::string reason) {
    verdict.state = ParityVerdict::State::kFail;
    if (verdict.reason.empty()) verdict.reason = std::move(reason);
  };
  if (comparison.mismatch()) return fail(fmt::format("{} of another size than the reference's {} columns", block.output, block.columns));
  if (all.rows == 0) return fail(fmt::format("no row of {} could be compared", block.output));
  for (const auto& [way, comparator] : comparison.ways()) {
    const std::string broken = broken_bound(comparator.result(), bounds, logits);
    if (!broken.empty()) return fail(fmt::format("{}: {} of {} rows of {}", way, broken, comparator.result().rows, block.output));
  }
  // A way has as few as 6 rows, of which one near tie is 17 %: agreement is judged over all.
  if (logits && all.top1_agreement < bounds.top1_agreement_min) {
    fail(fmt::format("top-1 agreement {:.1f} % under {:.1f} %", 100 * all.top1_agreement, 100 * bounds.top1_agreement_min));
  }
}

Result<void> run_block(Program& candidate, const ParityReference& reference, const ParityBlock& block, BlockComparison& comparison,
                       std::vector<std::string>& notes, const StepControl& control) {
  const OnProbeRow on_row = [&](std::string_view way, size_t s, size_t p, std::span<const float> row) { comparison.add(way, s, p, row); };
  if (auto* decoder = dynamic_cast<DecoderProgram*>(&candidate); decoder && block.output == "logits") {
    return run_decoder_probe(*decoder, reference.probe, ParityRun::kCandidate, on_row, notes, control);
  }
  if (auto* encoder = dynamic_cast<EncoderProgram*>(&candidate)) {
    for (const EncodeOutput output : compared_outputs(*encoder)) {
      if (output_name(output) == block.output) return run_encoder_probe(*encoder, reference.probe, output, ParityRun::kCandidate, on_row, control);
    }
  }
  return Error{ErrorCode::kFailedPrecondition, fmt::format("[parity] the reference has {}; got a program without it", block.output)};
}

// Reads every byte once: minutes of a large model, so it can be stopped.
Result<std::string> model_id_of(const Model& model, Progress& progress) {
  const Stopping stopping(progress, "model id");
  return compute_model_id(model, {.cache_file = {}, .stop = &stopping.flag()});
}

}  // namespace

Backend* find_reference_backend(std::span<const ProbedBackend> backends, Device& device) {
  for (const ProbedBackend& probed : backends) {
    if (probed.backend->about().name != kReferenceBackend) continue;
    for (const Verdict& found : probed.verdicts) {
      if (found.state != Verdict::State::kAvailable || found.devices.empty()) continue;
      device = found.devices.front();
      return probed.backend;
    }
  }
  return nullptr;
}

const ParityBounds& parity_bounds(const std::optional<std::string>& quantization, Precision precision) {
  if (!quantization) return bounds_named(precision == Precision::kExact ? "exact" : "own");
  const std::string name = upper(*quantization);
  if (name == "INT8") return bounds_named("Q8_0");
  if (name == "INT4") return bounds_named("Q4_0");
  return bounds_named(name);
}

std::string_view parity_state_name(ParityVerdict::State state) {
  switch (state) {
    case ParityVerdict::State::kPass: return "pass";
    case ParityVerdict::State::kFail: return "fail";
    case ParityVerdict::State::kNoReference: return "no_reference";
    case ParityVerdict::State::kNotApplicable: return "not_applicable";
  }
  return "";
}

std::string to_string(const ParityVerdict& verdict) {
  std::string text(parity_state_name(verdict.state));
  if (!verdict.reason.empty()) text += ": " + verdict.reason;
  if (verdict.numbers.rows == 0) return text;
  const LogitsComparison& n = verdict.numbers;
  text += verdict.reason.empty() ? ": " : "; in all: ";
  if (n.top1_agreement > 0 || n.kl_mean > 0) text += fmt::format("mean KL {:.2g}, largest {:.2g}, top-1 {:.1f} %, ", n.kl_mean, n.kl_max, 100 * n.top1_agreement);
  return text + fmt::format("cosine distance {:.2g} over {} rows", n.cosine_distance_max, n.rows);
}

Result<ParityVerdict> compare_with_reference(Program& candidate, const ParityReference& reference, const ParityBounds& bounds,
                                             const StepControl& control) {
  ParityVerdict verdict{.state = ParityVerdict::State::kPass};
  const auto start = Clock::now();
  for (const ParityBlock& block : reference.blocks) {
    BlockComparison comparison(block, block.output == "head");
    const Result<void> ran = run_block(candidate, reference, block, comparison, verdict.notes, control);
    if (!ran && (ran.error().code == ErrorCode::kCancelled || ran.error().code == ErrorCode::kDeadlineExceeded)) return ran.error();
    if (!ran) {
      verdict.state = ParityVerdict::State::kFail;
      verdict.reason = ran.error().message;
      break;
    }
    comparison.finish();
    judge(comparison, block, bounds, verdict);
  }
  verdict.gate_s = std::chrono::duration<double>(Clock::now() - start).count();
  return verdict;
}

ParityVerdict compare_references(const ParityReference& candidate, const ParityReference& reference, const ParityBounds& bounds) {
  ParityVerdict verdict{.state = ParityVerdict::State::kPass};
  for (const ParityBlock& block : reference.blocks) {
    BlockComparison comparison(block, block.output == "head");
    for (const ParityBlock& other : candidate.blocks) {
      if (other.output != block.output) continue;
      for (const uint32_t place : other.places) comparison.add("weights", place >> 16, place & 0xffffu, other.row(place >> 16, place & 0xffffu));
    }
    comparison.finish();
    judge(comparison, block, bounds, verdict);
  }
  return verdict;
}

std::string target_label(const std::string& target, const CompileOptions& compile) {
  std::string label = target;
  if (compile.precision == Precision::kExact) label += " exact";
  if (compile.deterministic) label += " deterministic";
  if (compile.level != CompileOptions{}.level) label += fmt::format(" level {}", compile.level);
  return label;
}

std::string quantization_label(const Model& model, const CompileOptions& compile) {
  const Result<std::optional<DType>> quantization = quantization_to_apply(model, compile.quantization);
  return quantization ? quantization_name(model, *quantization) : *compile.quantization;  // a word of a backend's own
}

RecordKey parity_key(const std::string& model_id, const Model& model, const std::string& target, const CompileOptions& compile,
                     std::string_view backend_version, uint32_t threads) {
  return {.model_id = model_id, .quantization = quantization_label(model, compile), .shape = fmt::format("probe {}", kParityProbeVersion),
          .target = target_label(target, compile), .versions = exact_versions(backend_version), .fingerprint = device_fingerprint(),
          .threads = compile.threads != 0 ? compile.threads : threads};
}

std::optional<ParityVerdict> parity_verdict_of(const Record& record) {
  ParityVerdict verdict{.state = ParityVerdict::State::kPass};
  if (record.verdict == "fail") verdict.state = ParityVerdict::State::kFail;
  else if (record.verdict != "pass") return {};
  const auto number = [&](const char* name) {
    const auto found = record.samples.find(name);
    return found == record.samples.end() || found->second.empty() ? 0.0 : found->second.front();
  };
  verdict.numbers = {.kl_mean = number("kl_mean"), .kl_max = number("kl_max"), .cosine_distance_max = number("cosine_distance_max"),
                     .top1_agreement = number("top1_agreement"), .rows = static_cast<uint32_t>(std::clamp(number("rows"), 0.0, 1e9))};
  if (verdict.state == ParityVerdict::State::kFail) verdict.reason = record.notes.empty() ? "without a reason" : record.notes.front();
  verdict.remembered = true;
  return verdict;
}

struct ParityGate::State {
  ParityRequest request;
  ParityVerdict verdict;
  std::optional<ParityReference> reference;  // between prepare() and check()
  std::optional<ParityReference> quantized;  // the same of the weights this load makes, where they are the reference backend's making
  RecordKey key;
  Records* records = nullptr;
  bool decided = false;

  Error refusal() const {
    return {ErrorCode::kFailedPrecondition,
            fmt::format("[parity] a target serves '{}' when its numbers are the reference's; got {}{} on {}; try another --hardware, or --parity off to "
                        "serve it all the same", request.name, to_string(verdict), verdict.remembered ? " (remembered)" : "",
                        target_label(request.target, request.compile))};
  }
  void without(ParityVerdict::State state, std::string reason) {
    verdict = {.state = state, .reason = std::move(reason), .notes = {}};
    decided = true;
    log_warning(fmt::format("parity of '{}' on {}: {}", request.name, request.target, to_string(verdict)));
  }
  std::optional<ParityVerdict> remembered() const {
    if (!records) return {};
    const Result<std::vector<Record>> known = records->find({.kind = "parity", .model_id = key.model_id, .quantization = key.quantization,
                                                                     .shape = key.shape, .target = key.target, .versions = key.versions,
                                                                     .fingerprint = key.fingerprint, .threads = key.threads});
    if (!known) {
      log_warning("parity verdicts can not be read: " + known.error().message);
      return {};
    }
    return known->empty() ? std::nullopt : parity_verdict_of(known->front());
  }
  void remember() const {
    if (!records) return;
    Record record{.key = key, .kind = "parity", .verdict = std::string(parity_state_name(verdict.state)), .samples = {}, .notes = verdict.notes};
    const LogitsComparison& n = verdict.numbers;
    const std::pair<const char*, double> numbers[] = {{"kl_mean", n.kl_mean}, {"kl_max", n.kl_max}, {"cosine_distance_max", n.cosine_distance_max},
                                                      {"top1_agreement", n.top1_agreement}, {"rows", n.rows}, {"reference_s", verdict.reference_s},
                                                      {"gate_s", verdict.gate_s}};
    for (const auto& [name, value] : numbers) {
      if (std::isfinite(value)) record.samples[name] = {value};
    }
    if (!verdict.reason.empty()) record.notes.insert(record.notes.begin(), verdict.reason);
    if (const Result<void> added = records->add(record); !added) log_warning("the parity verdict is not remembered: " + added.error().message);
  }
  /// Of the file's own weights, or with `quantization` of what the reference's backend makes of them.
  Result<ParityReference> make_reference(Backend& backend, const Device& device, const std::optional<std::string>& quantization, Progress& progress) const {
    CompileOptions exact{.quantization = quantization, .precision = Precision::kExact, .threads = request.compile.threads, .slots = 1, .memory_bytes = request.compile.memory_bytes};
    const uint32_t context = request.model->graph ? request.model->graph->context : 0;
    exact.context = context != 0 ? std::min(context, kReferenceContext) : kReferenceContext;
    exact.kv_tokens = exact.context;
    ACC_TRY(Compiled compiled, backend.compile(request.model, device, exact, progress));
    const Stopping stopping(progress, "parity reference");
    return compute_reference(*compiled.program, *request.model, control_of(stopping.flag()));
  }
  /// What rounding weights does is judged once, by wide bounds, on exact arithmetic; then the candidate has to be as close to
  /// these weights' own reference as to a file's. Else bounds that let 4 bits pass would let small faults pass, too. Only
  /// the reference's backend makes the same weights: others are compared with the file's, by the wide bounds.
  Result<void> prepare_quantized(Backend& backend, const Device& device, Progress& progress) {
    const CompileOptions& compile = request.compile;
    if (!compile.quantization || backend_named(request.target) != kReferenceBackend) return {};
    ACC_TRY(ParityReference made, make_reference(backend, device, compile.quantization, progress));
    verdict = compare_references(made, *reference, parity_bounds(compile.quantization, compile.precision));
    log_info(fmt::format("parity of '{}': {} weights against the file's: {}", request.name, key.quantization, to_string(verdict)));
    if (verdict.state == ParityVerdict::State::kFail) {
      decided = true;
      remember();
      return refusal();
    }
    quantized = std::move(made);
    return {};
  }
  /// Of the candidate. Where its weights were judged apart, the numbers are theirs: what a user gives up.
  Result<ParityVerdict> judged(Program& candidate, const StepControl& control) const {
    const CompileOptions& compile = request.compile;
    if (!quantized) return compare_with_reference(candidate, *reference, parity_bounds(compile.quantization, compile.precision), control);
    ACC_TRY(ParityVerdict arithmetic, compare_with_reference(candidate, *quantized, parity_bounds({}, compile.precision), control));
    if (arithmetic.state == ParityVerdict::State::kFail) return arithmetic;
    arithmetic.notes.push_back(fmt::format("against float32 arithmetic on the same {} weights: {}", key.quantization, to_string(arithmetic)));
    arithmetic.numbers = verdict.numbers;
    return arithmetic;
  }
};

ParityGate::ParityGate(ParityRequest request) : state_(std::make_unique<State>()) { state_->request = std::move(request); }
ParityGate::~ParityGate() = default;
const ParityVerdict& ParityGate::verdict() const { return state_->verdict; }

Result<void> ParityGate::prepare(Progress& progress) {
  State& state = *state_;
  Device device;
  Backend* backend = find_reference_backend(state.request.backends, device);
  if (!backend) {
    state.without(ParityVerdict::State::kNoReference, "no backend 'cpu' to compare with");
    return {};
  }
  ACC_TRY(const std::string id, model_id_of(*state.request.model, progress));
  if (state.request.records) state.records = state.request.records();
  state.key = parity_key(id, *state.request.model, state.request.target, state.request.compile, state.request.backend_version, state.request.threads);
  if (std::optional<ParityVerdict> known = state.remembered()) {
    state.verdict = *std::move(known);
    state.decided = true;
    if (state.verdict.state == ParityVerdict::State::kFail) return state.refusal();
    log_info(fmt::format("parity of '{}' on {}: {} (remembered)", state.request.name, state.key.target, to_string(state.verdict)));
    return {};
  }
  const auto start = Clock::now();
  const ReferenceStore store(state.request.cache);
  state.reference = store.load(id);
  if (!state.reference) {
    log_info(fmt::format("parity of '{}': computing the reference, once", state.request.name));
    Result<ParityReference> made = state.make_reference(*backend, device, {}, progress);
    if (!made) {
      if (made.error().code == ErrorCode::kCancelled) return made.error();
      state.without(ParityVerdict::State::kNoReference, made.error().message);
      state.remember();  // for plans; a later load tries again
      return {};
    }
    store.save(id, *made);
    state.reference = *std::move(made);
  }
  ACC_TRY_VOID(state.prepare_quantized(*backend, device, progress));
  state.verdict.reference_s = std::chrono::duration<double>(Clock::now() - start).count();
  return {};
}

Result<void> ParityGate::check(Program& candidate, Progress& progress) {
  State& state = *state_;
  if (state.decided) return {};
  if (candidate.kind() != ProgramKind::kDecoder && candidate.kind() != ProgramKind::kEncoder) {
    state.without(ParityVerdict::State::kNotApplicable, "its numbers can not be seen");
    return {};
  }
  CHECK(state.reference, "prepare() before check()");
  const Stopping stopping(progress, "parity gate");
  const double reference_s = state.verdict.reference_s;
  ACC_TRY(state.verdict, state.judged(candidate, control_of(stopping.flag())));
  state.verdict.reference_s = reference_s;
  state.reference.reset();
  state.quantized.reset();
  state.decided = true;
  state.remember();
  log_info(fmt::format("parity of '{}' on {}: {}; {:.1f} s for the reference, {:.1f} s for the gate", state.request.name, state.key.target,
                       to_string(state.verdict), reference_s, state.verdict.gate_s));
  for (const std::string& note : state.verdict.notes) log_info("parity: " + note);
  if (state.verdict.state == ParityVerdict::State::kFail) return state.refusal();
  return {};
}

}  // namespace accelerate
