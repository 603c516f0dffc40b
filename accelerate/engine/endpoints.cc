#include "accelerate/engine/endpoints.h"

#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/core/graph.h"

namespace accelerate {
namespace {

// With its last holder, what the model took goes back to the system, not to malloc's lists: those keep up to 7 MiB a load.
Result<std::shared_ptr<Endpoint>> returning_memory(Result<std::shared_ptr<Endpoint>> made) {
  if (!made) return made;
  Endpoint* endpoint = made->get();
  return std::shared_ptr<Endpoint>(endpoint, [held = *std::move(made)](Endpoint*) mutable {
    held.reset();
    return_freed_memory();
  });
}

}  // namespace

Result<std::shared_ptr<Endpoint>> make_endpoint(EndpointParts parts) {
  CHECK(parts.model && parts.program, "an endpoint has a model and a program");
  if (!parts.model->tokenizer) {
    return Error{ErrorCode::kFailedPrecondition,
                 fmt::format("[engine] serving text takes a tokenizer; '{}' has none beside it; try a folder with tokenizer.json", parts.path)};
  }
  switch (parts.program->kind()) {
    case ProgramKind::kDecoder: return returning_memory(make_decoder_endpoint(std::move(parts)));
    case ProgramKind::kEncoder: return returning_memory(make_encoder_endpoint(std::move(parts)));
    case ProgramKind::kTensor:
    case ProgramKind::kText: break;
  }
  return Error{ErrorCode::kUnimplemented, fmt::format("[engine] endpoints serve decoders and encoders; '{}' became neither", parts.name)};
}

namespace {

Result<void> check_ids(const Tokenizer& tokenizer, std::span<const uint32_t> tokens) {
  for (const uint32_t token : tokens) {
    if (token >= tokenizer.size()) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] token ids are below {}; got {}", tokenizer.size(), token)};
    }
  }
  return {};
}

}  // namespace

Result<std::string> detokenize_checked(const Tokenizer& tokenizer, std::span<const uint32_t> tokens, const DetokenizeOptions& options) {
  ACC_TRY_VOID(check_ids(tokenizer, tokens));
  return tokenizer.decode(tokens, {.skip_special = options.skip_special});
}

Result<std::vector<std::string>> pieces_of(const Tokenizer& tokenizer, std::span<const uint32_t> tokens) {
  ACC_TRY_VOID(check_ids(tokenizer, tokens));
  std::vector<std::string> pieces;
  pieces.reserve(tokens.size());
  for (const uint32_t token : tokens) pieces.emplace_back(tokenizer.token_bytes(token));
  return pieces;
}

EndpointInfo describe_endpoint(const EndpointParts& parts) {
  std::vector<std::string> notes = parts.program->notes();
  notes.insert(notes.end(), parts.notes.begin(), parts.notes.end());
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return {.name = parts.name,
          .path = parts.path,
          .family = parts.model->config.architecture,
          .quantization = parts.quantization.empty() ? std::string(dtype_traits(parts.model->main_dtype()).name) : parts.quantization,
          .target = parts.target,
          .created_unix_s = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since_epoch).count()),
          .parameters = parts.model->parameter_count(),
          .memory_bytes = parts.program->memory_bytes(),
          .matryoshka = parts.model->matryoshka,
          .matryoshka_dimensions = parts.model->matryoshka_dimensions,
          .kind = parts.program->kind(),
          .load_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - parts.started).count(),
          .notes = std::move(notes)};
}

}  // namespace accelerate
