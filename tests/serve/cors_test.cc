#include "accelerate/serve/cors.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;

HttpRequest from(const std::string& origin, const std::string& method = "POST", HttpHeaders more = {}) {
  HttpRequest request{.method = method, .path = "/v1/models", .headers = std::move(more)};
  if (!origin.empty()) request.headers.push_back({"Origin", origin});
  return request;
}

std::map<std::string, std::string> by_name(const HttpHeaders& headers) {
  std::map<std::string, std::string> out;
  for (const HttpHeader& header : headers) out[header.name] = header.value;
  return out;
}

CorsPolicy allowing(const std::vector<std::string>& origins) {
  auto policy = CorsPolicy::allow(origins);
  EXPECT_TRUE(policy.ok()) << policy.error().message;
  return *policy;
}

TEST(Cors, NothingUnlessAllowed) {
  EXPECT_TRUE(CorsPolicy().headers(from("https://app.example")).empty());
  const CorsPolicy cors = allowing({"https://app.example"});
  for (const char* other : {"https://evil.example", "http://app.example", "https://app.example:8443", "https://app.example.evil.example", "null", ""}) {
    const auto headers = by_name(cors.headers(from(other)));
    EXPECT_EQ(headers.size(), 1u) << other;
    EXPECT_EQ(headers.at("vary"), "Origin") << "a cache must not hand this answer to a page that is allowed";
    EXPECT_TRUE(cors.preflight_headers(from(other), "POST").empty());
  }
}

TEST(Cors, AnAllowedPageReadsAnswersAndOurHeaders) {
  const CorsPolicy cors = allowing({"https://other.example", "https://App.example:8443"});
  const auto headers = by_name(cors.headers(from("https://app.example:8443")));
  EXPECT_EQ(headers.at("access-control-allow-origin"), "https://app.example:8443");
  EXPECT_EQ(headers.at("vary"), "Origin");
  EXPECT_THAT(headers.at("access-control-expose-headers"), HasSubstr("x-request-id"));
  EXPECT_EQ(headers.count("access-control-allow-credentials"), 0u);
}

TEST(Cors, AStarIsEveryPage) {
  const CorsPolicy cors = allowing({"*"});
  EXPECT_EQ(by_name(cors.headers(from("https://any.example"))).at("access-control-allow-origin"), "*");
  EXPECT_TRUE(cors.headers(from("")).empty()) << "no browser asked";
}

TEST(Cors, PreflightGrantsWhatIsAskedFor) {
  const CorsPolicy cors = allowing({"https://app.example"});
  const HttpRequest asked = from("https://app.example", "OPTIONS", {{"access-control-request-method", "POST"},
                                                                   {"access-control-request-headers", "authorization,content-type,x-stainless-os"}});
  EXPECT_TRUE(CorsPolicy::is_preflight(asked));
  const auto headers = by_name(cors.preflight_headers(asked, "POST, OPTIONS"));
  EXPECT_EQ(headers.at("access-control-allow-methods"), "POST, OPTIONS");
  EXPECT_EQ(headers.at("access-control-allow-headers"), "authorization,content-type,x-stainless-os");
  EXPECT_EQ(headers.count("access-control-max-age"), 1u);
  EXPECT_FALSE(CorsPolicy::is_preflight(from("https://app.example", "OPTIONS")));
  EXPECT_FALSE(CorsPolicy::is_preflight(from("", "OPTIONS", {{"access-control-request-method", "POST"}})));
  const HttpRequest odd = from("https://app.example", "OPTIONS", {{"access-control-request-headers", "a: b\"; evil"}});
  EXPECT_EQ(by_name(cors.preflight_headers(odd, "POST")).count("access-control-allow-headers"), 0u);
}

TEST(Cors, OriginsArePlain) {
  for (const char* wrong : {"", "app.example", "https://", "https://app.example/", "https://app.example/path", "https://*.example", "://x", "https://u@x"}) {
    const auto policy = CorsPolicy::allow({wrong});
    ASSERT_FALSE(policy.ok()) << wrong;
    EXPECT_EQ(policy.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(CorsPolicy::allow({"null", "http://localhost:3000", "http://[::1]:3000", "chrome-extension://abc"}).ok());
}

}  // namespace
}  // namespace accelerate
