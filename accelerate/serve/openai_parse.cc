#include "accelerate/serve/openai_parse.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/serve/fields.h"
#include "accelerate/serve/json_body.h"
#include "accelerate/serve/parse_format.h"
#include "accelerate/serve/parse_tools.h"

namespace accelerate {
namespace {

constexpr int64_t kTokensMax = std::numeric_limits<int32_t>::max();
constexpr int64_t kPriorityMax = 1'000'000;

bool is_text_list(const Json& value) { return value.is_array() && value.size() == 1 && value[0] == "text"; }
bool is_none(const Json& value) { return value == "none"; }
bool is_none_or_auto(const Json& value) { return value == "none" || value == "auto"; }
bool is_medium(const Json& value) { return value == "medium"; }
bool never(const Json&) { return false; }

// Members of OpenAI's API that change the answer and are not done here.
constexpr std::array kChatRefusals = {
    Refusal{"functions", is_empty, "'tools' is its successor"},
    Refusal{"function_call", is_none_or_auto, "'tool_choice' is its successor"},
    Refusal{"modalities", is_text_list, "text only"},
    Refusal{"audio", never, "text only"},
    Refusal{"reasoning_effort", is_none, "no model here takes one"},
    Refusal{"verbosity", is_medium, "no model here takes one"},
    Refusal{"web_search_options", never, "nothing is searched"},
};
constexpr std::array kCompletionRefusals = {
    Refusal{"suffix", never, "nothing is inserted"},
};

void read_model(Fields& fields, std::string& model) {
  fields.string("model", model);
  if (model.empty()) fields.fail(missing_parameter("model"));
}

void read_stop(Fields& fields, std::vector<std::string>& stop) {
  const Json* value = fields.find("stop");
  if (value == nullptr) return;
  if (value->is_string()) {
    stop.push_back(value->get<std::string>());
  } else if (value->is_array()) {
    if (value->size() > kStopStringsMax) {
      return fields.fail(invalid_value("stop", fmt::format("has at most {} strings", kStopStringsMax), std::to_string(value->size())));
    }
    for (const Json& entry : *value) {
      if (!entry.is_string()) return fields.fail(invalid_type("stop", "a string or a list of strings", entry));
      stop.push_back(entry.get<std::string>());
    }
  } else {
    return fields.fail(invalid_type("stop", "a string or a list of strings", *value));
  }
  if (std::any_of(stop.begin(), stop.end(), [](const std::string& s) { return s.empty(); })) {
    fields.fail(invalid_value("stop", "has no empty string", "one"));
  }
}

void read_stream(Fields& fields, bool& stream, bool& include_usage) {
  fields.boolean("stream", stream);
  const Json* options = fields.find("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) return fields.fail(invalid_type("stream_options", "an object", *options));
  if (!stream) return fields.fail(invalid_value("stream_options", "goes with \"stream\": true", "it without"));
  Fields inner(*options, "stream_options.");
  inner.boolean("include_usage", include_usage);
  if (inner.problem()) fields.fail(*inner.problem());
}

// {"token id": bias}, as OpenAI has it.
void read_logit_bias(Fields& fields, std::vector<std::pair<uint32_t, float>>& bias) {
  const Json* value = fields.find("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object()) return fields.fail(invalid_type("logit_bias", "an object of token ids and biases", *value));
  if (value->size() > kLogitBiasMax) {
    return fields.fail(invalid_value("logit_bias", fmt::format("has at most {} tokens", kLogitBiasMax), std::to_string(value->size())));
  }
  Fields inner(*value, "logit_bias.");
  for (const auto& [key, entry] : value->items()) {
    uint32_t token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size()) {
      return fields.fail(invalid_value("logit_bias", "has token ids as names", fmt::format("\"{}\"", key.substr(0, 40))));
    }
    float amount = 0;
    inner.number(key, {.low = -100, .high = 100}, amount);
    bias.emplace_back(token, amount);
  }
  if (inner.problem()) fields.fail(*inner.problem());
}

void read_chat_logprobs(Fields& fields, Request& request) {
  bool wanted = false;
  std::optional<uint32_t> top;
  fields.boolean("logprobs", wanted);
  fields.integer("top_logprobs", {.low = 0, .high = kTopLogprobsMax}, top);
  if (wanted) request.top_logprobs = top.value_or(0);
  else if (top.value_or(0) > 0) fields.fail(invalid_value("top_logprobs", "goes with \"logprobs\": true", "it without"));
}

uint32_t read_n(Fields& fields, size_t prompts) {
  std::optional<uint32_t> n;
  fields.integer("n", {.low = 1, .high = kChoicesMax}, n);
  if (n.value_or(1) * prompts > kChoicesMax) {
    fields.fail(invalid_value("n", fmt::format("times the prompts is at most {} answers", kChoicesMax), fmt::format("{} times {}", *n, prompts)));
  }
  return n.value_or(1);
}

// What chat and completions share.
void read_generation(Fields& fields, Request& request) {
  SamplingOptions& sampling = request.sampling;
  read_sampling(fields, sampling);
  fields.integer("priority", {.low = -kPriorityMax, .high = kPriorityMax}, request.priority);
  fields.boolean("ignore_eos", request.ignore_end);
  read_stop(fields, request.stop);
  fields.number("frequency_penalty", {.low = -2, .high = 2}, sampling.frequency_penalty);
  fields.number("presence_penalty", {.low = -2, .high = 2}, sampling.presence_penalty);
  fields.number("repetition_penalty", {.low = 0.01, .high = 10}, sampling.repetition_penalty);
  read_logit_bias(fields, sampling.logit_bias);
}

// A message's content: a string, or parts of type text, which are joined as they are.
void read_content(Fields& message, bool required, std::string& content) {
  static constexpr std::array<std::string_view, 1> kTypes = {"text"};
  if (required || message.find("content") != nullptr) read_text_parts(message, "content", kTypes, content);
}

void read_messages(Fields& fields, std::vector<Message>& messages) {
  const Json* list = fields.find("messages");
  if (list == nullptr) return fields.fail(missing_parameter("messages"));
  if (!list->is_array()) return fields.fail(invalid_type("messages", "a list of messages", *list));
  if (list->empty()) return fields.fail(invalid_value("messages", "has at least one message", "none"));
  static constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant", "tool"};
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = fmt::format("messages[{}]", i);
    const Json& entry = (*list)[i];
    if (!entry.is_object()) return fields.fail(invalid_type(path, "an object", entry));
    Fields message(entry, path + ".");
    Message out;
    message.string("role", out.role);
    if (message.find("role") == nullptr) message.fail(missing_parameter(path + ".role"));
    if (!message.problem() && std::find(kRoles.begin(), kRoles.end(), out.role) == kRoles.end()) {
      message.fail(invalid_value(path + ".role", "is system, developer, user, assistant or tool", fmt::format("\"{}\"", out.role)));
    }
    for (const std::string_view name : {"function_call", "audio"}) {
      if (const Json* value = message.find(name); value != nullptr && !is_empty(*value)) {
        message.fail(unsupported_parameter(message.path(name), "messages are text"));
      }
    }
    read_tool_members(message, out);
    read_content(message, out.tool_calls.empty(), out.content);
    if (message.problem()) return fields.fail(*message.problem());
    if (out.role == "developer") out.role = "system";  // OpenAI's newer word for it; templates know the old one
    messages.push_back(std::move(out));
  }
  check_tool_answers(fields, messages);
}

bool is_token_list(const Json& value) {
  return value.is_array() && !value.empty() && value[0].is_number();
}

void read_tokens(Fields& fields, const Json& list, const std::string& path, std::vector<uint32_t>& tokens) {
  tokens.reserve(list.size());
  for (const Json& entry : list) {
    if (!entry.is_number_integer()) return fields.fail(invalid_type(path, "a list of token ids", entry));
    if (!entry.is_number_unsigned() || entry.get<uint64_t>() > std::numeric_limits<uint32_t>::max()) {
      return fields.fail(invalid_value(path, "has token ids of 32 bits", dump_json(entry)));
    }
    tokens.push_back(static_cast<uint32_t>(entry.get<uint64_t>()));
  }
}

// OpenAI's four forms of a prompt or an input: text, list of texts, token ids, list of token id lists.
void read_inputs(Fields& fields, std::string_view name, size_t inputs_max, std::vector<EmbedInput>& inputs) {
  static constexpr std::string_view kForms = "a string, a list of strings, a list of token ids or a list of such lists";
  const Json* value = fields.find(name);
  if (value == nullptr) return fields.fail(missing_parameter(name));
  const std::string param(name);
  if (value->is_string()) {
    inputs.emplace_back(value->get<std::string>());
    return;
  }
  if (!value->is_array()) return fields.fail(invalid_type(param, kForms, *value));
  if (value->empty()) return fields.fail(invalid_value(param, "is not empty", "an empty list"));
  if (is_token_list(*value)) {
    read_tokens(fields, *value, param, std::get<std::vector<uint32_t>>(inputs.emplace_back(std::vector<uint32_t>())));
    return;
  }
  if (value->size() > inputs_max) {
    return fields.fail(invalid_value(param, fmt::format("has at most {} entries", inputs_max), std::to_string(value->size())));
  }
  const bool texts = (*value)[0].is_string();
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& entry = (*value)[i];
    const std::string path = fmt::format("{}[{}]", name, i);
    if (texts && entry.is_string()) {
      inputs.emplace_back(entry.get<std::string>());
    } else if (!texts && is_token_list(entry)) {
      read_tokens(fields, entry, path, std::get<std::vector<uint32_t>>(inputs.emplace_back(std::vector<uint32_t>())));
    } else if (!texts && is_empty(entry)) {
      return fields.fail(invalid_value(path, "is not empty", "an empty list"));
    } else {
      return fields.fail(invalid_type(path, texts ? "a string like the first one" : "a string or a list of token ids", entry));
    }
  }
}

}  // namespace

