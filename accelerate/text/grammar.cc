#include "accelerate/text/grammar.h"

#include <llguidance.h>

#include <limits>
#include <list>
#include <mutex>
#include <string>

#include <fmt/format.h>

#include "accelerate/text/ffi/received.h"
#include "accelerate/text/limits.h"

namespace accelerate {
namespace {

constexpr size_t kKeptMax = 16;  // compiled grammars of an engine: the n answers of a request, the turns of a conversation

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* handle) const { kFree(handle); }
};
using LlgTokenizerHandle = std::unique_ptr<LlgTokenizer, Freed<llg_free_tokenizer>>;
using GrammarHandle = std::shared_ptr<text_grammar>;
using MatcherHandle = std::unique_ptr<text_matcher, Freed<text_matcher_free>>;

std::string_view kind_name(Grammar::Kind kind) {
  switch (kind) {
    case Grammar::Kind::kJsonSchema: return "JSON schema";
    case Grammar::Kind::kLark: return "Lark grammar";
    case Grammar::Kind::kRegex: break;
  }
  return "regular expression";
}

uint32_t kind_of(Grammar::Kind kind) {
  switch (kind) {
    case Grammar::Kind::kJsonSchema: return TEXT_GRAMMAR_SCHEMA;
    case Grammar::Kind::kLark: return TEXT_GRAMMAR_LARK;
    case Grammar::Kind::kRegex: break;
  }
  return TEXT_GRAMMAR_REGEX;
}

// Over a limit of time or memory is the grammar's fault too: a code that invites a retry would have it compiled again.
Error compile_error(Grammar::Kind kind, const Received& received) {
  const ErrorCode code = received.status == TEXT_BUSY ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument;
  return {code, fmt::format("[grammar] a {} must be one that can be enforced; got: {}", kind_name(kind), received.bytes)};
}

Result<LlgTokenizerHandle> make_trie(const Tokenizer& tokenizer) {
  std::vector<uint32_t> lengths;
  std::string bytes;
  for (uint32_t id = 0; id < tokenizer.size(); ++id) {
    const size_t begin = bytes.size();
    // llguidance's mark of a token that is not text.
    if (tokenizer.is_control(id) || tokenizer.is_end_of_generation(id)) bytes += '\xFF';
    bytes += tokenizer.token_bytes(id);
    lengths.push_back(static_cast<uint32_t>(bytes.size() - begin));
  }
  const std::span<const uint32_t> ends = tokenizer.end_of_generation();
  LlgTokenizerInitV2 init{};
  init.struct_size = sizeof init;
  init.vocab_size = tokenizer.size();
  init.tok_eos = ends.empty() ? std::numeric_limits<uint32_t>::max() : ends.front();
  init.token_lens = lengths.data();
  init.token_bytes = reinterpret_cast<const uint8_t*>(bytes.data());
  // Only forced text would be tokenized, and none is forced: the model chooses its own spelling of it.
  init.use_approximate_greedy_tokenize_fn = true;
  init.tok_eos_extra = ends.size() > 1 ? ends.data() + 1 : nullptr;
  init.tok_eos_extra_count = ends.empty() ? 0 : static_cast<uint32_t>(ends.size() - 1);
  char error[512] = "";
  LlgTokenizerHandle trie(llg_new_tokenizer_v2(&init, error, sizeof error));
  if (!trie) return Error{ErrorCode::kInternal, fmt::format("[grammar] a tokenizer's tokens must make a trie; got: {}", error)};
  return trie;
}

}  // namespace

struct GrammarMatcher::State {
  MatcherHandle handle;
  std::vector<uint32_t> words;  // one bit a token
};

GrammarMatcher::GrammarMatcher(std::unique_ptr<State> state) : state_(std::move(state)) {}
GrammarMatcher::~GrammarMatcher() = default;

Result<void> GrammarMatcher::mask(std::span<float> logits) {
  std::vector<uint32_t>& words = state_->words;
  words.resize((logits.size() + 31) / 32);
  Received received;
  if (text_matcher_mask(state_->handle.get(), words.data(), words.size(), receive, &received) != TEXT_OK) {
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[grammar] a grammar must say what may come next; got: {}", received.bytes)};
  }
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (size_t word = 0; word < words.size(); ++word) {
    if (words[word] == ~0u) continue;
    const size_t begin = word * 32, end = std::min(begin + 32, logits.size());
    for (size_t token = begin; token < end; ++token) {
      if ((words[word] >> (token - begin) & 1) == 0) logits[token] = kNever;
    }
  }
  return {};
}

