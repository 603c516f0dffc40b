#include "accelerate/engine/fair_queue.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

class Nothing final : public Answer {
 public:
  bool take(std::span<const float>) override { return false; }
  uint32_t last_token() const override { return 0; }
  bool cancelled() const override { return false; }
  void started(uint32_t) override {}
  void fail(Error) override {}
};

std::unique_ptr<Job> job_of(std::string client, std::string id, int32_t priority = 0) {
  auto job = std::make_unique<Job>();
  job->client = std::move(client);
  job->id = std::move(id);
  job->priority = priority;
  job->answer = std::make_unique<Nothing>();
  return job;
}

std::string order(FairQueue& queue) {
  std::string ids;
  for (const Job* job : queue.in_order()) ids += job->id;
  return ids;
}

TEST(FairQueue, IsFirstComeFirstServedWithinAClient) {
  FairQueue queue;
  EXPECT_EQ(queue.next(), nullptr);
  for (const char* id : {"a", "b", "c"}) queue.push(job_of("x", id));
  EXPECT_EQ(order(queue), "abc");
  EXPECT_EQ(queue.pop()->id, "a");
  EXPECT_EQ(queue.next()->id, "b");
  EXPECT_EQ(queue.size(), 2u);
}

TEST(FairQueue, SmallerPriorityValuesGoFirst) {
  FairQueue queue;
  queue.push(job_of("x", "a", 1));
  queue.push(job_of("x", "b", -1));
  queue.push(job_of("y", "c", 0));
  EXPECT_EQ(order(queue), "bca");
}

TEST(FairQueue, TheClientServedLeastGoesFirst) {
  FairQueue queue;
  for (const char* id : {"a", "b"}) queue.push(job_of("x", id));
  queue.push(job_of("y", "c"));
  const auto first = queue.pop();
  EXPECT_EQ(first->id, "a");
  queue.charge(*first, 10);
  EXPECT_EQ(order(queue), "cb");
}

TEST(FairQueue, WhoComesLateDoesNotBringSavings) {
  FairQueue queue;
  queue.push(job_of("x", "a"));
  queue.push(job_of("x", "b"));
  const auto running = queue.pop();
  queue.charge(*running, 100);
  for (const char* id : {"c", "d"}) queue.push(job_of("y", id));  // lifted to 100
  const auto b = queue.pop();
  EXPECT_EQ(b->id, "b") << "of equals who came first";
  queue.charge(*b, 1);
  EXPECT_EQ(order(queue), "cd");
}

TEST(FairQueue, WhoSteppedBackKeepsItsPlace) {
  FairQueue queue;
  queue.push(job_of("x", "a"));
  auto stepped = queue.pop();
  stepped->admitted = 1;
  queue.charge(*stepped, 50);
  queue.push(job_of("y", "b"));
  queue.push(std::move(stepped));
  EXPECT_EQ(order(queue), "ab");
}

TEST(FairQueue, CountersBeginAnewWhenNobodyIsLeft) {
  FairQueue queue;
  queue.push(job_of("x", "a"));
  auto a = queue.pop();
  queue.charge(*a, 1000);
  queue.ended(*a);
  queue.push(job_of("x", "b"));
  queue.push(job_of("y", "c"));
  EXPECT_EQ(order(queue), "bc");
}

TEST(FairQueue, TakesOutWhatIsGone) {
  FairQueue queue;
  queue.push(job_of("x", "a"));
  queue.push(job_of("x", "b"));
  const auto gone = queue.take_if([](const Job& job) { return job.id == "a"; });
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(order(queue), "b");
}

TEST(FairQueue, CountsTheTokensOfAll) {
  FairQueue queue;
  EXPECT_EQ(queue.tokens(), 0u);
  for (const size_t tokens : {3, 5}) {
    auto job = std::make_unique<Job>();
    job->tokens.resize(tokens);
    queue.push(std::move(job));
  }
  EXPECT_EQ(queue.tokens(), 8u);
}

}  // namespace
}  // namespace accelerate
