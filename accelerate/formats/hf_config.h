// config.json of a Hugging Face model -> ModelConfig.
//
//   ACC_TRY(ModelConfig config, parse_hf_config(text));
//
// Where the file is silent, the value is the default of the architecture's configuration class in Transformers (named at
// each in hf_config.cc), because that is what the model was trained and published with. Fields without a place in
// ModelConfig go to config.other under their own name ("rope_scaling.attn_factor" for nested ones), for a family to
// refuse. `architectures` goes there too, as its first entry.
#pragma once

#include <string_view>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

/// invalid_argument for broken JSON; data_loss for a field of the wrong kind or no model_type.
Result<ModelConfig> parse_hf_config(std::string_view text);

}  // namespace accelerate
