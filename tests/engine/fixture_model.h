// The random-weight fixtures as models of engine tests: real tokenizers and templates, answers by a scripted program.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "accelerate/core/graph.h"
#include "accelerate/engine/endpoints.h"
#include "accelerate/formats/open.h"
#include "accelerate/models/families.h"
#include "accelerate/text/tokenizer.h"
#include "tests/engine/counting_decoder.h"

namespace accelerate {

inline std::filesystem::path fixture_path(const std::string& name) { return std::filesystem::path(ACC_TEST_DATA) / "fixtures" / name; }

/// Fails the test when it does not open; null then.
inline std::shared_ptr<Model> fixture_model(const std::string& name) {
  Result<std::shared_ptr<Model>> model = open_model(fixture_path(name));
  EXPECT_TRUE(model) << (model ? "" : to_string(model.error()));
  if (!model) return nullptr;
  Result<Graph> graph = build_graph(**model);
  EXPECT_TRUE(graph) << (graph ? "" : to_string(graph.error()));
  if (graph) (*model)->graph = std::make_shared<const Graph>(*std::move(graph));
  return *model;
}

/// A decoder for the llama fixtures (280 tokens) that says `answer` after any prompt of `prompt_tokens` tokens, then `end`.
inline std::unique_ptr<CountingDecoder> scripted_decoder(std::vector<uint32_t> answer, size_t prompt_tokens, uint32_t end) {
  auto program = std::make_unique<CountingDecoder>();
  program->vocabulary_value = 280;
  program->next_token = [answer = std::move(answer), prompt_tokens, end](std::span<const uint32_t> held) {
    const size_t said = held.size() - prompt_tokens;
    return said < answer.size() ? answer[said] : end;
  };
  return program;
}

/// All text of a stream, to its end.
inline std::string read_all(Stream& stream) {
  std::string text;
  while (!stream.done()) {
    if (const auto part = stream.next()) text += part->text;
  }
  return text;
}

}  // namespace accelerate
