// OpenAI's replies, written as JSON and as server-sent events.
//
//   ReplyHead head = make_reply_head("chatcmpl-", endpoint->info());
//   writer.send(200, kJson, chat_completion_json(head, {.text = text, .reply = reply}));
//   writer.write(sse_event(chat_chunk_json(head, {.role = true})));
//
// Objects have the members that the official clients declare, and one of our own: "ipfs_accelerate" on the choice-ending
// object, with what OpenAI has no word for (target, seed used, timings, notes on casts and fallbacks).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "accelerate/base/random_id.h"
#include "accelerate/core/request.h"
#include "accelerate/engine/endpoint.h"

namespace accelerate {

/// "fp_" and 10 hex digits: changes with the model's files, quantization or target.
std::string system_fingerprint(const EndpointInfo& info);

/// What every object of one answer repeats.
struct ReplyHead {
  std::string id, model, fingerprint;
  int64_t created_unix_s = 0;
  bool usage_member = false;  // chunks carry "usage": null until the last (include_usage)
};
ReplyHead make_reply_head(std::string_view id_prefix, const EndpointInfo& info);

struct FinishedChoice {
  std::string text;
  Reply reply;
  std::vector<TokenLogprob> logprobs;  // of its tokens
  bool logprobs_wanted = false;
  std::vector<ToolCall> tool_calls = {};
};
/// Appends what came of an answer's calls: a delta with an id begins one.
void add_tool_calls(std::vector<ToolCall>& calls, std::span<const ToolCallDelta> deltas);
/// The member "ipfs_accelerate" of a reply, as JSON.
std::string own_json_text(const Reply& reply);
/// Sums what choices used: n of each prompt stand side by side, and a prompt counts once.
void add_usage(Usage& total, const Usage& one, size_t index, uint32_t n);
Usage total_usage(std::span<const FinishedChoice> choices, uint32_t n);

std::string chat_completion_json(const ReplyHead& head, std::span<const FinishedChoice> choices);
std::string text_completion_json(const ReplyHead& head, std::span<const FinishedChoice> choices, uint32_t n);

/// One step of a streamed answer: text, or its end where `end` is set.
struct ChunkStep {
  uint32_t index = 0;
  bool role = false;            // chat: the first chunk names the role
  std::string_view text;
  const Reply* end = nullptr;
  std::span<const TokenLogprob> logprobs = {};  // empty = null
  const ToolCallDelta* tool_call = nullptr;     // chat: instead of text
  bool null_content = false;                    // chat: nothing to say, where calls may be all that comes
  size_t* text_offset = nullptr;                // completions with logprobs: where these begin; moved behind them
};
std::string chat_chunk_json(const ReplyHead& head, const ChunkStep& step);
std::string text_chunk_json(const ReplyHead& head, const ChunkStep& step);
/// A choice that several Targets computed, by its index.
using MovedChoice = std::pair<size_t, std::vector<ServedRange>>;
/// The last chunk where include_usage asked for it: no choices, the sums, and who computed what of the choices that moved.
/// `object` as in the other chunks.
std::string usage_chunk_json(const ReplyHead& head, std::string_view object, const Usage& usage, std::span<const MovedChoice> moved = {});

/// Values in full float32 precision as numbers, or as base64 of little-endian bytes.
std::string embeddings_json(const EmbedReply& reply, std::string_view model, bool base64);

/// A model as GET /v1/models shows it.
struct ListedModel {
  std::string name;
  int64_t created_unix_s = 0;
  std::string status;  // "unloaded", "loaded" ... (engine/model_roster.h) where models come and go; else empty
};
std::string model_json(const ListedModel& model);
std::string model_list_json(std::span<const ListedModel> models);

/// "data: ...\n\n". `json` has no line breaks.
std::string sse_event(std::string_view json);
/// ": ...\n\n", which event readers skip. Line breaks in `text` become spaces.
std::string sse_comment(std::string_view text);
inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";
inline constexpr std::string_view kChatChunkObject = "chat.completion.chunk";
inline constexpr std::string_view kTextChunkObject = "text_completion";

}  // namespace accelerate
