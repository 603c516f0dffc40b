#include "accelerate/wire/rows.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr size_t kInputFields = 5;  // slot index, slot generation, tokens, want, top_k

Error wrong(std::string_view what) { return {ErrorCode::kDataLoss, fmt::format("[wire] {}", what)}; }

}  // namespace

void add_step_inputs(WireMessage& request, std::span<const SlotInput> inputs) {
  std::vector<uint32_t> table, tokens;
  for (const SlotInput& input : inputs) {
    const auto count = static_cast<uint32_t>(input.tokens.size());
    table.insert(table.end(), {input.slot.index, input.slot.generation, count, static_cast<uint32_t>(input.want), input.top_k});
    tokens.insert(tokens.end(), input.tokens.begin(), input.tokens.end());
  }
  request.add_blob(std::as_bytes(std::span(table))).add_blob(std::as_bytes(std::span(tokens)));
}

Result<std::vector<SlotInput>> step_inputs_of(const WireMessage& request, std::span<const uint32_t> tokens) {
  ACC_TRY(const std::vector<uint32_t> table, request.blob_u32(0));
  if (table.size() % kInputFields != 0) return wrong("a step's inputs have five fields each");
  std::vector<SlotInput> inputs;
  size_t at = 0;
  for (size_t i = 0; i < table.size(); i += kInputFields) {
    const uint32_t count = table[i + 2];
    if (count > tokens.size() - at || table[i + 3] > static_cast<uint32_t>(Want::kAll)) {
      return wrong(fmt::format("a step's inputs have the tokens that they say; got {} of {}", count, tokens.size() - at));
    }
    inputs.push_back({.slot = {table[i], table[i + 1]}, .tokens = tokens.subspan(at, count), .want = static_cast<Want>(table[i + 3]), .top_k = table[i + 4]});
    at += count;
  }
  return inputs;
}

void add_statuses(WireMessage& answer, std::span<const SlotStatus> statuses) {
  std::vector<uint64_t> inputs, codes;
  std::vector<std::string> texts;
  for (size_t i = 0; i < statuses.size(); ++i) {
    if (!statuses[i].error) continue;
    inputs.push_back(i);
    codes.push_back(static_cast<uint64_t>(statuses[i].error->code));
    texts.push_back(statuses[i].error->message);
  }
  if (inputs.empty()) return;
  answer.set_numbers("failed_inputs", inputs).set_numbers("failed_codes", codes).set_texts("failed_texts", texts);
}

Result<void> read_statuses(const WireMessage& answer, std::span<SlotStatus> statuses) {
  for (SlotStatus& status : statuses) status.error.reset();
  if (!answer.has("failed_inputs")) return {};
  ACC_TRY(const auto inputs, answer.numbers("failed_inputs"));
  ACC_TRY(const auto codes, answer.numbers("failed_codes"));
  ACC_TRY(const auto texts, answer.texts("failed_texts"));
  if (inputs.size() != codes.size() || inputs.size() != texts.size()) return wrong("a failed input has a code and a text");
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] >= statuses.size() || codes[i] >= kErrorCodeCount) return wrong("a failed input is one of the step's");
    statuses[inputs[i]].error = Error{static_cast<ErrorCode>(codes[i]), texts[i]};
  }
  return {};
}

void add_capacity(WireMessage& answer, const Capacity& capacity) {
  answer.set("kv_free", capacity.kv_tokens_free).set("kv_total", capacity.kv_tokens_total).set("slots_free", capacity.slots_free);
}

Result<Capacity> capacity_of(const WireMessage& answer) {
  Capacity capacity;
  ACC_TRY(capacity.kv_tokens_free, answer.number("kv_free"));
  ACC_TRY(capacity.kv_tokens_total, answer.number("kv_total"));
  ACC_TRY(const uint64_t slots, answer.number("slots_free", UINT32_MAX));
  capacity.slots_free = static_cast<uint32_t>(slots);
  return capacity;
}

RowsWriter::RowsWriter(uint32_t vocabulary, SharedMemory& region, std::function<bool(WireMessage)> send, size_t blob_bytes)
    : row_bytes_(size_t{vocabulary} * sizeof(float)),
      rows_max_(std::max<size_t>((region.size() > 0 ? region.size() : blob_bytes) / row_bytes_, 1)),
      region_(region), send_(std::move(send)) {}

void RowsWriter::row(size_t input, size_t token, std::span<const float> logits) {
  if (gone_) return;
  if (table_.size() / 2 == rows_max_) {
    WireMessage message("rows");
    finish(message);
    gone_ = !send_(std::move(message));
  }
  const size_t at = table_.size() / 2;
  if (region_.size() > 0) std::memcpy(region_.data() + at * row_bytes_, logits.data(), row_bytes_);
  else blob_.insert(blob_.end(), std::as_bytes(logits).begin(), std::as_bytes(logits).end());
  table_.push_back(static_cast<uint32_t>(input));
  table_.push_back(static_cast<uint32_t>(token));
}

void RowsWriter::finish(WireMessage& answer) {
  answer.add_blob(std::as_bytes(std::span(table_)));
  if (region_.size() == 0) answer.add_blob(blob_);
  table_.clear();
  blob_.clear();
}

Result<void> read_rows(const WireMessage& message, uint32_t vocabulary, const SharedMemory& region, std::span<const SlotInput> inputs, LogitsSink& sink) {
  ACC_TRY(const std::vector<uint32_t> table, message.blob_u32(0));
  const size_t rows = table.size() / 2;
  std::vector<float> copied;
  std::span<const float> values(reinterpret_cast<const float*>(region.data()), region.size() / sizeof(float));
  if (region.size() == 0) {
    ACC_TRY(copied, message.blob_f32(1));
    values = copied;
  }
  if (table.size() % 2 != 0 || rows * vocabulary > values.size()) return wrong(fmt::format("{} rows of logits fit where they are said to be", rows));
  for (size_t i = 0; i < rows; ++i) {
    const uint32_t input = table[2 * i], token = table[2 * i + 1];
    const bool asked = input < inputs.size() && token < inputs[input].tokens.size() && inputs[input].want != Want::kNone &&
                       (inputs[input].want == Want::kAll || token + 1 == inputs[input].tokens.size());
    if (!asked) return wrong(fmt::format("rows of logits are the ones asked for; got token {} of input {}", token, input));
    sink.row(input, token, values.subspan(i * vocabulary, vocabulary));
  }
  return {};
}

}  // namespace accelerate
