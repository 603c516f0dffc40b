// The oracle: a Graph interpreted op by op over one sequence, in double, over dequantized weights. Slow and plain.
#pragma once

#include <cmath>
#include <map>
#include <numbers>
#include <span>
#include <vector>

#include "accelerate/core/graph.h"
#include "accelerate/kernels/quantize/dequantize.h"

namespace accelerate::reference {

using Rows = std::vector<std::vector<double>>;

class Interpreter {
 public:
  explicit Interpreter(const Model& model) : model_(model), graph_(*model.graph) {}

  /// The Output's rows for a whole sequence: logits of all positions, hidden rows, or the head's one row.
  Rows run(std::span<const uint32_t> tokens, size_t second_begin = SIZE_MAX) {
    tokens_ = tokens;
    second_begin_ = second_begin;
    values_.assign(graph_.values.size(), {});
    for (const Op& op : graph_.ops) std::visit([&](const auto& o) { compute(o); }, op);
    return result_;
  }

 private:
  const std::vector<float>& weight(WeightId id) {
    auto [at, fresh] = weights_.try_emplace(id.index);
    if (fresh) {
      const TensorView& tensor = *model_.find(graph_.weights[id.index].tensor);
      at->second.resize(tensor.element_count());
      dequantize_row(static_cast<WeightFormat>(tensor.dtype), tensor.bytes.data(), tensor.element_count(), at->second.data());
    }
    return at->second;
  }
  double table(WeightId id, size_t row, size_t i) { return weight(id)[row * graph_.weights[id.index].shape[1] + i]; }
  const Rows& value(ValueId id) const { return values_[id.index]; }
  uint32_t width(ValueId id) const { return graph_.values[id.index].width; }

