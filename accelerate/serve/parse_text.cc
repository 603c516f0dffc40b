#include "accelerate/serve/parse_text.h"

#include <array>

#include <fmt/format.h>

#include "accelerate/serve/json_body.h"
#include "accelerate/serve/parse_tools.h"

namespace accelerate {
namespace {

constexpr std::array kTemplateRefusals = {
    Refusal{"chat_template", nullptr, "the model's own template is used"},
    Refusal{"chat_template_kwargs", is_empty, "the template gets messages and tools only"},
    Refusal{"continue_final_message", is_false, "a message is a whole turn"},
    Refusal{"mm_processor_kwargs", is_empty, "text only"},
};

// The one text among three names for it; false where there is none.
bool read_text(Fields& fields, TokenizeRequest& out) {
  static constexpr std::array<std::string_view, 3> kNames = {"content", "prompt", "text"};
  int given = fields.find("messages") != nullptr ? 1 : 0;
  for (const std::string_view name : kNames) {
    if (fields.find(name) == nullptr) continue;
    ++given;
    fields.string(name, out.text.emplace());
    out.options.add_special = name != "content";
    if (out.text->size() > kTokenizeBytesMax) {
      fields.fail(invalid_value(name, fmt::format("has at most {} bytes", kTokenizeBytesMax), std::to_string(out.text->size())));
    }
  }
  if (given == 0) fields.fail(missing_parameter("content"));
  if (given > 1) fields.fail(invalid_value("content", "is the one of 'content', 'prompt', 'text' and 'messages' that is given", std::to_string(given)));
  return out.text.has_value();
}

// add_special is llama.cpp's word, add_special_tokens vLLM's.
void read_add_special(Fields& fields, bool& add_special) {
  if (fields.find("add_special") != nullptr && fields.find("add_special_tokens") != nullptr) {
    fields.fail(invalid_value("add_special", "and its other name 'add_special_tokens' exclude each other", "both"));
  }
  fields.boolean("add_special", add_special);
  fields.boolean("add_special_tokens", add_special);
}

size_t chat_bytes(const std::vector<Message>& messages, const ToolOptions& tools) {
  size_t bytes = 0;
  for (const Message& message : messages) {
    bytes += message.content.size();
    for (const ToolCall& call : message.tool_calls) bytes += call.name.size() + call.arguments.size();
  }
  for (const Tool& tool : tools.tools) bytes += tool.name.size() + tool.description.size() + tool.parameters.size();
  return bytes;
}

}  // namespace

Parsed<TokenizeRequest> parse_tokenize(std::string_view text) {
  Parsed<Json> body = parse_body(text);
  if (!body.ok()) return body.error();
  Fields fields(*body);
  TokenizeRequest out;
  out.options.parse_special = true;
  fields.string("model", out.model);
  const bool is_text = read_text(fields, out);
  read_add_special(fields, out.options.add_special);
  fields.boolean("parse_special", out.options.parse_special);
  fields.boolean("with_pieces", out.with_pieces);
  fields.boolean("return_token_strs", out.return_token_strs);
  fields.boolean("add_generation_prompt", out.chat.add_generation_prompt);
  read_tools(fields, text, out.chat.tools);
  if (is_text && !out.chat.tools.tools.empty()) fields.fail(invalid_value("tools", "go with messages", "a text"));
  if (!is_text && !fields.problem()) {
    read_message_list(fields, out.messages);
    if (const size_t bytes = chat_bytes(out.messages, out.chat.tools); bytes > kTokenizeBytesMax) {
      fields.fail(invalid_value("messages", fmt::format("have at most {} bytes together, tools among them", kTokenizeBytesMax), std::to_string(bytes)));
    }
    if (out.options.add_special) fields.fail(invalid_value("add_special", "goes with a text; a chat template writes special tokens itself", "messages"));
  }
  refuse(fields, kTemplateRefusals);
  if (fields.problem()) return *fields.problem();
  return out;
}

Parsed<DetokenizeRequest> parse_detokenize(std::string_view text) {
  Parsed<Json> body = parse_body(text);
  if (!body.ok()) return body.error();
  Fields fields(*body);
  DetokenizeRequest out;
  fields.string("model", out.model);
  const Json* tokens = fields.find("tokens");
  if (tokens == nullptr) fields.fail(missing_parameter("tokens"));
  else if (!tokens->is_array()) fields.fail(invalid_type("tokens", "a list of token ids", *tokens));
  else read_token_ids(fields, *tokens, "tokens", out.tokens);
  if (fields.problem()) return *fields.problem();
  return out;
}

Parsed<ApplyTemplateRequest> parse_apply_template(std::string_view text) {
  Parsed<Json> body = parse_body(text);
  if (!body.ok()) return body.error();
  Fields fields(*body);
  ApplyTemplateRequest out;
  fields.string("model", out.model);
  read_message_list(fields, out.messages);
  read_tools(fields, text, out.chat.tools);
  fields.boolean("add_generation_prompt", out.chat.add_generation_prompt);
  refuse(fields, kTemplateRefusals);
  if (fields.problem()) return *fields.problem();
  return out;
}

}  // namespace accelerate
