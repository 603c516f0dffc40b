#include "accelerate/host/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <set>

namespace accelerate {
namespace {

const std::vector<KvLayout> kLayers = {{.kv_heads = 2, .head_width = 16, .half = true}, {.kv_heads = 1, .head_width = 32, .half = false}};

std::unique_ptr<KvCache> cache_of(uint64_t tokens, uint32_t slots = 4, uint32_t context = 1024) {
  auto cache = KvCache::create({.layers = kLayers, .slots = slots, .tokens = tokens, .context = context});
  EXPECT_TRUE(cache.ok());
  return std::move(*cache);
}

TEST(PagePool, PagesOfLayersAreApart) {
  auto pool = PagePool::create(kLayers, 3);
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(pool->page_bytes(), kv_page_bytes(kLayers[0]) + kv_page_bytes(kLayers[1]));
  EXPECT_EQ(pool->at(0, 1) - pool->at(0, 0), static_cast<std::ptrdiff_t>(kv_page_bytes(kLayers[0])));
  EXPECT_EQ(pool->at(1, 0) - pool->at(0, 0), static_cast<std::ptrdiff_t>(pool->page_bytes()));
  EXPECT_GE(pool->bytes(), 3 * pool->page_bytes());
}

TEST(KvCache, RefusesWhatDoesNotFitTheMachine) {
  const auto cache = KvCache::create({.layers = kLayers, .slots = 1, .tokens = uint64_t{1} << 50, .context = 64});
  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(KvCache::create({.layers = kLayers, .slots = 0, .tokens = 64, .context = 64}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(KvCache::bytes_needed(kLayers, UINT64_MAX), UINT64_MAX);  // saturates
}

TEST(KvCache, TakesPagesAsTokensCome) {
  const auto cache = cache_of(256);
  const Slot slot = *cache->open();
  EXPECT_EQ(cache->capacity().kv_tokens_free, 256u);
  ASSERT_TRUE(cache->reserve(slot, 1).ok());
  EXPECT_EQ(cache->capacity().kv_tokens_free, 192u);
  cache->commit(slot, 1);
  ASSERT_TRUE(cache->reserve(slot, 63).ok());  // fits the page
  cache->commit(slot, 63);
  EXPECT_EQ(cache->capacity().kv_tokens_free, 192u);
  ASSERT_TRUE(cache->reserve(slot, 100).ok());
  EXPECT_EQ(cache->pages(slot).size(), 3u);
  cache->rollback(slot);
  EXPECT_EQ(cache->pages(slot).size(), 1u);
  EXPECT_EQ(cache->length(slot), 64u);
  cache->close(slot);
  EXPECT_EQ(cache->capacity().kv_tokens_free, 256u);
}

TEST(KvCache, RefusalsChangeNothing) {
  const auto cache = cache_of(256, 2, 200);
  const Slot a = *cache->open(), b = *cache->open();
  ASSERT_TRUE(cache->reserve(a, 150).ok());
  cache->commit(a, 150);
  EXPECT_EQ(cache->reserve(a, 51).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(cache->reserve(a, UINT32_MAX).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(cache->reserve(b, 65).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(cache->length(a), 150u);
  EXPECT_EQ(cache->pages(b).size(), 0u);
  EXPECT_EQ(cache->capacity().kv_tokens_free, 64u);
  EXPECT_EQ(cache->open().error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(cache->capacity().slots_free, 0u);
}

TEST(KvCache, TheContextIsNeverMoreThanThePool) { EXPECT_EQ(cache_of(128, 1, 4096)->context(), 128u); }

TEST(KvCache, AForkCopiesOnlyThePageThatIsWritten) {
  const auto cache = cache_of(64 * 8);
  const Slot slot = *cache->open();
  ASSERT_TRUE(cache->reserve(slot, 100).ok());
  cache->commit(slot, 100);
  std::memset(cache->pool().at(cache->pages(slot)[1], 0), 7, cache->pool().page_bytes());
  const auto fork = cache->fork(slot, 90);
  ASSERT_TRUE(fork.ok());
  EXPECT_EQ(cache->pages(*fork)[0], cache->pages(slot)[0]);
  EXPECT_EQ(cache->pages(*fork)[1], cache->pages(slot)[1]);
  EXPECT_EQ(cache->capacity().kv_tokens_free, 64u * 6);
  ASSERT_TRUE(cache->reserve(*fork, 1).ok());
  EXPECT_EQ(cache->pages(*fork)[0], cache->pages(slot)[0]);
  ASSERT_NE(cache->pages(*fork)[1], cache->pages(slot)[1]);
  EXPECT_EQ(std::memcmp(cache->pool().at(cache->pages(*fork)[1], 0), cache->pool().at(cache->pages(slot)[1], 0), cache->pool().page_bytes()), 0);
  const uint32_t page = cache->pages(slot)[1];
  ASSERT_TRUE(cache->reserve(slot, 1).ok());  // now its only holder
  EXPECT_EQ(cache->pages(slot)[1], page);
  cache->close(slot);
  EXPECT_EQ(cache->capacity().kv_tokens_free, 64u * 6);  // the fork holds the shared page and its own
  cache->close(*fork);
  EXPECT_EQ(cache->capacity().kv_tokens_free, 64u * 8);
  EXPECT_EQ(cache->fork(*fork, 0).error().code, ErrorCode::kFailedPrecondition);
}

/// Random lives of slots against a plain model: token t of a slot carries a number, written through the pages; every slot
/// must always read back its own history, and no page may get lost.
TEST(KvCache, KeepsEveryHistoryThroughRandomLives) {
  const auto cache = cache_of(64 * 20, 6, 400);
  std::map<uint32_t, std::pair<Slot, std::vector<uint32_t>>> alive;
  std::mt19937 random(5);
  const auto cell = [&](Slot slot, uint32_t token) { return cache->pool().at(cache->pages(slot)[token / 64], 0) + 4 * (token % 64); };
  uint32_t next = 1, key = 0, exhausted = 0;
  for (int round = 0; round < 3000; ++round) {
    const uint32_t action = random() % 10;
    auto chosen = alive.begin();
    if (!alive.empty()) std::advance(chosen, random() % alive.size());
    if (alive.empty() || action == 0) {
      if (auto slot = cache->open()) alive[key++] = {*slot, {}};
    } else if (action == 1) {
      cache->close(chosen->second.first);
      alive.erase(chosen);
    } else if (action == 2) {
      const uint32_t keep = random() % (chosen->second.second.size() + 1);
      ASSERT_TRUE(cache->truncate(chosen->second.first, keep).ok());
      chosen->second.second.resize(keep);
    } else if (action == 3) {
      const uint32_t keep = random() % (chosen->second.second.size() + 1);
      if (auto fork = cache->fork(chosen->second.first, keep)) {
        alive[key++] = {*fork, {chosen->second.second.begin(), chosen->second.second.begin() + keep}};
      }
    } else {
      auto& [slot, history] = chosen->second;
      const uint32_t count = 1 + random() % 80;
      if (!cache->reserve(slot, count)) {
        ++exhausted;
        continue;
      }
      for (uint32_t i = 0; i < count; ++i) {
        std::memcpy(cell(slot, static_cast<uint32_t>(history.size())), &next, 4);
        history.push_back(next++);
      }
      if (action == 4) {  // a step that failed
        history.resize(history.size() - count);
        cache->rollback(slot);
      } else {
        cache->commit(slot, count);
      }
    }
    std::set<uint32_t> held;
    for (const auto& [name, entry] : alive) {
      ASSERT_EQ(cache->length(entry.first), entry.second.size());
      for (const uint32_t page : cache->pages(entry.first)) held.insert(page);
      for (uint32_t t = 0; t < entry.second.size(); ++t) {
        uint32_t value;
        std::memcpy(&value, cell(entry.first, t), 4);
        ASSERT_EQ(value, entry.second[t]) << "round " << round << " token " << t;
      }
    }
    ASSERT_EQ(cache->capacity().kv_tokens_free, 64u * (20 - held.size()));
  }
  EXPECT_GT(exhausted, 10u);  // the pool was small enough to matter
}

}  // namespace
}  // namespace accelerate
