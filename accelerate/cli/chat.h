// Chat - the interactive `run`: a prompt line, an answer, and so on. Ctrl-C stops an answer, Ctrl-D leaves, /help lists
// the other commands. A line that ends with '\' goes on in the next one.
#pragma once

#include <optional>
#include <string>

#include "accelerate/cli/console.h"
#include "accelerate/engine/endpoint.h"

namespace accelerate {

struct ChatOptions {
  Request prototype;                  // sampling, max_tokens, stop
  std::optional<std::string> system;  // first message of every conversation
  bool raw = false;                   // each line is a text to continue, without template and history
};

/// Returns when input ends or /bye is typed. Errors of single answers are shown and the chat goes on.
Result<void> chat(Console& console, Endpoint& endpoint, const ChatOptions& options);

}  // namespace accelerate
