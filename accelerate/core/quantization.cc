#include "accelerate/core/quantization.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace accelerate {
namespace {

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// GGUF's names and Hugging Face's, without their prefixes. "attn_output.weight" ends like a head and is none.
bool is_embedding_or_head(std::string_view name) {
  if (name == "output.weight") return true;
  for (const std::string_view end : {"token_embd.weight", "embed_tokens.weight", "lm_head.weight", "word_embeddings.weight"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

/// Matrices by shape that are read once a token, or decide much with few bytes.
bool stays_by_name(std::string_view name) {
  for (const std::string_view part : {"norm", "position_emb", "token_types", "token_type_emb", "ffn_gate_inp", "rope_freqs", "rope_factors",
                                      "pooler", "classifier"}) {
    if (name.find(part) != std::string_view::npos) return true;
  }
  return name.starts_with("cls.") || name.ends_with(".bias");
}

bool is_block_type(DType type) { return is_weight_type(type) && dtype_traits(type).block_elements > 1; }

bool divides(uint64_t columns, DType type) { return columns % dtype_traits(type).block_elements == 0; }

/// What stands in where rows do not divide by the block of `type`.
DType smaller_blocks(DType type) {
  switch (type) {
    case DType::kQ4_K: return DType::kQ5_0;
    case DType::kQ5_K: return DType::kQ5_1;
    case DType::kQ6_K: return DType::kQ8_0;
    default: return DType::kF16;
  }
}

DType that_divides(DType type, uint64_t columns) {
  while (!divides(columns, type)) type = smaller_blocks(type);
  return type;
}

std::string because(QuantizationReason reason, DType asked) {
  switch (reason) {
    case QuantizationReason::kAsked: return "";
    case QuantizationReason::kSmall: return ": vectors, norms and small tables stay as they are";
    case QuantizationReason::kTable: return ": the token embedding and the output head keep more bits";
    case QuantizationReason::kRows: return fmt::format(": their rows do not divide into blocks of {}", dtype_traits(asked).block_elements);
    case QuantizationReason::kAlready: return ": quantized already, and what would stand in for the type asked for is no smaller";
  }
  return "";
}

}  // namespace

bool is_weight_type(DType type) { return type <= DType::kQ6_K; }

double bits_per_weight(DType type) { return 8.0 * dtype_traits(type).block_bytes / dtype_traits(type).block_elements; }

Result<DType> quantization_from_name(std::string_view name) {
  const std::string word = lowered(name);
  if (word == "int8") return DType::kQ8_0;
  if (word == "int4") return DType::kQ4_K;
  if (const std::optional<DType> type = dtype_from_name(word); type && is_weight_type(*type)) return *type;
  std::vector<std::string> names{"int8", "int4"};
  for (int i = 0; is_weight_type(static_cast<DType>(i)); ++i) names.push_back(lowered(dtype_traits(static_cast<DType>(i)).name));
  std::string shown(name.substr(0, 40));
  std::replace_if(shown.begin(), shown.end(), [](unsigned char c) { return !std::isprint(c); }, '?');
  return Error{ErrorCode::kInvalidArgument, fmt::format("[quantization] a quantization is one of {}; got '{}'", fmt::join(names, " "), shown)};
}

TensorChoice choose_quantization(const TensorView& tensor, DType asked) {
  CHECK(is_weight_type(asked), "a weight type is asked for");
  if (!is_weight_type(tensor.dtype) || tensor.shape.size() < 2 || stays_by_name(tensor.name)) return {tensor.dtype, QuantizationReason::kSmall};
  const uint64_t columns = tensor.columns();
  if (!is_block_type(asked)) return {asked, QuantizationReason::kAsked};
  DType type = asked;
  QuantizationReason reason = QuantizationReason::kAsked;
  if (is_embedding_or_head(tensor.name) && bits_per_weight(asked) < bits_per_weight(DType::kQ6_K)) {
    type = DType::kQ6_K;
    reason = QuantizationReason::kTable;
  }
  const DType fitting = that_divides(type, columns);
  if (fitting != type && reason == QuantizationReason::kAsked) reason = QuantizationReason::kRows;
  if (reason != QuantizationReason::kAsked && is_block_type(tensor.dtype) && bits_per_weight(tensor.dtype) <= bits_per_weight(fitting)) {
    // The table's own type may be what was asked for, or have fewer bits than the policy would give it back.
    return {tensor.dtype, tensor.dtype == asked ? QuantizationReason::kAsked : QuantizationReason::kAlready};
  }
  return {fitting, fitting == asked ? QuantizationReason::kAsked : reason};
}

QuantizationPlan plan_quantization(std::span<const TensorView> tensors, DType asked) {
  QuantizationPlan plan;
  plan.asked = asked;
  for (const TensorView& tensor : tensors) {
    const TensorChoice choice = choose_quantization(tensor, asked);
    const DTypeTraits& traits = dtype_traits(choice.type);
    const uint64_t bytes = tensor.element_count() / traits.block_elements * traits.block_bytes;
    plan.choices.push_back(choice);
    plan.bytes += bytes;
    plan.bytes_before += tensor.bytes.size();
    plan.bytes_f32 += tensor.element_count() * sizeof(float);
    if (choice.type != tensor.dtype) ++plan.changed;
    if (choice.type != tensor.dtype && is_block_type(tensor.dtype) && is_block_type(choice.type)) ++plan.requantized;
    auto group = std::find_if(plan.groups.begin(), plan.groups.end(),
                              [&](const QuantizationPlan::Group& g) { return g.type == choice.type && g.reason == choice.reason; });
    if (group == plan.groups.end()) {
      plan.groups.push_back({choice.type, choice.reason, 0, 0, fmt::format("{} [{}]", tensor.name, fmt::join(tensor.shape, ", "))});
      group = plan.groups.end() - 1;
    }
    ++group->tensors;
    group->bytes += bytes;
  }
  std::sort(plan.groups.begin(), plan.groups.end(), [](const QuantizationPlan::Group& a, const QuantizationPlan::Group& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.example < b.example;
  });
  return plan;
}

uint32_t QuantizationPlan::count(QuantizationReason reason) const {
  uint32_t tensors = 0;
  for (const Group& group : groups) tensors += group.reason == reason ? group.tensors : 0;
  return tensors;
}

std::string QuantizationPlan::name() const {
  if (count(QuantizationReason::kAsked) > 0) return std::string(dtype_traits(asked).name);
  std::vector<uint64_t> bytes_of(kDTypeCount, 0);
  const bool stands_in = count(QuantizationReason::kRows) > 0;
  // Tables that changed alone are a mixture of this request's making: its name may not be the file's.
  if (!stands_in && changed > 0) return std::string(dtype_traits(asked).name);
  for (const Group& group : groups) {
    if (!stands_in || group.reason == QuantizationReason::kRows) bytes_of[static_cast<size_t>(group.type)] += group.bytes;
  }
  const auto most = std::max_element(bytes_of.begin(), bytes_of.end());
  return std::string(dtype_traits(static_cast<DType>(most - bytes_of.begin())).name);
}

std::vector<std::string> QuantizationPlan::notes() const {
  std::vector<std::string> out;
  for (const Group& group : groups) {
    const bool stays = group.reason == QuantizationReason::kSmall || group.reason == QuantizationReason::kAlready;
    const bool fallback = group.reason == QuantizationReason::kRows || group.reason == QuantizationReason::kAlready;
    out.push_back(fmt::format("{} of {} tensors {} {}{}{}", group.tensors, choices.size(), stays ? "stay" : "became", dtype_traits(group.type).name,
                              because(group.reason, asked), fallback ? fmt::format(" (as {})", group.example) : ""));
  }
  if (requantized > 0) {
    out.push_back(fmt::format("{} of {} tensors were quantized already and are so a second time: their errors add up", requantized, choices.size()));
  }
  return out;
}

Result<std::optional<DType>> quantization_to_apply(const Model& model, const std::optional<std::string>& asked) {
  if (!asked) return std::optional<DType>{};
  ACC_TRY(const DType type, quantization_from_name(*asked));
  return type == model.main_dtype() ? std::optional<DType>{} : std::optional(type);
}

std::string quantization_name(const Model& model, std::optional<DType> quantization) {
  const std::string own(dtype_traits(model.main_dtype()).name);
  if (!quantization) return own;
  const QuantizationPlan plan = plan_quantization(model.tensors, *quantization);
  std::string name = plan.name();
  // What stands in may be called like the file and be another mixture: a proof of one is none of the other.
  if (name == own && plan.changed > 0) name = dtype_traits(*quantization).name;
  return name;
}

}  // namespace accelerate
