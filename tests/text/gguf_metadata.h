// The tokenizer part of a real GGUF file, read plainly: the text room's tests may not use formats/, its sibling.
// Trusts the file; for tests only.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "accelerate/base/file.h"
#include "accelerate/core/model.h"

namespace accelerate::testing {

class GgufMetadata {
 public:
  using Value = std::variant<int64_t, double, std::string, std::vector<std::string>, std::vector<double>>;

  explicit GgufMetadata(std::span<const std::byte> bytes) : at_(bytes.data()) {
    take<uint32_t>();  // magic
    take<uint32_t>();  // version
    take<uint64_t>();  // tensors
    const auto pairs = take<uint64_t>();
    for (uint64_t i = 0; i < pairs; ++i) {
      const std::string key = text();
      values_[key] = value(take<uint32_t>());
    }
  }

  template <class T>
  const T* find(const std::string& key) const {
    const auto it = values_.find(key);
    return it == values_.end() ? nullptr : std::get_if<T>(&it->second);
  }

 private:
  template <class T>
  T take() {
    T result;
    std::memcpy(&result, at_, sizeof result);
    at_ += sizeof result;
    return result;
  }
  std::string text() {
    const auto size = take<uint64_t>();
    std::string result(reinterpret_cast<const char*>(at_), size);
    at_ += size;
    return result;
  }
  double number(uint32_t type) {
    switch (type) {
      case 0: return take<uint8_t>();
      case 1: return take<int8_t>();
      case 2: return take<uint16_t>();
      case 3: return take<int16_t>();
      case 4: return take<uint32_t>();
      case 5: return take<int32_t>();
      case 6: return take<float>();
      case 7: return take<uint8_t>();
      case 10: return static_cast<double>(take<uint64_t>());
      case 11: return static_cast<double>(take<int64_t>());
      case 12: return take<double>();
      default: throw std::runtime_error("a GGUF metadata type that the tests do not know");
    }
  }
  Value value(uint32_t type) {
    if (type == 8) return text();
    if (type != 9) {
      const double result = number(type);
      return type == 6 || type == 12 ? Value(result) : Value(static_cast<int64_t>(result));
    }
    const auto element = take<uint32_t>();
    const auto count = take<uint64_t>();
    if (element == 8) {
      std::vector<std::string> texts(count);
      for (std::string& item : texts) item = text();
      return texts;
    }
    std::vector<double> numbers(count);
    for (double& item : numbers) item = number(element);
    return numbers;
  }

  const std::byte* at_;
  std::map<std::string, Value> values_;
};

inline TokenizerSpec gguf_tokenizer_spec(const GgufMetadata& metadata) {
  const std::string prefix = "tokenizer.ggml.";
  TokenizerSpec::Vocabulary vocabulary;
  vocabulary.model = *metadata.find<std::string>(prefix + "model");
  if (const auto* pre = metadata.find<std::string>(prefix + "pre")) vocabulary.pre = *pre;
  vocabulary.tokens = *metadata.find<std::vector<std::string>>(prefix + "tokens");
  if (const auto* merges = metadata.find<std::vector<std::string>>(prefix + "merges")) vocabulary.merges = *merges;
  if (const auto* scores = metadata.find<std::vector<double>>(prefix + "scores")) {
    vocabulary.scores.assign(scores->begin(), scores->end());
  }
  if (const auto* types = metadata.find<std::vector<double>>(prefix + "token_type")) {
    for (const double type : *types) vocabulary.types.push_back(static_cast<TokenizerSpec::TokenType>(type));
  }
  if (const auto* yes = metadata.find<int64_t>(prefix + "add_space_prefix")) vocabulary.add_space_prefix = *yes != 0;
  TokenizerSpec spec;
  const auto id = [&](const char* key) -> std::optional<uint32_t> {
    const auto* value = metadata.find<int64_t>(prefix + key);
    return value == nullptr ? std::nullopt : std::optional(static_cast<uint32_t>(*value));
  };
  const auto flag = [&](const char* key) -> std::optional<bool> {
    const auto* value = metadata.find<int64_t>(prefix + key);
    return value == nullptr ? std::nullopt : std::optional(*value != 0);
  };
  spec.bos = id("bos_token_id");
  spec.eos = id("eos_token_id");
  spec.unknown = id("unknown_token_id");
  spec.padding = id("padding_token_id");
  spec.add_bos = flag("add_bos_token");
  spec.add_eos = flag("add_eos_token");
  spec.vocabulary = std::move(vocabulary);
  return spec;
}

}  // namespace accelerate::testing
