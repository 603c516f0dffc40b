// UseCase - what a model is to be used for: lengths and concurrency, and the shape bucket under which it is measured.
//
//   ACC_TRY(UseCase use, use_case_named("chat"));        // 512 tokens in, 128 out, one at a time
//   record.key.shape = shape_bucket(use);                // "p512-g128-b1"
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

struct UseCase {
  std::string name;
  uint32_t prompt_tokens = 0, generate_tokens = 0, concurrency = 1;  // generate 0: vectors
};
/// chat, rag, batch, embeddings, completion.
std::span<const UseCase> use_cases();
/// invalid_argument listing the names.
Result<UseCase> use_case_named(std::string_view name);

/// Lengths and concurrency up to the next power of two: measurements of near shapes stand for each other.
std::string shape_bucket(const UseCase& use);
/// The bucket's own lengths; nothing for a text that is no bucket.
Result<UseCase> use_case_of_bucket(std::string_view bucket);

}  // namespace accelerate
