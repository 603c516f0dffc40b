#include "accelerate/serve/text_routes.h"

#include "accelerate/base/json.h"
#include "accelerate/serve/find_model.h"
#include "accelerate/serve/parse_text.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

// A text, or the bytes of a piece that begins or ends inside a character: llama.cpp's form.
Json piece_json(const std::string& piece) {
  if (utf8_valid_prefix(piece) == piece.size()) return piece;
  Json bytes = Json::array();
  for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

Result<Json> tokens_json(const Endpoint& endpoint, const TokenizeRequest& request) {
  ACC_TRY(const std::vector<uint32_t> tokens,
          request.text ? endpoint.tokenize(*request.text, request.options) : endpoint.tokenize_chat(request.messages, request.chat));
  Json out = {{"count", tokens.size()}, {"max_model_len", endpoint.info().context}, {"tokens", tokens}};
  if (!request.with_pieces && !request.return_token_strs) return out;
  ACC_TRY(const std::vector<std::string> pieces, endpoint.token_pieces(tokens));
  if (request.return_token_strs) {
    Json list = Json::array();
    for (const std::string& piece : pieces) list.push_back(utf8_repair(piece));
    out["token_strs"] = std::move(list);
  }
  if (request.with_pieces) {
    Json list = Json::array();
    for (size_t i = 0; i < tokens.size(); ++i) list.push_back({{"id", tokens[i]}, {"piece", piece_json(pieces[i])}});
    out["tokens"] = std::move(list);
  }
  return out;
}

void send(const Result<Json>& reply, std::string_view param, const Responder& to) {
  if (reply) to.json(dump_json(*reply));
  else to.fail(api_error(reply.error(), param));
}

}  // namespace

void tokenize_route(const ModelSource& models, std::string_view body, const Responder& to) {
  Parsed<TokenizeRequest> parsed = parse_tokenize(body);
  if (!parsed.ok()) return void(to.fail(parsed.error()));
  const std::shared_ptr<Endpoint> endpoint = find_model_for(models, parsed->model, to);
  if (endpoint == nullptr) return;
  send(tokens_json(*endpoint, *parsed), parsed->text ? "content" : "messages", to);
}

void detokenize_route(const ModelSource& models, std::string_view body, const Responder& to) {
  Parsed<DetokenizeRequest> parsed = parse_detokenize(body);
  if (!parsed.ok()) return void(to.fail(parsed.error()));
  const std::shared_ptr<Endpoint> endpoint = find_model_for(models, parsed->model, to);
  if (endpoint == nullptr) return;
  const Result<std::string> text = endpoint->detokenize(parsed->tokens, {.skip_special = false});
  if (!text) return send(text.error(), "tokens", to);
  send(Json({{"content", *text}, {"prompt", *text}}), "tokens", to);
}

void apply_template_route(const ModelSource& models, std::string_view body, const Responder& to) {
  Parsed<ApplyTemplateRequest> parsed = parse_apply_template(body);
  if (!parsed.ok()) return void(to.fail(parsed.error()));
  const std::shared_ptr<Endpoint> endpoint = find_model_for(models, parsed->model, to);
  if (endpoint == nullptr) return;
  const Result<std::string> prompt = endpoint->apply_template(parsed->messages, parsed->chat);
  if (!prompt) return send(prompt.error(), "messages", to);
  send(Json({{"prompt", *prompt}}), "messages", to);
}

}  // namespace accelerate
