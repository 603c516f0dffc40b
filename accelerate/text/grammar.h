// GrammarEngine, GrammarMatcher - what the text of an answer must match, enforced by masks over the vocabulary.
//
//   auto engine = GrammarEngine::create(tokenizer);                                  // once a tokenizer
//   ACC_TRY(auto matcher, engine->matcher({Grammar::Kind::kJsonSchema, R"({"type": "object"})"}));   // one an answer
//   ACC_TRY_VOID(matcher->mask(logits));            // -inf where a token may not come next, end-of-generation ones included
//   ACC_TRY_VOID(matcher->accept(token));
//   if (matcher->must_end()) ...                    // the grammar is complete and nothing can follow
//
// The engine is llguidance 1.9.1 (Earley parser and regex derivatives over the trie of all tokens). A mask is exact: a token
// is allowed where some text that the grammar allows goes on with its bytes, whatever tokens would spell the rest.
//
// JSON Schema: draft 2020-12, and the older list form of "items". Of a schema everything is enforced or it is refused by
// keyword and path (ffi/src/schema.rs has the list); annotations, "x-..." and "discriminator" ask for nothing. The JSON that comes
// out is one value with at most one space after ':' and after ',' and no other whitespace (small models wander in free
// whitespace), without \u escapes (control characters but \b \f \n \r \t, and U+007F, can not come out), with an object's
// listed properties in the schema's order, then the others. Dates are checked but for the 29th of February in a common year.
//
// Lark: llguidance's dialect; "%json {...}" in it is a schema as above. Special tokens (control tokens and those that end
// an answer) match no string and no regular expression; a rule names them as <|name|> or by id, <[5]>.
//
// The engine is thread-safe and costs little until its first grammar, which builds the trie (0.1 s at 49k tokens). Compiling
// happens on the caller's thread's behalf within limits::kGrammarMs; the last grammars are kept. A matcher lives on one thread
// at a time and may outlive the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/request.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {

class GrammarMatcher {
 public:
  ~GrammarMatcher();
  GrammarMatcher(const GrammarMatcher&) = delete;
  GrammarMatcher& operator=(const GrammarMatcher&) = delete;

  /// Sets what may not come next to -inf. failed_precondition: the grammar led to a place where nothing is allowed, or takes
  /// more work than one step may; which its author alone can mend.
  Result<void> mask(std::span<float> logits);
  /// The token that was chosen; one that ends the answer needs no accepting.
  Result<void> accept(uint32_t token);
  /// The text so far is complete.
  bool may_end() const;
  /// The text so far is complete and nothing can follow.
  bool must_end() const;

 private:
  friend class GrammarEngine;
  struct State;
  explicit GrammarMatcher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class GrammarEngine {
 public:
  static std::shared_ptr<GrammarEngine> create(std::shared_ptr<const Tokenizer> tokenizer);
  ~GrammarEngine();
  GrammarEngine(const GrammarEngine&) = delete;
  GrammarEngine& operator=(const GrammarEngine&) = delete;

  /// At the start of `grammar`. invalid_argument: it can not be enforced, by name and place, or allows nothing, or its text,
  /// or what compiling takes, is over a limit; unavailable: too many are being compiled; unimplemented: the tokenizer's
  /// tokens have no bytes of their own (WordPiece).
  Result<std::unique_ptr<GrammarMatcher>> matcher(const Grammar& grammar);

 private:
  struct State;
  explicit GrammarEngine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
