#include "accelerate/serve/rerank_route.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/raw_client.h"
#include "tests/serve/fake_endpoint.h"
#include "tests/serve/read_json.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::FakeEndpoint;
using testing::RawClient;
using testing::RawResponse;
using testing::source_of;

class RerankRoute : public ::testing::Test {
 protected:
  RerankRoute() : embed_(std::make_shared<FakeEndpoint>("minilm", ProgramKind::kEncoder)) {
    embed_->info_to_change().embedding_width = 3;
    server_.emplace(source_of({std::make_shared<FakeEndpoint>("cross", ProgramKind::kEncoder), embed_, std::make_shared<FakeEndpoint>("chatty")}),
                    ServeOptions{.port = 0});
    EXPECT_TRUE(server_->start().ok());
  }
  ~RerankRoute() override { server_->stop(0ms); }
  RawResponse post(const std::string& body, std::string_view path = "/v1/rerank") { return RawClient(server_->port()).ask("POST", path, body); }
  std::shared_ptr<FakeEndpoint> embed_;
  std::optional<Server> server_;
};

TEST_F(RerankRoute, ResultsAreSortedAndNameTheirDocument) {
  for (const char* path : {"/v1/rerank", "/rerank"}) {
    const RawResponse response = post(R"({"model":"cross","query":"q","documents":["aa",{"text":"aaaa"},"bb","a"]})", path);
    ASSERT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.headers.at("ipfs-accelerate-target"), "fake@cpu:0");
    const Json reply = read(response.body);
    EXPECT_EQ(reply["model"], "cross");
    EXPECT_EQ(reply["results"][0], Json({{"index", 1}, {"relevance_score", 4.0}, {"document", {{"text", "aaaa"}}}}));
    EXPECT_EQ(reply["results"][1]["index"], 0) << "equal scores keep their order";
    EXPECT_EQ(reply["results"][2]["index"], 2);
    EXPECT_EQ(reply["results"].size(), 4u);
    EXPECT_EQ(reply["usage"], Json({{"prompt_tokens", 20}, {"total_tokens", 20}}));
    EXPECT_EQ(reply["ipfs_accelerate"], Json({{"served_by", "fake@cpu:0"}, {"score", "fake"}}));
  }
}

TEST_F(RerankRoute, TopNAndNoDocuments) {
  const Json reply = read(post(R"({"model":"cross","query":"q","documents":["a","aaa","aa"],"top_n":2,"return_documents":false,"truncate":true})").body);
  EXPECT_EQ(reply["results"], Json({{{"index", 1}, {"relevance_score", 3.0}}, {{"index", 2}, {"relevance_score", 2.0}}}));
  EXPECT_EQ(reply["ipfs_accelerate"]["notes"].size(), 1u);
  EXPECT_EQ(read(post(R"({"model":"cross","query":"q","documents":["a"],"top_n":9})").body)["results"].size(), 1u);
}

TEST_F(RerankRoute, OtherModelsAreRefusedUnlessCosinesAreAskedFor) {
  EXPECT_EQ(post(R"({"model":"chatty","query":"q","documents":["a"]})").status, 501);
  EXPECT_EQ(post(R"({"model":"minilm","query":"q","documents":["a"]})").status, 501);
  const RawResponse response = post(R"({"model":"minilm","query":"q","documents":["a","aaaaaaaaaaaaaaaa"],"method":"embeddings"})");
  ASSERT_EQ(response.status, 200) << response.body;
  const Json reply = read(response.body);
  EXPECT_EQ(reply["results"][0]["index"], 0);
  EXPECT_NEAR(reply["results"][0]["relevance_score"].get<double>(), 1, 1e-6);
  EXPECT_EQ(reply["ipfs_accelerate"]["score"], "cosine of embeddings");
  EXPECT_EQ(post(R"({"model":"chatty","query":"q","documents":["a"],"method":"embeddings"})").status, 501);
}

TEST_F(RerankRoute, RefusalsAreOpenAisErrors) {
  EXPECT_EQ(post("{}").status, 400);
  EXPECT_EQ(post(R"({"model":"none","query":"q","documents":["a"]})").status, 404);
  EXPECT_EQ(read(post(R"({"query":"q","documents":["a"]})").body)["error"]["param"], "model") << "three are served";
  const Json too_long = read(post(R"({"model":"cross","query":"q","documents":["!long"]})").body)["error"];
  EXPECT_EQ(too_long["code"], "context_length_exceeded");
  EXPECT_EQ(too_long["param"], "documents");
}

TEST_F(RerankRoute, AClientThatLeavesStopsTheWork) {
  embed_->embed_time = 30s;
  {
    RawClient client(server_->port());
    const std::string body = R"({"model":"minilm","query":"q","documents":["a"],"method":"embeddings"})";
    client.say("POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    EXPECT_TRUE(testing::within(5s, [&] { return embed_->running() == 1; }));
  }
  EXPECT_TRUE(testing::within(5s, [&] { return embed_->cancelled() == 1; }));
}

}  // namespace
}  // namespace accelerate
