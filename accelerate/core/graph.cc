#include "accelerate/core/graph.h"

#include <bit>
#include <set>

#include <fmt/format.h>

#include "accelerate/base/sha256.h"

namespace accelerate {
namespace {

template <class... Fs> struct Overloaded : Fs... { using Fs::operator()...; };
template <class... Fs> Overloaded(Fs...) -> Overloaded<Fs...>;

Error op_error(size_t index, const Op& op, std::string_view rule) {
  return {ErrorCode::kInternal, fmt::format("[graph] op {} ({}): {}", index, op_name(op), rule)};
}

// Collects what one op reads, writes and asks of its widths and weights; the first broken rule wins.
class OpCheck {
 public:
  OpCheck(const Graph& graph, std::vector<bool>& written, size_t index, const Op& op)
      : graph_(graph), written_(written), index_(index), op_(op) {}

  uint64_t read(ValueId id) {
    if (id.index >= graph_.values.size()) return fail("value ids are in range");
    if (!written_[id.index]) fail(fmt::format("values are written before they are read; got '{}'", graph_.values[id.index].name));
    return graph_.values[id.index].width;
  }
  void write(ValueId id, uint64_t width) {
    if (id.index >= graph_.values.size()) { fail("value ids are in range"); return; }
    const ValueInfo& value = graph_.values[id.index];
    if (written_[id.index]) fail(fmt::format("each value is written once; got '{}' again", value.name));
    if (value.width != width) fail(fmt::format("widths agree; got {} for '{}' of width {}", width, value.name, value.width));
    written_[id.index] = true;
  }
  const std::vector<uint64_t>& shape(WeightId id, size_t rank) {
    static const std::vector<uint64_t> kNone(2, 0);
    if (id.index >= graph_.weights.size()) { fail("weight ids are in range"); return kNone; }
    const Weight& weight = graph_.weights[id.index];
    if (weight.shape.size() != rank) { fail(fmt::format("'{}' has rank {}; got {}", weight.tensor, rank, weight.shape.size())); return kNone; }
    return weight.shape;
  }
  void vector(WeightId id, uint64_t size) { require(shape(id, 1)[0] == size, "vector weights have the width of what they scale"); }
  /// [out, in] with `in` as given; returns out.
  uint64_t matrix(WeightId id, uint64_t in) {
    const auto& dimensions = shape(id, 2);
    require(dimensions[1] == in, "a weight's inner size is its input's width");
    return dimensions[0];
  }
  void require(bool holds, std::string_view rule) { if (!holds) fail(rule); }
  uint64_t fail(std::string_view rule) {
    if (!error_) error_ = op_error(index_, op_, rule);
    return 0;
  }
  std::optional<Error> error() const { return error_; }

