// Matryoshka - shorter embeddings from a model that was trained for it (arXiv 2205.13147): the front of a vector, brought
// back to length 1.
//
//   ACC_TRY_VOID(check_dimensions(endpoint->info(), 256));
//   cut_embeddings(reply, 256);
//
// As in vLLM, a model is known to be one by "is_matryoshka" or "matryoshka_dimensions" in its config.json. Thread-safe.
#pragma once

#include "accelerate/engine/endpoint.h"

namespace accelerate {

/// invalid_argument naming the model and what it can: any other model's vector means nothing when it is cut. The whole
/// width is always fine.
Result<void> check_dimensions(const EndpointInfo& info, uint32_t dimensions);

/// Keeps the first `dimensions` numbers of each vector and divides them by their L2 norm (at least 1e-12). Vectors of that
/// width stay as they are.
void cut_embeddings(EmbedReply& reply, uint32_t dimensions);

}  // namespace accelerate
