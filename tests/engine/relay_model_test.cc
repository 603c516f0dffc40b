#include "accelerate/engine/relay_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RelayModel, ReadsUpstreams) {
  const auto url = [](std::string_view text) {
    const auto upstream = parse_relay(text);
    EXPECT_TRUE(upstream.ok()) << upstream.error().message;
    return upstream->url;
  };
  EXPECT_EQ(url("up=http://host:8080"), "http://host:8080/v1");
  EXPECT_EQ(url("up=http://host:8080/"), "http://host:8080/v1");
  EXPECT_EQ(url("up=https://host/openai/v1/"), "https://host/openai/v1");
  EXPECT_EQ(parse_relay("my-up_2=http://h")->name, "my-up_2");
  for (const char* text : {"", "up", "=http://h", "a b=http://h", "a/b=http://h", "up=host:8080", "up=http://h/?key=secret", "up=http://user:secret@h/"}) {
    const auto upstream = parse_relay(text);
    ASSERT_FALSE(upstream.ok()) << text;
    EXPECT_EQ(upstream.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(upstream.error().message, Not(HasSubstr("secret")));
  }
}

TEST(RelayModel, NamesAModelOfAnUpstream) {
  const std::vector<RelayUpstream> upstreams = {{"up", "http://a/v1"}, {"other", "http://b/v1"}};
  EXPECT_TRUE(is_relay_name("relay:up/m"));
  EXPECT_FALSE(is_relay_name("relay"));
  const auto model = make_relay_model("relay:other/org/m:8b", upstreams);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ((*model)->format, "relay");
  EXPECT_EQ((*model)->config.name, "org/m:8b");
  EXPECT_EQ((*model)->config.other.at("relay.url"), "http://b/v1");
  const auto unknown = make_relay_model("relay:third/m", upstreams);
  EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(unknown.error().message, HasSubstr("up, other"));
  EXPECT_THAT(make_relay_model("relay:third/m", {}).error().message, HasSubstr("--relay third="));
  for (const char* word : {"relay:", "relay:up", "relay:up/", "relay:/m", "relay:u p/m", "relay:up/a\nb", "up/m"}) {
    EXPECT_EQ(make_relay_model(word, upstreams).error().code, ErrorCode::kInvalidArgument) << word;
  }
}

}  // namespace
}  // namespace accelerate
