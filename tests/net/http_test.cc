#include "accelerate/net/http.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Http, HeaderNamesIgnoreCase) {
  const HttpRequest request{.method = "GET", .path = "/", .query = "", .headers = {{"X-Key", "a"}, {"x-key", "b"}}, .body = "", .peer = ""};
  ASSERT_NE(request.header("x-kEY"), nullptr);
  EXPECT_EQ(*request.header("x-kEY"), "a");
  EXPECT_EQ(request.header("x-ke"), nullptr);
}

TEST(Http, ComparesAsciiOnly) {
  EXPECT_TRUE(equals_ignoring_case("Keep-Alive", "keep-alive"));
  EXPECT_FALSE(equals_ignoring_case("@", "`"));  // 0x40 and 0x60 differ by the case bit and are no letters
  EXPECT_FALSE(equals_ignoring_case("a", "ab"));
}

TEST(Http, ReasonsForEveryStatusWeSend) {
  for (const int status : {200, 204, 400, 401, 403, 404, 405, 408, 409, 413, 429, 431, 500, 501, 503, 504, 505}) {
    EXPECT_NE(http_reason(status), "Unknown") << status;
  }
  EXPECT_EQ(http_reason(299), "Unknown");
}

}  // namespace
}  // namespace accelerate
