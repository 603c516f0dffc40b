#include "accelerate/engine/use_case.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr uint32_t kLengthMax = uint32_t{1} << 30;  // the largest power of two whose next one still fits

uint32_t rounded(uint32_t value) { return value == 0 ? 0 : std::bit_ceil(std::min(value, kLengthMax)); }

bool take_number(std::string_view& text, std::string_view before, uint32_t& into) {
  if (!text.starts_with(before)) return false;
  text.remove_prefix(before.size());
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), into);
  if (failed != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

}  // namespace

std::span<const UseCase> use_cases() {
  static const UseCase kCases[] = {
      {.name = "chat", .prompt_tokens = 512, .generate_tokens = 128, .concurrency = 1},
      {.name = "rag", .prompt_tokens = 2048, .generate_tokens = 256, .concurrency = 1},
      {.name = "batch", .prompt_tokens = 512, .generate_tokens = 128, .concurrency = 8},
      {.name = "embeddings", .prompt_tokens = 128, .generate_tokens = 0, .concurrency = 16},
      {.name = "completion", .prompt_tokens = 64, .generate_tokens = 64, .concurrency = 1},
  };
  return kCases;
}

Result<UseCase> use_case_named(std::string_view name) {
  std::string names;
  for (const UseCase& use : use_cases()) {
    if (use.name == name) return use;
    names += (names.empty() ? "" : ", ") + use.name;
  }
  return Error{ErrorCode::kInvalidArgument, fmt::format("[plan] a use case is one of {}; got '{}'", names, name)};
}

std::string shape_bucket(const UseCase& use) {
  return fmt::format("p{}-g{}-b{}", rounded(use.prompt_tokens), rounded(use.generate_tokens), rounded(std::max(use.concurrency, 1u)));
}

Result<UseCase> use_case_of_bucket(std::string_view bucket) {
  UseCase use{.name = std::string(bucket)};
  std::string_view rest = bucket;
  if (take_number(rest, "p", use.prompt_tokens) && take_number(rest, "-g", use.generate_tokens) && take_number(rest, "-b", use.concurrency) && rest.empty()) {
    return use;
  }
  return Error{ErrorCode::kInvalidArgument, fmt::format("[plan] a shape bucket reads p512-g128-b1; got '{}'", bucket)};
}

}  // namespace accelerate
