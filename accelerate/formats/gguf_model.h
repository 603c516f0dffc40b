// GGUF -> Model: hyperparameters, tensors, vocabulary, template and generation defaults in the house's vocabulary.
//
//   ACC_TRY(std::shared_ptr<const MappedFile> file, MappedFile::open(path));
//   ACC_TRY(Model model, open_gguf(std::move(file)));
//
// A file without a vocabulary opens with Model::tokenizer empty. Architecture-prefixed keys that ModelConfig has no field
// for go to config.other under their full name ("llama.expert_count"), so that a family can refuse them by name.
// Source of key names: the GGUF specification and the `gguf` Python package's constants.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "accelerate/base/file.h"
#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

/// The Model keeps `file` mapped. Errors are those of parse_gguf, and data_loss or unimplemented naming a metadata key
/// that contradicts another or has no meaning here (per-layer head counts, a file that is one of several splits).
Result<Model> open_gguf(std::shared_ptr<const MappedFile> file);

/// The same from bytes that outlive the Model (Model::files and path stay empty).
Result<Model> model_from_gguf(std::span<const std::byte> bytes);

}  // namespace accelerate
