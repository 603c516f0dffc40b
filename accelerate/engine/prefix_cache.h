// PrefixCache - sequences that ended keep their KV, so that a prompt that begins like one of them computes only the rest.
//
//   const uint32_t cached = cache.match(prompt).tokens;         // how many tokens there are
//   ACC_TRY(PrefixCache::Start start, cache.start(prompt));     // a slot that holds them
//   cache.keep(slot, tokens);                                   // instead of program.close(slot)
//   while (no_room && cache.evict()) {}
//
// Works on any DecoderProgram: by fork() of a kept or a running sequence's slot, at any token; without fork, by taking over
// the kept slot itself and truncating it. Least recently used sequences go first; a sequence that another one begins with is
// not kept twice. What is shared is shared between clients too: only the time an answer takes tells. Borrows the program. Not
// thread-safe but for peek().
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "accelerate/engine/job.h"

namespace accelerate {

class PrefixCache {
 public:
  static constexpr uint32_t kTokensMin = 16;  // shorter ones are computed faster than they are worth a page of KV

  struct Match {
    uint32_t tokens = 0;         // the longest shared beginning that is computed, never all of the prompt; 0 = a miss
    uint32_t longest = 0;        // shared with anything, computed or not
    const Job* coming = nullptr; // a running job that is about to compute more of it than `tokens`
  };
  struct Start {
    Slot slot;
    uint32_t cached = 0;
  };

  explicit PrefixCache(DecoderProgram& program) : program_(program) {}
  ~PrefixCache() { clear(); }
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// `running` are the scheduler's jobs: those with a slot are looked at too.
  Match match(std::span<const uint32_t> prompt, std::span<const std::unique_ptr<Job>> running) const;
  /// A slot that begins with the longest match; an empty one after a miss. Errors are the program's open() and fork().
  Result<Start> start(std::span<const uint32_t> prompt, std::span<const std::unique_ptr<Job>> running);
  /// The slot is the cache's now; it holds the KV of `tokens`.
  void keep(Slot slot, std::vector<uint32_t> tokens);
  /// Gives up the sequence used longest ago. False when there is none.
  bool evict();
  void clear();
  /// Any thread: how many tokens of `prompt` the best of the kept sequences holds; 0 where start() would not use it.
  uint32_t peek(std::span<const uint32_t> prompt) const;
  size_t sequences() const { return kept_.size(); }

 private:
  struct Kept {
    Slot slot;
    std::vector<uint32_t> tokens;
  };
  struct Source {
    std::list<Kept>::iterator kept;  // end() = a running job's slot
    Slot slot;
    uint32_t tokens = 0;
  };
  void evict_front();
  Source best(std::span<const uint32_t> prompt, std::span<const std::unique_ptr<Job>> running);

  DecoderProgram& program_;
  mutable std::mutex mutex_;  // held to change kept_ and to peek(); the owner's thread reads without
  std::list<Kept> kept_;      // least recently used first
};

}  // namespace accelerate
