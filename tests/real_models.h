// Where the real models of the tests lie: those that `ipfs-accelerate pull` fetches, and the Qwen3 tokenizer, which
// tools/fixtures/models.sh fetches. A test without its model skips with real_model_absent(); tools/test runs
// models.sh before all tests and counts such a skip as a failure.
#pragma once

#include <filesystem>
#include <string>

#include "accelerate/base/paths.h"

namespace accelerate::testing {

inline constexpr const char* kSmolLM2File = "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
inline constexpr const char* kGemma3File = "gemma3/gemma-3-270m-q4_k_m.gguf";
inline constexpr const char* kMiniLMFolder = "minilm";
inline constexpr const char* kQwen3Folder = "qwen3";

/// The file or folder of that name, there or not.
inline std::filesystem::path real_model(const std::string& name) {
  return name.starts_with(kQwen3Folder) ? cache_dir() / "tokenizers" / name : data_dir() / "models" / name;
}

inline std::string real_model_absent(const std::filesystem::path& path) {
  return "no real model at " + path.string() + "; tools/fixtures/models.sh fetches it";
}

}  // namespace accelerate::testing
