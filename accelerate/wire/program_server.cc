#include "accelerate/wire/program_server.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/wire/rows.h"
#include "accelerate/wire/tensors.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kQueuedMax = 16;  // one call at a time is answered: more is nobody we know
constexpr auto kSendTime = std::chrono::seconds(60);
constexpr auto kForever = std::chrono::hours(1);

Error unknown(const std::string& type) { return {ErrorCode::kUnimplemented, fmt::format("[wire] this program does not do '{}'", type)}; }

class ProgramServer {
 public:
  ProgramServer(Channel& channel, const ProgramServerOptions& options) : channel_(channel), options_(options) {}
  void serve();

 private:
  class LoadProgress;
  class Matrices;
  void read();
  void read_one(std::vector<std::byte> bytes);
  std::optional<WireMessage> next();
  void answer(WireMessage message);
  bool send(const WireMessage& message, int file = -1);
  bool send_and_wait(WireMessage message);
  StepControl control_of(const WireMessage& request);
  Result<WireMessage> handle_or_say(const WireMessage& request);
  Result<WireMessage> handle(const WireMessage& request);
  Result<WireMessage> load(const WireMessage& request);
  Result<void> describe_decoder(const DecoderProgram& decoder, WireMessage& loaded);
  Result<WireMessage> handle_decoder(DecoderProgram& decoder, const WireMessage& request);
  Result<WireMessage> step(DecoderProgram& decoder, const WireMessage& request);
  Result<WireMessage> encode(EncoderProgram& encoder, const WireMessage& request);

  Channel& channel_;
  const ProgramServerOptions& options_;
  std::mutex send_mutex_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<WireMessage> requests_;  // guarded by mutex_
  uint64_t acknowledged_ = 0;         // guarded by mutex_
  bool gone_ = false, over_ = false;  // guarded by mutex_: the other side has left; we have
  std::atomic<bool> stop_{false};
  uint64_t call_ = 0;                 // whose answer is made; the serving thread's
  std::unique_ptr<Program> program_;
  SharedMemory region_;
};

class ProgramServer::LoadProgress final : public Progress {
 public:
  explicit LoadProgress(ProgramServer& server) : server_(server) {}
  bool update(std::string_view what, uint64_t done, uint64_t total, std::string_view unit) override {
    std::lock_guard lock(mutex_);
    if (Clock::now() - sent_ > kPeriod || done == total) {
      sent_ = Clock::now();
      WireMessage message("progress");
      message.set_text("what", what).set("done", done).set("total", total).set_text("unit", unit).set_flag("more", true).set("id", server_.call_);
      server_.send(message);
    }
    return !server_.stop_;
  }

 private:
  static constexpr auto kPeriod = std::chrono::milliseconds(50);
  ProgramServer& server_;
  std::mutex mutex_;  // packing reports from several threads
  Clock::time_point sent_{};
};

class ProgramServer::Matrices final : public MatrixSink {
 public:
  explicit Matrices(ProgramServer& server) : server_(server) {}
  void matrix(size_t input, std::span<const float> values, size_t rows, size_t columns) override {
    WireMessage message("matrix");
    message.set("input", input).set("rows", rows).set("columns", columns).set_flag("more", true).set("id", server_.call_);
    server_.send(message.add_blob(std::as_bytes(values)));
  }

 private:
  ProgramServer& server_;
};

void ProgramServer::serve() {
  std::thread reader([this] { read(); });
  while (std::optional<WireMessage> request = next()) {
    call_ = request->number("id").ok() ? *request->number("id") : 0;
    stop_ = false;
    Result<WireMessage> made = handle_or_say(*request);
    answer(made ? *std::move(made) : to_message(made.error()));
  }
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  reader.join();
}

void ProgramServer::read() {
  while (true) {
    Result<std::vector<std::byte>> bytes = channel_.receive(Clock::now() + kForever);
    if (bytes) read_one(*std::move(bytes));
    else if (bytes.error().code != ErrorCode::kDeadlineExceeded) break;
    std::lock_guard lock(mutex_);
    if (gone_) break;
  }
  std::unique_lock lock(mutex_);
  gone_ = true;
  stop_ = true;
  changed_.notify_all();
  const auto left = [this] { return over_; };
  if (options_.leave.count() > 0 && !changed_.wait_for(lock, options_.leave, left)) std::_Exit(1);  // nobody is there to hear why
}

