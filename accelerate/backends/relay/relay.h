// The relay backend: a TextProgram over any OpenAI-compatible upstream: llama-server, vLLM, Ollama, another ipfs-accelerate, a
// cloud's URL.
//
//   // engine/relay_model.h makes the Model: format "relay", config.name = the upstream's id of the model,
//   // config.other = {"relay.name": "up", "relay.url": "http://host:8080/v1"}
//   ACC_TRY(Compiled relay, backend->compile(model, device, {}, progress));   // asks GET {url}/models whether it is listed
//
// It says no to every Model with weights of its own, so it is never chosen for one: text leaves the machine only for a model
// whose name says so. The key is read from IPFS_ACCELERATE_RELAY_<NAME>_KEY when a program is made, and goes only over https
// or to this machine. Programs: calls run side by side; a call ends within 100 ms of StepControl::stop, and with it the
// connection. alive() asks GET {url}/models, at most every kRelayHealthInterval. What is not passed on: relay_request.h.
#pragma once

#include <chrono>
#include <memory>

#include "accelerate/core/backend.h"

namespace accelerate {

inline constexpr std::chrono::milliseconds kRelayConnectMax{10'000};
inline constexpr std::chrono::milliseconds kRelayIdleMax{300'000};   // a long prompt on a slow machine says nothing for minutes
inline constexpr std::chrono::milliseconds kRelayModelsMax{10'000};  // GET /models as a whole
inline constexpr std::chrono::milliseconds kRelayHealthInterval{5'000};

std::unique_ptr<Backend> make_relay_backend(BackendContext& context);

}  // namespace accelerate
