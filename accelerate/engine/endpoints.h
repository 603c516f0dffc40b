// The engine's own Endpoints: one around DecoderPrograms with their schedulers, one around an EncoderProgram.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "accelerate/engine/candidates.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/engine/fallback.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {

struct EndpointParts {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Program> program;
  std::string name, path, target;
  std::chrono::steady_clock::time_point started;  // of loading, for EndpointInfo::load_ms
  bool reuse_prefixes = true;                     // decoders: SchedulerOptions
  std::vector<Candidate> candidates = {};         // in the order of the Plan, `target` among them; empty = nothing is ever started again
  std::vector<StartedProgram> together = {};      // decoders: further Programs that answer beside `program`
  Fallback fallback = Fallback::kAllow;
  ShrinkOptions shrink = {};
  PoolLimits limits = {};
  std::vector<std::string> notes = {};            // for EndpointInfo::notes, behind the program's own
  std::string quantization{};                     // of the program's weights; empty = the file's
};

/// By the program's kind. failed_precondition when the model has no tokenizer; unimplemented for other kinds of program.
Result<std::shared_ptr<Endpoint>> make_endpoint(EndpointParts parts);

Result<std::shared_ptr<Endpoint>> make_decoder_endpoint(EndpointParts parts);
Result<std::shared_ptr<Endpoint>> make_encoder_endpoint(EndpointParts parts);

/// What both kinds do with token ids: invalid_argument naming the first that is outside the vocabulary.
Result<std::string> detokenize_checked(const Tokenizer& tokenizer, std::span<const uint32_t> tokens, const DetokenizeOptions& options);
Result<std::vector<std::string>> pieces_of(const Tokenizer& tokenizer, std::span<const uint32_t> tokens);

/// What both kinds say of themselves; kind, context and width are the caller's to fill.
EndpointInfo describe_endpoint(const EndpointParts& parts);

}  // namespace accelerate
