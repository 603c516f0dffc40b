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

// Two models that come and go: "a" is loaded, the load of "b" says what it says.
ModelSource coming_and_going(Error of_b) {
  ModelSource models = source_of({std::make_shared<FakeEndpoint>("a")});
  models.find = [inner = models.find, of_b](const std::string& name) -> Result<std::shared_ptr<Endpoint>> {
    if (name == "b") return of_b;
    return inner(name);
  };
  models.roster = [] {
    return std::vector<RosterStatus>{{.name = "a", .state = ModelState::kLoaded, .added_unix_s = 5}, {.name = "b", .state = ModelState::kFailed}};
  };
  return models;
}

TEST(FindModel, OneThatDoesNotLoadIsTheServersFault) {
  const auto missing = find_model(coming_and_going({ErrorCode::kNotFound, "[formats] the file is gone"}), "b");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().status, 503);
  EXPECT_THAT(missing.error().message, HasSubstr("the file is gone"));
  EXPECT_EQ(find_model(coming_and_going({ErrorCode::kUnimplemented, "[x] not built"}), "b").error().status, 501);
  EXPECT_EQ(find_model(coming_and_going({ErrorCode::kNotFound, ""}), "c").error().status, 404);
}

TEST(FindModel, ListsTheUnloadedToo) {
  const ModelSource models = coming_and_going({ErrorCode::kUnavailable, "later"});
  const auto served = served_models(models);
  ASSERT_EQ(served.size(), 2u);
  EXPECT_EQ(served[0].created_unix_s, 5);
  EXPECT_EQ(served[1].status, "failed");
  EXPECT_EQ(find_model_or_only(models, "").error().param, "model") << "there are two";
  EXPECT_THAT(no_such_model(models, "c").message, HasSubstr("a, b"));
  EXPECT_EQ(served_models(source_of({std::make_shared<FakeEndpoint>("x")}))[0].status, "");
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
