#include "accelerate/engine/matryoshka.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace accelerate {
namespace {

constexpr double kNormMin = 1e-12;  // the epsilon of PyTorch's normalize()

}  // namespace

Result<void> check_dimensions(const EndpointInfo& info, uint32_t dimensions) {
  if (dimensions == info.embedding_width) return {};
  if (!info.matryoshka) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[engine] 'dimensions' cuts embeddings of Matryoshka models, and '{}' does not say that it is one; got {}; try {} or none",
                             info.name, dimensions, info.embedding_width)};
  }
  const auto& known = info.matryoshka_dimensions;
  const bool trained = known.empty() || std::find(known.begin(), known.end(), dimensions) != known.end();
  if (trained && dimensions >= 1 && dimensions < info.embedding_width) return {};
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("[engine] 'dimensions' of '{}' is {}; got {}", info.name,
                           known.empty() ? fmt::format("1 to {}", info.embedding_width) : fmt::format("{} or {}", fmt::join(known, ", "), info.embedding_width),
                           dimensions)};
}

void cut_embeddings(EmbedReply& reply, uint32_t dimensions) {
  for (std::vector<float>& vector : reply.vectors) {
    if (vector.size() <= dimensions) continue;
    vector.resize(dimensions);
    double squares = 0;
    for (const float value : vector) squares += double{value} * value;
    const double length = std::max(std::sqrt(squares), kNormMin);
    for (float& value : vector) value = static_cast<float>(value / length);
  }
}

}  // namespace accelerate
