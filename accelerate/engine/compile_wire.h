// CompileWire - what a worker is to compile, as a "load" message and back.
//
//   WireMessage load = to_message(CompileOrder{.backend = "cpu", .device = "cpu:0", .model = model->path, ...});
//   ACC_TRY(CompileOrder order, compile_order_of(load));
//
// Plain data; what comes is checked (data_loss).
#pragma once

#include <string>

#include "accelerate/core/backend.h"
#include "accelerate/wire/message.h"

namespace accelerate {

struct CompileOrder {
  std::string backend, device;  // "cpu", "cpu:0"
  std::string model;            // absolute path, as it was opened here
  uint64_t weight_bytes = 0;    // of the model here: another number there means that its files changed
  CompileOptions options;
  std::string artifact;         // path of what an earlier compile left, to be loaded; empty = compile
};

WireMessage to_message(const CompileOrder& order);
Result<CompileOrder> compile_order_of(const WireMessage& message);

}  // namespace accelerate
