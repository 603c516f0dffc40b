// Any bytes as a message: decoded or refused, and what was decoded encodes to something equal.
#include <cstdlib>
#include <cstring>

#include "accelerate/wire/message.h"
#include "accelerate/wire/rows.h"
#include "accelerate/wire/tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace accelerate;
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  const Result<WireMessage> message = WireMessage::decode(std::move(bytes));
  if (!message) return 0;
  (void)tensors_of(*message);
  (void)error_of(*message);
  (void)capacity_of(*message);
  if (const auto tokens = message->blob_u32(1)) (void)step_inputs_of(*message, *tokens);
  std::vector<SlotStatus> statuses(3);
  (void)read_statuses(*message, statuses);
  const auto again = WireMessage::decode(message->encode());
  if (!again || again->blob_count() != message->blob_count()) std::abort();
  return 0;
}
