// The null backend: answers by a script, and fails when told to. For tests of everything above a backend: it is in no
// binary's registry, and a test that wants it hands make_null_backend to its Engine (tests/conformance/faults_test.cc).
//
//   set_null_script({.tokens = {5, 6, 7}, .end_token = 2, .fault = NullFault::kCallError, .fault_step = 4});
//   auto backend = make_null_backend(context);
//
// Logits: position p of a slot (tokens before and with the input's) wants script token p - (length of the slot's first
// input) + 1, then end_token; without a script, (token + 1) mod vocabulary. The wanted token has logit kNullPeak, others 0.
// Vectors of the encoder: value i of text t is sin(1 + i + sum of t's token ids), divided by the length.
// A program takes a copy of the script when it is compiled. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "accelerate/core/backend.h"

namespace accelerate {

inline constexpr float kNullPeak = 20.0f;
inline constexpr uint32_t kNullVectorWidth = 8;

enum class NullFault : uint8_t {
  kNone,
  kCallError,  // step() fails with internal: the program is dead, later steps fail too
  kSlotError,  // every input of the step gets a status error
  kNan,        // the logits hold a NaN, which step() finds: a status error
  kHang,       // step() returns only when it is stopped or past its deadline
};

struct NullScript {
  std::vector<uint32_t> tokens;      // of every answer, in order; empty = count upwards
  uint32_t end_token = 2;
  uint32_t vocabulary = 0;           // 0 = the model's (graph, else config), else kNullVocabulary
  std::chrono::microseconds step_delay{0};
  NullFault fault = NullFault::kNone;
  uint64_t fault_step = 0;           // counted from 0 over the program's life
  uint32_t slots = 4;                // where CompileOptions does not say
  uint32_t context = 4096;
  uint64_t kv_tokens = 1 << 16;
  bool encoder = false;              // compile() gives an EncoderProgram even for a graph that ends in logits
};
inline constexpr uint32_t kNullVocabulary = 256;

/// What programs compiled from now on do.
void set_null_script(NullScript script);

std::unique_ptr<Backend> make_null_backend(BackendContext& context);

}  // namespace accelerate
