#include "accelerate/wire/remote_program.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "accelerate/wire/rows.h"
#include "accelerate/wire/tensors.h"

namespace accelerate {
namespace {

// A step hangs when it takes this many times what its tokens took before, and at least so long. Nothing is known before
// the first step, which also builds tables: it may take kFirstStep.
constexpr double kHangFactor = 20;
constexpr double kHangLeast_s = 30;
constexpr double kFirstStep_s = 600;

struct Loaded {
  std::shared_ptr<WorkerLink> link;
  uint64_t memory_bytes = 0;
  std::vector<std::string> notes;
};

class RemoteDecoder final : public DecoderProgram {
 public:
  RemoteDecoder(Loaded loaded, uint32_t vocabulary, DecoderLimits limits, Capacity capacity, SharedMemory region)
      : loaded_(std::move(loaded)), vocabulary_(vocabulary), limits_(limits), capacity_(capacity), region_(std::move(region)) {}
  uint64_t memory_bytes() const override { return loaded_.memory_bytes; }
  std::vector<std::string> notes() const override { return loaded_.notes; }
  bool alive() const override { return loaded_.link->alive(); }
  uint32_t vocabulary() const override { return vocabulary_; }
  DecoderLimits limits() const override { return limits_; }
  Capacity capacity() const override { return capacity_; }

  Result<Slot> open() override {
    ACC_TRY(const WireMessage answer, call(WireMessage("open")));
    return new_slot(answer, 0);
  }
  void close(Slot slot) override {
    lengths_.erase(slot.index);
    (void)call(of_slot("close", slot));  // a dead worker has closed it already
  }
  uint32_t length(Slot slot) const override {
    const auto found = lengths_.find(slot.index);
    return found == lengths_.end() ? 0 : found->second;
  }
  Result<void> truncate(Slot slot, uint32_t tokens) override {
    WireMessage request = of_slot("truncate", slot);
    request.set("tokens", tokens);
    ACC_TRY_VOID(call(std::move(request)));
    lengths_[slot.index] = std::min(lengths_[slot.index], tokens);
    return {};
  }
  Result<Slot> fork(Slot slot, uint32_t tokens) override {
    WireMessage request = of_slot("fork", slot);
    request.set("tokens", tokens);
    ACC_TRY(const WireMessage answer, call(std::move(request)));
    return new_slot(answer, std::min(tokens, length(slot)));
  }
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override;

 private:
  static WireMessage of_slot(std::string_view type, Slot slot) {
    WireMessage message(type);
    message.set("index", slot.index).set("generation", slot.generation);
    return message;
  }
  Result<WireMessage> call(WireMessage request, const CallOptions& options = {}) {
    ACC_TRY(WireMessage answer, loaded_.link->call(std::move(request), options));
    ACC_TRY(capacity_, capacity_of(answer));
    return answer;
  }
  Result<Slot> new_slot(const WireMessage& answer, uint32_t tokens) {
    ACC_TRY(const uint64_t index, answer.number("index", UINT32_MAX));
    ACC_TRY(const uint64_t generation, answer.number("generation", UINT32_MAX));
    lengths_[static_cast<uint32_t>(index)] = tokens;
    return Slot{static_cast<uint32_t>(index), static_cast<uint32_t>(generation)};
  }

  const Loaded loaded_;
  const uint32_t vocabulary_;
  const DecoderLimits limits_;
  Capacity capacity_;  // as of the last answer
  const SharedMemory region_;
  std::map<uint32_t, uint32_t> lengths_;  // by slot index
  double slowest_token_s_ = 0;            // of all steps so far
};

Result<void> RemoteDecoder::step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) {
  size_t tokens = 0;
  for (const SlotInput& input : inputs) tokens += input.tokens.size();
  const double limit_s = slowest_token_s_ > 0 ? std::max(kHangLeast_s, kHangFactor * slowest_token_s_ * static_cast<double>(tokens)) : kFirstStep_s;
  WireMessage request("step");
  add_step_inputs(request, inputs);
  const auto begin = std::chrono::steady_clock::now();
  ACC_TRY(const WireMessage answer,
          call(std::move(request), {.control = control, .limit = std::chrono::milliseconds(static_cast<int64_t>(limit_s * 1e3)),
                                    .on_message = [&](WireMessage& rows) { return read_rows(rows, vocabulary_, region_, inputs, sink); }}));
  ACC_TRY_VOID(read_rows(answer, vocabulary_, region_, inputs, sink));
  ACC_TRY_VOID(read_statuses(answer, statuses));
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!statuses[i].error) lengths_[inputs[i].slot.index] += static_cast<uint32_t>(inputs[i].tokens.size());
  }
  const double took_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  slowest_token_s_ = std::max(slowest_token_s_, took_s / static_cast<double>(std::max<size_t>(tokens, 1)));
  return {};
}

