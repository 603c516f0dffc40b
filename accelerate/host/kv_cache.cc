#include "accelerate/host/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr uint64_t pages_of(uint64_t tokens) { return tokens / kKvPageTokens + (tokens % kKvPageTokens != 0); }

}  // namespace

uint64_t PagePool::page_bytes(const std::vector<KvLayout>& layers) {
  uint64_t bytes = 0;
  for (const KvLayout& layout : layers) bytes += kv_page_bytes(layout);
  return bytes;
}

Result<PagePool> PagePool::create(std::vector<KvLayout> layers, uint64_t pages) {
  PagePool pool;
  pool.layers_ = std::move(layers);
  for (const KvLayout& layout : pool.layers_) {
    pool.offsets_.push_back(pool.page_bytes_);
    pool.page_bytes_ += kv_page_bytes(layout);
  }
  if (pages > std::numeric_limits<uint32_t>::max() || (pool.page_bytes_ != 0 && pages > SIZE_MAX / pool.page_bytes_)) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[host] pages of KV fit the address space; got {}; try a smaller KV", pages)};
  }
  pool.pages_ = static_cast<uint32_t>(pages);
  auto buffer = Buffer::allocate(pages * pool.page_bytes_);
  if (!buffer) {
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("[host] KV for {} tokens takes {} MiB of memory; got {}; try a smaller context or KV",
                             pages * kKvPageTokens, (pages * pool.page_bytes_) >> 20, buffer.error().message)};
  }
  pool.buffer_ = std::move(*buffer);
  pool.memory_ = pool.buffer_.data();
  return pool;
}

uint64_t KvCache::bytes_needed(const std::vector<KvLayout>& layers, uint64_t tokens) {
  const uint64_t page = PagePool::page_bytes(layers), pages = pages_of(tokens);
  return page != 0 && pages > std::numeric_limits<uint64_t>::max() / page ? std::numeric_limits<uint64_t>::max() : pages * page;
}

Result<std::unique_ptr<KvCache>> KvCache::create(const Options& options) {
  if (options.slots == 0 || options.context == 0 || options.tokens == 0) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[host] a KV cache has slots, tokens and a context; got {}, {} and {}",
                                                          options.slots, options.tokens, options.context)};
  }
  auto cache = std::make_unique<KvCache>();
  ACC_TRY(cache->pool_, PagePool::create(options.layers, pages_of(options.tokens)));
  cache->slots_.resize(options.slots);
  cache->slots_free_ = options.slots;
  cache->context_ = static_cast<uint32_t>(std::min<uint64_t>(options.context, uint64_t{cache->pool_.pages()} * kKvPageTokens));
  // A step allocates nothing: every page list has room for a whole context.
  for (State& state : cache->slots_) state.pages.reserve(pages_of(cache->context_));
  cache->holders_.resize(cache->pool_.pages());
  for (uint32_t page = cache->pool_.pages(); page > 0; --page) cache->free_.push_back(page - 1);
  return cache;
}

KvCache::State* KvCache::find(Slot slot) {
  if (slot.index >= slots_.size()) return nullptr;
  State& state = slots_[slot.index];
  return state.generation == slot.generation && state.generation % 2 == 1 ? &state : nullptr;
}

Result<Slot> KvCache::open() {
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    State& state = slots_[i];
    if (state.generation % 2 == 1) continue;
    ++state.generation;
    state.length = 0;
    --slots_free_;
    return Slot{i, state.generation};
  }
  return Error{ErrorCode::kResourceExhausted,
               fmt::format("[host] a program has {} slots; got all of them open; try again when a sequence ends", slots_.size())};
}

void KvCache::close(Slot slot) {
  State* state = find(slot);
  if (!state) return;
  drop_pages_behind(*state, 0);
  state->length = 0;
  ++state->generation;
  ++slots_free_;
}

