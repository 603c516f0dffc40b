// Compiled tiny models for tests: one call to a Program, one call to its rows.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "accelerate/host/host_program.h"
#include "tests/host/reference.h"
#include "tests/host/tiny_models.h"

namespace accelerate::harness {

struct Wish {
  uint32_t threads = 2;
  Precision precision = Precision::kExact;
  Isa isa = Isa::kPortable;
  uint32_t context = 0, slots = 0;
  uint64_t kv_tokens = 0;
  const KernelTable* kernels = nullptr;  // instead of isa's
};

inline std::unique_ptr<Program> compile(std::shared_ptr<const Model> model, const Wish& wish = {}) {
  CompileOptions options{.quantization = {}, .precision = wish.precision, .level = 1, .threads = wish.threads, .context = wish.context,
                         .kv_tokens = wish.kv_tokens, .slots = wish.slots};
  const HostBuild build{.model = std::move(model), .kernels = wish.kernels ? wish.kernels : &native_kernels(wish.isa),
                        .threads = std::make_shared<ThreadPool>(ThreadPool::Options{.threads = wish.threads, .pin = false}),
                        .options = options, .machine = {.threads = wish.threads, .memory_bytes = uint64_t{1} << 30}, .kernel_notes = ""};
  std::vector<std::string> report;
  auto program = build_host_program(build, no_progress(), report);
  CHECK(program.ok(), program.ok() ? "" : program.error().message);
  return std::move(*program);
}

inline std::unique_ptr<DecoderProgram> compile_decoder(std::shared_ptr<const Model> model, const Wish& wish = {}) {
  std::unique_ptr<Program> program = compile(std::move(model), wish);
  CHECK(program->kind() == ProgramKind::kDecoder, "the model ends in logits");
  return std::unique_ptr<DecoderProgram>(static_cast<DecoderProgram*>(program.release()));
}

inline std::unique_ptr<EncoderProgram> compile_encoder(std::shared_ptr<const Model> model, const Wish& wish = {}) {
  std::unique_ptr<Program> program = compile(std::move(model), wish);
  CHECK(program->kind() == ProgramKind::kEncoder, "the model ends in hidden rows");
  return std::unique_ptr<EncoderProgram>(static_cast<EncoderProgram*>(program.release()));
}

struct Row {
  size_t input, token;
  std::vector<double> values;
};
class Collector final : public LogitsSink {
 public:
  void row(size_t input, size_t token, std::span<const float> logits) override {
    rows.push_back({input, token, {logits.begin(), logits.end()}});
  }
  std::vector<Row> rows;
};

/// One input, one step, no error expected; the rows wanted.
inline reference::Rows feed(DecoderProgram& decoder, Slot slot, std::span<const uint32_t> tokens, Want want = Want::kAll) {
  Collector sink;
  const SlotInput input{.slot = slot, .tokens = tokens, .want = want};
  SlotStatus status;
  const auto stepped = decoder.step({&input, 1}, {&status, 1}, sink, {});
  EXPECT_TRUE(stepped.ok()) << stepped.error().message;
  EXPECT_FALSE(status.error.has_value()) << status.error->message;
  reference::Rows rows;
  for (Row& row : sink.rows) rows.push_back(std::move(row.values));
  return rows;
}

inline Slot open(DecoderProgram& decoder) {
  auto slot = decoder.open();
  CHECK(slot.ok(), "a slot is free");
  return *slot;
}

class Matrices final : public MatrixSink {
 public:
  void matrix(size_t input, std::span<const float> values, size_t rows, size_t columns) override {
    EXPECT_EQ(input, results.size());
    EXPECT_EQ(values.size(), rows * columns);
    reference::Rows& result = results.emplace_back();
    for (size_t r = 0; r < rows; ++r) result.emplace_back(values.begin() + r * columns, values.begin() + (r + 1) * columns);
  }
  std::vector<reference::Rows> results;
};

}  // namespace accelerate::harness
