// Rows - a decoder's step in messages: its inputs, statuses and capacity, and rows of logits through shared memory.
//
//   add_step_inputs(request, inputs);                                  // the caller's side
//   ACC_TRY(auto inputs, step_inputs_of(request, tokens));             // the worker's
//   RowsWriter rows(vocabulary, region, send);  decoder.step(inputs, statuses, rows, control);  rows.finish(answer);
//   ACC_TRY_VOID(read_rows(answer, vocabulary, region, inputs, sink));  // the caller's again
//
// The region is the worker's to write from a step's request until a message that names rows, and the caller's to read
// until it acknowledges that message. Without a region (size 0) rows are blobs.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "accelerate/core/program.h"
#include "accelerate/wire/message.h"
#include "accelerate/wire/shared_memory.h"

namespace accelerate {

void add_step_inputs(WireMessage& request, std::span<const SlotInput> inputs);
/// Points into `tokens`, the request's second blob.
Result<std::vector<SlotInput>> step_inputs_of(const WireMessage& request, std::span<const uint32_t> tokens);

void add_statuses(WireMessage& answer, std::span<const SlotStatus> statuses);
Result<void> read_statuses(const WireMessage& answer, std::span<SlotStatus> statuses);

void add_capacity(WireMessage& answer, const Capacity& capacity);
Result<Capacity> capacity_of(const WireMessage& answer);

/// Collects rows and sends them off ("rows") when the region is full.
class RowsWriter final : public LogitsSink {
 public:
  /// `send` gives a message to the other side and waits until it has read the rows. Without a region, rows are sent in
  /// messages of about `blob_bytes`.
  RowsWriter(uint32_t vocabulary, SharedMemory& region, std::function<bool(WireMessage)> send, size_t blob_bytes);
  void row(size_t input, size_t token, std::span<const float> logits) override;
  /// The rows that are left go with the answer.
  void finish(WireMessage& answer);

 private:
  const size_t row_bytes_, rows_max_;
  SharedMemory& region_;
  const std::function<bool(WireMessage)> send_;
  std::vector<uint32_t> table_;
  std::vector<std::byte> blob_;
  bool gone_ = false;  // nobody reads: the rest is dropped
};

/// Gives the rows of a message ("rows", or a step's answer) to `sink`; data_loss for rows that `inputs` did not ask for.
Result<void> read_rows(const WireMessage& message, uint32_t vocabulary, const SharedMemory& region, std::span<const SlotInput> inputs, LogitsSink& sink);

}  // namespace accelerate