 private:
  const Graph& graph_;
  std::vector<bool>& written_;
  size_t index_;
  const Op& op_;
  std::optional<Error> error_;
};

void check_op(OpCheck& c, const Graph& graph, const TokenEmbedding& op) {
  const auto& table = c.shape(op.table, 2);
  c.require(table[0] >= graph.vocabulary, "the table has a row for each token");
  c.write(op.out, table[1]);
}
void check_op(OpCheck& c, const Graph& graph, const PositionEmbedding& op) {
  const uint64_t width = c.read(op.x);
  c.require(c.matrix(op.table, width) >= uint64_t{op.offset} + graph.context, "the table has a row for each position");
  c.write(op.out, width);
}
void check_op(OpCheck& c, const Graph&, const RowEmbedding& op) {
  const uint64_t width = c.read(op.x);
  c.require(op.row < c.matrix(op.table, width), "the row is in the table");
  c.write(op.out, width);
}
void check_op(OpCheck& c, const Graph&, const SegmentEmbedding& op) {
  const uint64_t width = c.read(op.x);
  c.require(c.matrix(op.table, width) >= 2, "the table has a row for each of the two segments");
  c.write(op.out, width);
}
void check_op(OpCheck& c, const Graph&, const RmsNorm& op) {
  const uint64_t width = c.read(op.x), group = op.group ? op.group : width;
  c.require(group > 0 && width % group == 0, "the width is a multiple of the group");
  c.vector(op.weight, group);
  c.write(op.out, width);
}
void check_op(OpCheck& c, const Graph&, const LayerNorm& op) {
  const uint64_t width = c.read(op.x);
  c.vector(op.weight, width);
  c.vector(op.bias, width);
  c.write(op.out, width);
}
void check_op(OpCheck& c, const Graph&, const Linear& op) {
  const uint64_t out = c.matrix(op.weight, c.read(op.x));
  if (op.bias) c.vector(*op.bias, out);
  c.write(op.out, out);
}
void check_op(OpCheck& c, const Graph&, const Rope& op) {
  const uint64_t width = c.read(op.x);
  c.require(width == uint64_t{op.heads} * op.head_width, "rope's heads make up the width");
  c.require(op.rotated > 0 && op.rotated % 2 == 0 && op.rotated <= op.head_width, "an even part of a head is rotated");
  c.write(op.out, width);
}
void check_op(OpCheck& c, const Graph& graph, const Attention& op) {
  c.require(c.read(op.q) == uint64_t{op.heads} * op.head_width, "q has heads * head_width");
  c.require(c.read(op.k) == uint64_t{op.kv_heads} * op.head_width, "k has kv_heads * head_width");
  c.require(c.read(op.v) == uint64_t{op.kv_heads} * op.head_width, "v has kv_heads * head_width");
  c.require(op.heads > 0 && op.head_width > 0, "attention has heads");
  c.require(op.kv_heads > 0 && op.heads % op.kv_heads == 0, "heads are a multiple of kv_heads");
  c.require(!op.cache || *op.cache < graph.kv_layers, "the cache index is below kv_layers");
  c.require(!op.cache || op.causal, "a cached attention is causal");
  c.write(op.out, uint64_t{op.heads} * op.head_width);
}
void check_op(OpCheck& c, const Graph&, const GatedMlp& op) {
  const uint64_t width = c.read(op.x), inner = c.matrix(op.gate, width);
  c.require(c.matrix(op.up, width) == inner, "gate and up have one size");
  c.write(op.out, c.matrix(op.down, inner));
}
void check_op(OpCheck& c, const Graph&, const Mlp& op) {
  const uint64_t inner = c.matrix(op.up, c.read(op.x)), out = c.matrix(op.down, inner);
  if (op.up_bias) c.vector(*op.up_bias, inner);
  if (op.down_bias) c.vector(*op.down_bias, out);
  c.write(op.out, out);
}
void check_op(OpCheck& c, const Graph&, const Add& op) {
  const uint64_t width = c.read(op.a);
  c.require(c.read(op.b) == width, "both sides have one width");
  c.write(op.out, width);
}
void check_op(OpCheck& c, const Graph&, const Activate& op) { c.write(op.out, c.read(op.x)); }
void check_op(OpCheck& c, const Graph& graph, const Output& op) {
  const uint64_t width = c.read(op.x);
  c.require((op.kind == Output::Kind::kLogits) == op.head.has_value(), "logits have a weight of their own, other outputs have none");
  if (op.head) c.require(c.matrix(*op.head, width) == graph.vocabulary, "the head has a row for each token");
}

// Cache indices are dense and each belongs to one attention: two that share one would overwrite each other's keys.
Result<void> check_caches(const Graph& graph) {
  std::set<uint32_t> used;
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    const auto* attention = std::get_if<Attention>(&graph.ops[i]);
    if (!attention || !attention->cache) continue;
    if (!used.insert(*attention->cache).second) return op_error(i, graph.ops[i], fmt::format("one attention a cache; got {} again", *attention->cache));
  }
  if (used.size() == graph.kv_layers) return {};
  return Error{ErrorCode::kInternal, fmt::format("[graph] each of the kv_layers belongs to an attention; got {} of {}", used.size(), graph.kv_layers)};
}

Result<void> check_weights(const Graph& graph, const Model& model) {
  for (const Weight& weight : graph.weights) {
    const TensorView* tensor = model.find(weight.tensor);
    if (!tensor) return Error{ErrorCode::kDataLoss, fmt::format("[graph] weights are tensors of the model; got no '{}'", weight.tensor)};
    if (tensor->shape != weight.shape) {
      return Error{ErrorCode::kDataLoss, fmt::format("[graph] '{}' has the shape its op needs; got {}", weight.tensor, to_string(*tensor))};
    }
  }
  return {};
}

// The canonical text of an op: its name, ids and numbers; floats by their bits.
class Canonical {
 public:
  void add(uint64_t value) { text_ += fmt::format(" {}", value); }
  void add(ValueId id) { text_ += fmt::format(" v{}", id.index); }
  void add(WeightId id) { text_ += fmt::format(" w{}", id.index); }
  void add(float value) { text_ += fmt::format(" f{:08x}", std::bit_cast<uint32_t>(value)); }
  void add(double value) { text_ += fmt::format(" d{:016x}", std::bit_cast<uint64_t>(value)); }
  void add(const std::string& value) { text_ += fmt::format(" {}:{}", value.size(), value); }
  template <class T> void add(const std::optional<T>& value) { if (value) add(*value); else text_ += " -"; }
  template <class... Ts> void all(const Ts&... values) { (add(values), ...); }
  std::string& text() { return text_; }