void ProgramServer::read_one(std::vector<std::byte> bytes) {
  Result<WireMessage> message = WireMessage::decode(std::move(bytes));
  if (message && message->type() == "ping") {
    send(WireMessage("pong"));
    return;
  }
  std::lock_guard lock(mutex_);
  if (!message || requests_.size() >= kQueuedMax) {
    log_error(message ? fmt::format("[wire] at most {} requests wait; the other side sent more, and is left", kQueuedMax) : message.error().message);
    gone_ = true;
  } else if (message->type() == "stop") {
    stop_ = true;
  } else if (message->type() == "acknowledged") {
    ++acknowledged_;
  } else {
    requests_.push_back(*std::move(message));
  }
  changed_.notify_all();
}

std::optional<WireMessage> ProgramServer::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return gone_ || !requests_.empty(); });
  if (gone_) return std::nullopt;
  std::optional<WireMessage> request(std::move(requests_.front()));
  requests_.pop_front();
  return request;
}

bool ProgramServer::send(const WireMessage& message, int file) {
  std::lock_guard sending(send_mutex_);
  if (file >= 0) (void)channel_.attach(file);  // only where carries_files() said so
  const Result<void> sent = channel_.send(message.encode(), Clock::now() + kSendTime);
  if (sent || sent.error().code == ErrorCode::kResourceExhausted) return sent.ok();
  std::lock_guard lock(mutex_);
  gone_ = true;
  changed_.notify_all();
  return false;
}

void ProgramServer::answer(WireMessage message) {
  message.set("id", call_);
  const bool first = message.type() == "loaded";
  if (send(message, first ? region_.descriptor() : -1)) return;
  WireMessage too_large = to_message({ErrorCode::kResourceExhausted, "[wire] the answer is larger than a message may be"});
  send(too_large.set("id", call_));
}

bool ProgramServer::send_and_wait(WireMessage message) {
  const uint64_t before = [this] {
    std::lock_guard lock(mutex_);
    return acknowledged_;
  }();
  message.set("id", call_).set_flag("more", true).set_flag("acknowledge", true);
  if (!send(message)) return false;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return gone_ || acknowledged_ > before; });
  return !gone_;
}

StepControl ProgramServer::control_of(const WireMessage& request) {
  StepControl control{.deadline = {}, .stop = &stop_};
  constexpr uint64_t kLongest_ms = 1'000'000'000;
  if (const auto left = request.number("deadline_ms", kLongest_ms)) control.deadline = Clock::now() + std::chrono::milliseconds(*left);
  return control;
}

Result<WireMessage> ProgramServer::handle_or_say(const WireMessage& request) {
  try {
    return handle(request);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[wire] the worker has no memory left for '{}'", request.type())};
  } catch (const std::exception& failure) {
    return Error{ErrorCode::kInternal, fmt::format("[wire] the worker failed in '{}': {}", request.type(), failure.what())};
  }
}

Result<WireMessage> ProgramServer::handle(const WireMessage& request) {
  if (request.type() == "load") return load(request);
  if (!program_) return Error{ErrorCode::kFailedPrecondition, "[wire] nothing is loaded yet"};
  if (auto* decoder = dynamic_cast<DecoderProgram*>(program_.get())) return handle_decoder(*decoder, request);
  if (auto* encoder = dynamic_cast<EncoderProgram*>(program_.get()); encoder && request.type() == "encode") return encode(*encoder, request);
  if (auto* tensor = dynamic_cast<TensorProgram*>(program_.get()); tensor && request.type() == "run") {
    ACC_TRY(const NamedTensors inputs, tensors_of(request));
    ACC_TRY(const NamedTensors outputs, tensor->run(inputs, control_of(request)));
    WireMessage ran("ran");
    add_tensors(ran, outputs);
    return ran;
  }
  return unknown(request.type());
}

Result<WireMessage> ProgramServer::load(const WireMessage& request) {
  if (program_) return Error{ErrorCode::kFailedPrecondition, "[wire] a worker loads one program in its life"};
  LoadProgress progress(*this);
  ACC_TRY(Compiled compiled, options_.load(request, progress));
  program_ = std::move(compiled.program);
  WireMessage loaded("loaded");
  loaded.set("kind", static_cast<uint64_t>(program_->kind())).set("memory_bytes", program_->memory_bytes());
  loaded.set_texts("notes", program_->notes()).set_texts("report", compiled.report);
  if (compiled.artifact) loaded.set_text("artifact", compiled.artifact->path);
  if (const auto* decoder = dynamic_cast<DecoderProgram*>(program_.get())) ACC_TRY_VOID(describe_decoder(*decoder, loaded));
  if (const auto* encoder = dynamic_cast<EncoderProgram*>(program_.get())) {
    const EncoderLimits limits = encoder->limits();
    loaded.set("tokens_max", limits.tokens_max).set("batch_tokens_max", limits.batch_tokens_max).set("width", limits.width).set("labels", limits.labels);
  }
  return loaded;
}