Result<void> GrammarMatcher::accept(uint32_t token) {
  Received received;
  if (text_matcher_accept(state_->handle.get(), token, receive, &received) == TEXT_OK) return {};
  return Error{ErrorCode::kInternal, fmt::format("[grammar] a chosen token must be one of the mask; got {}: {}", token, received.bytes)};
}

bool GrammarMatcher::may_end() const { return (text_matcher_state(state_->handle.get()) & TEXT_MATCHER_MAY_END) != 0; }
bool GrammarMatcher::must_end() const { return (text_matcher_state(state_->handle.get()) & TEXT_MATCHER_MUST_END) != 0; }

struct GrammarEngine::State {
  struct Kept {
    Grammar::Kind kind;
    std::string text;
    GrammarHandle handle;
  };
  std::shared_ptr<const Tokenizer> tokenizer;
  std::mutex trie_mutex;
  LlgTokenizerHandle trie;         // guarded by trie_mutex until made, then constant
  std::mutex kept_mutex;
  std::list<Kept> kept;            // guarded by kept_mutex; the last used first

  Result<const LlgTokenizer*> trie_of();
  GrammarHandle find(const Grammar& grammar);
  void keep(const Grammar& grammar, const GrammarHandle& handle);
};

Result<const LlgTokenizer*> GrammarEngine::State::trie_of() {
  std::lock_guard lock(trie_mutex);
  if (!trie) {
    if (!tokenizer->bytes_add_up()) {
      return Error{ErrorCode::kUnimplemented, "[grammar] masks need tokens with bytes of their own; got a WordPiece vocabulary"};
    }
    ACC_TRY(trie, make_trie(*tokenizer));
  }
  return static_cast<const LlgTokenizer*>(trie.get());
}

GrammarHandle GrammarEngine::State::find(const Grammar& grammar) {
  std::lock_guard lock(kept_mutex);
  for (auto it = kept.begin(); it != kept.end(); ++it) {
    if (it->kind != grammar.kind || it->text != grammar.text) continue;
    kept.splice(kept.begin(), kept, it);
    return it->handle;
  }
  return nullptr;
}

void GrammarEngine::State::keep(const Grammar& grammar, const GrammarHandle& handle) {
  std::lock_guard lock(kept_mutex);
  kept.push_front({grammar.kind, grammar.text, handle});
  if (kept.size() > kKeptMax) kept.pop_back();
}

GrammarEngine::GrammarEngine(std::unique_ptr<State> state) : state_(std::move(state)) {}
GrammarEngine::~GrammarEngine() = default;

std::shared_ptr<GrammarEngine> GrammarEngine::create(std::shared_ptr<const Tokenizer> tokenizer) {
  auto state = std::make_unique<State>();
  state->tokenizer = std::move(tokenizer);
  return std::shared_ptr<GrammarEngine>(new GrammarEngine(std::move(state)));
}

Result<std::unique_ptr<GrammarMatcher>> GrammarEngine::matcher(const Grammar& grammar) {
  if (grammar.text.size() > limits::kGrammarBytesMax) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[grammar] a {} has at most {} bytes; got {}", kind_name(grammar.kind),
                                                            limits::kGrammarBytesMax, grammar.text.size())};
  }
  GrammarHandle handle = state_->find(grammar);
  Received received;
  if (!handle) {
    ACC_TRY(const LlgTokenizer* trie, state_->trie_of());
    const text_grammar_limits compile{.memory_bytes = limits::kGrammarMemoryBytes, .deadline_ms = limits::kGrammarMs};
    handle = GrammarHandle(text_grammar_new(trie, kind_of(grammar.kind), bytes_of(grammar.text), grammar.text.size(), &compile,
                                            receive, &received), text_grammar_free);
    if (!handle) return compile_error(grammar.kind, received);
    state_->keep(grammar, handle);
  }
  auto state = std::make_unique<GrammarMatcher::State>();
  state->handle.reset(text_matcher_new(handle.get(), receive, &received));
  if (!state->handle) return compile_error(grammar.kind, received);
  return std::unique_ptr<GrammarMatcher>(new GrammarMatcher(std::move(state)));
}

}  // namespace accelerate
