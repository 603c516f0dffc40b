// The admin routes over a real socket and a real Engine, with a scripted backend behind.
#include "accelerate/serve/admin_routes.h"

#include <filesystem>
#include <fstream>
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
using testing::kUser;
using testing::only_key;
using testing::RawClient;
using testing::RawResponse;
using testing::within;
using ::testing::HasSubstr;
using ::testing::Not;

class AdminRoutes : public ::testing::Test {
 protected:
  AdminRoutes() : server_(*fake_.engine, {.port = 0, .keys = only_key("user-key"), .admin_keys = only_key("root-key")}) {
    const Result<void> started = server_.start();
    EXPECT_TRUE(started.ok()) << started.error().message;
  }
  ~AdminRoutes() override { server_.stop(0ms); }

  RawResponse get(std::string_view path, std::string_view auth = kAdmin) { return RawClient(server_.port()).ask("GET", path, "", auth); }
  RawResponse post(std::string_view path, const Json& body, std::string_view auth = kAdmin) {
    return RawClient(server_.port()).ask("POST", path, dump_json(body), auth);
  }

  TemporaryFolder home_;
  ScopedEnvironment state_{"XDG_STATE_HOME", (home_ / "state").string()}, cache_{"XDG_CACHE_HOME", (home_ / "cache").string()},
      models_{"IPFS_ACCELERATE_MODELS", (home_ / "models").string()};
  FakeEngine fake_;
  std::string model_ = fixture_path("llama_f32.gguf").string();
  Server server_;
};

TEST(AdminPaths, PatternsAndMethods) {
  EXPECT_FALSE(AdminDoor::owns("/v1/administer"));
  for (const char* none : {"/v1/admin", "/v1/admin/", "/v1/admin/plans", "/v1/admin/models/", "/v1/admin/models/a/b", "/v1/admin//hardware", "/v1/admin/hardware/"}) {
    EXPECT_TRUE(AdminDoor::owns(none)) << none;
    EXPECT_FALSE(AdminDoor::find(none)) << none;
  }
  const auto one = AdminDoor::find("/v1/admin/models/a%2Fb");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->pattern, "/v1/admin/models/{name}");
  EXPECT_EQ(one->name, "a%2Fb");
  EXPECT_EQ(one->allow, "GET, HEAD, OPTIONS");
  EXPECT_TRUE(one->takes("HEAD"));
  EXPECT_FALSE(one->takes("POST"));
  EXPECT_EQ(AdminDoor::find("/v1/admin/plan")->allow, "POST, OPTIONS");
}

TEST(AdminPaths, RoutesAreOnThePage) {
  std::ifstream in(std::filesystem::path(ACC_SOURCE_DIR) / "docs/admin.md");
  const std::string page(std::istreambuf_iterator<char>(in), {});
  for (const AdminRoute& route : admin_routes()) EXPECT_THAT(page, HasSubstr(fmt::format("`{} {}`", route.method, route.pattern)));
}

TEST_F(AdminRoutes, WithoutAnAdminKeyTheyAreClosedAndSayHowToOpenThem) {
  Server closed(*fake_.engine, {.port = 0});
  ASSERT_TRUE(closed.start().ok());
  for (const AdminRoute& route : admin_routes()) {
    const RawResponse response = RawClient(closed.port()).ask(route.method, route.pattern, "", kAdmin);
    EXPECT_EQ(response.status, 403) << route.pattern;
    EXPECT_EQ(read(response.body)["error"]["code"], "admin_disabled");
    EXPECT_THAT(response.body, HasSubstr("--admin-key-file"));
  }
}

TEST_F(AdminRoutes, OnlyAnAdminKeyOpensThem) {
  for (const AdminRoute& route : admin_routes()) {
    for (const std::string_view wrong : {std::string_view(), kUser, std::string_view("authorization: Bearer root-kex\r\n")}) {
      const RawResponse response = RawClient(server_.port()).ask(route.method, route.pattern, "", wrong);
      EXPECT_EQ(response.status, 401) << route.pattern << wrong;
      EXPECT_EQ(response.headers.at("www-authenticate"), "Bearer");
      EXPECT_THAT(response.body, Not(HasSubstr("user-key")));
    }
  }
  EXPECT_EQ(get("/v1/models").status, 401) << "an admin key is no API key";
  EXPECT_EQ(get("/v1/models", kUser).status, 200);
}

TEST_F(AdminRoutes, AStrangersBodyIsNotWaitedFor) {
  for (const std::string_view auth : {std::string_view(), kUser}) {
    RawClient client(server_.port());
    client.say(fmt::format("POST /v1/admin/plan HTTP/1.1\r\nhost: h\r\n{}content-length: 30000000\r\n\r\n", auth));
    EXPECT_EQ(client.hear_response().status, 401);
  }
}

TEST_F(AdminRoutes, UnknownPathsAndMethods) {
  EXPECT_EQ(read(get("/v1/admin/nothing").body)["error"]["code"], "unknown_url");
  const RawResponse wrong = get("/v1/admin/plan");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "POST, OPTIONS");
  EXPECT_EQ(RawClient(server_.port()).ask("OPTIONS", "/v1/admin/plan").status, 204);
  EXPECT_EQ(get("/v1/admin/models/%zz").status, 400);
}

TEST_F(AdminRoutes, Hardware) {
  const Json json = read(get("/v1/admin/hardware").body);
  const auto cpu = std::find_if(json["hardware"].begin(), json["hardware"].end(), [](const Json& one) { return one["hardware"] == "cpu"; });
  ASSERT_NE(cpu, json["hardware"].end());
  EXPECT_EQ((*cpu)["verdict"], "available");
  EXPECT_GE(json["hardware"].size(), 10u);
}