Parsed<ChatRequest> parse_chat(std::string_view text) {
  Parsed<Json> body = parse_body(text);
  if (!body.ok()) return body.error();
  Fields fields(*body);
  ChatRequest out;
  read_model(fields, out.model);
  read_messages(fields, out.request.messages);
  read_tools(fields, text, out.request.tools);
  read_generation(fields, out.request);
  read_format(fields, text, out.request.grammar);
  read_chat_logprobs(fields, out.request);
  out.n = read_n(fields, 1);
  fields.integer("max_tokens", {.low = 1, .high = kTokensMax}, out.request.max_tokens);
  std::optional<uint32_t> max_completion_tokens;
  fields.integer("max_completion_tokens", {.low = 1, .high = kTokensMax}, max_completion_tokens);
  if (max_completion_tokens && out.request.max_tokens) {
    fields.fail(invalid_value("max_tokens", "and its successor 'max_completion_tokens' exclude each other", "both"));
  }
  if (max_completion_tokens) out.request.max_tokens = max_completion_tokens;
  read_stream(fields, out.stream, out.include_usage);
  refuse(fields, kChatRefusals);
  if (fields.problem()) return *fields.problem();
  return out;
}

Parsed<CompletionRequest> parse_completion(std::string_view text) {
  Parsed<Json> body = parse_body(text);
  if (!body.ok()) return body.error();
  Fields fields(*body);
  CompletionRequest out;
  Request common;
  std::vector<EmbedInput> prompts;
  read_model(fields, out.model);
  read_inputs(fields, "prompt", kChoicesMax, prompts);
  read_generation(fields, common);
  fields.integer("max_tokens", {.low = 0, .high = kTokensMax}, common.max_tokens);
  read_format(fields, text, common.grammar);
  fields.integer("logprobs", {.low = 0, .high = kLegacyLogprobsMax}, common.top_logprobs);
  fields.boolean("echo", common.echo);
  out.n = read_n(fields, prompts.size());
  std::optional<uint32_t> best_of;
  fields.integer("best_of", {.low = 1, .high = kChoicesMax}, best_of);
  if (best_of && *best_of != out.n) fields.fail(unsupported_parameter("best_of", "as many answers are made as are given, 'n'"));
  if (!common.max_tokens) common.max_tokens = kCompletionTokensDefault;
  read_stream(fields, out.stream, out.include_usage);
  refuse(fields, kCompletionRefusals);
  if (fields.problem()) return *fields.problem();
  for (EmbedInput& prompt : prompts) {
    Request& request = out.prompts.emplace_back(common);
    if (auto* words = std::get_if<std::string>(&prompt)) request.text = std::move(*words);
    else request.tokens = std::move(std::get<std::vector<uint32_t>>(prompt));
  }
  return out;
}

