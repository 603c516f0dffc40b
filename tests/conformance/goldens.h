// Goldens - what tests/data says the right answers are. Formats: tests/data/README.md. A broken or missing file is a
// broken checkout: reading one fails the test that asked (std::runtime_error).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace accelerate::conformance {

std::filesystem::path data_folder();

/// A random-weight decoder and its logits at every position, row-major [tokens, vocabulary].
struct DecoderGolden {
  std::string model;  // file or folder in tests/data/fixtures
  std::string family;
  std::vector<uint32_t> tokens;
  size_t vocabulary = 0;
  std::vector<float> logits;
};
std::vector<DecoderGolden> decoder_goldens();

struct EncoderGolden {
  std::string model;
  std::vector<uint32_t> tokens;
  size_t width = 0;
  std::vector<float> hidden, mean, mean_normalized;
};
std::vector<EncoderGolden> encoder_goldens();

/// Pairs through a cross-encoder's own tokenizer, and the logit of its head.
struct CrossEncoderGolden {
  std::string model, query, document;
  std::vector<uint32_t> tokens;
  uint32_t second_begin = 0;
  float logit = 0;
};
std::vector<CrossEncoderGolden> cross_encoder_goldens();

/// Next-token distributions of a real model: per prompt and position the `k` largest log-probabilities and the rest.
struct TopkGolden {
  uint32_t prompts = 0, positions = 0, k = 0, vocabulary = 0;
  std::vector<uint32_t> tokens;    // [prompts][positions]
  std::vector<uint32_t> ids;       // [prompts][positions][k], most likely first
  std::vector<float> logprobs;     // natural logarithm, as ids
  std::vector<float> rest;         // [prompts][positions], a probability
};
TopkGolden topk_golden(const std::string& model);

struct PerplexityGolden {
  struct Window { std::vector<uint32_t> tokens; double nll = 0; uint32_t scored = 0; };
  std::vector<Window> windows;
  double mean_nll = 0;
};
PerplexityGolden perplexity_golden(const std::string& model);

struct EmbeddingGolden { std::string text; std::vector<uint32_t> tokens; std::vector<float> vector; };
std::vector<EmbeddingGolden> embedding_goldens(const std::string& model);

struct GreedyGolden {
  std::string continuation;
  std::vector<uint32_t> prompt, ids;
  std::vector<double> margins;  // logit of the chosen token minus the runner-up's
  bool stopped = false;
};
/// The first one of a model is the chat prompt "What is the capital of France?" where it has a chat template.
std::vector<GreedyGolden> greedy_goldens(const std::string& model);

}  // namespace accelerate::conformance