TEST_F(AdminRoutes, Plan) {
  const RawResponse response = post("/v1/admin/plan", {{"model", model_}, {"use", "rag"}, {"forbid", {"torch"}}});
  ASSERT_EQ(response.status, 200) << response.body;
  const Json plan = read(response.body);
  EXPECT_EQ(plan["best"], "fake@cpu:0");
  EXPECT_EQ(plan["use"]["name"], "rag");
  const RawResponse typo = post("/v1/admin/plan", {{"model", model_}, {"ttft_max", 3}});
  EXPECT_EQ(typo.status, 400);
  EXPECT_EQ(read(typo.body)["error"]["param"], "ttft_max");
  EXPECT_EQ(post("/v1/admin/plan", {{"model", "no-such-model"}}).status, 404);
  EXPECT_EQ(post("/v1/admin/plan", {{"model", model_}, {"hardware", "abacus"}}).status, 400);
  EXPECT_EQ(post("/v1/admin/plan", {{"model", model_}, {"allow", {"abacus"}}}).status, 400);
}

TEST_F(AdminRoutes, BenchAndItsRecords) {
  const RawResponse response = post("/v1/admin/bench", {{"model", model_}, {"targets", {"cpu", "cpu:exact"}}, {"prompt_tokens", 16}, {"generate_tokens", 4}, {"rounds", 2}});
  ASSERT_EQ(response.status, 200) << response.body;
  const Json bench = read(response.body);
  ASSERT_EQ(bench["targets"].size(), 2u);
  EXPECT_EQ(bench["targets"][1]["label"], "cpu:exact");
  EXPECT_EQ(bench["targets"][0]["metrics"]["ttft_ms"]["samples"].size(), 2u);
  EXPECT_TRUE(fake_.engine->endpoints().empty()) << "closed again";

  const Json records = read(get("/v1/admin/records?kind=bench").body);
  ASSERT_EQ(records["records"].size(), 2u);
  EXPECT_EQ(records["cut"], false);
  EXPECT_EQ(records["records"][1]["samples"]["ttft_ms"], bench["targets"][0]["metrics"]["ttft_ms"]["samples"]) << "newest first";
  const Json one = read(get(fmt::format("/v1/admin/records?limit=1&model_id={}", bench["model_id"].get<std::string>())).body);
  EXPECT_EQ(one["records"].size(), 1u);
  EXPECT_EQ(one["cut"], true);
  EXPECT_EQ(read(get("/v1/admin/records?model_id=other").body)["records"].size(), 0u);
  EXPECT_EQ(get("/v1/admin/records?modelid=other").status, 400);

  EXPECT_EQ(post("/v1/admin/bench", {{"model", model_}, {"targets", {"cpu:fast"}}}).status, 400);
  EXPECT_EQ(post("/v1/admin/bench", {{"model", model_}, {"targets", {"cpu"}}, {"prompt_tokens", 100000}}).status, 400) << "beyond the context";
}

TEST_F(AdminRoutes, OneBenchAtATimeAndNoneForAClientThatLeft) {
  std::atomic<bool> stepping{false};
  fake_.backend->make = [&stepping](const CompileOptions&, Progress&) {
    auto program = std::make_unique<CountingDecoder>();
    program->vocabulary_value = 280;
    program->next_token = [&stepping](std::span<const uint32_t>) {
      stepping = true;
      std::this_thread::sleep_for(5ms);
      return 7u;
    };
    return Result<std::unique_ptr<Program>>(std::move(program));
  };
  const Json long_one = {{"model", model_}, {"targets", {"cpu"}}, {"prompt_tokens", 16}, {"generate_tokens", 64}, {"rounds", 1000}};
  {
    RawClient client(server_.port());
    const std::string body = dump_json(long_one);
    client.say(fmt::format("POST /v1/admin/bench HTTP/1.1\r\nhost: h\r\n{}content-length: {}\r\n\r\n{}", kAdmin, body.size(), body));
    ASSERT_TRUE(within(10s, [&] { return stepping.load() && !fake_.engine->endpoints().empty(); }));
    const RawResponse second = post("/v1/admin/bench", long_one);
    EXPECT_EQ(second.status, 409);
    EXPECT_EQ(read(second.body)["error"]["code"], "bench_running");
  }
  EXPECT_TRUE(within(10s, [&] { return fake_.engine->endpoints().empty(); })) << "the client left";
}

TEST_F(AdminRoutes, Models) {
  home_.write("models/mine/mine.gguf", std::string(std::istreambuf_iterator<char>(std::ifstream(model_, std::ios::binary).rdbuf()), {}));
  const Json list = read(get("/v1/admin/models").body);
  EXPECT_EQ(list["models"].back()["name"], "mine");
  const Json mine = read(get("/v1/admin/models/mine").body);
  EXPECT_EQ(mine["family"], "llama");
  EXPECT_EQ(mine["id"], nullptr);
  EXPECT_EQ(read(get("/v1/admin/models/" + percent_encode(model_)).body)["parameters"], mine["parameters"]) << "a path in one segment";
  EXPECT_EQ(get("/v1/admin/models/none").status, 404);
}

TEST_F(AdminRoutes, AreCountedUnderTheirPatterns) {
  EXPECT_EQ(get("/v1/admin/models/none").status, 404);
  EXPECT_THAT(get("/metrics", kUser).body, HasSubstr("route=\"/v1/admin/models/{name}\""));
}

TEST(AdminDoorTest, WithoutAnEngineThereIsNothingToAdminister) {
  Server server(testing::source_of({}), {.port = 0, .admin_keys = only_key("root-key")});
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(RawClient(server.port()).ask("GET", "/v1/admin/hardware", "", kAdmin).status, 501);
}

}  // namespace
}  // namespace accelerate
