#include "accelerate/host/executor.h"

#include <algorithm>

#include "accelerate/base/buffer_size.h"

namespace accelerate {
namespace {

// Rows that go through a run of row steps together: 16 rows x 576 floats x 3 values fit the L1 and L2 caches.
constexpr uint32_t kRowBlock = 16;

Arena::Options arena_options(uint32_t workers, const Executor::Options& options) {
  return {.rows_max = options.rows_max, .workers = workers, .context_max = options.context_max, .rowwise = options.rowwise};
}

}  // namespace

uint64_t Executor::bytes_needed(const HostPlan& plan, uint32_t threads, const Options& options) {
  uint64_t bytes = buffer_size(Arena::bytes_needed(plan, arena_options(threads, options)));
  for (const RopeTableSpec& spec : plan.rope_tables) bytes += buffer_size(RopeTable::bytes_needed(spec, options.context_max));
  return bytes;
}

Result<std::unique_ptr<Executor>> Executor::create(const HostPlan& plan, const Weights& weights, const PagePool& pages,
                                                   const KernelTable& kernels, ThreadPool& threads, const Options& options) {
  CHECK(options.rows_max > 0 && options.sequences_max > 0 && options.context_max > 0, "an executor has room for a token");
  std::unique_ptr<Executor> executor(new Executor(threads, options));
  RunState& state = executor->state_;
  state.plan = &plan;
  state.weights = &weights;
  state.kernels = &kernels;
  state.pool = &pages;
  state.mode = plan.exact ? MatmulMode::kExact : MatmulMode::kDefault;
  state.rowwise = options.rowwise;
  ACC_TRY(state.arena, Arena::create(plan, arena_options(threads.size(), options)));
  for (const RopeTableSpec& spec : plan.rope_tables) {
    ACC_TRY(RopeTable table, RopeTable::create(spec, options.context_max));
    executor->ropes_.push_back(std::move(table));
  }
  state.row_sequence.resize(options.rows_max);
  state.row_position.resize(options.rows_max);
  state.row_segment.resize(options.rows_max);
  state.cosines.assign(plan.rope_tables.size(), std::vector<const float*>(options.rows_max));
  state.sines = state.cosines;
  state.blocks.reserve(options.rows_max / kAttentionRowBlock + options.sequences_max + 1);
  state.counters = std::vector<TaskCounter>(plan.attention_steps);
  state.claims = std::vector<TaskCounter>(size_t{plan.matmul_steps} * threads.size());
  executor->finite_.resize(size_t{threads.size()} * state.arena.logit_rows());
  return executor;
}

uint64_t Executor::bytes() const {
  uint64_t bytes = state_.arena.bytes();
  for (const RopeTable& table : ropes_) bytes += table.bytes();
  return bytes;
}

void Executor::take(const Batch& batch) {
  CHECK(!batch.tokens.empty() && batch.tokens.size() <= options_.rows_max && batch.sequences.size() <= options_.sequences_max,
        "a batch fits the executor");
  state_.batch = batch;
  state_.rows = static_cast<uint32_t>(batch.tokens.size());
  state_.few = state_.rows <= kReplicatedRowsMax;
  uint32_t row = 0;
  for (uint32_t s = 0; s < batch.sequences.size(); ++s) {
    const Sequence& sequence = batch.sequences[s];
    CHECK(sequence.row_begin == row && sequence.position + sequence.rows <= options_.context_max, "sequences cover a batch in order");
    for (uint32_t i = 0; i < sequence.rows; ++i, ++row) {
      state_.row_sequence[row] = s;
      state_.row_position[row] = sequence.position + i;
      state_.row_segment[row] = sequence.position + i >= sequence.second_begin ? 1 : 0;
    }
    for (RopeTable& table : ropes_) table.fill(sequence.position + sequence.rows);
  }
  CHECK(row == state_.rows, "sequences cover all tokens of a batch");
  for (size_t t = 0; t < ropes_.size(); ++t) {
    for (uint32_t r = 0; r < state_.rows; ++r) {
      state_.cosines[t][r] = ropes_[t].cosines(state_.row_position[r]);
      state_.sines[t][r] = ropes_[t].sines(state_.row_position[r]);
    }
  }
  plan_attention(state_);
  reset_claims(state_);
}

Result<void> Executor::run(const Batch& batch, const StepControl& control) {
  take(batch);
  stop_at_.store(0, std::memory_order_relaxed);
  threads_.run([this, &control](const PoolWorker& worker) { walk(worker, control); });
  if (stop_at_.load(std::memory_order_relaxed) == 0) return {};
  const bool asked = control.stop && control.stop->load(std::memory_order_relaxed);
  return Error{asked ? ErrorCode::kCancelled : ErrorCode::kDeadlineExceeded,
               asked ? "[host] a step runs to its end; got a stop between two layers" : "[host] a step ends before its deadline; got a later time between two layers"};
}

/// Meets the others where the plan says so; true when the run is to be left. Worker 0 decides before the barrier in front
/// of an attention step, all act on it behind. The step's own number tells a decision for this one from one for the next,
/// which worker 0 may already have made.
bool Executor::meet_or_leave(const PoolWorker& worker, const PlannedStep& planned, const StepControl& control) {
  const AttentionStep* attention = std::get_if<AttentionStep>(&planned.step);
  const bool barrier = state_.few ? planned.barrier_few : planned.barrier_many;
  if (!barrier) return false;
  if (attention && worker.index == 0 && control.should_stop()) stop_at_.store(attention->ordinal + 1, std::memory_order_relaxed);
  worker.barrier();
  return attention && stop_at_.load(std::memory_order_relaxed) == attention->ordinal + 1;
}

void Executor::walk(const PoolWorker& worker, const StepControl& control) {
  const std::vector<PlannedStep>& steps = state_.plan->steps;
  const WorkerShare share{worker.index, worker.count};
  for (size_t i = 0; i < steps.size();) {
    if (meet_or_leave(worker, steps[i], control)) return;
    if (const MatmulStep* matmul = std::get_if<MatmulStep>(&steps[i].step)) {
      run_matmul_step(state_, *matmul, share);
      ++i;
    } else if (const AttentionStep* attention = std::get_if<AttentionStep>(&steps[i].step)) {
      run_attention_step(state_, *attention, share);
      ++i;
    } else {
      size_t end = i + 1;
      while (end < steps.size() && is_row_step(steps[end].step) && !(state_.few ? steps[end].barrier_few : steps[end].barrier_many)) ++end;
      run_rows(i, end, share);
      i = end;
    }
  }
}

void Executor::run_rows(size_t begin, size_t end, WorkerShare worker) {
  const RowRange mine = state_.few ? RowRange{0, state_.rows} : worker.of(state_.rows);
  for (uint32_t row = mine.begin; row < mine.end; row += kRowBlock) {
    const RowRange block{row, std::min(mine.end, row + kRowBlock)};
    for (size_t i = begin; i < end; ++i) run_row_step(state_, state_.plan->steps[i].step, worker, block);
  }
}

void Executor::head(const PoolWorker& worker, std::span<const uint32_t> rows) {
  const HostPlan& plan = *state_.plan;
  const Arena& arena = state_.arena;
  const auto count = static_cast<uint32_t>(rows.size());
  const bool few = count <= kReplicatedRowsMax;
  const WorkerShare share{worker.index, worker.count};
  float* x = few ? arena.own_gathered(worker.index) : arena.gathered();
  const RowRange mine = few ? RowRange{0, count} : share.of(count);
  for (uint32_t row = mine.begin; row < mine.end; ++row) {
    const float* from = state_.at(plan.result, worker.index) + rows[row] * state_.stride(plan.result);
    std::copy_n(from, plan.result.width, x + row * arena.gathered_stride());
  }
  const MatmulInput input{.x = x, .x_stride = arena.gathered_stride(), .m = count, .k = plan.result.width, .mode = state_.mode, .rowwise = state_.rowwise};
  std::byte* prepared = few ? arena.own_scratch(worker.index) : arena.scratch();
  state_.kernels->matmul_prepare(input, prepared, mine.begin, mine.end);
  if (!few) worker.barrier();
  const RowRange strips = share.of((plan.head_columns + kColumnBlock - 1) / kColumnBlock);
  const uint32_t begin = strips.begin * kColumnBlock, end = std::min(plan.head_columns, strips.end * kColumnBlock);
  uint8_t* finite = finite_.data() + size_t{worker.index} * arena.logit_rows();
  std::fill_n(finite, count, uint8_t{1});
  if (begin >= end) return;
  state_.kernels->matmul({.weight = &state_.weights->matrix(*plan.head), .bias = nullptr, .input = input, .prepared = prepared,
                          .out = arena.logits(), .out_stride = arena.logits_stride(), .add = false},
                         begin, end);
  for (uint32_t row = 0; row < count; ++row) {
    float* at = arena.logits() + row * arena.logits_stride() + begin;
    finite[row] = state_.kernels->all_finite(at, end - begin);  // before the softcap, whose tanh would hide an infinity
    if (plan.head_softcap <= 0) continue;
    for (uint32_t i = 0; i < end - begin; ++i) at[i] /= plan.head_softcap;
    state_.kernels->activate(UnaryFunction::kTanh, at, at, end - begin);
    for (uint32_t i = 0; i < end - begin; ++i) at[i] *= plan.head_softcap;
  }
}

LogitRows Executor::logits(std::span<const uint32_t> rows) {
  CHECK(state_.plan->head && !rows.empty() && rows.size() <= logit_rows_max(), "logits of a few rows of a plan with a head");
  threads_.run([this, &rows](const PoolWorker& worker) { head(worker, rows); });
  for (size_t row = 0; row < rows.size(); ++row) {
    for (uint32_t worker = 1; worker < threads_.size(); ++worker) finite_[row] &= finite_[size_t{worker} * logit_rows_max() + row];
  }
  return {state_.arena.logits(), state_.arena.logits_stride(), {finite_.data(), rows.size()}};
}

std::span<const float> Executor::hidden_row(uint32_t row) const {
  const Place& result = state_.plan->result;
  return {state_.at(result, 0) + row * state_.stride(result), result.width};
}

}  // namespace accelerate
