#include "accelerate/wire/worker_link.h"

#include <algorithm>

#include <fmt/format.h>

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kWatchPeriod = std::chrono::milliseconds(20);  // a stop is passed on within it

// A worker that stopped knows not always what for: a deadline has its own code.
Error why_stopped(Error error, const StepControl& control) {
  const bool asked = control.stop && control.stop->load(std::memory_order_relaxed);
  if (error.code == ErrorCode::kCancelled && !asked && control.should_stop()) error.code = ErrorCode::kDeadlineExceeded;
  return error;
}

}  // namespace

struct WorkerLink::Call {
  uint64_t id = 0;
  Clock::time_point started = Clock::now(), heard = started;
  std::optional<Clock::time_point> asked, stopped;
};

WorkerLink::WorkerLink(std::unique_ptr<Worker> worker, LinkLimits limits) : worker_(std::move(worker)), limits_(limits) {}

Error WorkerLink::die(const std::string& why) {
  const bool alive = worker_->alive();
  worker_->kill();
  const std::string end = worker_->end();
  death_ = Error{ErrorCode::kUnavailable, fmt::format("[wire] worker '{}' {}", name(), alive || end.empty() ? why + "; it was killed" : end)};
  dead_ = true;
  return *death_;
}

Result<void> WorkerLink::post(const WireMessage& message) {
  const Result<void> sent = worker_->channel().send(message.encode(), Clock::now() + limits_.silence);
  if (sent) return {};
  if (sent.error().code == ErrorCode::kResourceExhausted) return sent.error();  // too large: nothing was sent
  return die(fmt::format("takes no message: {}", sent.error().message));
}

Result<WireMessage> WorkerLink::call(WireMessage request, const CallOptions& options) {
  std::lock_guard lock(mutex_);
  if (death_) return *death_;
  if (options.control.stop && options.control.stop->load(std::memory_order_relaxed)) return Error{ErrorCode::kCancelled, "[wire] stopped before it began"};
  if (options.control.should_stop()) return Error{ErrorCode::kDeadlineExceeded, "[wire] its time was up before it began"};
  Call call{.id = ++calls_};
  request.set("id", call.id);
  if (options.control.deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*options.control.deadline - Clock::now()).count();
    request.set("deadline_ms", static_cast<uint64_t>(std::max<int64_t>(left, 0)));
  }
  ACC_TRY_VOID(post(request));
  while (true) {
    ACC_TRY(std::optional<WireMessage> answer, take(call, options));
    if (answer && answer->type() == "error") return why_stopped(error_of(*answer), options.control);
    if (answer) return *std::move(answer);
    ACC_TRY_VOID(watch(call, options));
  }
}

// One message, if one came: the answer, or nothing where it was only news.
Result<std::optional<WireMessage>> WorkerLink::take(Call& call, const CallOptions& options) {
  Result<std::vector<std::byte>> bytes = worker_->channel().receive(Clock::now() + kWatchPeriod);
  if (!bytes && bytes.error().code == ErrorCode::kDeadlineExceeded) return std::optional<WireMessage>();
  if (!bytes) return die(bytes.error().message);
  Result<WireMessage> message = WireMessage::decode(*std::move(bytes));
  if (!message) return die(fmt::format("speaks no protocol of ours: {}", message.error().message));
  call.heard = Clock::now();
  call.asked.reset();
  if (message->type() == "pong") return std::optional<WireMessage>();
  if (const auto id = message->number("id"); !id || *id != call.id) return die(fmt::format("answers what it was not asked ('{}')", message->type()));
  if (!message->has("more")) return std::optional<WireMessage>(*std::move(message));
  if (options.on_message) {
    if (Result<void> taken = options.on_message(*message); !taken) return die(taken.error().message);
  }
  if (message->has("acknowledge")) ACC_TRY_VOID(post(WireMessage("acknowledged")));
  return std::optional<WireMessage>();
}

Result<void> WorkerLink::watch(Call& call, const CallOptions& options) {
  const auto now = Clock::now();
  if (!call.stopped && options.control.should_stop()) {
    call.stopped = now;
    ACC_TRY_VOID(post(WireMessage("stop")));
  }
  if (call.stopped && now > *call.stopped + limits_.stop) return die(fmt::format("did not stop within {} ms", limits_.stop.count()));
  if (options.limit && now > call.started + *options.limit) return die(fmt::format("hangs: no answer within {} ms", options.limit->count()));
  if (!call.asked && now > call.heard + limits_.heartbeat) {
    call.asked = now;
    ACC_TRY_VOID(post(WireMessage("ping")));
  }
  if (now > call.heard + limits_.silence) return die(fmt::format("is silent: no heartbeat within {} ms", limits_.silence.count()));
  return {};
}

}  // namespace accelerate