Result<void> KvCache::check(Slot slot) const {
  if (find(slot)) return {};
  return Error{ErrorCode::kFailedPrecondition,
               fmt::format("[host] a slot is open while it is used; got slot {} of generation {}, which is closed", slot.index, slot.generation)};
}

uint32_t KvCache::length(Slot slot) const {
  const State* state = find(slot);
  return state ? state->length : 0;
}

Result<void> KvCache::truncate(Slot slot, uint32_t tokens) {
  ACC_TRY_VOID(check(slot));
  State& state = *find(slot);
  if (tokens > state.length) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[host] a slot is cut to at most its {} tokens; got {}", state.length, tokens)};
  }
  state.length = tokens;
  drop_pages_behind(state, tokens);
  return {};
}

Result<Slot> KvCache::fork(Slot slot, uint32_t tokens) {
  ACC_TRY_VOID(check(slot));
  const State& from = *find(slot);
  if (tokens > from.length) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[host] a fork takes at most the slot's {} tokens; got {}", from.length, tokens)};
  }
  ACC_TRY(const Slot fork, open());
  State& to = slots_[fork.index];
  to.length = tokens;
  to.pages.assign(from.pages.begin(), from.pages.begin() + static_cast<std::ptrdiff_t>(pages_of(tokens)));
  for (const uint32_t page : to.pages) ++holders_[page];
  return fork;
}

Result<void> KvCache::reserve(Slot slot, uint32_t tokens) {
  ACC_TRY_VOID(check(slot));
  State& state = *find(slot);
  const uint64_t total = uint64_t{state.length} + tokens;
  if (total > context_) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[host] a sequence has at most {} tokens; got {} and {} more; try a shorter prompt",
                                                     context_, state.length, tokens)};
  }
  const bool copies = state.length % kKvPageTokens != 0 && tokens != 0 && holders_[state.pages[state.length / kKvPageTokens]] > 1;
  const uint64_t wanted = pages_of(total) - std::min<uint64_t>(pages_of(total), state.pages.size()) + (copies ? 1 : 0);
  if (wanted > free_.size()) {
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("[host] {} more tokens take {} free pages of {} tokens; got {} of {}; try again when a sequence ends",
                             tokens, wanted, kKvPageTokens, free_.size(), pool_.pages())};
  }
  if (copies) {
    uint32_t& last = state.pages[state.length / kKvPageTokens];
    const uint32_t own = take_page();
    std::memcpy(pool_.at(own, 0), pool_.at(last, 0), pool_.page_bytes());
    drop_page(last);
    last = own;
  }
  while (state.pages.size() < pages_of(total)) state.pages.push_back(take_page());
  return {};
}

void KvCache::commit(Slot slot, uint32_t tokens) {
  State* state = find(slot);
  CHECK(state && pages_of(uint64_t{state->length} + tokens) <= state->pages.size(), "what is committed was reserved");
  state->length += tokens;
}

void KvCache::rollback(Slot slot) {
  if (State* state = find(slot)) drop_pages_behind(*state, state->length);
}

std::span<const uint32_t> KvCache::pages(Slot slot) const {
  const State* state = find(slot);
  CHECK(state, "pages of an open slot");
  return state->pages;
}

Capacity KvCache::capacity() const {
  return {.kv_tokens_free = uint64_t{free_.size()} * kKvPageTokens,
          .kv_tokens_total = uint64_t{pool_.pages()} * kKvPageTokens,
          .slots_free = slots_free_};
}

uint32_t KvCache::take_page() {
  const uint32_t page = free_.back();
  free_.pop_back();
  holders_[page] = 1;
  return page;
}

void KvCache::drop_page(uint32_t page) {
  CHECK(holders_[page] > 0, "a page has as many holders as lists name it");
  if (--holders_[page] == 0) free_.push_back(page);
}

void KvCache::drop_pages_behind(State& state, uint32_t tokens) {
  while (state.pages.size() > pages_of(tokens)) {
    drop_page(state.pages.back());
    state.pages.pop_back();
  }
}

}  // namespace accelerate
