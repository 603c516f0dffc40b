#include "accelerate/serve/find_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serve/fake_endpoint.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using testing::FakeEndpoint;
using testing::source_of;

TEST(FindModel, ByNameOrA404ThatLists) {
  const ModelSource models = source_of({std::make_shared<FakeEndpoint>("a"), std::make_shared<FakeEndpoint>("b")});
  EXPECT_EQ((*find_model(models, "b"))->info().name, "b");
  const auto missing = find_model(models, "c");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().status, 404);
  EXPECT_THAT(missing.error().message, HasSubstr("a, b"));
  EXPECT_THAT(find_model(source_of({}), "c").error().message, HasSubstr("when one is loaded"));
}

TEST(FindModel, TheOnlyOneNeedsNoName) {
  const ModelSource one = source_of({std::make_shared<FakeEndpoint>("a")});
  EXPECT_EQ((*find_model_or_only(one, ""))->info().name, "a");
  EXPECT_EQ(find_model_or_only(one, "b").error().status, 404);
  const ModelSource two = source_of({std::make_shared<FakeEndpoint>("a"), std::make_shared<FakeEndpoint>("b")});
  EXPECT_EQ(find_model_or_only(two, "").error().param, "model");
  EXPECT_EQ((*find_model_or_only(two, "b"))->info().name, "b");
}

TEST(FindModel, ForARouteTellsTheLogOrRefuses) {
  struct Writer final : ResponseWriter {
    int status = 0;
    bool send(int sent, const HttpHeaders&, std::string_view) override {
      status = sent;
      return true;
    }
    bool begin_stream(int, const HttpHeaders&) override { return false; }
    bool write(std::string_view) override { return false; }
    bool client_gone() override { return false; }
  } writer;
  std::string logged;
  Responder to{.writer = writer, .request_id = "req_1"};
  to.model = &logged;
  const ModelSource one = source_of({std::make_shared<FakeEndpoint>("a")});
  EXPECT_EQ(find_model_for(one, "b", to), nullptr);
  EXPECT_EQ(writer.status, 404);
  EXPECT_EQ(logged, "");
  ASSERT_NE(find_model_for(one, "", to), nullptr);
  EXPECT_EQ(logged, "a");
  to.model = nullptr;
  EXPECT_NE(find_model_for(one, "a", to), nullptr);
}

}  // namespace
}  // namespace accelerate
