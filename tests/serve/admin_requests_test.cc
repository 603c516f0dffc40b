#include "accelerate/serve/admin_requests.h"

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(AdminRequests, APlanIsReadWhole) {
  Parsed<AdminPlan> plan = read_admin_plan(R"({"model":"m","hardware":"cpu","quantization":"int4","use":"rag","objective":"throughput","allow":["cpu","torch"],
    "forbid":["cuda"],"ttft_ms_max":800,"tpot_ms_max":0.5,"tokens_per_s_min":10,"joules_per_token_max":2,"kl_max":0.01,"memory_bytes_max":6000000000,
    "local_only":true,"context":4096,"slots":8,"threads":2})");
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->model, "m");
  const OpenOptions& wish = plan->open;
  EXPECT_EQ(wish.hardware, "cpu");
  EXPECT_EQ(wish.compile.quantization, "int4");
  EXPECT_EQ(wish.use->name, "rag");
  EXPECT_EQ(wish.objective, Objective::kThroughput);
  EXPECT_THAT(wish.constraints.allowed, ElementsAre("cpu", "torch"));
  EXPECT_THAT(wish.constraints.forbidden, ElementsAre("cuda"));
  EXPECT_EQ(wish.constraints.ttft_ms_max, 800);
  EXPECT_EQ(wish.constraints.tpot_ms_max, 0.5);
  EXPECT_EQ(wish.constraints.tokens_per_s_min, 10);
  EXPECT_EQ(wish.constraints.joules_per_token_max, 2);
  EXPECT_EQ(wish.constraints.kl_max, 0.01);
  EXPECT_EQ(wish.constraints.memory_bytes_max, 6'000'000'000u);
  EXPECT_TRUE(wish.constraints.local_only);
  EXPECT_EQ(wish.compile.context, 4096u);
  EXPECT_EQ(wish.compile.slots, 8u);
  EXPECT_EQ(wish.compile.threads, 2u);
}

TEST(AdminRequests, APlanNeedsNoMoreThanAModel) {
  Parsed<AdminPlan> plan = read_admin_plan(R"({"model":"m"})");
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->open.hardware, "auto");
  EXPECT_FALSE(plan->open.use);
  EXPECT_FALSE(plan->open.constraints.ttft_ms_max);
  EXPECT_EQ(plan->open.constraints.memory_bytes_max, 0u);
}

TEST(AdminRequests, WhatDoesNotFitIsRefusedByItsName) {
  const auto refusal = [](const char* body) {
    const Parsed<AdminPlan> plan = read_admin_plan(body);
    return plan.ok() ? ApiError{} : plan.error();
  };
  const std::pair<const char*, const char*> bodies[] = {
      {R"({})", "model"}, {R"({"model":""})", "model"}, {R"({"model":3})", "model"}, {R"({"model":"m","hardwear":"cpu"})", "hardwear"},
      {R"({"model":"m","use":"games"})", "use"}, {R"({"model":"m","objective":"fun"})", "objective"}, {R"({"model":"m","quantization":"int3"})", "quantization"},
      {R"({"model":"m","allow":"cpu"})", "allow"}, {R"({"model":"m","ttft_ms_max":0})", "ttft_ms_max"}, {R"({"model":"m","kl_max":-1})", "kl_max"},
      {R"({"model":"m","memory_bytes_max":1.5})", "memory_bytes_max"}, {R"({"model":"m","local_only":1})", "local_only"},
      {R"({"model":"m","context":0})", "context"}, {R"({"model":"m","slots":100000})", "slots"}, {R"({"model":"m","threads":-1})", "threads"}};
  for (const auto& [body, param] : bodies) {
    const ApiError error = refusal(body);
    EXPECT_EQ(error.status, 400) << body;
    EXPECT_EQ(error.param, param) << body << ": " << error.message;
  }
  EXPECT_THAT(refusal(R"({"model":"m","hardwear":"cpu"})").message, HasSubstr("near matches: hardware"));
  EXPECT_THAT(refusal("[]").message, HasSubstr("[admin] a request body is a JSON object; got an array"));
  EXPECT_EQ(refusal("{").status, 400);
}

TEST(AdminRequests, ABench) {
  Parsed<AdminBench> bench = read_admin_bench(R"({"model":"m","targets":["cpu","cpu:exact"],"prompt_tokens":64,"generate_tokens":8,"batch":4,"rounds":2,"threads":1})");
  ASSERT_TRUE(bench.ok()) << bench.error().message;
  EXPECT_EQ(bench->targets, "cpu,cpu:exact");
  EXPECT_EQ(bench->options.prompt_tokens, 64u);
  EXPECT_EQ(bench->options.generate_tokens, 8u);
  EXPECT_EQ(bench->options.batch, 4u);
  EXPECT_EQ(bench->options.rounds, 2u);
  EXPECT_EQ(bench->options.open.compile.threads, 1u);
  Parsed<AdminBench> least = read_admin_bench(R"({"model":"m"})");
  ASSERT_TRUE(least.ok());
  EXPECT_EQ(least->targets, "auto");
  EXPECT_EQ(least->options.rounds, BenchOptions{}.rounds);
  for (const char* body : {R"({"model":"m","rounds":1001})", R"({"model":"m","batch":0})", R"({"model":"m","prompt_tokens":1048577})",
                           R"({"model":"m","targets":["cpu",1]})", R"({"model":"m","round":1})"}) {
    EXPECT_FALSE(read_admin_bench(body).ok()) << body;
  }
}