Parsed<EmbeddingsRequest> parse_embeddings(std::string_view text) {
  Parsed<Json> body = parse_body(text);
  if (!body.ok()) return body.error();
  Fields fields(*body);
  EmbeddingsRequest out;
  std::string format = "float";
  read_model(fields, out.model);
  read_inputs(fields, "input", limits::kEmbeddingInputsMax, out.inputs);
  for (size_t i = 0; i < out.inputs.size(); ++i) {
    const auto* words = std::get_if<std::string>(&out.inputs[i]);
    if (words != nullptr && words->empty()) fields.fail(invalid_value("input", "has no empty string", fmt::format("one at {}", i)));
  }
  fields.string("encoding_format", format);
  if (format != "float" && format != "base64") {
    fields.fail(invalid_value("encoding_format", "is \"float\" or \"base64\"", fmt::format("\"{}\"", format)));
  }
  out.base64 = format == "base64";
  fields.integer("dimensions", {.low = 1, .high = kTokensMax}, out.dimensions);
  if (fields.problem()) return *fields.problem();
  return out;
}

void read_message_list(Fields& fields, std::vector<Message>& messages) { read_messages(fields, messages); }

void read_token_ids(Fields& fields, const Json& list, const std::string& path, std::vector<uint32_t>& tokens) {
  read_tokens(fields, list, path, tokens);
}

}  // namespace accelerate
