// libFuzzer: schemas, Lark grammars and regular expressions from arbitrary bytes; the first byte picks the kind. What compiles is
// followed for a few tokens drawn from the rest: a mask is never empty, and what it allows is accepted.
//
//   build/asan/grammar_fuzz -max_total_time=60 tests/text/corpus/grammar
#include <cstdint>
#include <string>

#include "accelerate/base/check.h"
#include "tests/text/grammar_walk.h"

namespace accelerate {
namespace {

constexpr size_t kStepsMax = 24;

void follow(GrammarMatcher& matcher, std::string_view choices) {
  std::vector<float> row(testing::byte_tokenizer()->size());
  for (size_t step = 0; step < kStepsMax && !matcher.must_end(); ++step) {
    std::fill(row.begin(), row.end(), 0.0f);
    const Result<void> masked = matcher.mask(row);
    if (!masked) {
      CHECK(!masked.error().message.empty(), "a refusal says why");
      return;
    }
    std::vector<uint32_t> allowed;
    for (uint32_t id = 0; id < row.size(); ++id) {
      if (row[id] == 0.0f && !testing::byte_tokenizer()->is_end_of_generation(id)) allowed.push_back(id);
    }
    CHECK(!allowed.empty() || matcher.may_end(), "something may come next");
    if (allowed.empty()) return;
    const uint8_t choice = choices.empty() ? 0 : static_cast<uint8_t>(choices[step % choices.size()]);
    const Result<void> accepted = matcher.accept(allowed[choice % allowed.size()]);
    CHECK(accepted.ok(), accepted.ok() ? "" : accepted.error().message);
  }
}

void one(std::string_view input) {
  if (input.empty()) return;
  static const std::shared_ptr<GrammarEngine> engine = GrammarEngine::create(testing::byte_tokenizer());
  const auto kind = static_cast<Grammar::Kind>(static_cast<uint8_t>(input.front()) % 3);
  input.remove_prefix(1);
  const Result<std::unique_ptr<GrammarMatcher>> matcher = engine->matcher({kind, std::string(input)});
  if (matcher) return follow(**matcher, input);
  CHECK(matcher.error().code == ErrorCode::kInvalidArgument || matcher.error().code == ErrorCode::kUnavailable, "a refusal has its code");
  CHECK(!matcher.error().message.empty(), "a refusal says why");
}

}  // namespace
}  // namespace accelerate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  accelerate::one({reinterpret_cast<const char*>(data), size});
  return 0;
}
