// What config.json says of an encoder's result: labels of a classifier and how its logit becomes a score, Matryoshka lengths.
//
//   ACC_TRY_VOID(read_hf_heads(config_json, model));   // labels, score_function, matryoshka; model.config is read before
//
// The words: Transformers' num_labels and id2label; sentence-transformers' "sentence_transformers": {"activation_fn"} and its
// older sbert_ce_default_activation_function, whose default is a sigmoid for one label; is_matryoshka and
// matryoshka_dimensions as vLLM reads them. What is read leaves model.config.other; what is not stays there, to be refused.
#pragma once

#include "accelerate/base/json.h"
#include "accelerate/core/model.h"

namespace accelerate {

inline constexpr size_t kLabelsMax = 4096;                // a classifier of ImageNet has 1000
inline constexpr size_t kMatryoshkaDimensionsMax = 64;    // models in the field name up to 8

/// data_loss naming the field: of another kind, or more than the limits above.
Result<void> read_hf_heads(const Json& config, Model& model);

}  // namespace accelerate
