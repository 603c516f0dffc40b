#include "accelerate/net/http_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

HttpUrl parsed(std::string_view text) {
  const auto url = parse_http_url(text);
  EXPECT_TRUE(url.ok()) << text << ": " << url.error().message;
  return url.ok() ? *url : HttpUrl{};
}

TEST(HttpUrl, TakesUrlsApart) {
  const HttpUrl url = parsed("HTTPS://Hub.Example/api/x%2Fy?full=1&b#part");
  EXPECT_TRUE(url.secure);
  EXPECT_EQ(url.host, "hub.example");
  EXPECT_EQ(url.port, 443);
  EXPECT_EQ(url.target, "/api/x%2Fy?full=1&b");
  EXPECT_EQ(url.authority(), "hub.example");
  EXPECT_EQ(url.text(), "https://hub.example/api/x%2Fy?full=1&b");
  EXPECT_EQ(parsed("http://a").text(), "http://a/");
  EXPECT_EQ(parsed("http://a?q").text(), "http://a/?q");
  EXPECT_EQ(parsed("http://a:8080").authority(), "a:8080");
  EXPECT_EQ(parsed("http://a:80/").authority(), "a");
  const HttpUrl six = parsed("http://[0:0::1]:9/x");
  EXPECT_EQ(six.host, "::1");
  EXPECT_EQ(six.authority(), "[::1]:9");
  EXPECT_EQ(parsed("https://[::1]").authority(), "[::1]");
  EXPECT_EQ(parsed("http://127.0.0.1/").host, "127.0.0.1");
}

TEST(HttpUrl, RefusesWhatCouldBeReadTwoWays) {
  for (const char* text : {"", "a", "/x", "ftp://a/", "http:/a", "http://", "http:///x", "http://a b/", "http://a/\r\nx: y", "http://a\\b/",
                           "http://\xc3\xa9/", "http://a:0/", "http://a:65536/", "http://a:/", "http://a:8x/", "http://a:+8/", "http://[::1", "http://[::1]x/",
                           "http://[zz]/", "http://::1/", "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://1.2.3.4.5/", "http://a..b/", "http://.a/", "http://a%2e/"}) {
    const auto url = parse_http_url(text);
    ASSERT_FALSE(url.ok()) << text << " became " << url->text();
    EXPECT_EQ(url.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(parse_http_url("http://a/" + std::string(kUrlBytesMax, 'x')).ok());
}

TEST(HttpUrl, APasswordIsRefusedAndNotRepeated) {
  const auto url = parse_http_url("https://user:secret@host/");
  ASSERT_FALSE(url.ok());
  EXPECT_THAT(url.error().message, Not(HasSubstr("secret")));
  EXPECT_THAT(url.error().message, HasSubstr("password"));
}

TEST(HttpUrl, ResolvesLocations) {
  const HttpUrl base = parsed("https://h:8443/a/b/c?q=1");
  const std::pair<const char*, const char*> cases[] = {
      {"https://o/x", "https://o/x"}, {"HTTP://o/x", "http://o/x"}, {"//o/x", "https://o/x"}, {"/x?y", "https://h:8443/x?y"},
      {"d", "https://h:8443/a/b/d"}, {"../d", "https://h:8443/a/d"}, {"../../../d", "https://h:8443/d"}, {"./", "https://h:8443/a/b/"},
      {"..", "https://h:8443/a/"}, {"?z", "https://h:8443/a/b/c?z"}, {"", "https://h:8443/a/b/c?q=1"}, {"#f", "https://h:8443/a/b/c?q=1"},
      {"d?u=http://x/../y", "https://h:8443/a/b/d?u=http://x/../y"}, {"/a//b/./c", "https://h:8443/a//b/c"}};
  for (const auto& [location, wanted] : cases) {
    const auto got = resolve_location(base, location);
    ASSERT_TRUE(got.ok()) << location << ": " << got.error().message;
    EXPECT_EQ(got->text(), wanted) << location;
  }
  for (const char* location : {"javascript:x", "file:///etc/passwd", "https://u:p@o/", "/a b", "//"}) {
    EXPECT_FALSE(resolve_location(base, location).ok()) << location;
  }
}

TEST(HttpProxy, IsChosenByScheme) {
  const ProxySettings settings{.http = "http://user:p%40ss@proxy.example:3128/", .https = "other:8080"};
  const auto plain = proxy_for(parsed("http://a.test/"), settings);
  ASSERT_TRUE(plain.ok() && plain->has_value());
  EXPECT_EQ((*plain)->host, "proxy.example");
  EXPECT_EQ((*plain)->port, 3128);
  EXPECT_EQ((*plain)->authorization, "Basic dXNlcjpwQHNz");
  const auto secure = proxy_for(parsed("https://a.test/"), settings);
  ASSERT_TRUE(secure.ok() && secure->has_value());
  EXPECT_EQ((*secure)->host, "other");
  EXPECT_EQ((*secure)->port, 8080);
  EXPECT_EQ((*secure)->authorization, "");
  EXPECT_FALSE(proxy_for(parsed("https://a.test/"), {.http = "p:1"})->has_value());
}

TEST(HttpProxy, SparesWhatIsNamedAndThisMachine) {
  const auto goes_straight = [](const char* url, const char* none) {
    const auto proxy = proxy_for(parsed(url), {.http = "http://p:1", .none = none});
    EXPECT_TRUE(proxy.ok());
    return !proxy->has_value();
  };
  for (const char* host : {"http://localhost/", "http://127.0.0.9/", "http://[::1]/", "http://a.localhost/"}) EXPECT_TRUE(goes_straight(host, "")) << host;
  EXPECT_FALSE(goes_straight("http://a.test/", ""));
  EXPECT_TRUE(goes_straight("http://a.test/", "*"));
  EXPECT_TRUE(goes_straight("http://a.test/", "b, .TEST"));
  EXPECT_TRUE(goes_straight("http://a.test/", "a.test"));
  EXPECT_TRUE(goes_straight("http://x.a.test/", "a.test"));
  EXPECT_FALSE(goes_straight("http://ba.test/", "a.test"));
  EXPECT_TRUE(goes_straight("http://a.test:8080/", "a.test:8080"));
  EXPECT_FALSE(goes_straight("http://a.test/", "a.test:8080"));
  EXPECT_TRUE(goes_straight("http://[fd00::1]/", "fd00::1"));
  EXPECT_TRUE(goes_straight("http://10.0.0.7/", "10.0.0.7"));
}

TEST(HttpProxy, RefusesOtherKindsWithoutRepeatingPasswords) {
  for (const char* proxy : {"socks5://u:secret@p:1", "https://u:secret@p", "http://u:secret@p:99999", "http://u:%zzsecret@p"}) {
    const auto got = proxy_for(parsed("http://a.test/"), {.http = proxy});
    ASSERT_FALSE(got.ok()) << proxy;
    EXPECT_THAT(got.error().message, HasSubstr("http_proxy"));
    EXPECT_THAT(got.error().message, Not(HasSubstr("secret"))) << proxy;
  }
}

TEST(HttpProxy, ReadsTheEnvironment) {
  const ScopedEnvironment a("http_proxy", std::nullopt), b("HTTP_PROXY", "http://evil:1"), c("https_proxy", ""), d("HTTPS_PROXY", "up:2"),
      e("no_proxy", "x"), f("NO_PROXY", "y");
  const ProxySettings settings = ProxySettings::from_environment();
  EXPECT_EQ(settings.http, "");
  EXPECT_EQ(settings.https, "up:2");
  EXPECT_EQ(settings.none, "x");
}

}  // namespace
}  // namespace accelerate
