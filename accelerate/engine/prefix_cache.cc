#include "accelerate/engine/prefix_cache.h"

#include <algorithm>

namespace accelerate {
namespace {

uint32_t shared(std::span<const uint32_t> a, std::span<const uint32_t> b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<uint32_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

// The last token of a prompt is always computed: its logits are wanted.
std::span<const uint32_t> reusable(std::span<const uint32_t> prompt) { return prompt.first(prompt.size() - 1); }

uint32_t worth(uint32_t tokens) { return tokens >= PrefixCache::kTokensMin ? tokens : 0; }

}  // namespace

PrefixCache::Match PrefixCache::match(std::span<const uint32_t> prompt, std::span<const std::unique_ptr<Job>> running) const {
  Match match;
  const auto wanted = reusable(prompt);
  for (const Kept& kept : kept_) match.longest = std::max(match.longest, shared(wanted, kept.tokens));
  match.tokens = match.longest;
  if (program_.limits().fork != ForkKind::kNone) {
    uint32_t most_coming = 0;
    for (const auto& job : running) {
      if (!job || !job->slot) continue;
      const uint32_t common = shared(wanted, job->tokens);
      match.longest = std::max(match.longest, common);
      match.tokens = std::max(match.tokens, std::min<uint32_t>(common, static_cast<uint32_t>(job->computed)));
      if (common > job->computed && common > most_coming) {
        most_coming = common;
        match.coming = job.get();
      }
    }
    if (most_coming < match.tokens + kTokensMin) match.coming = nullptr;
  }
  match.tokens = worth(match.tokens);
  return match;
}

PrefixCache::Source PrefixCache::best(std::span<const uint32_t> prompt, std::span<const std::unique_ptr<Job>> running) {
  Source best{.kept = kept_.end(), .slot = {}};
  const auto wanted = reusable(prompt);
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    const uint32_t common = shared(wanted, kept->tokens);
    if (common >= std::max(best.tokens, 1u)) best = {kept, kept->slot, common};  // of equals the one used last
  }
  if (program_.limits().fork == ForkKind::kNone) return best;
  for (const auto& job : running) {
    if (!job || !job->slot) continue;
    const auto common = std::min<uint32_t>(shared(wanted, job->tokens), static_cast<uint32_t>(job->computed));
    if (common > best.tokens) best = {kept_.end(), *job->slot, common};
  }
  return best;
}

Result<PrefixCache::Start> PrefixCache::start(std::span<const uint32_t> prompt, std::span<const std::unique_ptr<Job>> running) {
  const Source source = best(prompt, running);
  const DecoderLimits limits = program_.limits();
  const bool take_over = source.kept != kept_.end() &&
                         (source.tokens == source.kept->tokens.size() || (limits.fork == ForkKind::kNone && limits.truncate_exact));
  if (worth(source.tokens) == 0 || (limits.fork == ForkKind::kNone && !take_over)) {
    ACC_TRY(const Slot slot, program_.open());
    return Start{slot, 0};
  }
  if (take_over) {
    if (source.tokens < source.kept->tokens.size()) ACC_TRY_VOID(program_.truncate(source.slot, source.tokens));
    std::lock_guard lock(mutex_);
    kept_.erase(source.kept);
    return Start{source.slot, source.tokens};
  }
  ACC_TRY(const Slot slot, program_.fork(source.slot, source.tokens));
  if (source.kept != kept_.end()) {
    std::lock_guard lock(mutex_);
    kept_.splice(kept_.end(), kept_, source.kept);
  }
  return Start{slot, source.tokens};
}

void PrefixCache::keep(Slot slot, std::vector<uint32_t> tokens) {
  std::lock_guard lock(mutex_);
  const auto known = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return shared(tokens, kept.tokens) == tokens.size(); });
  if (known != kept_.end()) kept_.splice(kept_.end(), kept_, known);
  if (worth(static_cast<uint32_t>(tokens.size())) == 0 || known != kept_.end() || program_.limits().slots_kept_max == 0) return program_.close(slot);
  kept_.remove_if([&](const Kept& kept) {
    if (shared(tokens, kept.tokens) < kept.tokens.size()) return false;
    program_.close(kept.slot);
    return true;
  });
  if (kept_.size() >= program_.limits().slots_kept_max) evict_front();
  kept_.push_back({slot, std::move(tokens)});
}

void PrefixCache::evict_front() {
  program_.close(kept_.front().slot);
  kept_.pop_front();
}

bool PrefixCache::evict() {
  std::lock_guard lock(mutex_);
  if (kept_.empty()) return false;
  evict_front();
  return true;
}

uint32_t PrefixCache::peek(std::span<const uint32_t> prompt) const {
  if (prompt.empty()) return 0;
  std::lock_guard lock(mutex_);
  uint32_t longest = 0;
  for (const Kept& kept : kept_) longest = std::max(longest, shared(reusable(prompt), kept.tokens));
  return worth(longest);
}

void PrefixCache::clear() {
  while (evict()) {
  }
}

}  // namespace accelerate
