#include "accelerate/text/tool_style.h"

#include <algorithm>
#include <array>

#include "accelerate/base/fnv1a.h"
#include "accelerate/base/random_id.h"

namespace accelerate {
namespace {

constexpr size_t kMistralIdCharacters = 9;

constexpr std::array<std::string_view, 2> kHermesWords = {"<tool_call>", "</tool_call>"};
constexpr std::array<std::string_view, 3> kMistralWords = {"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"};
constexpr std::array<std::string_view, 1> kLlamaWords = {"<|python_tag|>"};

bool is_mistral(ToolStyle style) { return style == ToolStyle::kMistral || style == ToolStyle::kMistralArgs; }
bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

std::string_view tool_style_name(ToolStyle style) {
  static constexpr std::array<std::string_view, 5> kNames = {"hermes", "mistral", "mistral-args", "llama3", "json"};
  return kNames[static_cast<size_t>(style)];
}

ToolStyle tool_style_of(std::string_view chat_template) {
  const auto has = [&](std::string_view word) { return chat_template.find(word) != std::string_view::npos; };
  if (has("[TOOL_CALLS]")) return has("[ARGS]") ? ToolStyle::kMistralArgs : ToolStyle::kMistral;
  if (has("<tool_call>")) return has("<function=") ? ToolStyle::kJson : ToolStyle::kHermes;
  if (has("<|python_tag|>") || has("Environment: ipython")) return ToolStyle::kLlama3;
  return ToolStyle::kJson;
}

ToolMarkers tool_markers(ToolStyle style) {
  switch (style) {
    case ToolStyle::kHermes: return {.open = "<tool_call>", .close = "</tool_call>"};
    case ToolStyle::kMistral:
    case ToolStyle::kMistralArgs: return {.open = "[TOOL_CALLS]", .close = ""};
    case ToolStyle::kLlama3: return {.open = "<|python_tag|>", .close = "", .arguments = "parameters", .bare = true};
    case ToolStyle::kJson: break;
  }
  return {.open = "", .close = "", .bare = true};
}

std::span<const std::string_view> tool_marker_words(ToolStyle style) {
  if (style == ToolStyle::kHermes) return kHermesWords;
  if (is_mistral(style)) return kMistralWords;
  if (style == ToolStyle::kLlama3) return kLlamaWords;
  return {};
}

std::string make_tool_call_id(ToolStyle style) { return is_mistral(style) ? random_id("", kMistralIdCharacters) : random_id("call_"); }

std::string fitted_tool_call_id(ToolStyle style, std::string_view id) {
  if (!is_mistral(style)) return std::string(id);
  if (id.size() == kMistralIdCharacters && std::all_of(id.begin(), id.end(), is_alphanumeric)) return std::string(id);
  // The ids of one conversation need to differ and to meet their answers again, no more. 9 digits of base 36 hold 46 bits.
  uint64_t hash = fnv1a(id);
  std::string fitted;
  for (size_t i = 0; i < kMistralIdCharacters; ++i, hash /= 36) fitted += "0123456789abcdefghijklmnopqrstuvwxyz"[hash % 36];
  return fitted;
}

}  // namespace accelerate
