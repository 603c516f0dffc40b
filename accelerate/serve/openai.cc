#include "accelerate/serve/openai.h"

#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/engine/matryoshka.h"
#include "accelerate/serve/find_model.h"
#include "accelerate/serve/follow.h"
#include "accelerate/serve/openai_parse.h"
#include "accelerate/serve/openai_write.h"
#include "accelerate/serve/watched.h"

namespace accelerate {
namespace {

// What differs between the two streamed routes.
struct StreamForm {
  std::string_view object;
  std::string (*chunk)(const ReplyHead&, const ChunkStep&);
  bool roles;
  std::string_view prompt_param;
  bool include_usage;
  uint32_t n;  // answers to each prompt
  bool tools = false;  // content may be null: there may be calls only
};

// Sends one streamed answer: headers with the first token, then chunks, ends, usage, [DONE].
class EventSender {
 public:
  EventSender(const Responder& to, const ReplyHead& head, const StreamForm& form, const EndpointInfo& info, size_t choices)
      : to_(to), head_(head), form_(form), target_(info.target), text_offsets_(choices, 0) {}

  bool part(size_t index, const Part& part) {
    if (!begun_ && !part.target.empty()) target_ = part.target;
    if (!part.notice.empty()) comments_ += sse_comment(part.notice);
    if (!part.notice.empty()) return !begun_ || send_comments();
    const bool wordless = part.text.empty() && part.logprobs.empty();
    const bool empty = wordless && part.tool_calls.empty();
    if (empty && (begun_ || !form_.roles)) return true;  // a token that ends inside a character says nothing yet
    if (!begin()) return false;
    const auto at = static_cast<uint32_t>(index);
    if (!wordless && !chunk({.index = at, .text = part.text, .logprobs = part.logprobs, .null_content = form_.tools && part.text.empty(),
                             .text_offset = &text_offsets_[index]})) return false;
    for (const ToolCallDelta& call : part.tool_calls) {
      if (!chunk({.index = at, .text = "", .tool_call = &call})) return false;
    }
    return true;
  }

  bool end(size_t index, const Result<Reply>& raw) {
    const Result<Reply> result = whole_or_error(raw);
    if (!result) {
      fail(api_error(result.error(), form_.prompt_param));
      return false;
    }
    add_usage(usage_, result->usage, index, form_.n);
    if (!result->served.empty()) served_.emplace_back(index, result->served);
    if (!begun_) target_ = result->served_by;
    return begin() && chunk({.index = static_cast<uint32_t>(index), .text = "", .end = &*result});
  }

  void finish() {
    if (form_.include_usage) to_.writer.write(sse_event(usage_chunk_json(head_, form_.object, usage_, served_)));
    to_.writer.write(kSseDone);
  }

 private:
  // All choices open in their order before any says something: the official Python client's accumulator takes the k-th one that
  // it meets for the one of index k.
  bool begin() {
    if (begun_) return true;
    if (!to_.begin_events(target_) || !send_comments()) return false;
    begun_ = true;
    for (size_t index = 0; form_.roles && index < text_offsets_.size(); ++index) {
      if (!chunk({.index = static_cast<uint32_t>(index), .role = true, .text = "", .null_content = form_.tools})) return false;
    }
    return true;
  }

  // What was told before the headers, which name who answers, comes behind them.
  bool send_comments() {
    const std::string comments = std::exchange(comments_, {});
    return comments.empty() || to_.writer.write(comments);
  }

  bool chunk(const ChunkStep& step) { return to_.writer.write(sse_event(form_.chunk(head_, step))); }

  void fail(const ApiError& error) {
    if (begun_) to_.writer.write(sse_event(error_json(error)));
    else to_.fail(error);
  }

