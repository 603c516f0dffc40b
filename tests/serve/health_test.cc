#include "accelerate/serve/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/json.h"
#include "tests/serve/fake_endpoint.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::FakeEndpoint;
using testing::source_of;
using ::testing::HasSubstr;

Json read(const HealthReport& report) {
  const auto parsed = parse_json(report.json);
  EXPECT_TRUE(parsed.ok());
  return parsed.ok() ? *parsed : Json();
}

TEST(Health, WellWhenTheCanaryAnswers) {
  const auto model = std::make_shared<FakeEndpoint>("m");
  HealthMonitor monitor(source_of({model}));
  const HealthReport report = monitor.report();
  EXPECT_EQ(report.http_status, 200);
  const Json json = read(report);
  EXPECT_EQ(json["status"], "ok");
  ASSERT_EQ(json["models"].size(), 1u);
  const Json& entry = json["models"][0];
  EXPECT_EQ(entry["id"], "m");
  EXPECT_EQ(entry["status"], "ok");
  EXPECT_EQ(entry["kind"], "decoder");
  EXPECT_EQ(entry["running"], 0);
  EXPECT_EQ(entry["queued"], 0);
  EXPECT_TRUE(entry.contains("kv_tokens_free"));
  EXPECT_FALSE(entry.contains("error"));
  EXPECT_EQ(model->canaries, 1);
}

TEST(Health, CanariesAreNotSentForEveryLook) {
  const auto model = std::make_shared<FakeEndpoint>("m");
  HealthMonitor monitor(source_of({model}));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(monitor.report().http_status, 200);
  EXPECT_EQ(model->canaries, 1);
}

TEST(Health, AnOldVerdictIsRenewed) {
  const auto model = std::make_shared<FakeEndpoint>("m");
  HealthMonitor monitor(source_of({model}), {.canary_age = 0ms});
  EXPECT_EQ(monitor.report().http_status, 200);
  model->healthy = false;
  const HealthReport report = monitor.report();
  EXPECT_EQ(report.http_status, 503);
  EXPECT_EQ(read(report)["status"], "failing");
  EXPECT_THAT(read(report)["models"][0]["error"].get<std::string>(), HasSubstr("canary died"));
  model->healthy = true;
  EXPECT_EQ(monitor.report().http_status, 200);
}

TEST(Health, OneFailingModelOfTwoIsNamed) {
  const auto well = std::make_shared<FakeEndpoint>("well");
  const auto ill = std::make_shared<FakeEndpoint>("ill");
  ill->healthy = false;
  HealthMonitor monitor(source_of({well, ill}));
  const Json json = read(monitor.report());
  EXPECT_EQ(json["status"], "failing");
  EXPECT_EQ(json["models"][0]["status"], "ok");
  EXPECT_EQ(json["models"][1]["status"], "failing");
}

TEST(Health, StartingWithoutModelsOrBeforeTheFirstAnswer) {
  HealthMonitor empty(source_of({}));
  EXPECT_EQ(empty.report().http_status, 503);
  EXPECT_EQ(read(empty.report())["status"], "starting");
  const auto slow = std::make_shared<FakeEndpoint>("slow");
  slow->canary_time = 300ms;
  HealthMonitor monitor(source_of({slow}), {.canary_wait = 10ms});
  EXPECT_EQ(read(monitor.report())["status"], "starting");
  EXPECT_TRUE(testing::within(5s, [&] { return monitor.report().http_status == 200; }));
  EXPECT_EQ(slow->canaries, 1) << "one canary at a time";
}

TEST(Health, OneThatARequestWouldLoadIsWell) {
  ModelSource models = source_of({});
  std::vector<RosterStatus> roster = {{.name = "a", .state = ModelState::kUnloaded}};
  models.roster = [&] { return roster; };
  HealthMonitor monitor(models);
  EXPECT_EQ(monitor.report().http_status, 200);
  EXPECT_EQ(read(monitor.report())["models"][0]["status"], "unloaded");
  roster[0] = {.name = "a", .state = ModelState::kFailed, .error = "no memory"};
  EXPECT_EQ(monitor.report().http_status, 503);
  EXPECT_EQ(read(monitor.report())["models"][0]["error"], "no memory");
}

TEST(Health, AStuckModelFailsUnlessItMoves) {
  const auto stuck = std::make_shared<FakeEndpoint>("stuck");
  HealthMonitor monitor(source_of({stuck}), {.canary_age = 0ms, .canary_wait = 5ms, .stall = 150ms, .close_wait = 5000ms});
  ASSERT_TRUE(testing::within(5s, [&] { return monitor.report().http_status == 200; }));
  stuck->canary_time = 60s;  // until it is closed
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < 400ms) {
    ++stuck->moves;
    EXPECT_EQ(monitor.report().http_status, 200) << "busy, and moving on";
  }
  EXPECT_TRUE(testing::within(5s, [&] { return read(monitor.report())["status"] == "failing"; }));
  EXPECT_THAT(monitor.report().json, HasSubstr("no movement"));
  stuck->close();
}

TEST(Health, ClosingDoesNotWaitForever) {
  const auto stuck = std::make_shared<FakeEndpoint>("stuck");
  stuck->canary_time = 60s;
  const auto start = std::chrono::steady_clock::now();
  {
    HealthMonitor monitor(source_of({stuck}), {.canary_wait = 1ms, .close_wait = 50ms});
    EXPECT_EQ(monitor.report().http_status, 503);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  stuck->close();
}

}  // namespace
}  // namespace accelerate
