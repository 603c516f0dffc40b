// Names nobody can guess and nobody else has: ids of answers and of tool calls.
//
//   random_id("chatcmpl-");      // chatcmpl-9aXk..., 24 characters of 0-9a-zA-Z: 142 bits
//   random_id("", 9);            // fK2x0Qp7Z
//
// Drawn from the system's generator at each thread's start. Thread-safe; no secret.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace accelerate {

std::string random_id(std::string_view prefix, size_t characters = 24);

}  // namespace accelerate