  template <class F> void each(ValueId out, const F& element) {
    Rows rows(tokens_.size(), std::vector<double>(width(out)));
    for (size_t t = 0; t < rows.size(); ++t) {
      for (size_t i = 0; i < rows[t].size(); ++i) rows[t][i] = element(t, i);
    }
    values_[out.index] = std::move(rows);
  }
  Rows product(const Rows& x, WeightId w, const std::optional<WeightId>& bias) {
    const size_t out = graph_.weights[w.index].shape[0], in = graph_.weights[w.index].shape[1];
    const std::vector<float>& weights = weight(w);
    Rows rows(x.size(), std::vector<double>(out));
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t n = 0; n < out; ++n) {
        double sum = bias ? weight(*bias)[n] : 0.0;
        for (size_t k = 0; k < in; ++k) sum += x[t][k] * weights[n * in + k];
        rows[t][n] = sum;
      }
    }
    return rows;
  }
  static double activation(Activation a, double x) {
    switch (a) {
      case Activation::kSilu: return x / (1 + std::exp(-x));
      case Activation::kGeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
      case Activation::kGeluErf: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
      case Activation::kRelu: return std::max(x, 0.0);
      case Activation::kTanh: return std::tanh(x);
    }
    return x;
  }

  void compute(const TokenEmbedding& o) {
    each(o.out, [&](size_t t, size_t i) { return double{o.scale} * table(o.table, tokens_[t], i); });
  }
  void compute(const PositionEmbedding& o) {
    each(o.out, [&](size_t t, size_t i) { return value(o.x)[t][i] + table(o.table, t + o.offset, i); });
  }
  void compute(const RowEmbedding& o) {
    each(o.out, [&](size_t t, size_t i) { return value(o.x)[t][i] + table(o.table, o.row, i); });
  }
  void compute(const SegmentEmbedding& o) {
    each(o.out, [&](size_t t, size_t i) { return value(o.x)[t][i] + table(o.table, t < second_begin_ ? 0 : 1, i); });
  }
  void compute(const RmsNorm& o) {
    const size_t group = o.group == 0 ? width(o.x) : o.group;
    each(o.out, [&](size_t t, size_t i) {
      double squares = 0;
      for (size_t j = i / group * group; j < i / group * group + group; ++j) squares += value(o.x)[t][j] * value(o.x)[t][j];
      return value(o.x)[t][i] / std::sqrt(squares / static_cast<double>(group) + o.epsilon) * (double{weight(o.weight)[i % group]} + o.weight_offset);
    });
  }
  void compute(const LayerNorm& o) {
    const size_t n = width(o.x);
    each(o.out, [&](size_t t, size_t i) {
      double mean = 0, variance = 0;
      for (const double x : value(o.x)[t]) mean += x / static_cast<double>(n);
      for (const double x : value(o.x)[t]) variance += (x - mean) * (x - mean) / static_cast<double>(n);
      return (value(o.x)[t][i] - mean) / std::sqrt(variance + o.epsilon) * weight(o.weight)[i] + weight(o.bias)[i];
    });
  }
  void compute(const Linear& o) { values_[o.out.index] = product(value(o.x), o.weight, o.bias); }
  static double frequency(const RopeConfig& c, uint32_t pair, uint32_t rotated) {
    const double f = std::pow(c.base, -2.0 * pair / rotated);
    if (c.scaling == "linear") return f / c.factor;
    if (c.scaling != "llama3") return f;
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength < c.original_context / c.high_frequency_factor) return f;
    if (wavelength > c.original_context / c.low_frequency_factor) return f / c.factor;
    const double s = (c.original_context / wavelength - c.low_frequency_factor) / (c.high_frequency_factor - c.low_frequency_factor);
    return (1 - s) * f / c.factor + s * f;
  }
  void compute(const Rope& o) {
    Rows rows = value(o.x);
    const uint32_t pairs = o.rotated / 2;
    for (size_t t = 0; t < rows.size(); ++t) {
      for (uint32_t h = 0; h < o.heads; ++h) {
        for (uint32_t i = 0; i < pairs; ++i) {
          const double angle = static_cast<double>(t) * frequency(o.frequencies, i, o.rotated);
          const bool halves = o.style == RopeStyle::kHalves;
          double& a = rows[t][h * o.head_width + (halves ? i : 2 * i)];
          double& b = rows[t][h * o.head_width + (halves ? i + pairs : 2 * i + 1)];
          const double x = a, y = b;
          a = x * std::cos(angle) - y * std::sin(angle);
          b = x * std::sin(angle) + y * std::cos(angle);
        }
      }
    }
    values_[o.out.index] = std::move(rows);
  }
  void compute(const Attention& o) {
    const size_t n = tokens_.size(), width = o.head_width;
    Rows rows(n, std::vector<double>(o.heads * width, 0.0));
    for (size_t t = 0; t < n; ++t) {
      for (uint32_t h = 0; h < o.heads; ++h) {
        const size_t kv = h / (o.heads / o.kv_heads) * width;
        const size_t end = o.causal ? t + 1 : n, begin = o.window != 0 && end > o.window ? end - o.window : 0;
        std::vector<double> scores;
        double total = 0;
        for (size_t s = begin; s < end; ++s) {
          double score = 0;
          for (size_t i = 0; i < width; ++i) score += value(o.q)[t][h * width + i] * value(o.k)[s][kv + i];
          score *= o.scale;
          if (o.softcap > 0) score = o.softcap * std::tanh(score / o.softcap);
          scores.push_back(std::exp(score));
          total += scores.back();
        }
        for (size_t s = begin; s < end; ++s) {
          for (size_t i = 0; i < width; ++i) rows[t][h * width + i] += scores[s - begin] / total * value(o.v)[s][kv + i];
        }
      }
    }
    values_[o.out.index] = std::move(rows);
  }
  void compute(const GatedMlp& o) {
    Rows gate = product(value(o.x), o.gate, {});
    const Rows up = product(value(o.x), o.up, {});
    for (size_t t = 0; t < gate.size(); ++t) {
      for (size_t i = 0; i < gate[t].size(); ++i) gate[t][i] = activation(o.activation, gate[t][i]) * up[t][i];
    }
    values_[o.out.index] = product(gate, o.down, {});
  }
  void compute(const Mlp& o) {
    Rows up = product(value(o.x), o.up, o.up_bias);
    for (auto& row : up) {
      for (double& x : row) x = activation(o.activation, x);
    }
    values_[o.out.index] = product(up, o.down, o.down_bias);
  }
  void compute(const Add& o) {
    each(o.out, [&](size_t t, size_t i) { return value(o.a)[t][i] + value(o.b)[t][i]; });
  }
  void compute(const Activate& o) {
    each(o.out, [&](size_t t, size_t i) { return activation(o.activation, value(o.x)[t][i]); });
  }
  void compute(const Output& o) {
    result_ = o.kind == Output::Kind::kLogits ? product(value(o.x), *o.head, {}) : value(o.x);
    if (o.kind == Output::Kind::kHead) result_.resize(1);
    if (o.softcap <= 0) return;
    for (auto& row : result_) {
      for (double& x : row) x = o.softcap * std::tanh(x / o.softcap);
    }
  }

  const Model& model_;
  const Graph& graph_;
  std::span<const uint32_t> tokens_;
  size_t second_begin_ = SIZE_MAX;
  std::map<uint32_t, std::vector<float>> weights_;
  std::vector<Rows> values_;
  Rows result_;
};

/// max|a - b| / max|b| over rows.
inline double relative_error(const Rows& got, const Rows& want) {
  double difference = 0, largest = 0;
  if (got.size() != want.size()) return INFINITY;
  for (size_t t = 0; t < want.size(); ++t) {
    if (got[t].size() != want[t].size()) return INFINITY;
    for (size_t i = 0; i < want[t].size(); ++i) {
      difference = std::isnan(got[t][i]) ? INFINITY : std::max(difference, std::abs(got[t][i] - want[t][i]));
      largest = std::max(largest, std::abs(want[t][i]));
    }
  }
  return difference / largest;
}

}  // namespace accelerate::reference
