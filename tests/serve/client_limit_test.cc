#include "accelerate/serve/client_limit.h"

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(ClientLimit, CountsEachClientByItself) {
  ClientLimit limit(2);
  std::optional<ClientLimit::Permit> first(limit.admit("a"));
  const ClientLimit::Permit second = limit.admit("a"), other = limit.admit("b");
  EXPECT_TRUE(*first && second && other);
  EXPECT_FALSE(limit.admit("a"));
  EXPECT_TRUE(limit.admit("b")) << "and given back at once";
  EXPECT_TRUE(limit.admit("b"));
  first.reset();
  EXPECT_TRUE(limit.admit("a"));
}

TEST(ClientLimit, AMovedPermitCountsOnce) {
  ClientLimit limit(1);
  {
    ClientLimit::Permit permit = limit.admit("a");
    const ClientLimit::Permit moved(std::move(permit));
    EXPECT_TRUE(moved);
    EXPECT_FALSE(limit.admit("a"));
  }
  EXPECT_TRUE(limit.admit("a"));
}

TEST(ClientLimit, NoneIsNone) {
  ClientLimit limit(0);
  std::vector<ClientLimit::Permit> permits;
  for (int i = 0; i < 1000; ++i) permits.push_back(limit.admit("a"));
  for (const ClientLimit::Permit& permit : permits) EXPECT_TRUE(permit);
}

TEST(ClientLimit, HoldsUnderThreads) {
  ClientLimit limit(3);
  std::atomic<int> inside{0}, most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const ClientLimit::Permit permit = limit.admit("a");
        if (!permit) continue;
        const int now = ++inside;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        std::this_thread::yield();
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 3);
  EXPECT_GE(most, 1);
}

}  // namespace
}  // namespace accelerate
