#include "accelerate/engine/compile_wire.h"

#include <limits>

namespace accelerate {
namespace {

constexpr uint64_t kLevelMax = 3;

template <class T>
Result<void> read(const WireMessage& message, std::string_view key, T& value) {
  ACC_TRY(const uint64_t number, message.number(key, std::numeric_limits<T>::max()));
  value = static_cast<T>(number);
  return {};
}

}  // namespace

WireMessage to_message(const CompileOrder& order) {
  const CompileOptions& options = order.options;
  WireMessage message("load");
  message.set_text("backend", order.backend).set_text("device", order.device).set_text("model", order.model).set("weight_bytes", order.weight_bytes);
  if (options.quantization) message.set_text("quantization", *options.quantization);
  message.set_flag("exact", options.precision == Precision::kExact).set_flag("deterministic", options.deterministic);
  message.set("level", static_cast<uint64_t>(options.level)).set("threads", options.threads).set("context", options.context);
  message.set("kv_tokens", options.kv_tokens).set("slots", options.slots).set("memory_bytes", options.memory_bytes);
  message.set_text("artifact_dir", options.artifact_dir).set_text("artifact", order.artifact);
  return message;
}

Result<CompileOrder> compile_order_of(const WireMessage& message) {
  CompileOrder order;
  CompileOptions& options = order.options;
  ACC_TRY(order.backend, message.text("backend"));
  ACC_TRY(order.device, message.text("device"));
  ACC_TRY(order.model, message.text("model"));
  ACC_TRY_VOID(read(message, "weight_bytes", order.weight_bytes));
  if (message.has("quantization")) {
    ACC_TRY(options.quantization, message.text("quantization"));
  }
  ACC_TRY(const bool exact, message.flag("exact"));
  options.precision = exact ? Precision::kExact : Precision::kDefault;
  ACC_TRY(options.deterministic, message.flag("deterministic"));
  ACC_TRY(const uint64_t level, message.number("level", kLevelMax));
  options.level = static_cast<int>(level);
  ACC_TRY_VOID(read(message, "threads", options.threads));
  ACC_TRY_VOID(read(message, "context", options.context));
  ACC_TRY_VOID(read(message, "kv_tokens", options.kv_tokens));
  ACC_TRY_VOID(read(message, "slots", options.slots));
  ACC_TRY_VOID(read(message, "memory_bytes", options.memory_bytes));
  ACC_TRY(options.artifact_dir, message.text("artifact_dir"));
  ACC_TRY(order.artifact, message.text("artifact"));
  return order;
}

}  // namespace accelerate
