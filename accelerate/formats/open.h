// open_model - a path to a Model, whatever the files are.
//
//   ACC_TRY(std::shared_ptr<Model> model, open_model("models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"));
//
// Takes a GGUF file; a Hugging Face directory (config.json with *.safetensors, sharded through
// model.safetensors.index.json); a directory with exactly one .gguf; a .safetensors file beside its config.json.
// Weights stay mapped, nothing of them is read. The Model has no id and no graph yet (model_id.h, models/families.h).
#pragma once

#include <filesystem>
#include <memory>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

/// not_found when nothing is there; invalid_argument for an unknown format (with the file's first bytes) or a directory
/// without a model or with several; otherwise what open_gguf and open_hugging_face say. A model without tokenizer opens
/// with Model::tokenizer empty. The caller owns the result and may complete it before sharing it.
Result<std::shared_ptr<Model>> open_model(const std::filesystem::path& path);

}  // namespace accelerate
