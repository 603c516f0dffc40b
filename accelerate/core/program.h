// Program - a Model compiled for a Target: immutable, of four kinds. The engine owns tokens, sampling and scheduling; a
// DecoderProgram turns tokens into logits, an EncoderProgram into vectors, a TensorProgram tensors into tensors, a
// TextProgram a request into text.
//
//   ACC_TRY(Slot slot, decoder.open());
//   SlotInput input{.slot = slot, .tokens = prompt, .want = Want::kLast};
//   SlotStatus status;
//   ACC_TRY_VOID(decoder.step({&input, 1}, {&status, 1}, sink, {}));
//
// A Program keeps its Model alive. Not thread-safe unless said: one thread (the scheduler's) calls it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "accelerate/core/model.h"
#include "accelerate/core/request.h"

namespace accelerate {

enum class ProgramKind : uint8_t { kDecoder, kEncoder, kTensor, kText };

/// What a compile leaves on disk. No weights inside where avoidable. A backend fills the path, the program cache the rest.
struct Artifact {
  std::string id;      // the cache's key
  std::string path;    // file or folder
  uint64_t bytes = 0;
};

/// What every step and run obeys. Checked between ops or chunks, so a stop takes effect within one chunk.
struct StepControl {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  const std::atomic<bool>* stop = nullptr;  // not owned; may be null
  bool should_stop() const {
    return (stop && stop->load(std::memory_order_relaxed)) || (deadline && std::chrono::steady_clock::now() > *deadline);
  }
};

class Program {
 public:
  virtual ~Program() = default;
  virtual ProgramKind kind() const = 0;
  /// Bytes resident for weights, KV and buffers, as allocated.
  virtual uint64_t memory_bytes() const = 0;
  /// Casts and substitutions the user should know of ("activations bf16", "KV f16"): shown in replies and logs.
  virtual std::vector<std::string> notes() const { return {}; }
  /// False once the program can not answer any more, as when its process is gone: it is seen between calls, too. Any thread.
  virtual bool alive() const { return true; }
  /// Keeps `what` until the program is gone: the engine's lock on the artifact it was loaded from.
  void hold(std::shared_ptr<const void> what) { held_ = std::move(what); }

 private:
  std::shared_ptr<const void> held_;
};

/// One live sequence inside a decoder. A stale handle (closed slot) is refused by its generation.
struct Slot {
  uint32_t index = 0, generation = 0;
  bool operator==(const Slot&) const = default;
};

enum class Want : uint8_t { kNone, kLast, kAll };  // of which input tokens the logits are wanted

struct SlotInput {
  Slot slot;
  std::span<const uint32_t> tokens;  // appended at the slot's end; at least one
  Want want = Want::kLast;
  uint32_t top_k = 0;                // 0 = whole rows; else the k best (value, id) pairs are enough
};
struct SlotStatus {
  std::optional<Error> error;  // no KV left, NaN, past the context: the slot is as it was before the step
};

/// Receives logits rows during step(), on the calling thread. The span is valid during the call only.
class LogitsSink {
 public:
  virtual ~LogitsSink() = default;
  /// `input` = index into step's inputs, `token` = index into its tokens, `logits` = vocabulary floats.
  virtual void row(size_t input, size_t token, std::span<const float> logits) = 0;
};

enum class ForkKind : uint8_t { kNone, kCopy, kShared };
struct DecoderLimits {
  uint32_t slots_max = 1;          // stepped at once
  uint32_t slots_kept_max = 0;     // open beyond those, for the prefixes they hold; their KV is given up when it runs out
  uint32_t context_max = 0;        // tokens of one slot
  uint32_t batch_tokens_max = 0;   // tokens of one step, over all inputs
  bool truncate_exact = false;     // truncate() is there
  ForkKind fork = ForkKind::kNone;
};
struct Capacity {
  uint64_t kv_tokens_free = 0, kv_tokens_total = 0;
  uint32_t slots_free = 0;
};

class DecoderProgram : public Program {
 public:
  ProgramKind kind() const final { return ProgramKind::kDecoder; }
  virtual uint32_t vocabulary() const = 0;
  virtual DecoderLimits limits() const = 0;
  virtual Capacity capacity() const = 0;
  /// resource_exhausted when all slots are taken.
  virtual Result<Slot> open() = 0;
  virtual void close(Slot slot) = 0;
  /// Tokens held by the slot.
  virtual uint32_t length(Slot slot) const = 0;
  /// Drops everything behind the first `tokens` tokens. unimplemented where limits().truncate_exact is false.
  virtual Result<void> truncate(Slot slot, uint32_t tokens) = 0;
  /// A new slot that begins with the first `tokens` tokens of `slot`.
  virtual Result<Slot> fork(Slot slot, uint32_t tokens) = 0;
  /// Runs any mix of prompts and single tokens; each slot at most once per step. statuses[i] belongs to inputs[i]; a
  /// status error leaves that slot as it was. An error of the call (also cancelled, deadline_exceeded: then every slot
  /// is as it was) other than those two means that the Program is dead. Every wanted row is checked for NaN and Inf.
  virtual Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink,
                            const StepControl& control) = 0;
};

