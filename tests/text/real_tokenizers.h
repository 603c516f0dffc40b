// The tokenizers of real models, from the folders that tools/setup and tools/fixtures/models.sh fill. A model that is not
// there makes its tests skip with the place that was looked at.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "accelerate/base/file.h"
#include "accelerate/base/paths.h"
#include "accelerate/text/tokenizer.h"
#include "tests/text/gguf_metadata.h"

namespace accelerate::testing {

inline constexpr size_t kTestFileBytesMax = size_t{64} << 20;

/// The folder of model `name` that holds `file`, or an empty path.
inline std::filesystem::path model_file(const std::string& name, const std::string& file) {
  for (const std::filesystem::path& root : {cache_dir() / "models", data_dir() / "models", data_dir()}) {
    if (std::filesystem::exists(root / name / file)) return root / name / file;
  }
  return {};
}

inline std::string model_file_of(const std::string& name) {
  if (name == "smollm2") return "SmolLM2-135M-Instruct.Q4_1.gguf";
  if (name == "gemma3") return "gemma-3-270m-q4_k_m.gguf";
  return "tokenizer.json";
}

/// Nothing when the file is absent.
inline std::optional<TokenizerSpec> real_spec(const std::string& name) {
  const std::filesystem::path path = model_file(name, model_file_of(name));
  if (path.empty()) return std::nullopt;
  if (path.extension() == ".gguf") {
    const auto file = MappedFile::open(path);
    return gguf_tokenizer_spec(GgufMetadata((*file)->bytes()));
  }
  TokenizerSpec spec;
  spec.tokenizer_json = *read_file(path, kTestFileBytesMax);
  return spec;
}

/// Read once a process: Gemma's vocabulary takes a second to build.
inline std::shared_ptr<const Tokenizer> real_tokenizer(const std::string& name) {
  static std::map<std::string, std::shared_ptr<const Tokenizer>> built;
  if (const auto it = built.find(name); it != built.end()) return it->second;
  const std::optional<TokenizerSpec> spec = real_spec(name);
  if (!spec) return nullptr;
  auto tokenizer = Tokenizer::create(*spec);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return built[name] = tokenizer.ok() ? *tokenizer : nullptr;
}

}  // namespace accelerate::testing

#define ACC_REAL_TOKENIZER_OR_SKIP(variable, name)                                                      \
  const std::shared_ptr<const Tokenizer> variable = testing::real_tokenizer(name);                      \
  if (variable == nullptr) GTEST_SKIP() << "model file absent: " << name << "/" << testing::model_file_of(name) \
                                        << "; try tools/fixtures/models.sh"
