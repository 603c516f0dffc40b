// Model - what was found in model files: plain data, each part optional. formats/ fills it, the engine adds the Graph
// through models/, text/ builds a Tokenizer from the spec. A backend's supports() refuses by naming the missing part.
//
// Immutable once shared. Views point into `files`, which the Model keeps alive.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "accelerate/base/file.h"
#include "accelerate/core/tensor.h"

namespace accelerate {

class Graph;

enum class Activation : uint8_t { kSilu, kGeluTanh, kGeluErf, kRelu, kTanh };
enum class RopeStyle : uint8_t {
  kHalves,       // pairs (i, i + d/2): Hugging Face weights, GGUF gemma/qwen
  kInterleaved,  // pairs (2i, 2i + 1): GGUF llama weights, permuted by its converter
};
enum class Pooling : uint8_t { kNone, kMean, kCls, kLast };
/// What turns a cross-encoder's logit into the score it was trained to give.
enum class ScoreFunction : uint8_t { kSigmoid, kIdentity };

/// Frequencies of the rotary embedding. Formulas: RoFormer (arXiv 2104.09864); "llama3" scaling as in Llama 3.1's config.
struct RopeConfig {
  double base = 10000.0;
  std::string scaling = "none";  // none | linear | llama3 ; anything else is refused by models/
  double factor = 1.0;           // linear, llama3
  double low_frequency_factor = 1.0, high_frequency_factor = 4.0;  // llama3
  uint32_t original_context = 0;                                    // llama3, tokens
};

/// Hyperparameters in one vocabulary, whatever the file calls them. Zero or empty means "the file does not say".
struct ModelConfig {
  std::string architecture;  // "llama", "gemma3", "bert": the file's own word
  std::string name;          // general.name or _name_or_path, for people
  uint32_t layers = 0, width = 0, ff_width = 0, heads = 0, kv_heads = 0, head_width = 0;
  uint32_t vocabulary = 0, context = 0, token_types = 0;
  uint32_t labels = 0;                 // of a classification head
  double norm_epsilon = 0;
  std::optional<Activation> activation;
  RopeConfig rope;                     // global layers
  std::optional<RopeConfig> rope_local;  // sliding-window layers where they differ (Gemma 3)
  RopeStyle rope_style = RopeStyle::kHalves;
  uint32_t rope_width = 0;             // rotated elements of a head; 0 = all
  uint32_t sliding_window = 0;         // tokens a local layer sees, itself included; 0 = none
  uint32_t sliding_window_pattern = 0; // every n-th layer is global; 0 = all global
  double attention_scale = 0;          // 0 = 1/sqrt(head_width)
  double attention_softcap = 0, final_softcap = 0;  // 0 = none
  bool norm_weight_is_offset = false;  // norm weights stored as w - 1 (Gemma safetensors); GGUF stores w
  std::optional<bool> tied_embeddings;
  /// Everything else the file says, key -> printed value: families refuse what they do not understand by these names.
  std::map<std::string, std::string> other;
};

/// What a Tokenizer is built from: the bytes of a tokenizer.json, or a GGUF vocabulary. Owned copies.
struct TokenizerSpec {
  enum class TokenType : uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  struct Vocabulary {
    std::string model;         // tokenizer.ggml.model: gpt2 | llama | bert
    std::string pre;           // tokenizer.ggml.pre: smollm, llama-bpe, qwen2, default ...
    std::vector<std::string> tokens;
    std::vector<float> scores;      // empty or one a token
    std::vector<TokenType> types;   // empty or one a token
    std::vector<std::string> merges;  // "left right"
    bool add_space_prefix = true;     // SentencePiece type only
  };
  std::string tokenizer_json;             // empty = use `vocabulary`
  std::optional<Vocabulary> vocabulary;
  std::optional<uint32_t> bos, eos, eot, unknown, padding;   // ids
  std::optional<bool> add_bos, add_eos;                      // by the model's own word; nothing = the tokenizer.json's post-processor decides
  std::vector<uint32_t> end_of_generation;                   // further ids that end an answer (generation_config.json)
};

/// Defaults of generation_config.json or GGUF general.sampling.*; empty = not said.
struct GenerationDefaults {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<uint32_t> top_k;
};

struct Model {
  std::string id;          // sha256 over the sorted (name, size, sha256) of its files; empty until computed
  std::string path;        // what was opened
  std::string format;      // "gguf v3", "safetensors"
  std::vector<std::shared_ptr<const MappedFile>> files;
  std::vector<TensorView> tensors;
  ModelConfig config;
  std::optional<TokenizerSpec> tokenizer;
  std::string chat_template;                 // Jinja text; empty = none
  GenerationDefaults generation;
  Pooling pooling = Pooling::kNone;          // embedding models: from the model's own files
  bool normalize_embeddings = false;
  bool matryoshka = false;                   // trained so that the front of a vector is a vector (arXiv 2205.13147)
  std::vector<uint32_t> matryoshka_dimensions;  // the lengths it was trained for; empty = any
  ScoreFunction score_function = ScoreFunction::kSigmoid;  // of a cross-encoder
  uint32_t embedding_tokens_max = 0;         // max_seq_length of sentence-transformers; 0 = config.context
  std::shared_ptr<const Graph> graph;        // set by the engine

  /// The tensor named `name`, or null. Linear search is fine: families look each name up once.
  const TensorView* find(const std::string& name) const;
  /// Sum of element_count() over all tensors; a tied head counts once.
  uint64_t parameter_count() const;
  /// Sum of the tensors' bytes.
  uint64_t weight_bytes() const;
  /// The dtype most weight bytes have: what people call the model's quantization ("Q4_1").
  DType main_dtype() const;
};

}  // namespace accelerate