  const Responder& to_;
  const ReplyHead& head_;
  const StreamForm& form_;
  std::string target_;
  std::vector<size_t> text_offsets_;  // characters sent, for logprobs of completions
  Usage usage_;
  std::vector<MovedChoice> served_;
  std::string comments_;
  bool begun_ = false;
};

void send_stream(std::span<const std::shared_ptr<Stream>> streams, const Responder& to, const ReplyHead& head, const StreamForm& form,
                 const EndpointInfo& info) {
  EventSender sender(to, head, form, info, streams.size());
  const Followed end = follow(
      streams, to.writer, [&](size_t index, const Part& part) { return sender.part(index, part); },
      [&](size_t index, const Result<Reply>& result) { return sender.end(index, result); });
  if (end == Followed::kDone) sender.finish();
}

// Collects whole answers; nothing when the client left or a refusal was sent.
std::optional<std::vector<FinishedChoice>> collect(std::span<const std::shared_ptr<Stream>> streams, const Responder& to,
                                                   std::string_view prompt_param, bool logprobs_wanted) {
  std::vector<FinishedChoice> choices(streams.size());
  for (FinishedChoice& choice : choices) choice.logprobs_wanted = logprobs_wanted;
  const Followed end = follow(
      streams, to.writer,
      [&](size_t index, Part part) {
        choices[index].text += part.text;
        add_tool_calls(choices[index].tool_calls, part.tool_calls);
        std::move(part.logprobs.begin(), part.logprobs.end(), std::back_inserter(choices[index].logprobs));
        return true;
      },
      [&](size_t index, const Result<Reply>& raw) {
        const Result<Reply> result = whole_or_error(raw);
        if (result) choices[index].reply = *result;
        else to.fail(api_error(result.error(), prompt_param));
        return result.ok();
      });
  if (end != Followed::kDone) return std::nullopt;
  return choices;
}

// n answers to each request, those of one prompt side by side; none, and a refusal sent, when one is refused.
std::vector<std::shared_ptr<Stream>> start_answers(Endpoint& endpoint, std::span<const Request> requests, uint32_t n, const Responder& to,
                                                   std::string_view prompt_param) {
  std::vector<std::shared_ptr<Stream>> streams;
  for (Request request : requests) {
    to.mark(request, endpoint.info());
    for (uint32_t i = 0; i < n; ++i) {
      Result<std::shared_ptr<Stream>> stream = endpoint.generate(request);
      if (!stream) {
        for (const auto& started : streams) started->cancel();
        to.fail(api_error(stream.error(), prompt_param));
        return {};
      }
      streams.push_back(std::move(*stream));
      if (request.sampling.seed) ++*request.sampling.seed;  // answers of one prompt differ, and repeat with the seed
    }
  }
  return streams;
}

Result<void> check_finite(const EmbedReply& reply) {
  for (size_t i = 0; i < reply.vectors.size(); ++i) {
    for (const float value : reply.vectors[i]) {
      if (!std::isfinite(value)) {
        return Error{ErrorCode::kInternal, fmt::format("[openai] an embedding is made of finite numbers; got {} in input {}", value, i)};
      }
    }
  }
  return {};
}

}  // namespace

Result<Reply> whole_or_error(const Result<Reply>& result) {
  const bool cancelled = result ? result->finish_reason == FinishReason::kCancelled : result.error().code == ErrorCode::kCancelled;
  if (cancelled) return Error{ErrorCode::kUnavailable, "[openai] an answer ends by itself; got a server that is stopping; try again later"};
  return result;
}

void Responder::mark(Request& request, const EndpointInfo& endpoint) const {
  request.client = client;
  request.id = request_id;
  note_model(endpoint);
}

bool Responder::json(std::string_view body, HttpHeaders more) const {
  more.insert(more.begin(), {{"content-type", "application/json"}, {"x-request-id", request_id}});
  return writer.send(200, more, body);
}

bool Responder::fail(const ApiError& error, HttpHeaders more) const {
  // 501 and 503 are the client's choice of model and our load: neither is a fault to look into.
  if (error.status >= 500 && error.status != 501 && error.status != 503) log_warning(fmt::format("[openai] {} answered with {}: {}", request_id, error.status, error.message));
  more.insert(more.begin(), {{"content-type", "application/json"}, {"x-request-id", request_id}});
  if (error.retry_after_s > 0) more.push_back({"retry-after", std::to_string(error.retry_after_s)});
  // The official clients repeat any 5xx by themselves; what is not implemented will not be a second later either.
  if (error.status == 501) more.push_back({"x-should-retry", "false"});
  return writer.send(error.status, more, error_json(error));
}

bool Responder::begin_events(std::string_view target) const {
  return writer.begin_stream(200, {{"content-type", "text/event-stream; charset=utf-8"},
                                   {"cache-control", "no-cache"},
                                   {"x-request-id", request_id},
                                   {std::string(kTargetHeader), std::string(target)}});
}

Parsed<std::shared_ptr<Endpoint>> OpenAiDoor::find(const std::string& name) const { return find_model(models_, name); }

void OpenAiDoor::list_models(const Responder& to) const {
  to.json(model_list_json(served_models(models_)));
}

void OpenAiDoor::show_model(std::string_view name, const Responder& to) const {
  for (const ListedModel& model : served_models(models_)) {
    if (model.name == name) return void(to.json(model_json(model)));
  }
  to.fail(no_such_model(models_, name));
}

void OpenAiDoor::chat(std::string_view body, const Responder& to) const {
  Parsed<ChatRequest> parsed = parse_chat(body);
  if (!parsed.ok()) return void(to.fail(parsed.error()));
  Parsed<std::shared_ptr<Endpoint>> endpoint = find(parsed->model);
  if (!endpoint.ok()) return void(to.fail(endpoint.error()));
  const auto streams = start_answers(**endpoint, {&parsed->request, 1}, parsed->n, to, "messages");
  if (streams.empty()) return;
  const EndpointInfo& info = (*endpoint)->info();
  ReplyHead head = make_reply_head("chatcmpl-", info);
  if (parsed->stream) {
    head.usage_member = parsed->include_usage;
    const StreamForm form{.object = kChatChunkObject, .chunk = chat_chunk_json, .roles = true, .prompt_param = "messages",
                          .include_usage = parsed->include_usage, .n = parsed->n, .tools = !parsed->request.tools.tools.empty()};
    return send_stream(streams, to, head, form, info);
  }
  const auto choices = collect(streams, to, "messages", parsed->request.top_logprobs.has_value());
  if (choices) to.json(chat_completion_json(head, *choices), {{std::string(kTargetHeader), choices->front().reply.served_by}});
}

void OpenAiDoor::completion(std::string_view body, const Responder& to) const {
  Parsed<CompletionRequest> parsed = parse_completion(body);
  if (!parsed.ok()) return void(to.fail(parsed.error()));
  Parsed<std::shared_ptr<Endpoint>> endpoint = find(parsed->model);
  if (!endpoint.ok()) return void(to.fail(endpoint.error()));
  const auto streams = start_answers(**endpoint, parsed->prompts, parsed->n, to, "prompt");
  if (streams.empty()) return;
  const EndpointInfo& info = (*endpoint)->info();
  ReplyHead head = make_reply_head("cmpl-", info);
  if (parsed->stream) {
    head.usage_member = parsed->include_usage;
    const StreamForm form{.object = kTextChunkObject, .chunk = text_chunk_json, .roles = false, .prompt_param = "prompt",
                          .include_usage = parsed->include_usage, .n = parsed->n};
    return send_stream(streams, to, head, form, info);
  }
  const auto choices = collect(streams, to, "prompt", parsed->prompts.front().top_logprobs.has_value());
  if (choices) to.json(text_completion_json(head, *choices, parsed->n), {{std::string(kTargetHeader), choices->front().reply.served_by}});
}

void OpenAiDoor::embeddings(std::string_view body, const Responder& to) const {
  Parsed<EmbeddingsRequest> parsed = parse_embeddings(body);
  if (!parsed.ok()) return void(to.fail(parsed.error()));
  Parsed<std::shared_ptr<Endpoint>> endpoint = find(parsed->model);
  if (!endpoint.ok()) return void(to.fail(endpoint.error()));
  const EndpointInfo& info = (*endpoint)->info();
  to.note_model(info);
  if (parsed->dimensions && info.embedding_width > 0) {
    if (const Result<void> fits = check_dimensions(info, *parsed->dimensions); !fits) {
      ApiError refusal = api_error(fits.error());
      refusal.param = "dimensions";
      return void(to.fail(refusal));
    }
  }
  std::optional<Result<EmbedReply>> reply =
      watched(to.writer, [&](const std::atomic<bool>& stop) { return (*endpoint)->embed(parsed->inputs, &stop); });
  if (!reply) return;
  if (!*reply) return void(to.fail(api_error(reply->error(), "input")));
  EmbedReply& vectors = reply->value();
  if (parsed->dimensions) cut_embeddings(vectors, *parsed->dimensions);
  if (const Result<void> finite = check_finite(vectors); !finite) return void(to.fail(api_error(finite.error())));
  to.json(embeddings_json(vectors, info.name, parsed->base64), {{std::string(kTargetHeader), vectors.served_by}});
}

}  // namespace accelerate
