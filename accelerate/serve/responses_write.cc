#include "accelerate/serve/responses_write.h"

#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "accelerate/base/check.h"
#include "accelerate/base/json.h"
#include "accelerate/base/random_id.h"
#include "accelerate/serve/openai_logprobs.h"
#include "accelerate/serve/openai_write.h"

namespace accelerate {
namespace {

// The official client insists on two more numbers. Both are 0 and docs/api.md says why: what is written to the cache is neither
// counted nor charged, and no model here reasons apart from its answer.
OrderedJson usage_json(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}, {"cache_write_tokens", 0}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", 0}}},
          {"total_tokens", uint64_t{usage.prompt_tokens} + usage.completion_tokens}};
}

OrderedJson text_part(std::string_view text, const OrderedJson& logprobs) {
  return {{"type", "output_text"}, {"text", text}, {"annotations", OrderedJson::array()}, {"logprobs", logprobs}};
}

OrderedJson logprobs_json(std::span<const TokenLogprob> logprobs) { return OrderedJson(chat_logprobs(logprobs)["content"]); }

}  // namespace

struct ResponseBuilder::State {
  OrderedJson response;
  OrderedJson items = OrderedJson::array();
  bool logprobs_wanted = false;
  bool item_open = false;                          // the last one of `items`
  std::string text;                                // of the open message, or the arguments of the open call
  OrderedJson logprobs = OrderedJson::array();     // of the open message
  std::vector<TokenLogprob> waiting;               // of tokens whose text is held back
  uint64_t sequence = 0;

  std::string event(std::string_view type, OrderedJson members) {
    OrderedJson out = {{"type", type}, {"sequence_number", sequence++}};
    out.update(members);
    return fmt::format("event: {}\ndata: {}\n\n", type, dump_ordered_json(out));
  }
  size_t index() const { return items.size() - 1; }
  OrderedJson place() const { return {{"item_id", items.back()["id"]}, {"output_index", index()}}; }
  OrderedJson text_place() const {
    OrderedJson out = place();
    out["content_index"] = 0;
    return out;
  }
  bool in_message() const { return item_open && items.back()["type"] == "message"; }

  std::string open_message();
  std::string open_call(const ToolCallDelta& call);
  std::string say(const Part& part);
  std::string close(std::string_view status);
  OrderedJson with(OrderedJson members, std::string_view name, OrderedJson value) const {
    members[std::string(name)] = std::move(value);
    return members;
  }
};

ResponseBuilder::ResponseBuilder(const EndpointInfo& info, std::string_view echo, bool logprobs_wanted) : state_(std::make_unique<State>()) {
  state_->logprobs_wanted = logprobs_wanted;
  state_->response = {{"id", random_id("resp_")}, {"object", "response"}, {"created_at", static_cast<int64_t>(std::time(nullptr))},
                      {"status", "in_progress"}, {"error", nullptr}, {"incomplete_details", nullptr}, {"model", info.name},
                      {"output", OrderedJson::array()}, {"usage", nullptr}};
  const OrderedJson members = OrderedJson::parse(echo, nullptr, false);  // no limits: parse_responses has kept to them
  CHECK(members.is_object(), "what a reply repeats was written by parse_responses");
  state_->response.update(members);
}

ResponseBuilder::~ResponseBuilder() = default;

std::string ResponseBuilder::State::open_message() {
  items.push_back({{"id", random_id("msg_")}, {"type", "message"}, {"status", "in_progress"}, {"role", "assistant"}, {"content", OrderedJson::array()}});
  item_open = true;
  text.clear();
  logprobs = OrderedJson::array();
  std::string out = event("response.output_item.added", {{"output_index", index()}, {"item", items.back()}});
  return out += event("response.content_part.added", with(text_place(), "part", text_part("", OrderedJson::array())));
}

std::string ResponseBuilder::State::open_call(const ToolCallDelta& call) {
  items.push_back({{"id", random_id("fc_")}, {"type", "function_call"}, {"status", "in_progress"}, {"call_id", call.id}, {"name", call.name},
                   {"arguments", ""}});
  item_open = true;
  text.clear();
  return event("response.output_item.added", {{"output_index", index()}, {"item", items.back()}});
}

std::string ResponseBuilder::State::say(const Part& part) {
  std::string out;
  if (!in_message()) {
    out = close("completed");
    out += open_message();
  }
  text += part.text;
  const OrderedJson spoken = logprobs_wanted ? logprobs_json(std::exchange(waiting, {})) : OrderedJson::array();
  for (const OrderedJson& one : spoken) logprobs.push_back(one);
  return out += event("response.output_text.delta", with(with(text_place(), "delta", part.text), "logprobs", spoken));
}

std::string ResponseBuilder::State::close(std::string_view status) {
  if (!item_open) return "";
  item_open = false;
  OrderedJson& item = items.back();
  item["status"] = status;
  std::string out;
  if (item["type"] == "message") {
    item["content"].push_back(text_part(text, logprobs));
    out = event("response.output_text.done", with(with(text_place(), "text", text), "logprobs", logprobs));
    out += event("response.content_part.done", with(text_place(), "part", item["content"][0]));
  } else {
    item["arguments"] = text;
    out = event("response.function_call_arguments.done", with(with(place(), "name", item["name"]), "arguments", text));
  }
  return out += event("response.output_item.done", {{"output_index", index()}, {"item", item}});
}

std::string ResponseBuilder::begin() {
  std::string out = state_->event("response.created", {{"response", state_->response}});
  return out += state_->event("response.in_progress", {{"response", state_->response}});
}

std::string ResponseBuilder::part(const Part& part) {
  State& state = *state_;
  std::string out;
  if (state.logprobs_wanted) state.waiting.insert(state.waiting.end(), part.logprobs.begin(), part.logprobs.end());
  if (!part.text.empty()) out += state.say(part);
  for (const ToolCallDelta& call : part.tool_calls) {
    state.waiting.clear();  // tokens of calls have no place for theirs
    if (!call.id.empty()) {
      out += state.close("completed");
      out += state.open_call(call);
    }
    if (call.arguments.empty()) continue;
    state.text += call.arguments;
    out += state.event("response.function_call_arguments.delta", state.with(state.place(), "delta", call.arguments));
  }
  return out;
}

std::string ResponseBuilder::end(const Reply& reply) {
  State& state = *state_;
  const bool cut = reply.finish_reason == FinishReason::kLength;
  const std::string_view status = cut ? "incomplete" : "completed";
  std::string out;
  if (state.items.empty()) out += state.open_message();
  out += state.close(status);
  state.response["status"] = status;
  if (cut) state.response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  state.response["output"] = state.items;
  state.response["usage"] = usage_json(reply.usage);
  state.response["ipfs_accelerate"] = OrderedJson(Json::parse(own_json_text(reply)));
  return out += state.event(cut ? "response.incomplete" : "response.completed", {{"response", state.response}});
}

std::string ResponseBuilder::fail(const ApiError& error) {
  State& state = *state_;
  std::string out = state.close("incomplete");
  state.response["status"] = "failed";
  state.response["output"] = state.items;
  state.response["error"] = {{"code", "server_error"}, {"message", error.message}};
  return out += state.event("response.failed", {{"response", state.response}});
}

std::string ResponseBuilder::json() const { return dump_ordered_json(state_->response); }

}  // namespace accelerate
