#include "accelerate/host/plan.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "accelerate/kernels/matmul/matmul.h"

namespace accelerate {
namespace {

constexpr uint32_t kHeadWidthMultiple = 16;  // what attention kernels want
constexpr size_t kNever = SIZE_MAX;

UnaryFunction unary_of(Activation activation) { return static_cast<UnaryFunction>(activation); }
static_assert(static_cast<int>(Activation::kSilu) == static_cast<int>(UnaryFunction::kSilu) &&
              static_cast<int>(Activation::kGeluTanh) == static_cast<int>(UnaryFunction::kGeluTanh) &&
              static_cast<int>(Activation::kGeluErf) == static_cast<int>(UnaryFunction::kGeluErf) &&
              static_cast<int>(Activation::kRelu) == static_cast<int>(UnaryFunction::kRelu) &&
              static_cast<int>(Activation::kTanh) == static_cast<int>(UnaryFunction::kTanh));

bool same(const RopeConfig& a, const RopeConfig& b) {
  return a.base == b.base && a.scaling == b.scaling && a.factor == b.factor && a.low_frequency_factor == b.low_frequency_factor &&
         a.high_frequency_factor == b.high_frequency_factor && a.original_context == b.original_context;
}

bool same(const KvLayout& a, const KvLayout& b) { return a.kv_heads == b.kv_heads && a.head_width == b.head_width && a.half == b.half; }

uint32_t index_of(std::vector<uint32_t>& list, uint32_t value) {
  const auto found = std::find(list.begin(), list.end(), value);
  if (found != list.end()) return static_cast<uint32_t>(found - list.begin());
  list.push_back(value);
  return static_cast<uint32_t>(list.size() - 1);
}

/// Walks the ops and emits steps whose Places hold value indices instead of buffers; assign_buffers resolves them.
class Planner {
 public:
  Planner(const Graph& graph, Precision precision) : graph_(graph) {
    plan_.exact = precision == Precision::kExact;
    for (const ValueInfo& value : graph.values) values_.push_back({.buffer = 0, .width = value.width, .replicated = false});
  }

  Result<HostPlan> make() {
    plan_.context_max = graph_.context;
    plan_.tokens_known = UINT32_MAX;
    std::vector<bool> merged(graph_.ops.size(), false);
    for (size_t i = 0; i < graph_.ops.size(); ++i) {
      if (merged[i]) continue;
      if (const Linear* linear = std::get_if<Linear>(&graph_.ops[i])) {
        emit_linears(*linear, i, merged);
      } else {
        ACC_TRY_VOID(std::visit([&](const auto& op) { return emit(op); }, graph_.ops[i]));
      }
    }
    if (plan_.context_max == 0) return Error{ErrorCode::kDataLoss, "[host] a graph says how many tokens a sequence may have; got 0"};
    if (plan_.output == Output::Kind::kLogits && !plan_.head) {
      return Error{ErrorCode::kUnimplemented, "[host] logits come from a head; got an Output of logits without one"};
    }
    assign_buffers();
    place_barriers(plan_);
    return std::move(plan_);
  }

 private:
  Place read(ValueId value) const { return values_[value.index]; }
  /// The place of `value`, which the step being emitted writes. Until assign_buffers, `buffer` is the value's index.
  Place write(ValueId value, bool by_rows) {
    values_[value.index].buffer = value.index;
    values_[value.index].replicated = by_rows;
    return values_[value.index];
  }
  /// A value of the plan's own, written by a product.
  Place temporary(uint32_t width) {
    values_.push_back({.buffer = static_cast<uint32_t>(values_.size()), .width = width, .replicated = false});
    return values_.back();
  }
  void add(Step step) {
    if (MatmulStep* matmul = std::get_if<MatmulStep>(&step)) matmul->ordinal = plan_.matmul_steps++;
    plan_.steps.push_back({.step = std::move(step)});
  }
  uint32_t vector(WeightId weight) { return index_of(plan_.vectors, weight.index); }
  uint32_t matrix(WeightId weight) { return index_of(plan_.matrices, weight.index); }
  uint32_t rows_of(WeightId weight) const { return static_cast<uint32_t>(std::min<uint64_t>(graph_.weights[weight.index].shape[0], UINT32_MAX)); }
  std::optional<uint32_t> vector_if(const std::optional<WeightId>& weight) {
    return weight ? std::optional(vector(*weight)) : std::nullopt;
  }
  void add_prepare(const Place& x) {
    plan_.matmul_depth_max = std::max(plan_.matmul_depth_max, x.width);
    add(PrepareStep{x});
  }