Result<void> ProgramServer::describe_decoder(const DecoderProgram& decoder, WireMessage& loaded) {
  const DecoderLimits limits = decoder.limits();
  loaded.set("vocabulary", decoder.vocabulary()).set("slots_max", limits.slots_max).set("slots_kept_max", limits.slots_kept_max);
  loaded.set("context_max", limits.context_max).set("batch_tokens_max", limits.batch_tokens_max);
  loaded.set_flag("truncate_exact", limits.truncate_exact).set("fork", static_cast<uint64_t>(limits.fork));
  add_capacity(loaded, decoder.capacity());
  if (!channel_.carries_files()) return {};
  const size_t row_bytes = size_t{decoder.vocabulary()} * sizeof(float);
  ACC_TRY(region_, SharedMemory::create(std::max<size_t>(options_.region_bytes / row_bytes, 1) * row_bytes));
  loaded.set("region_bytes", region_.size());  // its file goes with this answer
  return {};
}

Result<WireMessage> ProgramServer::handle_decoder(DecoderProgram& decoder, const WireMessage& request) {
  if (request.type() == "step") return step(decoder, request);
  WireMessage done("done");
  const auto give = [&](Slot slot) { done.set("index", slot.index).set("generation", slot.generation); };
  if (request.type() == "open") {
    ACC_TRY(const Slot slot, decoder.open());
    give(slot);
  } else {
    ACC_TRY(const uint64_t index, request.number("index", UINT32_MAX));
    ACC_TRY(const uint64_t generation, request.number("generation", UINT32_MAX));
    const Slot slot{static_cast<uint32_t>(index), static_cast<uint32_t>(generation)};
    if (request.type() == "close") {
      decoder.close(slot);
    } else {
      ACC_TRY(const uint64_t tokens, request.number("tokens", UINT32_MAX));
      if (request.type() == "truncate") {
        ACC_TRY_VOID(decoder.truncate(slot, static_cast<uint32_t>(tokens)));
      } else if (request.type() == "fork") {
        ACC_TRY(const Slot forked, decoder.fork(slot, static_cast<uint32_t>(tokens)));
        give(forked);
      } else {
        return unknown(request.type());
      }
    }
  }
  add_capacity(done, decoder.capacity());
  return done;
}

Result<WireMessage> ProgramServer::step(DecoderProgram& decoder, const WireMessage& request) {
  ACC_TRY(const std::vector<uint32_t> tokens, request.blob_u32(1));
  ACC_TRY(const std::vector<SlotInput> inputs, step_inputs_of(request, tokens));
  std::vector<SlotStatus> statuses(inputs.size());
  RowsWriter rows(decoder.vocabulary(), region_, [this](WireMessage message) { return send_and_wait(std::move(message)); }, options_.region_bytes);
  const Result<void> stepped = decoder.step(inputs, statuses, rows, control_of(request));
  if (!stepped) return stepped.error();
  WireMessage done("done");
  add_statuses(done, statuses);
  add_capacity(done, decoder.capacity());
  rows.finish(done);
  return done;
}

Result<WireMessage> ProgramServer::encode(EncoderProgram& encoder, const WireMessage& request) {
  ACC_TRY(const uint64_t output, request.number("output", static_cast<uint64_t>(EncodeOutput::kHead)));
  ACC_TRY(const std::vector<uint32_t> table, request.blob_u32(0));
  ACC_TRY(const std::vector<uint32_t> tokens, request.blob_u32(1));
  if (table.size() % 2 != 0) return Error{ErrorCode::kDataLoss, "[wire] encoder inputs are pairs of a length and a border"};
  std::vector<EncoderInput> inputs;
  size_t at = 0;
  for (size_t i = 0; i < table.size(); i += 2) {
    if (table[i] > tokens.size() - at) return Error{ErrorCode::kDataLoss, "[wire] encoder inputs have the tokens that they say"};
    inputs.emplace_back(TokenSpan(tokens).subspan(at, table[i]), table[i + 1]);
    at += table[i];
  }
  Matrices matrices(*this);
  ACC_TRY_VOID(encoder.encode(inputs, static_cast<EncodeOutput>(output), matrices, control_of(request)));
  return WireMessage("done");
}

}  // namespace

void serve_program(Channel& channel, const ProgramServerOptions& options) { ProgramServer(channel, options).serve(); }

}  // namespace accelerate
