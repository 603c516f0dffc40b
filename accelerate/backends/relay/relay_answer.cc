#include "accelerate/backends/relay/relay_answer.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/base/random_id.h"

namespace accelerate {
namespace {

constexpr size_t kSaidBytesMax = 500;   // of an upstream's words in an error
constexpr uint32_t kCallsMax = 1024;    // tool calls of one answer

// Checked access to foreign JSON: null where there is none of that type.
const Json* member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}
std::string text_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}
std::optional<uint32_t> count_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  const auto number = value->get<int64_t>();
  if (number < 0 || number > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return static_cast<uint32_t>(number);
}

std::string said(std::string_view text) {
  std::string out(text.substr(0, kSaidBytesMax));
  for (char& c : out) c = c >= 0 && c < 0x20 ? ' ' : c;
  return out;
}

ErrorCode code_of(int status, std::string_view code) {
  if (code == "context_length_exceeded") return ErrorCode::kOutOfRange;
  switch (status) {
    case 400: case 409: case 413: case 415: case 422: return ErrorCode::kInvalidArgument;
    case 404: return ErrorCode::kNotFound;
    case 408: case 504: return ErrorCode::kDeadlineExceeded;
    case 429: return ErrorCode::kResourceExhausted;
    case 501: return ErrorCode::kUnimplemented;
    default: return ErrorCode::kUnavailable;
  }
}

std::optional<FinishReason> finish_of(std::string_view word) {
  if (word == "stop" || word == "content_filter" || word == "eos") return FinishReason::kStop;
  if (word == "length") return FinishReason::kLength;
  if (word == "tool_calls" || word == "function_call") return FinishReason::kToolCalls;
  return std::nullopt;
}

std::optional<Usage> usage_of(const Json& chunk) {
  const Json* usage = member(chunk, "usage");
  if (usage == nullptr || !usage->is_object()) return std::nullopt;
  const auto prompt = count_of(*usage, "prompt_tokens"), completion = count_of(*usage, "completion_tokens");
  if (!prompt) return std::nullopt;
  Usage out{.prompt_tokens = *prompt, .completion_tokens = completion.value_or(0)};
  if (const Json* details = member(*usage, "prompt_tokens_details")) out.cached_tokens = count_of(*details, "cached_tokens").value_or(0);
  return out;
}

}  // namespace

void SseReader::end_line(std::vector<std::string>& events) {
  if (line_.empty()) {
    if (has_data_) events.push_back(std::move(data_));
    data_.clear();
    has_data_ = false;
    return;
  }
  std::string_view line = line_;
  if (line.starts_with("data:")) {
    line.remove_prefix(5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
  }
  line_.clear();  // comments and other fields say nothing here
}

Result<std::vector<std::string>> SseReader::feed(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char c : bytes) {
    if (c == '\n' && after_cr_) {  // of a "\r\n" whose line has ended already
      after_cr_ = false;
      continue;
    }
    after_cr_ = c == '\r';
    if (c == '\n' || c == '\r') {
      end_line(events);
    } else if (line_.size() + data_.size() < kSseEventBytesMax) {
      line_ += c;
    } else {
      return Error{ErrorCode::kResourceExhausted, fmt::format("[relay] an event of an upstream has at most {} bytes; got more", kSseEventBytesMax)};
    }
  }
  return events;
}

Error relay_error(std::string_view upstream, int status, std::string_view body) {
  std::string message(body), code;
  if (const Result<Json> json = parse_json(body, {.where = "relay"})) {
    const Json* error = member(*json, "error");
    if (error != nullptr && error->is_string()) message = error->get<std::string>();
    if (error != nullptr && error->is_object()) {
      message = text_of(*error, "message");
      code = text_of(*error, "code");
    } else if (error == nullptr && !text_of(*json, "message").empty()) {
      message = text_of(*json, "message");
    }
  }
  const std::string_view hint = status == 401 || status == 403 ? "; try its key in IPFS_ACCELERATE_RELAY_<NAME>_KEY" : "";
  const std::string how = status == 0 ? "an error in its answer" : fmt::format("status {}", status);
  return {code_of(status, code), fmt::format("[relay] {} answers a request; got {}: {}{}", upstream, how, message.empty() ? "(no words)" : said(message), hint)};
}

Result<std::optional<Part>> RelayAnswer::take(std::string_view data) {
  if (data == "[DONE]") {
    done_ = true;
    return std::optional<Part>();
  }
  const Result<Json> chunk = parse_json(data, {.where = "relay"});
  if (!chunk || !chunk->is_object()) return Error{ErrorCode::kDataLoss, fmt::format("[relay] {} answers in JSON objects; got '{}'", upstream_, said(data.substr(0, 100)))};
  if (const Json* error = member(*chunk, "error"); error != nullptr && !error->is_null()) return relay_error(upstream_, 0, data);
  if (const std::optional<Usage> usage = usage_of(*chunk)) usage_ = usage;
  const Json* choices = member(*chunk, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return std::optional<Part>();
  const Json& choice = choices->front();
  Part part;
  part.text = text_of(choice, "text");  // of /completions
  if (const Json* delta = member(choice, "delta")) {
    part.text += text_of(*delta, "content");
    reasoned_ = reasoned_ || !text_of(*delta, "reasoning_content").empty() || !text_of(*delta, "reasoning").empty();
    const Json* calls = member(*delta, "tool_calls");
    for (size_t i = 0; calls != nullptr && calls->is_array() && i < calls->size(); ++i) {
      const Json& call = (*calls)[i];
      ToolCallDelta one{.index = count_of(call, "index").value_or(static_cast<uint32_t>(i)), .id = text_of(call, "id"), .name = {}, .arguments = {}};
      if (one.index >= kCallsMax) return Error{ErrorCode::kDataLoss, fmt::format("[relay] an answer calls at most {} tools; got call {} from {}", kCallsMax, one.index, upstream_)};
      if (const Json* function = member(call, "function")) {
        one.name = text_of(*function, "name");
        one.arguments = text_of(*function, "arguments");
      }
      // Readers take an id for the beginning of a call: some upstreams repeat it, others give none.
      if (calls_begun_.insert(one.index).second) {
        if (one.id.empty()) one.id = random_id("call_");
      } else {
        one.id.clear();
        one.name.clear();
      }
      part.tool_calls.push_back(std::move(one));
    }
  }
  if (const std::string reason = text_of(choice, "finish_reason"); !reason.empty()) {
    finish_ = finish_of(reason).value_or(FinishReason::kStop);
    filtered_ = reason == "content_filter";
  }
  characters_ += part.text.size();
  if (part.text.empty() && part.tool_calls.empty()) return std::optional<Part>();
  return std::optional<Part>(std::move(part));
}

Reply RelayAnswer::reply() const {
  Reply reply;
  reply.finish_reason = finish_.value_or(FinishReason::kStop);
  reply.usage = usage_.value_or(Usage{});
  if (!usage_) reply.notes.push_back(upstream_ + " tells no usage: its tokens are not counted");
  if (filtered_) reply.notes.push_back(upstream_ + " ended the answer by its content filter");
  if (reasoned_) reply.notes.push_back(upstream_ + " sent its reasoning apart, which is left out");
  return reply;
}

}  // namespace accelerate
