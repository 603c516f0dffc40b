// Families - from a Model to the Graph that computes it.
//
//   ACC_TRY(Graph graph, build_graph(model, &notes));
//   for (const std::string& note : notes.ignored) log_info(note);
//
// One line per family in families.cc says which architectures it serves. A family takes GGUF and Hugging Face tensor
// names alike. Real or refused: an architecture that no family serves, a tensor nobody asked for and a config field
// whose meaning is unknown are refused by name, because leaving one out would give another model's answers.
// Thread-safe: reads the Model only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/graph.h"
#include "accelerate/core/model.h"

namespace accelerate {

/// Sizes beyond these are taken for corruption, before anything is multiplied or allocated. Each is about ten times what
/// released models have.
inline constexpr uint32_t kModelLayersMax = 1024;
inline constexpr uint32_t kModelWidthMax = 1u << 18;        // model, feed-forward and head widths
inline constexpr uint32_t kModelHeadsMax = 2048;
inline constexpr uint32_t kModelVocabularyMax = 1u << 23;
inline constexpr uint32_t kModelContextMax = 1u << 28;
inline constexpr size_t kRefusedNamesShown = 8;             // of unknown tensors or fields in one error

/// What was found in the files, understood and left out, with the reason: "pooler.dense.weight: mean pooling ...".
struct GraphNotes {
  std::vector<std::string> ignored;
};

/// The Graph's weights name tensors of `model`. unimplemented for what is understood and not supported (unknown
/// architecture, tensors, fields, rope scaling); data_loss when shapes and config contradict each other or a tensor is
/// missing. `notes` may be null.
Result<Graph> build_graph(const Model& model, GraphNotes* notes = nullptr);

/// The same into model.graph; what is left out goes to the log.
Result<void> add_graph(Model& model);

/// The family that serves `architecture` ("llama" for "mistral"), or empty.
std::string family_of(const std::string& architecture);

/// Architectures served, for people and errors: "bert, gemma3, gemma3_text, llama, mistral".
std::string known_architectures();

}  // namespace accelerate
