// The Endpoint around a TextProgram: whoever runs the model does tokens, templates and sampling itself (an upstream, a foreign
// server); here are limits, cancelling and counting.
//
//   ACC_TRY(std::shared_ptr<Endpoint> endpoint, make_text_endpoint({.model = model, .program = std::move(program), .info = info}));
//   ACC_TRY(std::shared_ptr<Stream> stream, endpoint->generate({.messages = {{"user", "Hello"}}}));
//
// generate() returns at once; a thread a request runs the program. At most kTextRequestsMax run, the next one gets
// resource_exhausted. A cancelled Stream stops the program through StepControl::stop within 20 ms; close() cancels all and
// waits for them. Tokenizing, embedding and templates are unimplemented: they are the other side's.
#pragma once

#include <memory>
#include <span>

#include "accelerate/core/backend.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/engine/planner.h"

namespace accelerate {

inline constexpr uint32_t kTextRequestsMax = 256;  // at once: each is a thread and a connection

struct TextEndpointParts {
  std::unique_ptr<TextProgram> program;
  EndpointInfo info;  // kind and chat are filled here
};
std::shared_ptr<Endpoint> make_text_endpoint(TextEndpointParts parts);

struct RelayOpening {
  std::shared_ptr<const Model> model;  // of make_relay_model()
  std::string name, path;
  const CompileOptions& compile;
  std::span<const ProbedBackend> backends;
  std::chrono::steady_clock::time_point started;
  std::vector<std::string> notes = {};  // for EndpointInfo::notes, behind the program's own
};
/// Finds the backend that says yes to a model of an upstream, asks the upstream whether it lists the model, and makes the endpoint.
Result<std::shared_ptr<Endpoint>> open_relay_endpoint(const RelayOpening& opening, Progress& progress);

}  // namespace accelerate
