// GgufWriter - writes GGUF files for tests, right ones and wrong ones: nothing is checked, every number can be lied about.
//
//   GgufWriter writer;
//   writer.text("general.architecture", "llama").u32("llama.block_count", 1).tensor("a", {4, 2}, 0, 32);
//   AlignedBytes file = writer.build();
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/dtype.h"

namespace accelerate::testing {

/// Bytes at an address as aligned as a mapped file's tensors are; a prefix of them is again a span.
class AlignedBytes {
 public:
  explicit AlignedBytes(const std::string& text) : words_((text.size() + 63) / 64), size_(text.size()) {
    if (!text.empty()) std::memcpy(words_.data(), text.data(), text.size());
  }
  std::span<const std::byte> span() const { return {reinterpret_cast<const std::byte*>(words_.data()), size_}; }
  std::span<const std::byte> first(size_t count) const { return span().first(count); }
  std::byte* data() { return reinterpret_cast<std::byte*>(words_.data()); }
  size_t size() const { return size_; }

 private:
  struct alignas(64) Line { std::byte bytes[64]; };
  std::vector<Line> words_;
  size_t size_;
};

class GgufWriter {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;
  std::string magic = "GGUF";
  int64_t extra_tensors = 0, extra_metadata = 0;  // lies about the counts

  template <class T> static std::string raw(T value) {
    std::string out(sizeof value, '\0');
    std::memcpy(out.data(), &value, sizeof value);
    return out;
  }
  static std::string string(std::string_view text) { return raw<uint64_t>(text.size()) + std::string(text); }

  GgufWriter& entry(std::string_view key, uint32_t type, const std::string& bytes) {
    metadata_ += string(key) + raw(type) + bytes;
    ++metadata_count_;
    return *this;
  }
  GgufWriter& u32(std::string_view key, uint32_t value) { return entry(key, 4, raw(value)); }
  GgufWriter& f32(std::string_view key, float value) { return entry(key, 6, raw(value)); }
  GgufWriter& boolean(std::string_view key, bool value) { return entry(key, 7, raw(static_cast<uint8_t>(value))); }
  GgufWriter& text(std::string_view key, std::string_view value) { return entry(key, 8, string(value)); }
  GgufWriter& texts(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = raw<uint32_t>(8) + raw<uint64_t>(values.size());
    for (const std::string& value : values) bytes += string(value);
    return entry(key, 9, bytes);
  }
  template <class T> GgufWriter& list(std::string_view key, uint32_t element_type, const std::vector<T>& values) {
    std::string bytes = raw(element_type) + raw<uint64_t>(values.size());
    for (const T value : values) bytes += raw(value);
    return entry(key, 9, bytes);
  }
  /// `innermost_first` as in the file; the data are `bytes` bytes counting up. Returns the offset used.
  uint64_t tensor(std::string_view name, const std::vector<uint64_t>& innermost_first, uint32_t type, uint64_t bytes) {
    while (data_.size() % alignment != 0) data_ += '\0';
    const uint64_t offset = data_.size();
    for (uint64_t i = 0; i < bytes; ++i) data_ += static_cast<char>(i & 0x3f);
    return tensor_at(name, innermost_first, type, offset);
  }
  /// Describes a tensor without writing data for it.
  uint64_t tensor_at(std::string_view name, const std::vector<uint64_t>& innermost_first, uint32_t type, uint64_t offset) {
    tensors_ += string(name) + raw(static_cast<uint32_t>(innermost_first.size()));
    for (const uint64_t dimension : innermost_first) tensors_ += raw(dimension);
    tensors_ += raw(type) + raw(offset);
    ++tensor_count_;
    return offset;
  }
  /// F32 with outermost-first shape, for models.
  GgufWriter& f32_tensor(std::string_view name, std::vector<uint64_t> outermost_first) {
    uint64_t count = 1;
    for (const uint64_t dimension : outermost_first) count *= dimension;
    tensor(name, {outermost_first.rbegin(), outermost_first.rend()}, 0, count * 4);
    return *this;
  }
  std::string text_of_file() const {
    std::string out = magic + raw(version) + raw(tensor_count_ + static_cast<uint64_t>(extra_tensors)) +
                      raw(metadata_count_ + static_cast<uint64_t>(extra_metadata)) + metadata_ + tensors_;
    while (!data_.empty() && out.size() % alignment != 0) out += '\0';
    return out + data_;
  }
  AlignedBytes build() const { return AlignedBytes(text_of_file()); }

 private:
  std::string metadata_, tensors_, data_;
  uint64_t metadata_count_ = 0, tensor_count_ = 0;
};

struct SmallLlama {
  uint32_t layers = 1, width = 8, heads = 2, kv_heads = 1, ff_width = 12, vocabulary = 5;
  bool tokenizer = true;
  bool own_head = false;
};

/// A whole llama model of a few hundred bytes, complete but for what a test adds.
inline GgufWriter small_llama(const SmallLlama& shape = {}) {
  GgufWriter writer;
  writer.text("general.architecture", "llama").text("general.name", "small");
  writer.u32("llama.block_count", shape.layers).u32("llama.context_length", 16).u32("llama.embedding_length", shape.width);
  writer.u32("llama.feed_forward_length", shape.ff_width).u32("llama.attention.head_count", shape.heads);
  writer.u32("llama.attention.head_count_kv", shape.kv_heads).f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.f32("llama.rope.freq_base", 10000.0f);
  if (shape.tokenizer) {
    writer.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "smollm");
    std::vector<std::string> tokens{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b"};
    std::vector<int32_t> types{3, 3, 3, 1, 1};
    for (size_t i = tokens.size(); i < shape.vocabulary; ++i) tokens.push_back("t" + std::to_string(i)), types.push_back(1);
    writer.texts("tokenizer.ggml.tokens", tokens).list("tokenizer.ggml.token_type", 5, types);
    writer.texts("tokenizer.ggml.merges", {"a b"}).u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
    writer.text("tokenizer.chat_template", "{{ messages }}");
  }
  const uint64_t width = shape.width, key = uint64_t{shape.kv_heads} * (shape.width / shape.heads);
  writer.f32_tensor("token_embd.weight", {shape.vocabulary, width});
  for (uint32_t i = 0; i < shape.layers; ++i) {
    const std::string at = "blk." + std::to_string(i) + ".";
    writer.f32_tensor(at + "attn_norm.weight", {width}).f32_tensor(at + "ffn_norm.weight", {width});
    writer.f32_tensor(at + "attn_q.weight", {width, width}).f32_tensor(at + "attn_k.weight", {key, width});
    writer.f32_tensor(at + "attn_v.weight", {key, width}).f32_tensor(at + "attn_output.weight", {width, width});
    writer.f32_tensor(at + "ffn_gate.weight", {shape.ff_width, width}).f32_tensor(at + "ffn_up.weight", {shape.ff_width, width});
    writer.f32_tensor(at + "ffn_down.weight", {width, shape.ff_width});
  }
  writer.f32_tensor("output_norm.weight", {width});
  if (shape.own_head) writer.f32_tensor("output.weight", {shape.vocabulary, width});
  return writer;
}

}  // namespace accelerate::testing
