#include "accelerate/host/sizing.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/buffer_size.h"
#include "accelerate/base/cpu.h"
#include "accelerate/base/limits.h"
#include "accelerate/core/quantization.h"
#include "accelerate/host/kv_cache.h"
#include "accelerate/host/weights.h"

namespace accelerate {
namespace {

uint64_t memory_of(const HostMachine& machine) {
  if (machine.memory_bytes != 0) return machine.memory_bytes;
  const CpuInfo cpu = cpu_info();
  uint64_t bytes = cpu.memory_available_bytes != 0 ? cpu.memory_available_bytes : cpu.memory_bytes;
  if (cpu.memory_limit_bytes != 0) bytes = std::min(bytes, cpu.memory_limit_bytes);
  return bytes != 0 ? bytes : UINT64_MAX;
}

// The pool's one Buffer; saturates as bytes_needed() does.
uint64_t kv_bytes(const HostPlan& plan, uint64_t tokens) {
  const uint64_t bytes = KvCache::bytes_needed(plan.kv_layers, tokens);
  return bytes > UINT64_MAX - kHugePageBytes ? bytes : buffer_size(bytes);
}

uint64_t whole_pages(uint64_t tokens) { return (tokens / kKvPageTokens + (tokens % kKvPageTokens != 0)) * kKvPageTokens; }

Result<void> check_options(const HostPlan& plan, const CompileOptions& options, const HostMachine& machine) {
  if (options.context > plan.context_max) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[host] the context is at most the model's {} tokens; got {}; try {} or less",
                                                     plan.context_max, options.context, plan.context_max)};
  }
  if (options.slots > limits::kSlotsMax) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[host] a program has at most {} slots; got {}", limits::kSlotsMax, options.slots)};
  }
  const uint32_t threads = options.threads != 0 ? options.threads : machine.threads;
  if (threads == 0 || threads > ThreadPool::kThreadsMax) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[host] threads are 1 to {}; got {}", ThreadPool::kThreadsMax, threads)};
  }
  return {};
}

/// The KV pool of a decoder: as asked, or one context as far as memory goes.
Result<void> choose_kv(const HostPlan& plan, const CompileOptions& options, uint64_t memory, Sizing& sizing) {
  const uint64_t rest = memory - sizing.memory.weights - sizing.memory.buffers;
  const uint64_t page_bytes = PagePool::page_bytes(plan.kv_layers);
  const uint64_t asked = options.kv_tokens != 0 ? options.kv_tokens : options.context;
  if (asked != 0) {
    const uint64_t tokens = options.kv_tokens != 0 ? asked : std::max<uint64_t>(asked, std::min<uint64_t>(kKvTokensDefaultMin, plan.context_max));
    sizing.kv_tokens = whole_pages(std::min<uint64_t>(tokens, UINT64_MAX - kKvPageTokens));
    const uint64_t bytes = kv_bytes(plan, sizing.kv_tokens);
    if (bytes > rest) {
      return Error{ErrorCode::kResourceExhausted,
                   fmt::format("[host] KV for {} tokens fits the memory that weights leave; got {} MiB wanted, {} MiB left; try a smaller context or KV",
                               sizing.kv_tokens, bytes >> 20, rest >> 20)};
    }
  } else {
    const uint64_t wanted = whole_pages(std::max<uint64_t>(plan.context_max, kKvTokensDefaultMin));
    const auto share = static_cast<uint64_t>(static_cast<double>(rest) * kKvMemoryShare);
    const uint64_t fitting = page_bytes == 0 ? wanted : share / page_bytes * kKvPageTokens;
    sizing.kv_tokens = std::min(wanted, fitting);
    if (sizing.kv_tokens == 0) {
      return Error{ErrorCode::kResourceExhausted, fmt::format("[host] a page of KV ({} KiB) fits half of the memory that weights leave; got {} KiB left",
                                                              page_bytes >> 10, rest >> 10)};
    }
    if (sizing.kv_tokens < wanted) {
      sizing.notes.push_back(fmt::format("KV for {} tokens: {} do not fit half of the {} MiB that weights leave", sizing.kv_tokens, wanted, rest >> 20));
    }
  }
  sizing.memory.kv = kv_bytes(plan, sizing.kv_tokens);
  if (sizing.kv_tokens < sizing.executor.context_max) {
    sizing.notes.push_back(fmt::format("context of {} tokens instead of {}: that is all the KV there is", sizing.kv_tokens, sizing.executor.context_max));
    sizing.executor.context_max = static_cast<uint32_t>(sizing.kv_tokens);
  }
  return {};
}

}  // namespace

Result<Sizing> choose_sizing(const Model& model, const HostPlan& plan, const CompileOptions& options, const HostMachine& machine) {
  ACC_TRY_VOID(check_options(plan, options, machine));
  Sizing sizing;
  sizing.threads = options.threads != 0 ? options.threads : machine.threads;
  const bool decoder = plan.output == Output::Kind::kLogits;
  Executor::Options& executor = sizing.executor;
  executor.context_max = options.context != 0 ? options.context : plan.context_max;
  executor.rowwise = options.deterministic;
  if (options.deterministic) sizing.notes.push_back("deterministic: the same request gives the same tokens whatever else runs, on this instruction set");
  if (decoder) {
    sizing.slots = options.slots != 0 ? options.slots : kSlotsDefault;
    executor.rows_max = kBatchTokensMax;
    executor.sequences_max = std::min(sizing.slots, executor.rows_max);
  } else {
    if (model.embedding_tokens_max != 0) executor.context_max = std::min(executor.context_max, model.embedding_tokens_max);
    executor.rows_max = std::max(kBatchTokensMax, executor.context_max);
    executor.sequences_max = kEncoderSequencesMax;
    sizing.kv_tokens = (uint64_t{executor.rows_max} / kKvPageTokens + kEncoderSequencesMax) * kKvPageTokens;
    sizing.memory.kv = kv_bytes(plan, sizing.kv_tokens);
  }
  const uint64_t memory = memory_of(machine);
  ACC_TRY(sizing.quantization, quantization_to_apply(model, options.quantization));
  sizing.memory.weights = buffer_size(Weights::bytes_needed(model, plan, sizing.quantization));
  sizing.memory.buffers = Executor::bytes_needed(plan, sizing.threads, executor);
  if (sizing.memory.total() > memory) {
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("[host] a model fits the memory; got {} MiB of weights and {} MiB of buffers for {} MiB; try a smaller quantization",
                             sizing.memory.weights >> 20, (sizing.memory.buffers + sizing.memory.kv) >> 20, memory >> 20)};
  }
  if (decoder) ACC_TRY_VOID(choose_kv(plan, options, memory, sizing));
  sizing.memory.buffers = Executor::bytes_needed(plan, sizing.threads, executor);
  return sizing;
}

Result<MemoryEstimate> estimate_memory(const Model& model, const CompileOptions& options, const HostMachine& machine) {
  if (!model.graph) return Error{ErrorCode::kFailedPrecondition, "[host] a model has a graph when it is sized; got none"};
  ACC_TRY_VOID(check_graph(*model.graph, model));
  ACC_TRY(const HostPlan plan, make_plan(*model.graph, options.precision));
  ACC_TRY(const Sizing sizing, choose_sizing(model, plan, options, machine));
  return sizing.memory;
}

}  // namespace accelerate
