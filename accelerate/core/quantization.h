// Quantization - what "int4" means, tensor by tensor: the one policy behind `quantize`, quantization at load and plans.
//
//   ACC_TRY(DType asked, quantization_from_name("int4"));              // kQ4_K
//   QuantizationPlan plan = plan_quantization(model.tensors, asked);
//   plan.choices[i].type                                               // what tensor i becomes
//   plan.name(), plan.notes()                                          // "Q4_K"; "12 tensors became Q5_0: rows of 576 ..."
//
// Names: f32, f16, bf16, int8 (Q8_0), int4 (Q4_K), or a GGUF type, in any case. The policy:
//   * vectors, norms, biases, position and token-type tables, routers and small heads stay as they are: under 1 % of the bytes;
//   * the token embedding and the output head become Q6_K (Q8_0 where rows do not divide by 256) when the type asked for has
//     fewer bits: every answer passes through them;
//   * a K type needs rows that divide by 256. Where they do not: Q4_K -> Q5_0, Q5_K -> Q5_1, Q6_K -> Q8_0. (Q5_0 and not Q4_0:
//     on SmolLM2 mean KL is 0.050 instead of 0.177.) Rows that do not divide by 32 either become F16;
//   * a tensor that is quantized already is not made another quantized type that is no smaller, unless that type was asked for
//     by name: it would lose accuracy and gain nothing.
// Every tensor that did not become what was asked for is counted, with its reason. Plain data; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/dtype.h"
#include "accelerate/core/model.h"
#include "accelerate/core/tensor.h"

namespace accelerate {

/// invalid_argument listing the names.
Result<DType> quantization_from_name(std::string_view name);

/// True for the types weights come in: F32, F16, BF16 and the blocks.
bool is_weight_type(DType type);

/// Bits an element takes, scales included: 4.5 for Q4_K.
double bits_per_weight(DType type);

enum class QuantizationReason : uint8_t {
  kAsked,     // what was asked for
  kSmall,     // stays: no matrix, or too few bytes to matter
  kTable,     // the embedding or the head, kept at more bits
  kRows,      // its rows do not divide by the block
  kAlready,   // quantized already, and the fallback is no smaller
};

struct TensorChoice {
  DType type = DType::kF32;
  QuantizationReason reason = QuantizationReason::kAsked;
};

/// For one tensor; `asked` is a weight type.
TensorChoice choose_quantization(const TensorView& tensor, DType asked);

struct QuantizationPlan {
  DType asked = DType::kF32;
  std::vector<TensorChoice> choices;  // one a tensor, in order
  uint64_t bytes = 0;                 // of all tensors, afterwards
  uint64_t bytes_before = 0;
  uint64_t bytes_f32 = 0;             // as if every element were a float
  uint32_t changed = 0;               // tensors that are not what they were
  uint32_t requantized = 0;           // of them, from one quantized type to another: errors add up

  /// The one spelling ("Q4_K") under which plans, records and endpoints know the result: the type asked for, or where no
  /// tensor could become it, what stands in for it. Plans of one name and one model choose the same types.
  std::string name() const;
  /// Tensors per (type, reason), for people: "210 of 290 tensors became Q4_K". Fallbacks say why, with an example.
  std::vector<std::string> notes() const;
  /// Tensors for which `reason` decided.
  uint32_t count(QuantizationReason reason) const;

  struct Group {
    DType type = DType::kF32;
    QuantizationReason reason = QuantizationReason::kAsked;
    uint32_t tensors = 0;
    uint64_t bytes = 0;
    std::string example;  // "blk.0.attn_q.weight [576, 576]"
  };
  std::vector<Group> groups;  // most bytes first
};
QuantizationPlan plan_quantization(std::span<const TensorView> tensors, DType asked);

/// What CompileOptions::quantization asks for of this model: nothing where it is empty or names what most of the file's bytes
/// have already (then the file stays as it is). Errors as quantization_from_name.
Result<std::optional<DType>> quantization_to_apply(const Model& model, const std::optional<std::string>& asked);

/// The one spelling for plans, records and endpoints: that of the plan, or the type most bytes of the file have.
std::string quantization_name(const Model& model, std::optional<DType> quantization);

}  // namespace accelerate
