#include "accelerate/serve/openai_logprobs.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

Json chat_token(const TokenLogprob& token) {
  Json bytes = Json::array();
  for (const char c : token.bytes) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", utf8_repair(token.bytes)}, {"logprob", token.logprob}, {"bytes", std::move(bytes)}};
}

std::string legacy_name(const TokenLogprob& token) {
  if (utf8_is_valid(token.bytes)) return token.bytes;
  std::string name = "bytes:";
  for (const char c : token.bytes) fmt::format_to(std::back_inserter(name), "\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

/// Bytes that begin a character: what a token of parts adds is counted where its character begins.
size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

Json chat_logprobs(std::span<const TokenLogprob> tokens) {
  Json content = Json::array();
  for (const TokenLogprob& token : tokens) {
    Json entry = chat_token(token);
    entry["top_logprobs"] = Json::array();
    for (const TokenLogprob& other : token.top) entry["top_logprobs"].push_back(chat_token(other));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json text_logprobs(std::span<const TokenLogprob> tokens, size_t& offset) {
  Json names = Json::array(), logprobs = Json::array(), tops = Json::array(), offsets = Json::array();
  bool any_top = false;
  for (const TokenLogprob& token : tokens) {
    names.push_back(legacy_name(token));
    const bool first = std::isnan(token.logprob);  // of a prompt
    logprobs.push_back(first ? Json(nullptr) : Json(token.logprob));
    offsets.push_back(offset);
    offset += characters(token.bytes);
    if (first) {
      tops.push_back(nullptr);
      continue;
    }
    Json top = Json::object();
    for (const TokenLogprob& other : token.top) top[legacy_name(other)] = other.logprob;
    any_top |= !token.top.empty();
    top[legacy_name(token)] = token.logprob;
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(names)}, {"token_logprobs", std::move(logprobs)}, {"top_logprobs", any_top ? std::move(tops) : Json(nullptr)},
          {"text_offset", std::move(offsets)}};
}

}  // namespace accelerate
