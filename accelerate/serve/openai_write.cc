#include "accelerate/serve/openai_write.h"

#include <array>
#include <bit>
#include <ctime>
#include <random>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/serve/base64.h"

namespace accelerate {
namespace {

static_assert(std::endian::native == std::endian::little, "embeddings go out as the bytes of float32 in memory");

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", uint64_t{usage.prompt_tokens} + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

Json own_json(const Reply& reply) {
  Json out = {{"served_by", reply.served_by}, {"seed", reply.seed},           {"queue_ms", reply.queue_ms},
              {"ttft_ms", reply.ttft_ms},     {"decode_ms", reply.decode_ms}};
  if (!reply.stop_string.empty()) out["stop_string"] = reply.stop_string;
  if (!reply.notes.empty()) out["notes"] = reply.notes;
  return out;
}

Json head_json(const ReplyHead& head, std::string_view object) {
  return {{"id", head.id}, {"object", object}, {"created", head.created_unix_s}, {"model", head.model},
          {"system_fingerprint", head.fingerprint}};
}

Json chunk_json(const ReplyHead& head, std::string_view object, const ChunkStep& step, Json choice) {
  choice["index"] = step.index;
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = step.end == nullptr ? Json(nullptr) : Json(finish_reason_name(step.end->finish_reason));
  Json out = head_json(head, object);
  out["choices"] = Json::array({std::move(choice)});
  if (head.usage_member) out["usage"] = nullptr;
  if (step.end != nullptr) out["ipfs_accelerate"] = own_json(*step.end);
  return out;
}

// FNV-1a: a fingerprint needs to differ, not to resist anybody.
uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

Json model_object(const EndpointInfo& info) {
  return {{"id", info.name}, {"object", "model"}, {"created", info.created_unix_s}, {"owned_by", "ipfs-accelerate"}};
}

}  // namespace

std::string random_id(std::string_view prefix) {
  static constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::array<uint32_t, 8> seeds{};
    for (uint32_t& seed : seeds) seed = device();
    std::seed_seq sequence(seeds.begin(), seeds.end());
    return std::mt19937_64(sequence);
  }();
  std::uniform_int_distribution<size_t> pick(0, kAlphabet.size() - 1);
  std::string out(prefix);
  for (int i = 0; i < 24; ++i) out += kAlphabet[pick(generator)];
  return out;
}

std::string system_fingerprint(const EndpointInfo& info) {
  const uint64_t hash = fnv1a(fmt::format("{}|{}|{}|{}|{}|{}", info.path, info.family, info.quantization, info.target,
                                          info.parameters, info.created_unix_s));
  return fmt::format("fp_{:010x}", hash & 0xffffffffffu);
}

ReplyHead make_reply_head(std::string_view id_prefix, const EndpointInfo& info) {
  return {.id = random_id(id_prefix), .model = info.name, .fingerprint = system_fingerprint(info),
          .created_unix_s = static_cast<int64_t>(std::time(nullptr))};
}

Usage total_usage(std::span<const FinishedChoice> choices) {
  Usage total;
  for (const FinishedChoice& choice : choices) {
    total.prompt_tokens += choice.reply.usage.prompt_tokens;
    total.completion_tokens += choice.reply.usage.completion_tokens;
    total.cached_tokens += choice.reply.usage.cached_tokens;
  }
  return total;
}

std::string chat_completion_json(const ReplyHead& head, const FinishedChoice& choice) {
  Json out = head_json(head, "chat.completion");
  out["choices"] = Json::array({{{"index", 0},
                                 {"message", {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}}},
                                 {"logprobs", nullptr},
                                 {"finish_reason", finish_reason_name(choice.reply.finish_reason)}}});
  out["usage"] = usage_json(choice.reply.usage);
  out["ipfs_accelerate"] = own_json(choice.reply);
  return dump_json(out);
}

std::string text_completion_json(const ReplyHead& head, std::span<const FinishedChoice> choices) {
  Json out = head_json(head, "text_completion");
  Json list = Json::array();
  Json own = Json::array();
  for (const FinishedChoice& choice : choices) {
    list.push_back({{"index", list.size()},
                    {"text", choice.text},
                    {"logprobs", nullptr},
                    {"finish_reason", finish_reason_name(choice.reply.finish_reason)}});
    own.push_back(own_json(choice.reply));
  }
  out["choices"] = std::move(list);
  out["usage"] = usage_json(total_usage(choices));
  out["ipfs_accelerate"] = choices.size() == 1 ? Json(own[0]) : std::move(own);
  return dump_json(out);
}

std::string chat_chunk_json(const ReplyHead& head, const ChunkStep& step) {
  Json delta = Json::object();
  if (step.role) delta["role"] = "assistant";
  if (step.end == nullptr) delta["content"] = step.text;
  return dump_json(chunk_json(head, kChatChunkObject, step, {{"delta", std::move(delta)}}));
}

std::string text_chunk_json(const ReplyHead& head, const ChunkStep& step) {
  return dump_json(chunk_json(head, kTextChunkObject, step, {{"text", step.text}}));
}

std::string usage_chunk_json(const ReplyHead& head, std::string_view object, const Usage& usage) {
  Json out = head_json(head, object);
  out["choices"] = Json::array();
  out["usage"] = usage_json(usage);
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
  const Json rest = {{"model", model},
                     {"usage", {{"prompt_tokens", reply.prompt_tokens}, {"total_tokens", reply.prompt_tokens}}},
                     {"ipfs_accelerate", {{"served_by", reply.served_by}}}};
  out += "],";
  out += std::string_view(dump_json(rest)).substr(1);
  return out;
}

std::string model_json(const EndpointInfo& info) { return dump_json(model_object(info)); }

std::string model_list_json(std::span<const EndpointInfo> infos) {
  Json data = Json::array();
  for (const EndpointInfo& info : infos) data.push_back(model_object(info));
  return dump_json({{"object", "list"}, {"data", std::move(data)}});
}

std::string sse_event(std::string_view json) { return fmt::format("data: {}\n\n", json); }

}  // namespace accelerate
