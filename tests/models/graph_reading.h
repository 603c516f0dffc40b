// What tests look at in a Graph.
#pragma once

#include <string>
#include <vector>

#include "accelerate/core/graph.h"

namespace accelerate::testing {

/// All ops of one kind, in order.
template <class SomeOp> std::vector<SomeOp> ops_of(const Graph& graph) {
  std::vector<SomeOp> found;
  for (const Op& op : graph.ops) {
    if (const auto* some = std::get_if<SomeOp>(&op)) found.push_back(*some);
  }
  return found;
}

/// "token_embedding rms_norm linear ..."
inline std::string op_names(const Graph& graph) {
  std::string names;
  for (const Op& op : graph.ops) names += (names.empty() ? "" : " ") + std::string(op_name(op));
  return names;
}

inline std::string tensor_of(const Graph& graph, WeightId id) { return graph.weights.at(id.index).tensor; }

}  // namespace accelerate::testing
