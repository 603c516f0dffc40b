#include "accelerate/engine/hub_client.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/hub_server.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::HubServer;
using ::testing::HasSubstr;
using ::testing::Not;

std::string noise(size_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

class HubClientOverTheWire : public ::testing::Test {
 protected:
  HubClientOverTheWire() {
    server_.files["small.json"] = {.bytes = "{\"a\": 1}"};
    server_.files["large.gguf"] = {.bytes = noise(300'000, 1), .large = true};
    settings_ = {.cache = folder_.path(), .endpoint = server_.endpoint(), .token = "tok", .retry_wait = 1ms};
  }
  HubClient& client() {
    if (!client_) client_.emplace(HubName{.repository = "org/repo"}, settings_, progress_);
    return *client_;
  }
  Result<void> fetch(const std::string& name) {
    auto file = client().look_at(server_.commit, name);
    if (!file) return file.error();
    return client().fetch(*file, partial_);
  }
  TemporaryFolder folder_;
  const std::filesystem::path partial_ = folder_ / "x.incomplete";
  HubServer server_;
  HubSettings settings_;
  RecordingProgress progress_;
  std::optional<HubClient> client_;
};

TEST_F(HubClientOverTheWire, ListsAndLooks) {
  const auto listing = client().list();
  ASSERT_TRUE(listing.ok()) << listing.error().message;
  EXPECT_EQ(listing->commit, server_.commit);
  EXPECT_THAT(listing->files, ::testing::ElementsAre("large.gguf", "small.json"));
  const auto small = client().look_at(server_.commit, "small.json"), large = client().look_at(server_.commit, "large.gguf");
  ASSERT_TRUE(small.ok() && large.ok());
  EXPECT_EQ(small->bytes, 8u);
  EXPECT_EQ(small->sha256, "");
  EXPECT_EQ(small->etag, HubServer::etag_of(server_.files["small.json"]));
  EXPECT_EQ(large->bytes, 300'000u);
  EXPECT_EQ(large->sha256, sha256_hex(server_.files["large.gguf"].bytes));
  EXPECT_EQ(large->etag, large->sha256);
}

TEST_F(HubClientOverTheWire, TheTokenStaysWithTheHub) {
  ASSERT_TRUE(fetch("large.gguf").ok());
  bool stored = false;
  for (const std::string& request : server_.requests()) {
    stored = stored || request.starts_with("storage");
    EXPECT_EQ(request.find("with Bearer tok") != std::string::npos, request.starts_with("hub")) << request;
  }
  EXPECT_TRUE(stored);
}

TEST_F(HubClientOverTheWire, CutsAtRandomPointsCostNoByte) {
  std::mt19937 random(7);
  for (const std::string name : {"large.gguf", "small.json"}) {
    server_.files["small.json"].bytes = noise(50'000, 2);
    for (int round = 0; round < 5; ++round) {
      int cuts = 0;
      server_.cut = [&](size_t bytes) -> std::optional<size_t> {
        if (++cuts > 20 || bytes < 1000) return std::nullopt;  // so that no row of tries brings nothing
        return random() % std::min<size_t>(bytes + 1, 40'000);
      };
      std::filesystem::remove(partial_);
      const Result<void> fetched = fetch(name);
      ASSERT_TRUE(fetched.ok()) << fetched.error().message;
      EXPECT_EQ(read_text(partial_), server_.files[name].bytes);
      EXPECT_GT(cuts, 1);
    }
  }
  EXPECT_FALSE(progress_.overflow);
}

TEST_F(HubClientOverTheWire, GoesOnWhereAnotherProcessStopped) {
  write_text(partial_, server_.files["large.gguf"].bytes.substr(0, 299'990));
  uint64_t sent = 0;
  server_.cut = [&](size_t bytes) -> std::optional<size_t> {
    sent += bytes;
    return std::nullopt;
  };
  ASSERT_TRUE(fetch("large.gguf").ok());
  EXPECT_EQ(sent, 10u);
  EXPECT_EQ(read_text(partial_), server_.files["large.gguf"].bytes);
  sent = 0;
  ASSERT_TRUE(fetch("large.gguf").ok()) << "whole already";
  EXPECT_EQ(sent, 0u);
}

TEST_F(HubClientOverTheWire, AServerWithoutRangesStartsAnew) {
  server_.ranges = false;
  write_text(partial_, "what another file began with");
  ASSERT_TRUE(fetch("large.gguf").ok());
  EXPECT_EQ(read_text(partial_), server_.files["large.gguf"].bytes);
}

TEST_F(HubClientOverTheWire, AWrongSha256IsRefusedAndRemoved) {
  server_.files["large.gguf"].sha256 = sha256_hex("another");
  const Result<void> fetched = fetch("large.gguf");
  ASSERT_FALSE(fetched.ok());
  EXPECT_EQ(fetched.error().code, ErrorCode::kDataLoss);
  EXPECT_THAT(fetched.error().message, HasSubstr(sha256_hex("another")));
  EXPECT_FALSE(std::filesystem::exists(partial_));
}

TEST_F(HubClientOverTheWire, TriesHaveAnEndAndKeepWhatCame) {
  server_.cut = [](size_t bytes) -> std::optional<size_t> { return bytes == 300'000 ? 1000 : 0; };
  const Result<void> fetched = fetch("large.gguf");
  ASSERT_FALSE(fetched.ok());
  EXPECT_EQ(fetched.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(fetched.error().message, HasSubstr("1000 of 300000"));
  EXPECT_EQ(read_text(partial_), server_.files["large.gguf"].bytes.substr(0, 1000));
  EXPECT_LE(server_.bodies(), size_t{kHubTriesMax} + 2);
}

TEST_F(HubClientOverTheWire, AStopKeepsWhatCame) {
  server_.cut = [&](size_t bytes) -> std::optional<size_t> { return bytes == 300'000 ? 1001 : 0; };
  settings_.retry_wait = 10s;
  std::atomic<bool> stop{false};
  class Stopping : public Progress {
   public:
    explicit Stopping(std::atomic<bool>& flag) : flag_(flag) {}
    bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { return !flag_; }

   private:
    std::atomic<bool>& flag_;
  } progress(stop);
  client_.emplace(HubName{.repository = "org/repo"}, settings_, progress);
  std::thread stopper([&] {
    while (server_.bodies() < 1) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(50ms);
    stop = true;
  });
  const auto start = std::chrono::steady_clock::now();
  const Result<void> fetched = fetch("large.gguf");
  stopper.join();
  ASSERT_FALSE(fetched.ok());
  EXPECT_EQ(fetched.error().code, ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 8s);
  EXPECT_EQ(read_text(partial_).size(), 1001u);
}

TEST_F(HubClientOverTheWire, RefusalsSayHowToGetAccess) {
  const auto error = [&](int status, const std::string& code) {
    server_.status = status;
    server_.error_code = code;
    const auto listing = client().list();
    EXPECT_FALSE(listing.ok());
    return listing.ok() ? Error{} : listing.error();
  };
  Error gated = error(403, "GatedRepo");
  EXPECT_EQ(gated.code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(gated.message, HasSubstr("licence"));
  EXPECT_THAT(gated.message, HasSubstr(server_.endpoint() + "/org/repo"));
  EXPECT_THAT(gated.message, HasSubstr("HF_TOKEN"));
  EXPECT_THAT(gated.message, Not(HasSubstr("tok,"))) << "the token itself is not shown";
  EXPECT_EQ(error(401, "RepoNotFound").code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(error(404, "RevisionNotFound").code, ErrorCode::kNotFound);
  EXPECT_THAT(error(404, "RevisionNotFound").message, HasSubstr("revision 'main'"));
  EXPECT_EQ(error(404, "").code, ErrorCode::kNotFound);
  const size_t before = server_.requests().size();
  EXPECT_EQ(error(503, "").code, ErrorCode::kUnavailable);
  EXPECT_EQ(server_.requests().size() - before, size_t{kHubTriesMax}) << "trouble may pass";
}

TEST_F(HubClientOverTheWire, NamesThatLeadElsewhereAreNotAskedFor) {
  for (const char* name : {"../evil.gguf", "/etc/passwd", "a/../../b"}) {
    const size_t before = server_.requests().size();
    EXPECT_EQ(client().look_at(server_.commit, name).error().code, ErrorCode::kDataLoss) << name;
    EXPECT_EQ(server_.requests().size(), before);
  }
  server_.files["large.gguf"].sha256 = "../../evil";
  EXPECT_EQ(client().look_at(server_.commit, "large.gguf").error().code, ErrorCode::kDataLoss) << "an ETag is a file's name";
}

}  // namespace
}  // namespace accelerate
