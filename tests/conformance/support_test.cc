// docs/support.md: which backend runs which family and tensor type, by what supports() says of every fixture. Whatever says
// yes here is held to the golden by the other tests of this suite. ACC_WRITE_SUPPORT=1 writes the file; without it the
// test compares, so that the committed file can not fall behind.

#include <cstdlib>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/file.h"
#include "accelerate/models/families.h"
#include "tests/conformance/bounds.h"
#include "tests/conformance/goldens.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

constexpr size_t kDocumentBytesMax = size_t{1} << 20;

struct Row {
  std::string family, format, type;
  std::shared_ptr<const Model> model;
};

std::vector<Row> rows() {
  std::vector<std::string> names;
  for (const DecoderGolden& golden : decoder_goldens()) names.push_back(golden.model);
  names.push_back(encoder_goldens().front().model);
  names.push_back(cross_encoder_goldens().front().model);
  std::map<std::tuple<std::string, std::string, DType>, Row> sorted;
  for (const std::string& name : names) {
    const auto model = open_fixture(name);
    const bool gguf = model->format.starts_with("gguf");
    const DType type = model->main_dtype();
    const bool scores = std::get<Output>(model->graph->ops.back()).kind == Output::Kind::kHead;
    const std::string family = model->graph->family + (scores ? " cross-encoder" : "");
    sorted[{family, gguf ? "GGUF" : "safetensors", type}] =
        {family, gguf ? "GGUF" : "safetensors", std::string(dtype_traits(type).name), model};
  }
  std::vector<Row> result;
  for (auto& [key, row] : sorted) result.push_back(std::move(row));
  return result;
}

std::string cell(const std::string& backend, const Model& model) {
  // What needs an install may be absent here; what it supports on a CPU is known all the same.
  const Device device = device_of(backend) ? *device_of(backend) : Device{.kind = "cpu"};
  const Support support = find_backend(backend)->supports(model, device, {});
  return support.yes ? "yes" : "no: " + support.reason;
}

std::string document() {
  std::string text =
      "# What runs where\n\n"
      "Written by the conformance suite (`ACC_WRITE_SUPPORT=1 build/release/conformance_test`); a test fails when it falls behind.\n"
      "Every *yes* is a model of that family and main tensor type run in that backend against goldens made by Transformers in\n"
      "float32, in one chunk, in uneven chunks, token by token and interleaved with other sequences (engines that take an install:\n"
      "by `make test-ENGINE`, as `make test-torch`).\n\n";
  text += "| family | format | weights |";
  std::string line = "|---|---|---|";
  for (const std::string& backend : registered_names()) {
    text += fmt::format(" {} |", backend);
    line += "---|";
  }
  text += "\n" + line + "\n";
  for (const Row& row : rows()) {
    text += fmt::format("| {} | {} | {} |", row.family, row.format, row.type);
    for (const std::string& backend : registered_names()) text += fmt::format(" {} |", cell(backend, *row.model));
    text += "\n";
  }
  text += fmt::format("\nArchitectures read: {}. Any other is refused by name.\n\n## Bounds\n\n", known_architectures());
  text += "| what | exact (float32 activations and KV) | default |\n|---|---|---|\n";
  text += fmt::format("| random-weight fixtures, max abs(a - b) / max abs(b) | {} | {} |\n", kFixtureErrorExact, kFixtureErrorDefault);
  text += fmt::format("| SmolLM2, Gemma 3: mean KL to Transformers, 20 prompts of 32 tokens | {} | {} |\n", kMeanKlExact, kMeanKlDefault);
  text += fmt::format("| the same: most likely token | equal wherever the margin is over {} | {} % |\n", kMarginExact, 100 * kTop1Default);
  text += fmt::format("| perplexity of a text | within {} % | within {} % |\n", 100 * kPerplexityError, 100 * kPerplexityError);
  text += fmt::format("| MiniLM embeddings: cosine to Transformers | {} | {} |\n", kCosineMin, kCosineMin);
  text += "\n`cpu` is held to them with each of its kernel families that the machine runs:";
  for (int i = 0; i < kIsaCount; ++i) text += fmt::format("{} {}", i ? "," : "", isa_name(static_cast<Isa>(i)));
  return text + ".\n";
}

TEST(SupportMatrix, TheCommittedDocumentIsUpToDate) {
  const std::filesystem::path path = std::filesystem::path(ACC_SOURCE_DIR) / "docs/support.md";
  const std::string wanted = document();
  if (const char* write = std::getenv("ACC_WRITE_SUPPORT"); write && *write == '1') {
    const Result<void> written = write_file_atomically(path, wanted);
    ASSERT_TRUE(written) << to_string(written.error());
  }
  const Result<std::string> committed = read_file(path, kDocumentBytesMax);
  ASSERT_TRUE(committed) << to_string(committed.error());
  EXPECT_EQ(*committed, wanted) << "run it with ACC_WRITE_SUPPORT=1 and commit docs/support.md";
}

TEST(SupportMatrix, EveryBackendIsThere) { EXPECT_FALSE(backend_names().empty()); }

}  // namespace
}  // namespace accelerate::conformance
