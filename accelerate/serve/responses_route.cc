#include "accelerate/serve/responses_route.h"

#include "accelerate/serve/find_model.h"
#include "accelerate/serve/follow.h"
#include "accelerate/serve/openai_write.h"
#include "accelerate/serve/responses_parse.h"
#include "accelerate/serve/responses_write.h"

namespace accelerate {
namespace {

constexpr std::string_view kPromptParam = "input";

void send_stream(const std::shared_ptr<Stream>& stream, ResponseBuilder& response, const EndpointInfo& info, const Responder& to) {
  bool begun = false;
  std::string target = info.target, comments;  // told before the headers, which name who answers, comments come behind them
  // Events are numbered as they are made, so the first two are made first.
  const auto begin = [&] {
    if (begun) return true;
    begun = to.begin_events(target);
    return begun && (comments.empty() || to.writer.write(comments)) && to.writer.write(response.begin());
  };
  const auto write = [&](const std::string& events) { return events.empty() || to.writer.write(events); };
  const auto take = [&](const Part& part) {
    if (!begun && !part.target.empty()) target = part.target;
    if (part.notice.empty()) return begin() && write(response.part(part));
    if (begun) return to.writer.write(sse_comment(part.notice));
    comments += sse_comment(part.notice);
    return true;
  };
  follow({&stream, 1}, to.writer, [&](size_t, const Part& part) { return take(part); },
         [&](size_t, const Result<Reply>& raw) {
           const Result<Reply> result = whole_or_error(raw);
           if (result && !begun) target = result->served_by;
           if (result) return begin() && write(response.end(*result));
           const ApiError error = api_error(result.error(), kPromptParam);
           if (begun) write(response.fail(error));
           else to.fail(error);
           return false;
         });
}

}  // namespace

void responses_route(const ModelSource& models, std::string_view body, const Responder& to) {
  Parsed<ResponsesRequest> parsed = parse_responses(body);
  if (!parsed.ok()) return void(to.fail(parsed.error()));
  Parsed<std::shared_ptr<Endpoint>> endpoint = find_model(models, parsed->model);
  if (!endpoint.ok()) return void(to.fail(endpoint.error()));
  const EndpointInfo& info = (*endpoint)->info();
  to.mark(parsed->request, info);
  const Result<std::shared_ptr<Stream>> stream = (*endpoint)->generate(parsed->request);
  if (!stream) return void(to.fail(api_error(stream.error(), kPromptParam)));
  ResponseBuilder response(info, parsed->echo, parsed->request.top_logprobs.has_value());
  if (parsed->stream) return send_stream(*stream, response, info, to);
  bool answered = false;
  std::string served_by;
  follow({&*stream, 1}, to.writer,
         [&](size_t, const Part& part) {
           if (part.notice.empty()) response.part(part);  // the reply has it
           return true;
         },
         [&](size_t, const Result<Reply>& raw) {
           const Result<Reply> result = whole_or_error(raw);
           if (!result) return void(to.fail(api_error(result.error(), kPromptParam))), false;
           response.end(*result);
           served_by = result->served_by;
           return answered = true;
         });
  if (answered) to.json(response.json(), {{std::string(kTargetHeader), served_by}});
}

}  // namespace accelerate
