// The families' build functions, one file each. Only families.cc calls them; see families.h for the contract.
#pragma once

#include "accelerate/base/result.h"
#include "accelerate/core/graph.h"
#include "accelerate/core/model.h"
#include "accelerate/models/families.h"

namespace accelerate {

Result<Graph> build_llama(const Model& model, GraphNotes* notes);
Result<Graph> build_gemma(const Model& model, GraphNotes* notes);
Result<Graph> build_bert(const Model& model, GraphNotes* notes);

}  // namespace accelerate