class RemoteEncoder final : public EncoderProgram {
 public:
  RemoteEncoder(Loaded loaded, EncoderLimits limits) : loaded_(std::move(loaded)), limits_(limits) {}
  uint64_t memory_bytes() const override { return loaded_.memory_bytes; }
  std::vector<std::string> notes() const override { return loaded_.notes; }
  bool alive() const override { return loaded_.link->alive(); }
  EncoderLimits limits() const override { return limits_; }
  Result<void> encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const StepControl& control) override {
    WireMessage request("encode");
    std::vector<uint32_t> table, tokens;
    for (const EncoderInput& input : inputs) {
      table.push_back(static_cast<uint32_t>(input.tokens.size()));
      table.push_back(input.second_begin);
      tokens.insert(tokens.end(), input.tokens.begin(), input.tokens.end());
    }
    request.set("output", static_cast<uint64_t>(output)).add_blob(std::as_bytes(std::span(table))).add_blob(std::as_bytes(std::span(tokens)));
    size_t next = 0;
    const auto on_matrix = [&](WireMessage& message) -> Result<void> {
      ACC_TRY(const uint64_t input, message.number("input", inputs.size() - 1));
      ACC_TRY(const uint64_t rows, message.number("rows", inputs[input].tokens.size()));
      ACC_TRY(const uint64_t columns, message.number("columns", std::max(limits_.width, limits_.labels)));
      ACC_TRY(const std::vector<float> values, message.blob_f32(0));
      if (input != next++ || rows * columns != values.size()) return Error{ErrorCode::kDataLoss, "[wire] matrices come in order and whole"};
      sink.matrix(input, values, rows, columns);
      return {};
    };
    ACC_TRY_VOID(loaded_.link->call(std::move(request), {.control = control, .limit = {}, .on_message = on_matrix}));
    if (next != inputs.size()) return Error{ErrorCode::kDataLoss, fmt::format("[wire] every input has its matrix; got {} of {}", next, inputs.size())};
    return {};
  }

 private:
  const Loaded loaded_;
  const EncoderLimits limits_;
};

class RemoteTensor final : public TensorProgram {
 public:
  explicit RemoteTensor(Loaded loaded) : loaded_(std::move(loaded)) {}
  uint64_t memory_bytes() const override { return loaded_.memory_bytes; }
  std::vector<std::string> notes() const override { return loaded_.notes; }
  bool alive() const override { return loaded_.link->alive(); }
  Result<NamedTensors> run(const NamedTensors& inputs, const StepControl& control) override {
    WireMessage request("run");
    add_tensors(request, inputs);
    ACC_TRY(const WireMessage answer, loaded_.link->call(std::move(request), {.control = control}));
    return tensors_of(answer);
  }

 private:
  const Loaded loaded_;
};

Result<uint32_t> u32(const WireMessage& message, std::string_view key) {
  ACC_TRY(const uint64_t value, message.number(key, UINT32_MAX));
  return static_cast<uint32_t>(value);
}

