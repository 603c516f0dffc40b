// Programs that are wrong in the ways real backends have been: the parity gate must refuse each.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "accelerate/core/graph.h"
#include "accelerate/core/program.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {

/// Hands everything on; faults override.
class PassThroughDecoder : public DecoderProgram {
 public:
  explicit PassThroughDecoder(std::unique_ptr<DecoderProgram> inner) : inner_(std::move(inner)) {}
  uint64_t memory_bytes() const override { return inner_->memory_bytes(); }
  uint32_t vocabulary() const override { return inner_->vocabulary(); }
  DecoderLimits limits() const override { return inner_->limits(); }
  Capacity capacity() const override { return inner_->capacity(); }
  Result<Slot> open() override { return inner_->open(); }
  void close(Slot slot) override { inner_->close(slot); }
  uint32_t length(Slot slot) const override { return inner_->length(slot); }
  Result<void> truncate(Slot slot, uint32_t tokens) override { return inner_->truncate(slot, tokens); }
  Result<Slot> fork(Slot slot, uint32_t tokens) override { return inner_->fork(slot, tokens); }
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    return inner_->step(inputs, statuses, sink, control);
  }

 protected:
  std::unique_ptr<DecoderProgram> inner_;
};

/// Each chunk behind the first stands one position too early: the last token of a chunk is forgotten when the next comes.
class OffByOneDecoder final : public PassThroughDecoder {
 public:
  using PassThroughDecoder::PassThroughDecoder;
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    for (const SlotInput& input : inputs) {
      if (const uint32_t held = length(input.slot); held > 1) ACC_TRY_VOID(inner_->truncate(input.slot, held - 1));
    }
    return inner_->step(inputs, statuses, sink, control);
  }
};

/// In every second step with two sequences each reads and writes the other's KV.
class MixedSlotsDecoder final : public PassThroughDecoder {
 public:
  using PassThroughDecoder::PassThroughDecoder;
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    std::vector<SlotInput> swapped(inputs.begin(), inputs.end());
    if (inputs.size() == 2 && ++steps_ % 2 == 0) std::swap(swapped[0].slot, swapped[1].slot);
    return inner_->step(swapped, statuses, sink, control);
  }

 private:
  uint32_t steps_ = 0;
};

/// What does not fill a tile of eight tokens is computed with the last token's neighbour instead.
class WrongLastChunkDecoder final : public PassThroughDecoder {
 public:
  using PassThroughDecoder::PassThroughDecoder;
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    std::vector<std::vector<uint32_t>> held;
    std::vector<SlotInput> changed(inputs.begin(), inputs.end());
    held.reserve(inputs.size());
    for (SlotInput& input : changed) {
      if (input.tokens.size() < 2 || input.tokens.size() % 8 == 0) continue;
      held.emplace_back(input.tokens.begin(), input.tokens.end());
      held.back().back() = held.back()[held.back().size() - 2];
      input.tokens = held.back();
    }
    return inner_->step(changed, statuses, sink, control);
  }
};

/// One value of every row from the `after`-th on is no number.
class NotANumberDecoder final : public PassThroughDecoder {
 public:
  using PassThroughDecoder::PassThroughDecoder;
  uint32_t after = 40;
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    struct Sink final : LogitsSink {
      LogitsSink* to;
      uint32_t* seen;
      uint32_t after;
      void row(size_t input, size_t token, std::span<const float> logits) override {
        std::vector<float> copy(logits.begin(), logits.end());
        if (++*seen > after) copy[copy.size() / 2] = std::numeric_limits<float>::quiet_NaN();
        to->row(input, token, copy);
      }
    } spoiled;
    spoiled.to = &sink, spoiled.seen = &seen_, spoiled.after = after;
    return inner_->step(inputs, statuses, spoiled, control);
  }

 private:
  uint32_t seen_ = 0;
};

/// A copy of the model whose graph or weights a fault changed, with the bytes it owns.
struct FaultyModel {
  std::shared_ptr<const Model> model;
  std::shared_ptr<std::vector<std::byte>> bytes;  // of a replaced tensor; outlives programs that keep `model`
};

/// The scores of layer 0 are scaled by 1.5 times what they should be.
inline FaultyModel wrong_scale(const Model& right) {
  auto model = std::make_shared<Model>(right);
  auto graph = std::make_shared<Graph>(*right.graph);
  for (Op& op : graph->ops) {
    if (auto* attention = std::get_if<Attention>(&op)) {
      attention->scale *= 1.5f;
      break;
    }
  }
  model->graph = graph;
  return {model, nullptr};
}

/// The first two query heads of layer 0 have each other's weights: rows of [heads * head_width, width].
inline FaultyModel swapped_heads(const Model& right, const std::string& tensor) {
  auto model = std::make_shared<Model>(right);
  FaultyModel faulty{model, std::make_shared<std::vector<std::byte>>()};
  for (TensorView& view : model->tensors) {
    if (view.name != tensor) continue;
    faulty.bytes->assign(view.bytes.begin(), view.bytes.end());
    const size_t head = view.bytes.size() / right.config.heads;
    std::swap_ranges(faulty.bytes->begin(), faulty.bytes->begin() + static_cast<ptrdiff_t>(head), faulty.bytes->begin() + static_cast<ptrdiff_t>(head));
    view.bytes = *faulty.bytes;
  }
  EXPECT_FALSE(faulty.bytes->empty()) << tensor;
  return faulty;
}

}  // namespace accelerate
