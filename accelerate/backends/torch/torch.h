// The torch backend: Hugging Face Transformers on PyTorch, eager, in a supervised Python worker. The net below the other
// engines, and the yardstick beside them.
//
//   auto backend = make_torch_backend(context);     // context.workers starts the Python process
//
// Python: IPFS_ACCELERATE_TORCH_PYTHON, or the environment that `ipfs-accelerate install torch` makes. Runs GGUF files of
// the llama and gemma3 architectures (dequantized exactly) and safetensors folders; weights become float32, or what
// CompileOptions::quantization says of f32, bf16, f16. Devices are those on which torch multiplied matrices in a child.
#pragma once

#include <memory>
#include <string_view>

#include "accelerate/core/backend.h"

namespace accelerate {

inline constexpr const char* kTorchPythonVariable = "IPFS_ACCELERATE_TORCH_PYTHON";

/// Borrows `context`, which outlives it.
std::unique_ptr<Backend> make_torch_backend(BackendContext& context);

/// The verdict in what the worker's --probe printed. kBroken where it is no such JSON.
Verdict torch_verdict(std::string_view printed);

}  // namespace accelerate
