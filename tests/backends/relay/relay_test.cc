#include "accelerate/backends/relay/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backends/relay/upstream.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using testing::Upstream;
using ::testing::HasSubstr;
using ::testing::Not;

class RelayBackendTest : public ::testing::Test {
 protected:
  Result<Compiled> compile(std::shared_ptr<const Model> model, const CompileOptions& options = {}) { return backend_->compile(std::move(model), device(), options, no_progress()); }
  Device device() { return backend_->probe(std::chrono::steady_clock::now()).front().devices.front(); }
  BackendContext context_;
  std::unique_ptr<Backend> backend_ = make_relay_backend(context_);
};

TEST_F(RelayBackendTest, TakesNoModelOfThisMachine) {
  Model local;
  local.format = "gguf v3";
  local.config.name = "m/1";
  const Support support = backend_->supports(local, device(), {});
  EXPECT_FALSE(support.yes);
  EXPECT_EQ(support.code, ErrorCode::kUnimplemented);
  EXPECT_THAT(support.reason, HasSubstr("relay:NAME/model"));
}

TEST_F(RelayBackendTest, TakesOnlyWhatTheUpstreamLists) {
  Upstream upstream([](Socket&, const std::string&) {});
  EXPECT_TRUE(backend_->supports(*upstream.model(), device(), {}).yes);
  const auto relay = compile(upstream.model());
  ASSERT_TRUE(relay.ok()) << relay.error().message;
  EXPECT_EQ(relay->program->kind(), ProgramKind::kText);
  const auto missing = compile(upstream.model("m/2"));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("m/1, other"));
  EXPECT_EQ(compile(upstream.model(), {.deterministic = true}).error().code, ErrorCode::kUnimplemented);
  upstream.models = "<html>";
  EXPECT_EQ(compile(upstream.model()).error().code, ErrorCode::kDataLoss);
}

TEST_F(RelayBackendTest, TheKeyComesFromTheEnvironmentAndStaysSafe) {
  const ScopedEnvironment key("IPFS_ACCELERATE_RELAY_MY_UP_KEY", "sk-secret");
  Upstream upstream([](Socket&, const std::string&) {});
  const auto model = upstream.model();
  model->config.other["relay.name"] = "my-up";
  ASSERT_TRUE(compile(model).ok());
  EXPECT_THAT(upstream.last(), HasSubstr("Authorization: Bearer sk-secret\r\n"));
  model->config.other["relay.url"] = "http://192.0.2.1/v1";
  const Support support = backend_->supports(*model, device(), {});
  EXPECT_FALSE(support.yes) << "a key in the clear";
  EXPECT_EQ(support.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(support.reason, HasSubstr("IPFS_ACCELERATE_RELAY_MY_UP_KEY"));
  EXPECT_THAT(support.reason, Not(HasSubstr("sk-secret")));
}

}  // namespace
}  // namespace accelerate
