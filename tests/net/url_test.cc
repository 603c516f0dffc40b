#include "accelerate/net/url.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Url, SplitsTargets) {
  const auto target = split_target("/v1/models/a%2Fb?limit=3&x=?");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/v1/models/a%2Fb");
  EXPECT_EQ(target->query, "limit=3&x=?");
  EXPECT_EQ(split_target("/a#fragment")->path, "/a");
  EXPECT_EQ(split_target("*")->path, "*");
}

TEST(Url, AbsoluteFormLosesItsAuthority) {
  EXPECT_EQ(split_target("http://host:80/v1/models?q=1")->path, "/v1/models");
  EXPECT_EQ(split_target("http://host:80/v1/models?q=1")->query, "q=1");
  EXPECT_EQ(split_target("http://host")->path, "/");
  EXPECT_EQ(split_target("http://host?q")->query, "q");
}

TEST(Url, RefusesOtherForms) {
  EXPECT_FALSE(split_target(""));
  EXPECT_FALSE(split_target("host:443"));
  EXPECT_FALSE(split_target("v1/models"));
  EXPECT_EQ(split_target("/go?to=http://elsewhere/")->path, "/go");
}

TEST(Url, DecodesPercent) {
  EXPECT_EQ(percent_decode("a%2Fb%20c%e2%82%AC"), "a/b c\xe2\x82\xac");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_FALSE(percent_decode("%"));
  EXPECT_FALSE(percent_decode("%4"));
  EXPECT_FALSE(percent_decode("%zz"));
  EXPECT_EQ(percent_decode("%00"), std::string("\0", 1));
}

TEST(Url, BracketsIpv6) {
  EXPECT_EQ(host_and_port("127.0.0.1", 80), "127.0.0.1:80");
  EXPECT_EQ(host_and_port("::1", 8080), "[::1]:8080");
}

TEST(Url, PercentEncodes) {
  EXPECT_EQ(percent_encode("aZ9-._~"), "aZ9-._~");
  EXPECT_EQ(percent_encode("a/b c%\xc3\xa9\n"), "a%2Fb%20c%25%C3%A9%0A");
  EXPECT_EQ(percent_encode("a/b?c", "/"), "a/b%3Fc");
  EXPECT_EQ(percent_decode(percent_encode("any \xff/?&")), "any \xff/?&");
}

}  // namespace
}  // namespace accelerate