 private:
  std::string text_;
};

template <class E> uint64_t number(E value) { return static_cast<uint64_t>(value); }

void canonical_op(Canonical& c, const Op& op) {
  std::visit(Overloaded{
      [&](const TokenEmbedding& o) { c.all(o.table, o.scale, o.out); },
      [&](const PositionEmbedding& o) { c.all(o.x, o.table, number(o.offset), o.out); },
      [&](const RowEmbedding& o) { c.all(o.x, o.table, number(o.row), o.out); },
      [&](const SegmentEmbedding& o) { c.all(o.x, o.table, o.out); },
      [&](const RmsNorm& o) { c.all(o.x, o.weight, number(o.group), o.epsilon, o.weight_offset, o.out); },
      [&](const LayerNorm& o) { c.all(o.x, o.weight, o.bias, o.epsilon, o.out); },
      [&](const Linear& o) { c.all(o.x, o.weight, o.bias, o.out); },
      [&](const Rope& o) {
        const RopeConfig& f = o.frequencies;
        c.all(o.x, number(o.heads), number(o.head_width), number(o.rotated), number(o.style), f.base, f.scaling, f.factor,
              f.low_frequency_factor, f.high_frequency_factor, number(f.original_context), o.out);
      },
      [&](const Attention& o) {
        c.all(o.q, o.k, o.v, number(o.heads), number(o.kv_heads), number(o.head_width), o.scale, o.softcap, number(o.causal),
              number(o.window));
        if (o.cache) c.add(number(*o.cache));
        c.add(o.out);
      },
      [&](const GatedMlp& o) { c.all(o.x, o.gate, o.up, o.down, number(o.activation), o.out); },
      [&](const Mlp& o) { c.all(o.x, o.up, o.down, o.up_bias, o.down_bias, number(o.activation), o.out); },
      [&](const Add& o) { c.all(o.a, o.b, o.out); },
      [&](const Activate& o) { c.all(o.x, number(o.activation), o.out); },
      [&](const Output& o) { c.all(number(o.kind), o.x, o.head, o.softcap); }}, op);
}

}  // namespace

std::string_view op_name(const Op& op) {
  static constexpr std::string_view kNames[] = {"token_embedding", "position_embedding", "row_embedding", "segment_embedding", "rms_norm",
                                                "layer_norm", "linear", "rope", "attention", "gated_mlp", "mlp", "add", "activate", "output"};
  static_assert(std::size(kNames) == std::variant_size_v<Op>);
  return kNames[op.index()];
}

Result<void> check_graph(const Graph& graph, const Model& model) {
  std::vector<bool> written(graph.values.size(), false);
  size_t outputs = 0;
  for (size_t i = 0; i < graph.ops.size(); ++i) {
    OpCheck check(graph, written, i, graph.ops[i]);
    std::visit([&](const auto& op) { check_op(check, graph, op); }, graph.ops[i]);
    if (const std::optional<Error> error = check.error()) return *error;
    outputs += std::holds_alternative<Output>(graph.ops[i]);
  }
  if (outputs != 1) return Error{ErrorCode::kInternal, fmt::format("[graph] a graph has exactly one output; got {}", outputs)};
  ACC_TRY_VOID(check_caches(graph));
  return check_weights(graph, model);
}

std::string graph_hash(const Graph& graph) {
  Canonical canonical;
  canonical.all(graph.family, number(graph.kv_layers), number(graph.vocabulary), number(graph.context), number(graph.pooling),
                number(graph.normalize));
  for (const Weight& weight : graph.weights) {
    canonical.text() += "\nweight";
    for (const uint64_t dimension : weight.shape) canonical.add(dimension);
  }
  for (const ValueInfo& value : graph.values) canonical.text() += fmt::format("\nvalue {}", value.width);
  for (const Op& op : graph.ops) {
    canonical.text() += fmt::format("\n{}", op_name(op));
    canonical_op(canonical, op);
  }
  return sha256_hex(canonical.text());
}

}  // namespace accelerate
