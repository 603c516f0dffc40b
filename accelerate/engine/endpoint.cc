#include "accelerate/engine/endpoint.h"

#include <fmt/format.h>

namespace accelerate {
namespace {

Error no_template(const Endpoint& endpoint) {
  return Error{ErrorCode::kFailedPrecondition,
               fmt::format("[engine] chat takes a chat template, and '{}' has none; try a raw prompt (--raw, /v1/completions)", endpoint.info().name)};
}

}  // namespace

Result<std::vector<std::string>> Endpoint::token_pieces(std::span<const uint32_t>) const {
  return Error{ErrorCode::kUnimplemented, fmt::format("[engine] '{}' does not tell the text of single tokens", info().name)};
}

Result<std::string> Endpoint::apply_template(std::span<const Message>, const TemplateOptions&) const { return no_template(*this); }

Result<std::vector<uint32_t>> Endpoint::tokenize_chat(std::span<const Message>, const TemplateOptions&) const { return no_template(*this); }

Result<RerankReply> Endpoint::rerank(const RerankInput&, const std::atomic<bool>*) {
  const bool encoder = info().kind == ProgramKind::kEncoder;
  return Error{ErrorCode::kUnimplemented,
               fmt::format("[engine] scores of pairs take a cross-encoder; got '{}', which {}; try a cross-encoder{}", info().name,
                           encoder ? "makes embeddings" : "generates text", encoder ? ", or \"method\": \"embeddings\" for their cosine" : "")};
}

Result<void> Endpoint::switch_target(const std::string& target) {
  return Error{ErrorCode::kUnimplemented, fmt::format("[engine] '{}' has one program and can not be switched; got target '{}'", info().name, target)};
}

}  // namespace accelerate
