// KvCache - keys and values of live sequences in pages of kKvPageTokens tokens over all layers, one pool for all slots.
//
//   ACC_TRY(std::unique_ptr<KvCache> cache, KvCache::create({.layers = plan.kv_layers, .slots = 16, .tokens = 8192, .context = 8192}));
//   ACC_TRY(Slot slot, cache->open());
//   ACC_TRY_VOID(cache->reserve(slot, 5));          // pages for 5 more tokens, or an error and nothing changed
//   store(cache->pages(slot), ...);
//   cache->commit(slot, 5);                         // or rollback(slot)
//
// No part of the context belongs to a slot before it is used: a slot holds as many pages as its tokens need. fork() shares
// pages; a shared page that is about to be written is copied first (copy on write, by count of holders). Memory of a page
// becomes resident when it is first written. One thread at a time; readers of page memory may be many.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "accelerate/base/buffer.h"
#include "accelerate/core/program.h"
#include "accelerate/kernels/attention/attention.h"

namespace accelerate {

/// Page memory: page p of layer l, all layers of a page side by side so that memory is touched in the order pages are taken.
class PagePool {
 public:
  static Result<PagePool> create(std::vector<KvLayout> layers, uint64_t pages);
  /// Bytes of one page over all layers.
  static uint64_t page_bytes(const std::vector<KvLayout>& layers);

  std::byte* at(uint32_t page, uint32_t layer) const { return memory_ + page * page_bytes_ + offsets_[layer]; }
  const KvLayout& layout(uint32_t layer) const { return layers_[layer]; }
  uint32_t pages() const { return pages_; }
  uint64_t page_bytes() const { return page_bytes_; }
  uint64_t bytes() const { return buffer_.size(); }

 private:
  std::vector<KvLayout> layers_;
  std::vector<size_t> offsets_;
  Buffer buffer_;
  std::byte* memory_ = nullptr;
  uint64_t page_bytes_ = 0;
  uint32_t pages_ = 0;
};

class KvCache {
 public:
  struct Options {
    std::vector<KvLayout> layers;
    uint32_t slots = 1;
    uint64_t tokens = 0;     // of the pool, rounded up to whole pages
    uint32_t context = 0;    // tokens one slot may have
  };
  /// resource_exhausted if the pool does not fit the memory there is.
  static Result<std::unique_ptr<KvCache>> create(const Options& options);
  static uint64_t bytes_needed(const std::vector<KvLayout>& layers, uint64_t tokens);

  /// resource_exhausted when all slots are taken.
  Result<Slot> open();
  /// A stale handle is ignored.
  void close(Slot slot);
  /// failed_precondition for a handle that was closed or never given out.
  Result<void> check(Slot slot) const;
  /// Tokens committed; 0 for a stale handle.
  uint32_t length(Slot slot) const;
  /// Drops what is behind the first `tokens`; out_of_range if the slot has fewer.
  Result<void> truncate(Slot slot, uint32_t tokens);
  /// A new slot that shares the first `tokens` tokens' pages.
  Result<Slot> fork(Slot slot, uint32_t tokens);

  /// Pages for `tokens` behind the committed ones, writable by this slot alone. out_of_range beyond the context,
  /// resource_exhausted without free pages; then the slot is as it was.
  Result<void> reserve(Slot slot, uint32_t tokens);
  /// The reserved tokens count from now on.
  void commit(Slot slot, uint32_t tokens);
  /// Gives back pages reserved and not committed.
  void rollback(Slot slot);
  /// Page numbers of the slot's tokens, reserved ones included; valid until the slot changes.
  std::span<const uint32_t> pages(Slot slot) const;

  const PagePool& pool() const { return pool_; }
  uint32_t context() const { return context_; }
  Capacity capacity() const;

 private:
  struct State {
    uint32_t generation = 0;  // odd while open
    uint32_t length = 0;
    std::vector<uint32_t> pages;
  };
  State* find(Slot slot);
  const State* find(Slot slot) const { return const_cast<KvCache*>(this)->find(slot); }
  uint32_t take_page();
  void drop_page(uint32_t page);
  void drop_pages_behind(State& state, uint32_t tokens);

  PagePool pool_;
  std::vector<State> slots_;
  std::vector<uint32_t> free_;     // last one is taken next
  std::vector<uint32_t> holders_;  // per page
  uint32_t context_ = 0, slots_free_ = 0;
};

}  // namespace accelerate
