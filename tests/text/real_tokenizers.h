// The tokenizers of the real models, by their names.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "accelerate/base/file.h"
#include "accelerate/text/tokenizer.h"
#include "tests/real_models.h"
#include "tests/text/gguf_metadata.h"

namespace accelerate::testing {

inline constexpr size_t kTestFileBytesMax = size_t{64} << 20;

/// The file that holds the tokenizer of model `name`.
inline std::filesystem::path tokenizer_file(const std::string& name) {
  if (name == "smollm2") return real_model(kSmolLM2File);
  if (name == "gemma3") return real_model(kGemma3File);
  return real_model(name) / "tokenizer.json";
}

/// Nothing when the file is absent.
inline std::optional<TokenizerSpec> real_spec(const std::string& name) {
  const std::filesystem::path path = tokenizer_file(name);
  if (!std::filesystem::exists(path)) return std::nullopt;
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

#define ACC_REAL_TOKENIZER_OR_SKIP(variable, name)                                 \
  const std::shared_ptr<const Tokenizer> variable = testing::real_tokenizer(name); \
  if (variable == nullptr) GTEST_SKIP() << testing::real_model_absent(testing::tokenizer_file(name))
