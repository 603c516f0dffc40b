// Tensors in messages: names, types and shapes as values, bytes as blobs.
//
//   add_tensors(message, tensors);
//   ACC_TRY(NamedTensors tensors, tensors_of(message));
//
// data_loss where what comes is not whole: every size is checked against its shape before it is copied.
#pragma once

#include "accelerate/core/tensor.h"
#include "accelerate/wire/message.h"

namespace accelerate {

void add_tensors(WireMessage& message, const NamedTensors& tensors);
Result<NamedTensors> tensors_of(const WireMessage& message);

}  // namespace accelerate
