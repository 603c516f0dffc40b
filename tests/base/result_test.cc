#include "accelerate/base/result.h"

#include <memory>
#include <set>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return Error{ErrorCode::kInvalidArgument, "[test] even; got odd"};
  return value / 2;
}
Result<int> quarter(int value) {
  ACC_TRY(const int once, half(value));
  ACC_TRY(const int twice, half(once));
  return twice;
}
Result<void> check_quarter(int value) {
  ACC_TRY_VOID(quarter(value));
  return {};
}

TEST(Result, CarriesAValueOrAnError) {
  EXPECT_EQ(*half(8), 4);
  ASSERT_FALSE(half(3));
  EXPECT_EQ(half(3).error().code, ErrorCode::kInvalidArgument);
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).error().message, "[test] even; got odd");
  EXPECT_TRUE(check_quarter(4));
  EXPECT_FALSE(check_quarter(5));
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> owner = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = *std::move(owner);
  EXPECT_EQ(*taken, 7);
  struct Base { virtual ~Base() = default; int n = 1; };
  struct Derived : Base {};
  const Result<std::shared_ptr<const Base>> up = std::make_shared<Derived>();
  EXPECT_EQ((*up)->n, 1);
}

TEST(ResultDeathTest, ReadingTheWrongSideIsAProgrammerError) {
  EXPECT_DEATH(*half(3), "CHECK failed.*even; got odd");
  EXPECT_DEATH((void)half(2).error(), "CHECK failed");
  EXPECT_DEATH((void)Result<void>().error(), "CHECK failed");
}

TEST(ErrorCodes, EachHasItsOwnNameAndAValidStatusAndExit) {
  std::set<std::string_view> names;
  std::set<int> exits;
  for (int i = 0; i < kErrorCodeCount; ++i) {
    const ErrorCodeTraits& traits = error_code_traits(static_cast<ErrorCode>(i));
    names.insert(traits.name);
    exits.insert(traits.exit_code);
    EXPECT_GE(traits.http_status, 400) << traits.name;
    EXPECT_LE(traits.http_status, 599) << traits.name;
    EXPECT_GT(traits.exit_code, 0) << traits.name;
    EXPECT_LE(traits.exit_code, 130) << traits.name;
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kErrorCodeCount));
  EXPECT_EQ(exits.size(), static_cast<size_t>(kErrorCodeCount)) << "scripts can tell the codes apart";
}

TEST(ErrorCodes, TheTableStandsInTheOrderOfTheEnum) {
  const std::pair<ErrorCode, std::string_view> cases[] = {
      {ErrorCode::kCancelled, "cancelled"},           {ErrorCode::kUnknown, "unknown"},
      {ErrorCode::kInvalidArgument, "invalid_argument"}, {ErrorCode::kDeadlineExceeded, "deadline_exceeded"},
      {ErrorCode::kNotFound, "not_found"},            {ErrorCode::kAlreadyExists, "already_exists"},
      {ErrorCode::kPermissionDenied, "permission_denied"}, {ErrorCode::kResourceExhausted, "resource_exhausted"},
      {ErrorCode::kFailedPrecondition, "failed_precondition"}, {ErrorCode::kAborted, "aborted"},
      {ErrorCode::kOutOfRange, "out_of_range"},       {ErrorCode::kUnimplemented, "unimplemented"},
      {ErrorCode::kInternal, "internal"},             {ErrorCode::kUnavailable, "unavailable"},
      {ErrorCode::kDataLoss, "data_loss"},            {ErrorCode::kUnauthenticated, "unauthenticated"},
  };
  static_assert(std::size(cases) == kErrorCodeCount);
  for (const auto& [code, name] : cases) EXPECT_EQ(error_code_traits(code).name, name);
  EXPECT_EQ(to_string(Error{ErrorCode::kNotFound, "[x] y"}), "not_found: [x] y");
}

}  // namespace
}  // namespace accelerate
