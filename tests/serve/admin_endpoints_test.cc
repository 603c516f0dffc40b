// Models that come and go over a real socket, with a real roster and a scripted backend behind.
#include "accelerate/serve/admin_endpoints.h"

#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/net/url.h"
#include "tests/engine/fake_engine.h"
#include "tests/net/raw_client.h"
#include "tests/serve/admin_keys.h"
#include "tests/serve/fake_endpoint.h"
#include "tests/serve/read_json.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::kAdmin;
using testing::only_key;
using testing::RawClient;
using testing::RawResponse;
using testing::within;
using ::testing::HasSubstr;

class AdminEndpoints : public ::testing::Test {
 protected:
  AdminEndpoints()
      : server_(models_of(roster_, {.engine = fake_.engine.get(), .roster = &roster_, .open = {.parity = ParityMode::kOff}}), {.port = 0, .admin_keys = only_key("root-key")}) {
    const Result<void> started = server_.start();
    EXPECT_TRUE(started.ok()) << started.error().message;
  }
  ~AdminEndpoints() override { server_.stop(0ms); }

  RawResponse ask(std::string_view method, std::string_view path, const Json& body = nullptr) {
    return RawClient(server_.port()).ask(method, fmt::format("/v1/admin/endpoints{}", path), body.is_null() ? "" : dump_json(body), kAdmin);
  }
  RawResponse add(const Json& more = Json::object()) {
    Json body = {{"model", model_}};
    body.update(more);
    return ask("POST", "", body);
  }
  // What the list says of a model; null where it is not there.
  Json listed(const std::string& name) {
    const Json all = read(ask("GET", "").body);
    for (const Json& one : all["endpoints"]) {
      if (one["name"] == name) return one;
    }
    return nullptr;
  }

  TemporaryFolder home_;
  ScopedEnvironment state_{"XDG_STATE_HOME", (home_ / "state").string()}, cache_{"XDG_CACHE_HOME", (home_ / "cache").string()};
  FakeEngine fake_;
  ModelRoster roster_{*fake_.engine, {}};
  std::string model_ = fixture_path("llama_f32.gguf").string();
  Server server_;
};

TEST_F(AdminEndpoints, AModelIsAddedShownUnloadedLoadedAndRemoved) {
  EXPECT_EQ(read(ask("GET", "").body)["endpoints"], Json::array());
  const RawResponse added = add({{"name", "org/m 1"}, {"pinned", true}});
  ASSERT_EQ(added.status, 200) << added.body;
  EXPECT_EQ(read(added.body)["state"], "loaded");
  EXPECT_EQ(listed("org/m 1")["about"]["target"], "fake@cpu:0");
  EXPECT_EQ(listed("org/m 1")["pinned"], true);
  EXPECT_THAT(RawClient(server_.port()).ask("GET", "/v1/models").body, HasSubstr("org/m 1"));
  const std::string at = "/" + percent_encode("org/m 1");
  EXPECT_EQ(read(ask("GET", at).body)["model"], model_);

  EXPECT_EQ(read(ask("POST", at + "/unpin").body)["pinned"], false);
  EXPECT_EQ(read(ask("POST", at + "/pin", Json::object()).body)["pinned"], true);
  EXPECT_EQ(read(ask("POST", at + "/unload").body)["state"], "unloaded");
  EXPECT_TRUE(fake_.engine->endpoints().empty());
  EXPECT_EQ(listed("org/m 1")["unloads"], Json({{"asked", 1}}));
  const RawResponse asleep = ask("POST", at + "/switch", {{"target", "fake@cpu:0"}});
  EXPECT_EQ(asleep.status, 400);
  EXPECT_THAT(asleep.body, HasSubstr("unloaded"));
  EXPECT_EQ(read(ask("POST", at + "/load").body)["state"], "loaded");
  EXPECT_EQ(listed("org/m 1")["loads"], 2);
  EXPECT_EQ(ask("POST", at + "/switch", {{"target", "abacus@abacus:0"}}).status, 404) << "lists those there are";

  EXPECT_EQ(read(ask("DELETE", at).body)["removed"], "org/m 1");
  EXPECT_TRUE(fake_.engine->endpoints().empty());
  EXPECT_EQ(listed("org/m 1"), nullptr);
}

TEST_F(AdminEndpoints, ANameIsTakenOnce) {
  ASSERT_EQ(add({{"name", "m"}}).status, 200);
  EXPECT_EQ(add({{"name", "m"}}).status, 409);
  EXPECT_EQ(listed("m")["state"], "loaded") << "the first is untouched";
}

TEST_F(AdminEndpoints, WhatCanNotBeLoadedSaysWhyAndIsNotKept) {
  fake_.backend->make = [](const CompileOptions&, Progress&) -> Result<std::unique_ptr<Program>> {
    return Error{ErrorCode::kUnavailable, "[fake] the moon is in the wrong house"};
  };
  const RawResponse refused = add({{"name", "m"}});
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("wrong house"));
  EXPECT_EQ(listed("m"), nullptr);
  EXPECT_EQ(ask("POST", "", {{"model", "no-such-model"}}).status, 404);
  EXPECT_EQ(add({{"hardware", "abacus"}}).status, 400);
  EXPECT_EQ(read(add({{"slot", 2}}).body)["error"]["param"], "slot");
}

TEST_F(AdminEndpoints, ALoadEndsWithItsClient) {
  std::atomic<bool> loading{false}, stopped{false};
  fake_.backend->make = [&](const CompileOptions&, Progress& progress) -> Result<std::unique_ptr<Program>> {
    loading = true;
    for (int i = 0; i < 2000 && progress.update("packing", 0, 0, "tensors"); ++i) std::this_thread::sleep_for(5ms);
    stopped = true;
    return Error{ErrorCode::kCancelled, "[fake] stopped"};
  };
  {
    RawClient client(server_.port());
    const std::string body = dump_json(Json{{"model", model_}, {"name", "m"}});
    client.say(fmt::format("POST /v1/admin/endpoints HTTP/1.1\r\nhost: h\r\n{}content-length: {}\r\n\r\n{}", kAdmin, body.size(), body));
    ASSERT_TRUE(within(10s, [&] { return loading.load(); }));
    EXPECT_EQ(listed("m")["state"], "loading");
  }
  EXPECT_TRUE(within(5s, [&] { return stopped.load(); }));
  EXPECT_TRUE(within(5s, [&] { return listed("m").is_null(); }));
}

TEST_F(AdminEndpoints, UnknownNamesAndActions) {
  for (const char* action : {"/load", "/unload", "/pin", "/unpin"}) EXPECT_EQ(ask("POST", std::string("/none") + action).status, 404) << action;
  EXPECT_EQ(ask("POST", "/none/switch", {{"target", "a@b:0"}}).status, 404);
  EXPECT_EQ(ask("DELETE", "/none").status, 404);
  EXPECT_EQ(ask("GET", "/none").status, 404);
  EXPECT_EQ(ask("POST", "/none/dance").status, 404);
  EXPECT_EQ(ask("POST", "/none/load", {{"now", true}}).status, 400);
  const RawResponse wrong = ask("PUT", "/none");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "GET, HEAD, DELETE, OPTIONS");
}

TEST(AdminEndpointsOfAnEngine, DoNotComeAndGo) {
  FakeEngine fake;
  Server server(*fake.engine, {.port = 0, .admin_keys = only_key("root-key")});
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(RawClient(server.port()).ask("GET", "/v1/admin/endpoints", "", kAdmin).status, 501);
}

}  // namespace
}  // namespace accelerate