Result<std::unique_ptr<Program>> make_decoder(Loaded loaded, const WireMessage& answer, SharedMemory region) {
  DecoderLimits limits;
  ACC_TRY(const uint32_t vocabulary, u32(answer, "vocabulary"));
  ACC_TRY(limits.slots_max, u32(answer, "slots_max"));
  ACC_TRY(limits.slots_kept_max, u32(answer, "slots_kept_max"));
  ACC_TRY(limits.context_max, u32(answer, "context_max"));
  ACC_TRY(limits.batch_tokens_max, u32(answer, "batch_tokens_max"));
  ACC_TRY(limits.truncate_exact, answer.flag("truncate_exact"));
  ACC_TRY(const uint64_t fork, answer.number("fork", static_cast<uint64_t>(ForkKind::kShared)));
  limits.fork = static_cast<ForkKind>(fork);
  ACC_TRY(const Capacity capacity, capacity_of(answer));
  if (vocabulary == 0 || limits.slots_max == 0 || limits.batch_tokens_max == 0) return Error{ErrorCode::kDataLoss, "[wire] a decoder has a vocabulary, slots and a batch"};
  return std::unique_ptr<Program>(std::make_unique<RemoteDecoder>(std::move(loaded), vocabulary, limits, capacity, std::move(region)));
}

Result<std::unique_ptr<Program>> make_program(Loaded loaded, const WireMessage& answer, SharedMemory region) {
  ACC_TRY(const uint64_t kind, answer.number("kind", static_cast<uint64_t>(ProgramKind::kText)));
  switch (static_cast<ProgramKind>(kind)) {
    case ProgramKind::kDecoder: return make_decoder(std::move(loaded), answer, std::move(region));
    case ProgramKind::kTensor: return std::unique_ptr<Program>(std::make_unique<RemoteTensor>(std::move(loaded)));
    case ProgramKind::kEncoder: {
      EncoderLimits limits;
      ACC_TRY(limits.tokens_max, u32(answer, "tokens_max"));
      ACC_TRY(limits.batch_tokens_max, u32(answer, "batch_tokens_max"));
      ACC_TRY(limits.width, u32(answer, "width"));
      ACC_TRY(limits.labels, u32(answer, "labels"));
      return std::unique_ptr<Program>(std::make_unique<RemoteEncoder>(std::move(loaded), limits));
    }
    case ProgramKind::kText: break;
  }
  return Error{ErrorCode::kUnimplemented, "[wire] text programs run in our own process: they only talk to somebody else's"};
}

}  // namespace

Result<Compiled> load_remote(std::unique_ptr<Worker> worker, WireMessage load, Progress& progress, LinkLimits limits) {
  Loaded loaded{.link = std::make_shared<WorkerLink>(std::move(worker), limits), .memory_bytes = 0, .notes = {}};
  std::atomic<bool> stop{false};
  const auto on_progress = [&](WireMessage& message) -> Result<void> {
    ACC_TRY(const std::string what, message.text("what"));
    ACC_TRY(const uint64_t done, message.number("done"));
    ACC_TRY(const uint64_t total, message.number("total"));
    ACC_TRY(const std::string unit, message.text("unit"));
    if (!progress.update(what, done, total, unit)) stop = true;
    return {};
  };
  ACC_TRY(const WireMessage answer, loaded.link->call(std::move(load), {.control = {.deadline = {}, .stop = &stop}, .limit = {}, .on_message = on_progress}));
  if (stop) return Error{ErrorCode::kCancelled, "[wire] the load was stopped; the worker had finished it and ends"};
  ACC_TRY(loaded.memory_bytes, answer.number("memory_bytes"));
  ACC_TRY(loaded.notes, answer.texts("notes"));
  ACC_TRY(std::vector<std::string> report, answer.texts("report"));
  std::optional<Artifact> artifact;
  if (answer.has("artifact")) {
    artifact.emplace();
    ACC_TRY(artifact->path, answer.text("artifact"));
  }
  SharedMemory region;
  if (answer.has("region_bytes")) {
    constexpr uint64_t kRegionMax = uint64_t{1} << 32;
    ACC_TRY(const uint64_t bytes, answer.number("region_bytes", kRegionMax));
    ACC_TRY(region, SharedMemory::adopt(loaded.link->take_file(), bytes));
  }
  ACC_TRY(std::unique_ptr<Program> program, make_program(std::move(loaded), answer, std::move(region)));
  return Compiled{.program = std::move(program), .artifact = std::move(artifact), .report = std::move(report)};
}

}  // namespace accelerate