TEST(AdminRequests, AnEndpointIsReadOverTheServersOwnOptions) {
  OpenOptions defaults;
  defaults.fallback = Fallback::kNotify;
  defaults.targets = {"cpu@cpu:0"};
  defaults.together = true;
  defaults.compile.slots = 3;
  Parsed<RosterModel> least = read_admin_endpoint(R"({"model":"m"})", defaults);
  ASSERT_TRUE(least.ok());
  EXPECT_EQ(least->word, "m");
  EXPECT_EQ(least->name, "");
  EXPECT_FALSE(least->pinned);
  EXPECT_EQ(least->open.fallback, Fallback::kNotify);
  EXPECT_TRUE(least->open.together);
  EXPECT_EQ(least->open.compile.slots, 3u);
  Parsed<RosterModel> all = read_admin_endpoint(R"({"model":"m","name":"n","targets":["a@b:0","c@d:0"],"together":false,"quantization":"int8","fallback":"forbid","context":64,
    "slots":2,"threads":1,"isolate":true,"deterministic":true,"pinned":true})", defaults);
  ASSERT_TRUE(all.ok()) << all.error().message;
  EXPECT_EQ(all->name, "n");
  EXPECT_THAT(all->open.targets, ElementsAre("a@b:0", "c@d:0"));
  EXPECT_FALSE(all->open.together);
  EXPECT_EQ(all->open.compile.quantization, "int8");
  EXPECT_EQ(all->open.fallback, Fallback::kForbid);
  EXPECT_EQ(all->open.compile.context, 64u);
  EXPECT_EQ(all->open.compile.slots, 2u);
  EXPECT_EQ(all->open.compile.threads, 1u);
  EXPECT_TRUE(all->open.isolate && all->open.compile.deterministic && all->pinned);
  Parsed<RosterModel> elsewhere = read_admin_endpoint(R"({"model":"m","hardware":"torch"})", defaults);
  ASSERT_TRUE(elsewhere.ok());
  EXPECT_EQ(elsewhere->open.hardware, "torch");
  EXPECT_TRUE(elsewhere->open.targets.empty()) << "one place replaces the other";
  EXPECT_FALSE(elsewhere->open.together);
  const std::pair<const char*, const char*> bodies[] = {{R"({"name":"n"})", "model"}, {R"({"model":"m","pined":true})", "pined"}, {R"({"model":"m","fallback":"maybe"})", "fallback"},
      {R"({"model":"m","hardware":"cpu","targets":["cpu@cpu:0"]})", "targets"}, {R"({"model":"m","together":true})", "together"}, {R"({"model":"m","name":"a\nb"})", "name"}};
  for (const auto& [body, param] : bodies) {
    const Parsed<RosterModel> refused = read_admin_endpoint(body, defaults);
    ASSERT_FALSE(refused.ok()) << body;
    EXPECT_EQ(refused.error().param, param) << refused.error().message;
  }
  EXPECT_FALSE(read_admin_endpoint(R"({"model":"m","name":")" + std::string(kAdminNameBytesMax + 1, 'x') + "\"}", defaults).ok());
}

TEST(AdminRequests, ActionsTakeNothingButASwitchItsTarget) {
  EXPECT_TRUE(read_admin_action("", false).ok());
  EXPECT_TRUE(read_admin_action("{}", false).ok());
  EXPECT_FALSE(read_admin_action(R"({"target":"a"})", false).ok());
  EXPECT_EQ(*read_admin_action(R"({"target":"a"})", true), "a");
  for (const char* body : {"", "{}", R"({"target":""})", R"({"target":"a","now":true})"}) EXPECT_FALSE(read_admin_action(body, true).ok()) << body;
}

TEST(AdminRequests, RecordsAreAskedForByAQuery) {
  Parsed<AdminRecords> all = read_admin_records("");
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->limit, kAdminRecordsDefault);
  EXPECT_EQ(all->filter.kind, "");
  Parsed<AdminRecords> some = read_admin_records("model_id=a%2Fb&kind=parity&&limit=7");
  ASSERT_TRUE(some.ok()) << some.error().message;
  EXPECT_EQ(some->filter.model_id, "a/b");
  EXPECT_EQ(some->filter.kind, "parity");
  EXPECT_EQ(some->limit, 7u);
  for (const char* query : {"limit=0", "limit=1001", "limit=-1", "limit=7x", "limit=", "kind=joke", "kind", "model=a", "model_id=%zz"}) {
    EXPECT_FALSE(read_admin_records(query).ok()) << query;
  }
}

// Words in quotes in the readers are members or their values; the page has them all, except these of error texts.
TEST(AdminRequests, MembersAreOnThePage) {
  const auto text = [](const char* path) {
    std::ifstream in(std::filesystem::path(ACC_SOURCE_DIR) / path);
    EXPECT_TRUE(in.good()) << path;
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string page = text("docs/admin.md"), code = std::regex_replace(text("accelerate/serve/admin_requests.cc"), std::regex("//.*|#include.*"), "");
  size_t words = 0;
  static const std::regex kLiteral("\"([a-z_0-9]+)\"");
  for (std::sregex_iterator it(code.begin(), code.end(), kLiteral), end; it != end; ++it, ++words) {
    const std::string word = (*it)[1];
    if (word == "admin" || word == "invalid_value" || word == "query" || word == "both") continue;
    EXPECT_THAT(page, HasSubstr("`" + word + "`")) << "docs/admin.md";
  }
  EXPECT_GT(words, 20u);
}

}  // namespace
}  // namespace accelerate