  Result<void> emit(const TokenEmbedding& op) {
    plan_.tokens_known = std::min(plan_.tokens_known, rows_of(op.table));
    add(EmbedStep{index_of(plan_.tables, op.table.index), op.scale, write(op.out, true)});
    return {};
  }
  Result<void> emit(const PositionEmbedding& op) {
    const uint32_t rows = rows_of(op.table);
    if (rows <= op.offset) {
      return Error{ErrorCode::kDataLoss, fmt::format("[host] a position table has rows behind its offset; got {} rows, offset {}", rows, op.offset)};
    }
    plan_.context_max = std::min(plan_.context_max, rows - op.offset);
    const Place x = read(op.x);
    add(AddTableStep{x, index_of(plan_.tables, op.table.index), TableRow::kPosition, op.offset, write(op.out, true)});
    return {};
  }
  Result<void> emit(const RowEmbedding& op) {
    if (op.row >= rows_of(op.table)) {
      return Error{ErrorCode::kDataLoss, fmt::format("[host] an embedding row is inside its table; got row {} of {}", op.row, rows_of(op.table))};
    }
    const Place x = read(op.x);
    add(AddTableStep{x, index_of(plan_.tables, op.table.index), TableRow::kFixed, op.row, write(op.out, true)});
    return {};
  }
  Result<void> emit(const SegmentEmbedding& op) {
    const Place x = read(op.x);
    add(AddTableStep{x, index_of(plan_.tables, op.table.index), TableRow::kSegment, 0, write(op.out, true)});
    return {};
  }
  Result<void> emit(const RmsNorm& op) {
    const Place x = read(op.x);
    const uint32_t group = op.group == 0 ? x.width : op.group;
    add(RmsNormStep{x, vector(op.weight), group, op.epsilon, op.weight_offset, write(op.out, true)});
    return {};
  }
  Result<void> emit(const LayerNorm& op) {
    const Place x = read(op.x);
    add(LayerNormStep{x, vector(op.weight), vector(op.bias), op.epsilon, write(op.out, true)});
    return {};
  }
  Result<void> emit(const Add& op) {
    const Place a = read(op.a), b = read(op.b);
    add(AddStep{a, b, write(op.out, true)});
    return {};
  }
  Result<void> emit(const Activate& op) {
    const Place x = read(op.x);
    add(ActivateStep{x, unary_of(op.activation), write(op.out, true)});
    return {};
  }
  Result<void> emit(const Rope& op) {
    uint32_t table = 0;
    while (table < plan_.rope_tables.size() &&
           !(same(plan_.rope_tables[table].config, op.frequencies) && plan_.rope_tables[table].rotated == op.rotated)) {
      ++table;
    }
    if (table == plan_.rope_tables.size()) plan_.rope_tables.push_back({op.frequencies, op.rotated});
    const Place x = read(op.x);
    add(RopeStep{x, op.heads, op.head_width, op.rotated, op.style == RopeStyle::kInterleaved, table, write(op.out, true)});
    return {};
  }
  Result<void> emit(const Linear&) { CHECK(false, "linears are emitted in groups"); }

  void emit_linears(const Linear& first, size_t at, std::vector<bool>& merged) {
    MatmulStep step{.x = read(first.x), .parts = {}};
    const size_t end = std::min(graph_.ops.size(), at + kMergeWindowOps);
    for (size_t i = at; i < end; ++i) {
      const Linear* linear = std::get_if<Linear>(&graph_.ops[i]);
      if (!linear || merged[i] || linear->x.index != first.x.index) continue;
      merged[i] = true;
      step.parts.push_back({matrix(linear->weight), vector_if(linear->bias), rows_of(linear->weight), write(linear->out, false)});
    }
    add_prepare(step.x);
    add(std::move(step));
  }

