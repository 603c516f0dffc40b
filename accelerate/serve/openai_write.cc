#include "accelerate/serve/openai_write.h"

#include <algorithm>
#include <bit>
#include <ctime>

#include <fmt/format.h>

#include "accelerate/base/fnv1a.h"
#include "accelerate/base/json.h"
#include "accelerate/serve/base64.h"
#include "accelerate/serve/openai_logprobs.h"

namespace accelerate {
namespace {

static_assert(std::endian::native == std::endian::little, "embeddings go out as the bytes of float32 in memory");

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", uint64_t{usage.prompt_tokens} + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

Json served_json(std::span<const ServedRange> served) {
  Json out = Json::array();
  for (const ServedRange& range : served) out.push_back({{"target", range.target}, {"first_token", range.first_token}, {"tokens", range.tokens}});
  return out;
}

Json own_json(const Reply& reply) {
  Json out = {{"served_by", reply.served_by}, {"seed", reply.seed},           {"queue_ms", reply.queue_ms},
              {"ttft_ms", reply.ttft_ms},     {"decode_ms", reply.decode_ms}};
  if (!reply.stop_string.empty()) out["stop_string"] = reply.stop_string;
  if (!reply.served.empty()) out["served"] = served_json(reply.served);
  if (!reply.notes.empty()) out["notes"] = reply.notes;
  return out;
}

Json head_json(const ReplyHead& head, std::string_view object) {
  return {{"id", head.id}, {"object", object}, {"created", head.created_unix_s}, {"model", head.model},
          {"system_fingerprint", head.fingerprint}};
}

Json chunk_json(const ReplyHead& head, std::string_view object, const ChunkStep& step, Json choice) {
  choice["index"] = step.index;
  choice["finish_reason"] = step.end == nullptr ? Json(nullptr) : Json(finish_reason_name(step.end->finish_reason));
  Json out = head_json(head, object);
  out["choices"] = Json::array({std::move(choice)});
  if (head.usage_member) out["usage"] = nullptr;
  if (step.end != nullptr) out["ipfs_accelerate"] = own_json(*step.end);
  return out;
}

std::string whole_json(Json out, Json list, std::span<const FinishedChoice> choices, uint32_t n) {
  Json own = Json::array();
  for (const FinishedChoice& choice : choices) own.push_back(own_json(choice.reply));
  out["choices"] = std::move(list);
  out["usage"] = usage_json(total_usage(choices, n));
  out["ipfs_accelerate"] = choices.size() == 1 ? Json(own[0]) : std::move(own);
  return dump_json(out);
}

// content is null where calls are all there is.
Json message_json(const FinishedChoice& choice) {
  const bool calls_only = choice.text.empty() && !choice.tool_calls.empty();
  Json message = {{"role", "assistant"}, {"content", calls_only ? Json(nullptr) : Json(choice.text)}, {"refusal", nullptr}};
  for (const ToolCall& call : choice.tool_calls) {
    message["tool_calls"].push_back({{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return message;
}

Json delta_json(const ToolCallDelta& delta) {
  Json out = {{"index", delta.index}, {"function", {{"arguments", delta.arguments}}}};
  if (delta.id.empty()) return out;
  out["id"] = delta.id;
  out["type"] = "function";
  out["function"]["name"] = delta.name;
  return out;
}

Json model_object(const ListedModel& model) {
  Json out = {{"id", model.name}, {"object", "model"}, {"created", model.created_unix_s}, {"owned_by", "ipfs-accelerate"}};
  if (!model.status.empty()) out["status"] = model.status;
  return out;
}

}  // namespace

std::string system_fingerprint(const EndpointInfo& info) {
  const uint64_t hash = fnv1a(fmt::format("{}|{}|{}|{}|{}|{}", info.path, info.family, info.quantization, info.target,
                                          info.parameters, info.created_unix_s));
  return fmt::format("fp_{:010x}", hash & 0xffffffffffu);
}

ReplyHead make_reply_head(std::string_view id_prefix, const EndpointInfo& info) {
  return {.id = random_id(id_prefix), .model = info.name, .fingerprint = system_fingerprint(info),
          .created_unix_s = static_cast<int64_t>(std::time(nullptr))};
}

void add_usage(Usage& total, const Usage& one, size_t index, uint32_t n) {
  total.completion_tokens += one.completion_tokens;
  if (index % n != 0) return;
  total.prompt_tokens += one.prompt_tokens;
  total.cached_tokens += one.cached_tokens;
}

Usage total_usage(std::span<const FinishedChoice> choices, uint32_t n) {
  Usage total;
  for (size_t i = 0; i < choices.size(); ++i) add_usage(total, choices[i].reply.usage, i, n);
  return total;
}

std::string own_json_text(const Reply& reply) { return dump_json(own_json(reply)); }

void add_tool_calls(std::vector<ToolCall>& calls, std::span<const ToolCallDelta> deltas) {
  for (const ToolCallDelta& delta : deltas) {
    if (!delta.id.empty()) calls.push_back({.id = delta.id, .name = delta.name, .arguments = ""});
    calls.back().arguments += delta.arguments;
  }
}

std::string chat_completion_json(const ReplyHead& head, std::span<const FinishedChoice> choices) {
  Json out = head_json(head, "chat.completion");
  Json list = Json::array();
  for (const FinishedChoice& choice : choices) {
    list.push_back({{"index", list.size()},
                    {"message", message_json(choice)},
                    {"logprobs", choice.logprobs_wanted ? chat_logprobs(choice.logprobs) : Json(nullptr)},
                    {"finish_reason", finish_reason_name(choice.reply.finish_reason)}});
  }
  return whole_json(std::move(out), std::move(list), choices, static_cast<uint32_t>(choices.size()));
}

std::string text_completion_json(const ReplyHead& head, std::span<const FinishedChoice> choices, uint32_t n) {
  Json out = head_json(head, "text_completion");
  Json list = Json::array();
  for (const FinishedChoice& choice : choices) {
    size_t offset = 0;
    list.push_back({{"index", list.size()},
                    {"text", choice.text},
                    {"logprobs", choice.logprobs_wanted ? text_logprobs(choice.logprobs, offset) : Json(nullptr)},
                    {"finish_reason", finish_reason_name(choice.reply.finish_reason)}});
  }
  return whole_json(std::move(out), std::move(list), choices, n);
}

std::string chat_chunk_json(const ReplyHead& head, const ChunkStep& step) {
  Json delta = Json::object();
  if (step.role) delta["role"] = "assistant";
  if (step.tool_call != nullptr) delta["tool_calls"] = Json::array({delta_json(*step.tool_call)});
  else if (step.end == nullptr) delta["content"] = step.null_content ? Json(nullptr) : Json(step.text);
  Json logprobs = step.logprobs.empty() ? Json(nullptr) : chat_logprobs(step.logprobs);
  return dump_json(chunk_json(head, kChatChunkObject, step, {{"delta", std::move(delta)}, {"logprobs", std::move(logprobs)}}));
}

std::string text_chunk_json(const ReplyHead& head, const ChunkStep& step) {
  Json logprobs = step.logprobs.empty() ? Json(nullptr) : text_logprobs(step.logprobs, *step.text_offset);
  return dump_json(chunk_json(head, kTextChunkObject, step, {{"text", step.text}, {"logprobs", std::move(logprobs)}}));
}

std::string usage_chunk_json(const ReplyHead& head, std::string_view object, const Usage& usage, std::span<const MovedChoice> moved) {
  Json out = head_json(head, object);
  out["choices"] = Json::array();
  out["usage"] = usage_json(usage);
  for (const auto& [index, served] : moved) out["ipfs_accelerate"]["served"].push_back({{"index", index}, {"ranges", served_json(served)}});
  return dump_json(out);
}

std::string embeddings_json(const EmbedReply& reply, std::string_view model, bool base64) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (size_t i = 0; i < reply.vectors.size(); ++i) {
    const std::vector<float>& vector = reply.vectors[i];
    fmt::format_to(std::back_inserter(out), "{}{{\"object\":\"embedding\",\"index\":{},\"embedding\":", i == 0 ? "" : ",", i);
    if (base64) {
      out += '"';
      out += base64_encode({reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
      out += '"';
    } else {
      // By hand: the JSON library widens to double and writes 17 digits where 9 say the same float32.
      out += '[';
      for (size_t k = 0; k < vector.size(); ++k) fmt::format_to(std::back_inserter(out), "{}{}", k == 0 ? "" : ",", vector[k]);
      out += ']';
    }
    out += '}';
  }
  Json own = {{"served_by", reply.served_by}};
  if (!reply.notes.empty()) own["notes"] = reply.notes;
  const Json rest = {{"model", model},
                     {"usage", {{"prompt_tokens", reply.prompt_tokens}, {"total_tokens", reply.prompt_tokens}}},
                     {"ipfs_accelerate", std::move(own)}};
  out += "],";
  out += std::string_view(dump_json(rest)).substr(1);
  return out;
}

std::string model_json(const ListedModel& model) { return dump_json(model_object(model)); }

std::string model_list_json(std::span<const ListedModel> models) {
  Json data = Json::array();
  for (const ListedModel& model : models) data.push_back(model_object(model));
  return dump_json({{"object", "list"}, {"data", std::move(data)}});
}

std::string sse_event(std::string_view json) { return fmt::format("data: {}\n\n", json); }

std::string sse_comment(std::string_view text) {
  std::string line(text);
  std::replace_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return fmt::format(": {}\n\n", line);
}

}  // namespace accelerate
