// Sizing - how much of everything a compiled model gets: context, slots, KV, batch; and the memory that takes, before loading.
//
//   ACC_TRY(const Sizing sizing, choose_sizing(model, plan, options, machine));
//   sizing.memory.total();  sizing.notes;      // "KV for 4096 tokens: one context of 8192 does not fit half of the memory left"
//
// Pure arithmetic over the model and the options; nothing is allocated.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "accelerate/core/backend.h"
#include "accelerate/host/executor.h"
#include "accelerate/host/plan.h"

namespace accelerate {

inline constexpr uint32_t kSlotsDefault = 32;
inline constexpr uint32_t kSlotsKeptMax = 128;  // a page list each: 4 bytes for 64 tokens of context
// KV pool where nobody says: one context, but at least this many tokens, so that several short contexts run side by side ...
inline constexpr uint64_t kKvTokensDefaultMin = 8192;
// ... and at most this share of the memory that weights and buffers leave: the rest is for the process and its neighbours.
inline constexpr double kKvMemoryShare = 0.5;
inline constexpr uint32_t kEncoderSequencesMax = 64;  // texts of one batch: bounds the pages that hold a few tokens each

/// What the process has to spend.
struct HostMachine {
  uint32_t threads = 1;
  uint64_t memory_bytes = 0;  // 0 = what is available now, by /proc and cgroup
};

struct Sizing {
  uint32_t threads = 1;
  uint32_t slots = 0;          // decoders
  uint64_t kv_tokens = 0;      // of the pool, whole pages
  Executor::Options executor;  // rows, sequences, context
  MemoryEstimate memory;
  std::optional<DType> quantization;  // that weights become; nothing = the file's own
  std::vector<std::string> notes;
};

/// invalid_argument for options beyond a limit and a quantization that is none; out_of_range for a context beyond the model's; resource_exhausted when
/// weights and buffers, or a KV that was asked for, do not fit the memory.
Result<Sizing> choose_sizing(const Model& model, const HostPlan& plan, const CompileOptions& options, const HostMachine& machine);

/// Plans the model's graph and sizes it: what a backend's supports() reports. Errors as check_graph, make_plan, choose_sizing.
Result<MemoryEstimate> estimate_memory(const Model& model, const CompileOptions& options, const HostMachine& machine);

}  // namespace accelerate