  Result<void> emit(const GatedMlp& op) {
    const Place x = read(op.x), gate = temporary(rows_of(op.gate)), up = temporary(rows_of(op.up));
    add_prepare(x);
    add(MatmulStep{.x = x, .parts = {{matrix(op.gate), std::nullopt, gate.width, gate}, {matrix(op.up), std::nullopt, up.width, up}},
                   .epilogue = Epilogue::kGate, .function = unary_of(op.activation)});
    add_prepare(gate);
    const Place out = write(op.out, false);
    add(MatmulStep{.x = gate, .parts = {{matrix(op.down), std::nullopt, out.width, out}}});
    return {};
  }
  Result<void> emit(const Mlp& op) {
    const Place x = read(op.x), up = temporary(rows_of(op.up));
    add_prepare(x);
    add(MatmulStep{.x = x, .parts = {{matrix(op.up), vector_if(op.up_bias), up.width, up}},
                   .epilogue = Epilogue::kActivate, .function = unary_of(op.activation)});
    add_prepare(up);
    const Place out = write(op.out, false);
    add(MatmulStep{.x = up, .parts = {{matrix(op.down), vector_if(op.down_bias), out.width, out}}});
    return {};
  }
  Result<void> emit(const Attention& op) {
    if (plan_.attention_steps > 0 && op.cache.has_value() != plan_.cached) {
      return Error{ErrorCode::kUnimplemented, "[host] attention ops all have a KV cache or none has; got some with, some without"};
    }
    plan_.cached = op.cache.has_value();
    const uint32_t padded = (op.head_width + kHeadWidthMultiple - 1) / kHeadWidthMultiple * kHeadWidthMultiple;
    ACC_TRY(const uint32_t layer, kv_layer(op, {op.kv_heads, padded, !plan_.exact}));
    add(StoreStep{read(op.k), read(op.v), layer, op.head_width});
    const Place q = read(op.q);
    add(AttentionStep{q, layer, op.heads, op.head_width, op.scale, op.softcap, op.causal, op.window, plan_.attention_steps++,
                      write(op.out, false)});
    return {};
  }
  Result<uint32_t> kv_layer(const Attention& op, const KvLayout& layout) {
    auto& layers = plan_.kv_layers;
    if (op.cache) {
      if (*op.cache != layers.size()) {
        return Error{ErrorCode::kInternal, fmt::format("[host] KV layers are numbered in order; got {} as number {}", *op.cache, layers.size())};
      }
      layers.push_back(layout);
      return static_cast<uint32_t>(layers.size() - 1);
    }
    const auto found = std::find_if(layers.begin(), layers.end(), [&](const KvLayout& other) { return same(other, layout); });
    if (found != layers.end()) return static_cast<uint32_t>(found - layers.begin());
    layers.push_back(layout);
    return static_cast<uint32_t>(layers.size() - 1);
  }
  Result<void> emit(const Output& op) {
    plan_.output = op.kind;
    plan_.result = read(op.x);
    if (op.kind == Output::Kind::kLogits && op.head) {
      plan_.head = matrix(*op.head);
      plan_.head_columns = rows_of(*op.head);
      plan_.head_softcap = op.softcap;
      plan_.matmul_depth_max = std::max(plan_.matmul_depth_max, plan_.result.width);
    }
    return {};
  }

  /// Linear scan: a value holds its buffer from the step that writes it to its last reader. Row steps may write where they
  /// read (same rows, same worker); products and attention may not.
  void assign_buffers() {
    std::vector<size_t> last_read(values_.size(), 0);
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      for_each_place(plan_.steps[i].step, [&](Place& place, Access) { last_read[place.buffer] = i; });
    }
    const uint32_t result = plan_.result.buffer;
    last_read[result] = kNever;
    std::vector<uint32_t> buffer_of(values_.size(), 0);
    std::vector<bool> freed(values_.size(), false);
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      Step& step = plan_.steps[i].step;
      const bool in_place = is_row_step(step);
      const auto release_dead = [&](Access which) {
        for_each_place(step, [&](Place& place, Access access) {
          if (access != which || last_read[place.buffer] > i || freed[place.buffer]) return;
          freed[place.buffer] = true;
          free_.push_back(buffer_of[place.buffer]);
        });
      };
      if (in_place) release_dead(Access::kRead);
      for_each_place(step, [&](Place& place, Access access) {
        if (access == Access::kWrite) buffer_of[place.buffer] = take_buffer(place.width);
      });
      if (!in_place) release_dead(Access::kRead);
      release_dead(Access::kWrite);  // written, read by nobody
    }
    for (PlannedStep& planned : plan_.steps) {
      for_each_place(planned.step, [&](Place& place, Access) { place.buffer = buffer_of[place.buffer]; });
    }
    plan_.result.buffer = buffer_of[result];
  }

  /// The narrowest free buffer that is wide enough, the last freed of several (an input of the same step: its row is in the
  /// nearest cache), else a new one.
  uint32_t take_buffer(uint32_t width) {
    auto& widths = plan_.buffer_widths;
    auto chosen = free_.rend();
    for (auto at = free_.rbegin(); at != free_.rend(); ++at) {
      if (widths[*at] >= width && (chosen == free_.rend() || widths[*at] < widths[*chosen])) chosen = at;
    }
    if (chosen == free_.rend()) {
      widths.push_back(width);
      return static_cast<uint32_t>(widths.size() - 1);
    }
    const uint32_t buffer = *chosen;
    free_.erase(std::next(chosen).base());
    return buffer;
  }

  const Graph& graph_;
  HostPlan plan_;
  std::vector<Place> values_;
  std::vector<uint32_t> free_;
};

}  // namespace

bool is_row_step(const Step& step) { return !std::holds_alternative<MatmulStep>(step) && !std::holds_alternative<AttentionStep>(step); }

Result<HostPlan> make_plan(const Graph& graph, Precision precision) { return Planner(graph, precision).make(); }

}  // namespace accelerate
