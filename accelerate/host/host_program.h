// Host programs - a Model's Graph made ready to run on CPU threads: a decoder where it ends in logits, else an encoder.
//
//   HostBuild build{.model = model, .kernels = &native_kernels(isa), .threads = pool, .options = options};
//   ACC_TRY(std::unique_ptr<Program> program, build_host_program(build, progress, report));
//
// Shared by the backends that differ in their KernelTable only. The Program keeps the Model and the pool alive; the table
// has static lifetime, or its owner keeps the Program inside it. Several Programs may share a pool: their runs take turns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "accelerate/base/thread_pool.h"
#include "accelerate/core/backend.h"
#include "accelerate/core/graph.h"
#include "accelerate/host/plan.h"
#include "accelerate/host/sizing.h"
#include "accelerate/host/weights.h"
#include "accelerate/kernels/kernel_table.h"

namespace accelerate {

struct HostBuild {
  std::shared_ptr<const Model> model;
  const KernelTable* kernels = nullptr;
  std::shared_ptr<ThreadPool> threads;
  CompileOptions options;        // threads: the pool's count
  HostMachine machine;
  std::string kernel_notes;      // what the table does to activations in its default mode: "bf16 activations in prefill"; empty = floats
};

/// What a host program owns.
struct HostParts {
  std::shared_ptr<const Model> model;
  std::unique_ptr<const HostPlan> plan;
  std::unique_ptr<const Weights> weights;
  const KernelTable* kernels = nullptr;
  std::shared_ptr<ThreadPool> threads;
  Sizing sizing;
};

/// Plans, sizes, packs and allocates; appends lines for people to `report`. Errors as check_graph, make_plan,
/// choose_sizing, Weights::load, KvCache::create; cancelled by `progress`.
Result<std::unique_ptr<Program>> build_host_program(const HostBuild& build, Progress& progress, std::vector<std::string>& report);

}  // namespace accelerate
