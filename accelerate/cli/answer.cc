#include "accelerate/cli/answer.h"

#include <chrono>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/cpu.h"
#include "accelerate/cli/signals.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kSignalPollInterval{50};

/// When the parts came, for answers whose endpoint has no Reply to give because we stopped them.
struct Times {
  Clock::time_point called = Clock::now(), first{}, last{};
  void part() {
    last = Clock::now();
    if (first == Clock::time_point{}) first = last;
  }
  static double ms(Clock::duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }
};

Reply reply_of_stopped(const AnswerReport& report, const Endpoint& endpoint, const Times& times) {
  Reply reply;
  reply.finish_reason = FinishReason::kCancelled;
  reply.usage.completion_tokens = static_cast<uint32_t>(report.tokens.size());
  reply.served_by = endpoint.info().target;
  if (!report.tokens.empty()) {
    reply.ttft_ms = Times::ms(times.first - times.called);
    reply.decode_ms = Times::ms(times.last - times.first);
  }
  reply.notes = endpoint.info().notes;
  return reply;
}

/// A terminal or a pipe can bring any bytes; a template would replace the wrong ones in silence.
Result<void> check_utf8(std::string_view text) {
  const size_t good = utf8_valid_prefix(text);
  if (good == text.size()) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("[run] a prompt is UTF-8; got byte 0x{:02x} at offset {}; try iconv",
                                                        static_cast<unsigned char>(text[good]), good)};
}

}  // namespace

Result<AnswerReport> stream_answer(Console& console, Endpoint& endpoint, const Request& request, const AnswerOptions& options) {
  for (const Message& message : request.messages) ACC_TRY_VOID(check_utf8(message.content));
  if (request.text) ACC_TRY_VOID(check_utf8(*request.text));
  ACC_TRY(const std::shared_ptr<Stream> stream, endpoint.generate(request));
  AnswerReport report;
  Times times;
  while (true) {
    const std::optional<Part> part = stream->next(kSignalPollInterval);
    if (part) {
      if (!part->notice.empty()) {
        console.note(part->notice);
        continue;
      }
      times.part();
      report.text += part->text;
      report.tokens.insert(report.tokens.end(), part->tokens.begin(), part->tokens.end());
      if (options.show && !part->text.empty() && !console.put(part->text)) stream->cancel();
    } else if (stream->done()) {
      break;
    }
    if (signals_received() > 0 && !report.interrupted) {
      report.interrupted = true;
      stream->cancel();
    }
  }
  if (options.show && !report.text.empty() && !report.text.ends_with('\n')) console.put("\n");
  if (console.output_lost()) return console.output_error();
  const Result<Reply> reply = stream->result();
  if (!reply && !(report.interrupted && reply.error().code == ErrorCode::kCancelled)) return reply.error();
  if (reply && reply->finish_reason != FinishReason::kCancelled) report.interrupted = false;  // it ended before the stop
  report.reply = reply ? *reply : reply_of_stopped(report, endpoint, times);
  return report;
}

double decode_tokens_per_s(const Reply& reply) {
  if (reply.usage.completion_tokens < 2 || reply.decode_ms <= 0) return std::numeric_limits<double>::quiet_NaN();
  return (reply.usage.completion_tokens - 1) / reply.decode_ms * 1e3;
}

std::string summary_line(const AnswerReport& report) {
  const Reply& reply = report.reply;
  const double speed = decode_tokens_per_s(reply);
  const std::string prompt = report.interrupted ? "" : fmt::format("{} prompt + ", reply.usage.prompt_tokens);
  const std::string first = reply.ttft_ms > 0 ? fmt::format("first after {:.0f} ms, ", reply.ttft_ms) : "";
  const std::string rate = speed == speed ? fmt::format("then {:.1f} tokens/s, ", speed) : "";
  std::string line = fmt::format("{}: {}{} answer tokens, {}{}peak memory {}", reply.served_by, prompt, reply.usage.completion_tokens, first,
                                 rate, format_bytes(resident_peak_bytes()));
  if (report.interrupted) line += "; stopped by a signal";
  else if (reply.finish_reason == FinishReason::kLength) line += "; ended by the token limit";
  if (!reply.notes.empty()) line += fmt::format("; {}", fmt::join(reply.notes, "; "));
  return line;
}

}  // namespace accelerate
