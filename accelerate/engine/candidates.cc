#include "accelerate/engine/candidates.h"

#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "accelerate/base/log.h"

namespace accelerate {
namespace {

struct FiniteSink final : LogitsSink, MatrixSink {
  size_t rows = 0;
  bool finite = true;
  void row(size_t, size_t, std::span<const float> logits) override { look(logits); }
  void matrix(size_t, std::span<const float> values, size_t, size_t) override { look(values); }
  void look(std::span<const float> values) {
    ++rows;
    for (const float value : values) finite = finite && !(std::isnan(value) || value == std::numeric_limits<float>::infinity());
  }
};

Result<void> judge(const FiniteSink& sink) {
  if (sink.rows > 0 && sink.finite) return {};
  return Error{ErrorCode::kInternal, fmt::format("[engine] the first token of a new program gives numbers; got {}", sink.rows == 0 ? "nothing" : "NaN or infinity")};
}

Result<void> step_once(DecoderProgram& program, const StepControl& control) {
  ACC_TRY(const Slot slot, program.open());
  const uint32_t token = 0;
  const SlotInput input{.slot = slot, .tokens = {&token, 1}, .want = Want::kLast, .top_k = 0};
  SlotStatus status;
  FiniteSink sink;
  const Result<void> stepped = program.step({&input, 1}, {&status, 1}, sink, control);
  program.close(slot);
  if (!stepped) return stepped.error();
  if (status.error) return *status.error;
  return judge(sink);
}

}  // namespace

bool blames_target(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnknown:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kAborted:
    case ErrorCode::kInternal:
    case ErrorCode::kUnavailable:
    case ErrorCode::kDataLoss: return true;
    default: return false;
  }
}

bool may_pass(ErrorCode code) { return blames_target(code) || code == ErrorCode::kResourceExhausted || code == ErrorCode::kCancelled; }

Result<void> run_canary(Program& program, const StepControl& control) {
  if (program.kind() == ProgramKind::kDecoder) return step_once(static_cast<DecoderProgram&>(program), control);
  if (program.kind() != ProgramKind::kEncoder) return {};
  const uint32_t token = 0;
  const EncoderInput input(TokenSpan(&token, 1));
  FiniteSink sink;
  auto& encoder = static_cast<EncoderProgram&>(program);
  ACC_TRY_VOID(encoder.encode({&input, 1}, encoder.limits().width > 0 ? EncodeOutput::kPooled : EncodeOutput::kHead, sink, control));
  return judge(sink);
}

Result<StartedProgram> start_candidate(const Candidate& candidate, const StartRequest& request, const ShrinkOptions& shrink) {
  CHECK(candidate.start, "what is started can be");
  StartedProgram started{.target = candidate.target, .program = nullptr, .notes = {}};
  Result<std::unique_ptr<Program>> program = candidate.start(request);
  const auto again = [&](uint32_t slots, uint32_t context, const std::string& what) {
    const std::string note = fmt::format("{} lacks memory and is tried with {}: {}", candidate.target, what, program.error().message);
    log_warning(note);
    Result<std::unique_ptr<Program>> smaller = candidate.start({.progress = request.progress, .slots = slots, .context = context, .memory_taken = request.memory_taken});
    if (smaller) {
      started.notes.push_back(note);
      program = std::move(smaller);
    }
    return program.ok() || smaller.error().code != ErrorCode::kResourceExhausted;
  };
  const auto lacks_memory = [&] { return !program && program.error().code == ErrorCode::kResourceExhausted; };
  bool over = !lacks_memory();
  uint32_t slots = shrink.slots;
  while (!over && slots != 1) {
    slots = slots == 0 || slots > kShrunkSlots ? kShrunkSlots : 1;
    over = again(slots, 0, fmt::format("{} answers at once", slots));
  }
  uint32_t context = shrink.smaller_context ? shrink.context : 0;
  while (!over && context / 2 >= kShrunkContextMin) {
    context /= 2;
    over = again(1, context, fmt::format("one answer at once and a context of {} tokens", context));
  }
  if (!program) return program.error();
  started.program = *std::move(program);
  return started;
}

}  // namespace accelerate