using TokenSpan = std::span<const uint32_t>;
/// Tokens of one text, or of two: "[CLS] query [SEP] document [SEP]".
struct EncoderInput {
  static constexpr uint32_t kNoSecond = UINT32_MAX;
  EncoderInput(TokenSpan all, uint32_t second = kNoSecond) : tokens(all), second_begin(second) {}  // NOLINT: implicit on purpose
  TokenSpan tokens;
  uint32_t second_begin;  // where the second segment begins
};
enum class EncodeOutput : uint8_t { kPooled, kHidden, kHead };  // kHead: the scores of the model's own head

/// Receives encoder results in order of the inputs, on the calling thread.
class MatrixSink {
 public:
  virtual ~MatrixSink() = default;
  /// `rows` x `columns` row-major floats: one per token when hidden, else one row.
  virtual void matrix(size_t input, std::span<const float> values, size_t rows, size_t columns) = 0;
};

struct EncoderLimits {
  uint32_t tokens_max = 0;        // of one input
  uint32_t batch_tokens_max = 0;  // of one call's internal batch; more is split inside
  uint32_t width = 0;             // columns of kPooled and kHidden; 0 = the program has a head instead
  uint32_t labels = 0;            // columns of kHead; 0 = no head
};

class EncoderProgram : public Program {
 public:
  ProgramKind kind() const final { return ProgramKind::kEncoder; }
  virtual EncoderLimits limits() const = 0;
  /// Pooling and normalization are the model's own (Graph::pooling, Graph::normalize). unimplemented naming what the
  /// model lacks for the output asked for.
  virtual Result<void> encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink,
                              const StepControl& control) = 0;
};

class TensorProgram : public Program {
 public:
  ProgramKind kind() const final { return ProgramKind::kTensor; }
  virtual Result<NamedTensors> run(const NamedTensors& inputs, const StepControl& control) = 0;
};

struct TextTraits {
  enum class Accepts : uint8_t { kTokens, kMessages } accepts = Accepts::kMessages;
  enum class Emits : uint8_t { kTokenIds, kText } emits = Emits::kText;
  enum class Continues : uint8_t { kTokens, kTextPrefix, kNone } continues = Continues::kNone;
  bool enforces_schema = false;
  std::string logprobs = "none";
};

class TextProgram : public Program {
 public:
  ProgramKind kind() const final { return ProgramKind::kText; }
  virtual TextTraits traits() const = 0;
  /// Pushes parts and finishes the stream. Thread-safe: calls may run side by side.
  virtual Result<void> generate(const Request& request, Stream& stream, const StepControl& control) = 0;
};

}  // namespace accelerate
