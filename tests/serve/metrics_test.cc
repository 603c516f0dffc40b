#include "accelerate/serve/metrics.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

// An endpoint that says of itself what a test wants.
class Stated final : public Endpoint {
 public:
  EndpointInfo info_value;
  EndpointStats stats_value;
  const EndpointInfo& info() const override { return info_value; }
  Result<std::shared_ptr<Stream>> generate(const Request&) override { return Error{ErrorCode::kUnimplemented, "[test]"}; }
  Result<EmbedReply> embed(std::span<const EmbedInput>, const std::atomic<bool>*) override { return Error{ErrorCode::kUnimplemented, "[test]"}; }
  Result<std::vector<uint32_t>> tokenize(std::string_view, const TokenizeOptions&) const override { return Error{ErrorCode::kUnimplemented, "[test]"}; }
  Result<std::string> detokenize(std::span<const uint32_t>, const DetokenizeOptions&) const override { return Error{ErrorCode::kUnimplemented, "[test]"}; }
  Result<void> check_health() override { return {}; }
  EndpointStats stats() const override { return stats_value; }
  void close() override {}
};

std::shared_ptr<Stated> model(std::string name, ProgramKind kind) {
  auto stated = std::make_shared<Stated>();
  stated->info_value.name = std::move(name);
  stated->info_value.kind = kind;
  return stated;
}

// The value of a sample, or nothing where the page has no such line.
std::optional<std::string> value_of(const std::string& page, const std::string& sample) {
  const size_t at = ("\n" + page).find("\nipfs_accelerate_" + sample + " ");
  if (at == std::string::npos) return std::nullopt;
  const size_t begin = at + sizeof("ipfs_accelerate_") - 1 + sample.size() + 1;
  return page.substr(begin, page.find('\n', begin) - begin);
}

TEST(Metrics, CountRequestsByRouteMethodAndStatus) {
  Metrics metrics;
  for (const int status : {200, 200, 429}) metrics.count({.method = "POST", .route = "/v1/completions", .status = status, .duration_ms = 30});
  metrics.count({.method = "BREW", .path = "/coffee", .status = 404});
  const std::string page = metrics.text({});
  EXPECT_EQ(value_of(page, R"(http_requests_total{route="/v1/completions",method="POST",status="200"})"), "2");
  EXPECT_EQ(value_of(page, R"(http_requests_total{route="/v1/completions",method="POST",status="429"})"), "1");
  EXPECT_EQ(value_of(page, R"(http_requests_total{route="none",method="other",status="404"})"), "1") << "labels are not for strangers to choose";
  EXPECT_EQ(value_of(page, R"(http_request_seconds_bucket{route="/v1/completions",le="0.025"})"), "0");
  EXPECT_EQ(value_of(page, R"(http_request_seconds_bucket{route="/v1/completions",le="0.05"})"), "3");
  EXPECT_EQ(value_of(page, R"(http_request_seconds_bucket{route="/v1/completions",le="+Inf"})"), "3");
  EXPECT_EQ(value_of(page, R"(http_request_seconds_count{route="/v1/completions"})"), "3");
}

TEST(Metrics, SayWhatEndpointsSay) {
  const auto chat = model("a \"quoted\\name", ProgramKind::kDecoder), embed = model("embed", ProgramKind::kEncoder);
  EndpointStats& stats = chat->stats_value;
  stats.rejected = 3;
  stats.failed = 4;
  stats.finished["stop"] = 5;
  stats.ttft_s.observe(0.2);
  stats.scheduler.preemptions = 6;
  stats.queue = {{.id = "r1", .client = "key-1", .priority = -1, .prompt_tokens = 9, .waited_s = 0.5}};
  embed->stats_value.requests = 7;
  const std::string page = Metrics().text({chat, embed});
  const std::string name = R"({model="a \"quoted\\name")";
  EXPECT_EQ(value_of(page, "requests_rejected_total" + name + "}"), "3");
  EXPECT_EQ(value_of(page, "requests_failed_total" + name + "}"), "4");
  EXPECT_EQ(value_of(page, "requests_finished_total" + name + R"(,reason="stop"})"), "5");
  EXPECT_EQ(value_of(page, "preemptions_total" + name + "}"), "6");
  EXPECT_EQ(value_of(page, "ttft_seconds_bucket" + name + R"(,le="0.1"})"), "0");
  EXPECT_EQ(value_of(page, "ttft_seconds_bucket" + name + R"(,le="0.25"})"), "1");
  EXPECT_EQ(value_of(page, "queue_place_seconds" + name + R"(,place="1",client="key-1",priority="-1"})"), "0.5");
  EXPECT_EQ(value_of(page, R"(requests_total{model="embed"})"), "7");
  EXPECT_FALSE(value_of(page, R"(kv_tokens_max{model="embed"})")) << "an encoder has none";
}

TEST(Metrics, SayWhichModelsComeAndGo) {
  const RosterStatus roster[] = {{.name = "a", .state = ModelState::kLoaded, .loads = 2, .unloads = {{UnloadCause::kIdle, 1}}}, {.name = "b"}};
  const std::string page = Metrics().text({}, roster);
  EXPECT_EQ(value_of(page, R"(model_loaded{model="a"})"), "1");
  EXPECT_EQ(value_of(page, R"(model_loaded{model="b"})"), "0");
  EXPECT_EQ(value_of(page, R"(model_loads_total{model="a"})"), "2");
  EXPECT_EQ(value_of(page, R"(model_unloads_total{model="a",reason="idle"})"), "1");
  EXPECT_EQ(Metrics().text({}).find("model_loads_total"), std::string::npos);
}

TEST(Metrics, SayHowTargetsFare) {
  const auto chat = model("chat", ProgramKind::kDecoder);
  chat->stats_value.answers_moved = 3;
  chat->stats_value.targets = {{.target = "a@cpu:0", .state = "stopped", .starts = 2, .failures = 1, .cause = "killed"},
                               {.target = "b@cpu:0", .state = "running", .starts = 1, .failures = 0, .cause = {}}};
  const std::string page = Metrics().text({chat});
  EXPECT_EQ(value_of(page, R"(answers_moved_total{model="chat"})"), "3");
  EXPECT_EQ(value_of(page, R"(target_running{model="chat",target="a@cpu:0"})"), "0");
  EXPECT_EQ(value_of(page, R"(target_running{model="chat",target="b@cpu:0"})"), "1");
  EXPECT_EQ(value_of(page, R"(target_starts_total{model="chat",target="a@cpu:0"})"), "2");
  EXPECT_EQ(value_of(page, R"(target_failures_total{model="chat",target="a@cpu:0"})"), "1");
}

}  // namespace
}  // namespace accelerate
