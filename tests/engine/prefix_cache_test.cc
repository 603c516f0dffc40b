#include "accelerate/engine/prefix_cache.h"

#include <numeric>

#include <gtest/gtest.h>

#include "counting_decoder.h"

namespace accelerate {
namespace {

std::vector<uint32_t> counting(uint32_t first, size_t count) {
  std::vector<uint32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

class Ignore final : public LogitsSink {
  void row(size_t, size_t, std::span<const float>) override {}
};

class PrefixCacheTest : public ::testing::Test {
 protected:
  PrefixCacheTest() { program_.limits_value = {.slots_max = 4, .slots_kept_max = 2, .context_max = 512, .batch_tokens_max = 512, .truncate_exact = true, .fork = ForkKind::kShared}; }

  Slot computed(const std::vector<uint32_t>& tokens) {
    const Slot slot = *program_.open();
    const SlotInput input{.slot = slot, .tokens = tokens, .want = Want::kNone};
    SlotStatus status;
    Ignore ignore;
    EXPECT_TRUE(program_.step({&input, 1}, {&status, 1}, ignore, {}).ok());
    return slot;
  }
  void keep(const std::vector<uint32_t>& tokens) { cache_.keep(computed(tokens), tokens); }

  CountingDecoder program_;
  PrefixCache cache_{program_};
};

TEST_F(PrefixCacheTest, NothingKeptIsAMiss) {
  EXPECT_EQ(cache_.match(counting(0, 50), {}).tokens, 0u);
  const auto start = cache_.start(counting(0, 50), {});
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(start->cached, 0u);
}

TEST_F(PrefixCacheTest, APromptThatGoesOnTakesTheSequenceOver) {
  keep(counting(0, 40));
  const auto start = cache_.start(counting(0, 60), {});
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(start->cached, 40u);
  EXPECT_EQ(program_.held(start->slot), counting(0, 40));
  EXPECT_EQ(cache_.sequences(), 0u);
  EXPECT_EQ(program_.open_slots(), 1u);
}

TEST_F(PrefixCacheTest, APromptThatLeavesItForksIt) {
  keep(counting(0, 40));
  std::vector<uint32_t> prompt = counting(0, 30);
  prompt.push_back(900);
  const auto start = cache_.start(prompt, {});
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(start->cached, 30u);
  EXPECT_EQ(program_.held(start->slot), counting(0, 30));
  EXPECT_EQ(cache_.sequences(), 1u);
}

TEST_F(PrefixCacheTest, WithoutForkTheSlotIsCut) {
  program_.limits_value.fork = ForkKind::kNone;
  keep(counting(0, 40));
  const auto start = cache_.start(counting(0, 30), {});
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(start->cached, 29u) << "the last token of a prompt is computed";
  EXPECT_EQ(program_.held(start->slot), counting(0, 29));
  EXPECT_EQ(cache_.sequences(), 0u);
}

TEST_F(PrefixCacheTest, ShortBeginningsAreNotWorthIt) {
  keep(counting(0, 40));
  std::vector<uint32_t> prompt = counting(0, PrefixCache::kTokensMin - 1);
  prompt.push_back(900);
  const PrefixCache::Match match = cache_.match(prompt, {});
  EXPECT_EQ(match.tokens, 0u);
  EXPECT_EQ(match.longest, PrefixCache::kTokensMin - 1);
  EXPECT_EQ(cache_.start(prompt, {})->cached, 0u);
}

TEST_F(PrefixCacheTest, ASequenceIsNotKeptTwice) {
  keep(counting(0, 40));
  keep(counting(0, 50));  // goes on from the first
  EXPECT_EQ(cache_.sequences(), 1u);
  keep(counting(0, 30));  // is in it
  EXPECT_EQ(cache_.sequences(), 1u);
  EXPECT_EQ(program_.open_slots(), 1u);
  EXPECT_EQ(cache_.match(counting(0, 90), {}).tokens, 50u);
}

TEST_F(PrefixCacheTest, TheOneUsedLongestAgoGoesFirst) {
  keep(counting(0, 40));
  keep(counting(100, 40));
  std::vector<uint32_t> prompt = counting(0, 30);
  prompt.push_back(900);
  ASSERT_TRUE(cache_.start(prompt, {}).ok());  // uses the first
  keep(counting(200, 40));                     // is the third of two
  EXPECT_EQ(cache_.match(counting(0, 41), {}).tokens, 40u);
  EXPECT_EQ(cache_.match(counting(100, 41), {}).tokens, 0u);
  EXPECT_TRUE(cache_.evict());
  EXPECT_EQ(cache_.match(counting(0, 41), {}).tokens, 0u);
  EXPECT_TRUE(cache_.evict());
  EXPECT_FALSE(cache_.evict());
}

TEST_F(PrefixCacheTest, RunningJobsShareToo) {
  std::vector<std::unique_ptr<Job>> running;
  running.push_back(std::make_unique<Job>());
  running[0]->tokens = counting(0, 100);
  running[0]->slot = computed(counting(0, 64));
  running[0]->computed = 64;
  PrefixCache::Match match = cache_.match(counting(0, 100), running);
  EXPECT_EQ(match.tokens, 64u);
  EXPECT_EQ(match.coming, running[0].get()) << "35 more are on their way";
  running[0]->computed = 90;
  match = cache_.match(counting(0, 100), running);
  EXPECT_EQ(match.coming, nullptr) << "9 more are not worth the wait";
  running[0]->computed = 64;
  EXPECT_EQ(cache_.start(counting(0, 100), running)->cached, 64u);
}

TEST_F(PrefixCacheTest, APeekSeesWhatIsKeptAndChangesNothing) {
  EXPECT_EQ(cache_.peek(counting(0, 50)), 0u);
  keep(counting(0, 40));
  EXPECT_EQ(cache_.peek(counting(0, 60)), 40u);
  EXPECT_EQ(cache_.peek(counting(0, 40)), 39u) << "the last token is always computed";
  EXPECT_EQ(cache_.peek(counting(0, 10)), 0u) << "too short to be worth it";
  EXPECT_EQ(cache_.peek(counting(500, 60)), 0u);
  EXPECT_EQ(cache_.peek({}), 0u);
  EXPECT_EQ(cache_.sequences(), 1u);
}

}  // namespace
}  // namespace accelerate
