// HostPlan - a Graph resolved for CPU threads: small steps in order, values placed in reused buffers, barriers known.
//
//   ACC_TRY(HostPlan plan, make_plan(graph, Precision::kDefault));
//   for (const PlannedStep& step : plan.steps) ...
//
// Work is split in one of two ways, chosen by the number of rows (tokens) of a batch:
//   many rows: norms, sums and rotations by rows, a contiguous share each; matrix products by columns.
//   few rows (at most kReplicatedRowsMax, the case of decoding): every worker computes the norms, sums and rotations of all
//   rows in memory of its own; a norm of a row costs less than meeting at a barrier. Only matrix products and attention
//   are shared out. A Llama layer then meets six times, and ten times with many rows.
// Linears that read the same value (q, k, v) become one product over the concatenated columns. A value's buffer is given
// to the next one when its last reader is done; barriers stand only where two workers touch the same buffer.
// Plain data; immutable once made.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "accelerate/core/backend.h"
#include "accelerate/core/graph.h"
#include "accelerate/kernels/attention/attention.h"
#include "accelerate/kernels/elementwise/elementwise.h"

namespace accelerate {

inline constexpr uint32_t kBatchTokensMax = 512;    // rows of one pass: weights are read once for as many as stay in the caches
inline constexpr uint32_t kReplicatedRowsMax = 8;   // the kernels' own bound for few rows
inline constexpr uint32_t kMergeWindowOps = 12;     // how far behind a Linear another one that reads the same value is sought

/// Where a value lives. `replicated`: when rows are few, each worker has its own copy (written by a row step).
struct Place {
  uint32_t buffer = 0;
  uint32_t width = 0;
  bool replicated = false;
};

// Row steps: row t of the result needs row t of the operands only. Indices point into the HostPlan's lists.
struct EmbedStep { uint32_t table; float scale; Place out; };
enum class TableRow : uint8_t { kFixed, kPosition, kSegment };  // `row`; position + `row`; the token's segment
struct AddTableStep { Place x; uint32_t table; TableRow which; uint32_t row; Place out; };
struct RmsNormStep { Place x; uint32_t weight, group; float epsilon, weight_offset; Place out; };
struct LayerNormStep { Place x; uint32_t weight, bias; float epsilon; Place out; };
struct AddStep { Place a, b, out; };
struct ActivateStep { Place x; UnaryFunction function; Place out; };
struct RopeStep { Place x; uint32_t heads, head_width, rotated; bool interleaved; uint32_t frequencies; Place out; };
/// Appends K and V of the step's rows to the pages of KV layer `layer`.
struct StoreStep { Place k, v; uint32_t layer; uint32_t head_width; };
/// Brings `x` into the order matrix products read.
struct PrepareStep { Place x; };

struct MatmulPart { uint32_t matrix; std::optional<uint32_t> bias; uint32_t columns; Place out; };
/// What follows on the columns just computed: kGate: part 0 = f(part 0) * part 1; kActivate: part 0 = f(part 0).
enum class Epilogue : uint8_t { kNone, kGate, kActivate };
struct MatmulStep {
  Place x; std::vector<MatmulPart> parts; Epilogue epilogue = Epilogue::kNone; UnaryFunction function{};
  uint32_t ordinal = 0;  // counts the products
};
struct AttentionStep {
  Place q; uint32_t layer; uint32_t heads, head_width; float scale, softcap; bool causal; uint32_t window;
  uint32_t ordinal;  // counts the attention steps
  Place out;
};

using Step = std::variant<EmbedStep, AddTableStep, RmsNormStep, LayerNormStep, AddStep, ActivateStep, RopeStep, StoreStep,
                          PrepareStep, MatmulStep, AttentionStep>;

struct PlannedStep {
  Step step;
  bool barrier_few = false, barrier_many = false;  // all workers meet before it
};

/// A rotary table: which frequencies, for how many elements of a head.
struct RopeTableSpec { RopeConfig config; uint32_t rotated; };

struct HostPlan {
  std::vector<PlannedStep> steps;
  // What the steps' indices mean; weights are indices into Graph::weights.
  std::vector<uint32_t> matrices;        // packed, [out, in]
  std::vector<uint32_t> vectors;         // floats: norms and biases
  std::vector<uint32_t> tables;          // rows looked up: embeddings
  std::vector<RopeTableSpec> rope_tables;
  std::vector<uint32_t> buffer_widths;   // floats of a row, per buffer
  std::vector<KvLayout> kv_layers;       // head width padded to what the kernels want
  bool exact = false;                    // float activations and KV everywhere
  bool cached = false;                   // KV outlives a step; else every attention step reuses the pages
  uint32_t attention_steps = 0, matmul_steps = 0;
  // The result.
  Output::Kind output = Output::Kind::kHidden;
  Place result;                          // x of the Output
  std::optional<uint32_t> head;          // into matrices, for logits
  uint32_t head_columns = 0;
  float head_softcap = 0;
  uint32_t matmul_depth_max = 0;         // widest x of a product, the head included
  uint32_t context_max = 0;              // tokens a sequence may have: the graph's, or fewer by a position table
  uint32_t tokens_known = 0;             // ids below this can be embedded
};

/// unimplemented, data_loss or internal naming what cannot be planned (KV in some attention ops but not in others, logits
/// without a head, a position table without rows). `graph` has passed check_graph.
Result<HostPlan> make_plan(const Graph& graph, Precision precision);

/// True for the steps that are split by rows.
bool is_row_step(const Step& step);

/// Marks the barriers of `plan.steps` (make_plan does; apart for its tests).
void place_barriers(HostPlan& plan);

enum class Access : uint8_t { kRead, kWrite };
/// Calls visit(Place&, Access) for every value the step touches, reads before writes.
template <class StepType, class Visit>
void for_each_place(StepType& step, const Visit& visit);

}  // namespace accelerate

#include "accelerate/host/plan_places.h"
