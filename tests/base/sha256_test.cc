#include "accelerate/base/sha256.h"

#include <gtest/gtest.h>

#include "tests/temporary.h"

namespace accelerate {
namespace {

// FIPS 180-4's own examples.
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kTwoBlocks = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
constexpr const char* kMillionA = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, PublishedValues) {
  EXPECT_EQ(sha256_hex(""), kEmpty);
  EXPECT_EQ(sha256_hex("abc"), kAbc);
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), kTwoBlocks);
}

TEST(Sha256, PiecesGiveWhatTheWholeGives) {
  Sha256 digest;
  for (int i = 0; i < 1000; ++i) digest.update(std::string(1000, 'a'));
  digest.update("");
  EXPECT_EQ(digest.hex(), kMillionA);
  Sha256 moved = [] { Sha256 d; d.update("ab"); return d; }();
  moved.update("c");
  EXPECT_EQ(moved.hex(), kAbc);
}

TEST(Sha256, OfFiles) {
  const TemporaryFolder folder;
  folder.write("empty", "");
  folder.write("million", std::string(1'000'000, 'a'));
  EXPECT_EQ(*sha256_file(folder / "empty"), kEmpty);
  EXPECT_EQ(*sha256_file(folder / "million"), kMillionA);
  const Result<std::string> missing = sha256_file(folder / "missing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

TEST(Sha256, AFileOfManyPiecesIsReportedAndCanBeStopped) {
  const TemporaryFolder folder;
  const std::string content(size_t{40} << 20, 'b');
  folder.write("big", content);
  std::vector<uint64_t> seen;
  EXPECT_EQ(*sha256_file(folder / "big", [&](uint64_t done) { seen.push_back(done); return true; }), sha256_hex(content));
  EXPECT_EQ(seen, (std::vector<uint64_t>{0, uint64_t{16} << 20, uint64_t{32} << 20}));
  const Result<std::string> stopped = sha256_file(folder / "big", [](uint64_t done) { return done == 0; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

TEST(Sha256DeathTest, AnEndedDigestTakesNoMore) {
  Sha256 digest;
  digest.update("x");
  (void)digest.hex();
  EXPECT_DEATH(digest.update("y"), "CHECK failed");
}

}  // namespace
}  // namespace accelerate
