// A Hugging Face directory -> Model: config.json, safetensors (one file, or shards through an index), tokenizer files,
// generation_config.json, and sentence-transformers' modules where they are.
//
//   ACC_TRY(Model model, open_hugging_face("models/minilm"));
//
// Pooling, normalization and the token limit of embedding models come from modules.json, 1_Pooling/config.json and
// sentence_bert_config.json. A module or pooling that the Model has no place for goes to config.other
// ("modules.json: ...", "pooling_mode_max_tokens"), for a family to refuse.
#pragma once

#include <filesystem>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

/// The Model keeps its safetensors mapped. not_found without config.json or weights; data_loss when the index names a
/// tensor that its shard lacks, or two shards hold the same one; otherwise the errors of the parts. `weights` picks one
/// .safetensors file of the directory; empty = model.safetensors.index.json, model.safetensors, or the only one there.
Result<Model> open_hugging_face(const std::filesystem::path& directory, const std::filesystem::path& weights = {});

}  // namespace accelerate
