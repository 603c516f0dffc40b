#include "accelerate/backends/relay/relay_program.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/backends/relay/relay.h"
#include "accelerate/backends/relay/relay_request.h"
#include "accelerate/base/json.h"
#include "accelerate/base/log.h"
#include "accelerate/net/socket.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kErrorBodyMax = size_t{64} << 10;
constexpr size_t kModelsBytesMax = size_t{8} << 20;      // a cloud lists a few thousand
constexpr uint64_t kAnswerBytesMax = uint64_t{1} << 30;  // of one answer with all its framing

double ms_between(Clock::time_point from, Clock::time_point to) { return std::chrono::duration<double, std::milli>(to - from).count(); }

HttpCall call_to(const RelayUpstreamAddress& upstream, std::string method, std::string_view route) {
  HttpCall call{.method = std::move(method), .url = upstream.url + std::string(route)};
  if (!upstream.key.empty()) call.headers.push_back({"Authorization", "Bearer " + upstream.key});
  call.timeouts.connect = kRelayConnectMax;
  call.timeouts.idle = kRelayIdleMax;
  call.redirects = HttpCall::Redirects::kReturn;  // the URL is the user's word on where text may go
  return call;
}

Reply cancelled_reply() {
  Reply reply;
  reply.finish_reason = FinishReason::kCancelled;
  return reply;
}

}  // namespace

Result<std::vector<std::string>> relay_models(const HttpClient& http, const RelayUpstreamAddress& upstream) {
  HttpCall call = call_to(upstream, "GET", "/models");
  call.limits.body_bytes_max = kModelsBytesMax;
  call.timeouts.total = kRelayModelsMax;
  const Result<HttpResponse> response = http.request(call);
  if (!response) return Error{response.error().code, fmt::format("[relay] {} lists its models; got {}", upstream.name, response.error().message)};
  if (response->status != 200) return relay_error(upstream.name, response->status, response->body);
  const Result<Json> list = parse_json(response->body, {.where = "relay"});
  if (!list || !list->is_object() || !list->contains("data") || !(*list)["data"].is_array()) {
    return Error{ErrorCode::kDataLoss, fmt::format("[relay] {} lists its models as \"data\"; got another answer from {}/models; try the URL with its /v1", upstream.name, upstream.url)};
  }
  std::vector<std::string> ids;
  for (const Json& one : (*list)["data"]) {
    if (one.is_object() && one.contains("id") && one["id"].is_string()) ids.push_back(one["id"].get<std::string>());
  }
  return ids;
}

std::vector<std::string> RelayProgram::notes() const {
  const Result<HttpUrl> url = parse_http_url(upstream_.url);
  const bool stays = url && is_loopback(url->host);
  return {fmt::format("answered by {} at {}{}; not compared with a reference", upstream_.name, upstream_.url, stays ? "" : ", so prompts leave this machine")};
}

bool RelayProgram::alive() const {
  const std::lock_guard lock(health_mutex_);  // who asks meanwhile waits for the answer on its way
  if (checked_ != Clock::time_point{} && Clock::now() - checked_ < kRelayHealthInterval) return healthy_;
  const Result<std::vector<std::string>> models = relay_models(http_, upstream_);
  const bool listed = models && std::find(models->begin(), models->end(), model_->config.name) != models->end();
  if (!listed && healthy_) log_warning(models ? fmt::format("[relay] {} no longer lists '{}'", upstream_.name, model_->config.name) : models.error().message);
  healthy_ = listed;
  checked_ = Clock::now();
  return healthy_;
}

Result<void> RelayProgram::listen(std::string_view piece, SseReader& events, RelayAnswer& answer, Stream& stream, Reply& times, Clock::time_point called) {
  ACC_TRY(const std::vector<std::string> data, events.feed(piece));
  for (const std::string& one : data) {
    ACC_TRY(std::optional<Part> part, answer.take(one));
    if (part) {
      if (times.ttft_ms == 0) times.ttft_ms = ms_between(called, Clock::now());
      times.decode_ms = ms_between(called, Clock::now()) - times.ttft_ms;
      if (!stream.push(std::move(*part))) return Error{ErrorCode::kCancelled, "[relay] its caller left"};
    }
    if (answer.done()) return Error{ErrorCode::kAborted, "[relay] an answer is over"};  // whatever keeps the connection open
  }
  return {};
}

Result<Reply> RelayProgram::ask(const Request& request, Stream& stream, const StepControl& control) {
  const Clock::time_point called = Clock::now();
  ACC_TRY(RelayBody body, relay_body(request, model_->config.name));
  HttpCall call = call_to(upstream_, "POST", body.route);
  call.headers.push_back({"Content-Type", "application/json"});
  call.headers.push_back({"Accept", "text/event-stream"});
  call.body = std::move(body.json);
  call.limits.body_bytes_max = kAnswerBytesMax;
  call.deadline = control.deadline;
  call.stop = control.stop;
  SseReader events;
  RelayAnswer answer(upstream_.name);
  Reply times;
  std::string refusal;
  int status = 0;
  bool streams = false;
  const HttpReceiver receiver{
      .head = [&](const HttpResponse& head) -> Result<void> {
        status = head.status;
        const std::string* type = head.header("content-type");
        streams = type != nullptr && type->starts_with("text/event-stream");
        return {};
      },
      .body = [&](std::string_view piece) -> Result<void> {
        if (status == 200 && streams) return listen(piece, events, answer, stream, times, called);
        refusal += piece.substr(0, kErrorBodyMax - std::min(refusal.size(), kErrorBodyMax));
        return {};
      }};
  const Result<HttpResponse> response = http_.request(call, receiver);
  const bool over = answer.done() || (response && answer.whole());
  if (!over && (stream.cancelled() || (control.stop != nullptr && control.stop->load()))) return cancelled_reply();
  if (status != 0 && status != 200 && (response || !refusal.empty())) return relay_error(upstream_.name, status, refusal);
  if (!over && answer.begun()) {
    return Error{ErrorCode::kUnavailable, fmt::format("[relay] {} ends its answers itself; got its end in the middle, after {} bytes of text ({}); what came is not continued elsewhere; try again",
                                                      upstream_.name, answer.characters(), response ? "without a finish reason" : response.error().message)};
  }
  if (!over && !response) return Error{response.error().code, fmt::format("[relay] {} answers a request; got {}", upstream_.name, response.error().message)};
  if (!over) return Error{ErrorCode::kDataLoss, fmt::format("[relay] {} streams its answers as text/event-stream; got {}; try an upstream that streams", upstream_.name, streams ? "none of an answer" : "another type")};
  Reply reply = answer.reply();
  if (!answer.whole()) reply.notes.push_back(upstream_.name + " gave no finish reason");
  reply.served_by = "relay@" + upstream_.name;
  reply.seed = request.sampling.seed.value_or(0);
  if (!request.sampling.seed) reply.notes.push_back("the seed is the upstream's own");
  reply.ttft_ms = times.ttft_ms;
  reply.decode_ms = times.decode_ms;
  return reply;
}

Result<void> RelayProgram::generate(const Request& request, Stream& stream, const StepControl& control) {
  Result<Reply> reply = ask(request, stream, control);
  stream.finish(reply);
  return reply ? Result<void>() : Result<void>(reply.error());
}

}  // namespace accelerate
