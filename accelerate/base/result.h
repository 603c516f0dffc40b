// Result<T> - a value or an Error: how every edge with the world answers.
//
//   Result<Model> model = open_model(path);
//   if (!model) return model.error();
//   use(*model);
//
//   ACC_TRY(Model model, open_model(path));      // the same in one line
//
// Sixteen codes, one table from code to HTTP status and process exit code (error_code_traits). Message form:
//   "[where] rule; got ...; try ...".
// Plain values: copyable, movable, no thread affinity. Reading the value of an error is a programmer error (CHECK).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "accelerate/base/check.h"

namespace accelerate {

enum class ErrorCode : uint8_t {
  kCancelled,           // the caller asked to stop
  kUnknown,             // a foreign failure with no better code
  kInvalidArgument,     // the request is wrong whatever the state of the machine
  kDeadlineExceeded,    // a stated time limit ran out
  kNotFound,            // no such model, file, route
  kAlreadyExists,
  kPermissionDenied,
  kResourceExhausted,   // memory, KV, disk, queue or a stated limit is used up
  kFailedPrecondition,  // right request, wrong state (no chat template, file changed)
  kAborted,
  kOutOfRange,          // beyond a stated range, such as the context length
  kUnimplemented,       // understood, refused: not supported here
  kInternal,            // a broken invariant of ours
  kUnavailable,         // not there now (engine missing, shutting down); may come back
  kDataLoss,            // corrupt or truncated bytes
  kUnauthenticated,
};
inline constexpr int kErrorCodeCount = 16;

struct ErrorCodeTraits {
  std::string_view name;  // "invalid_argument"
  int http_status;        // 400
  int exit_code;          // of the command line, documented in docs/cli.md
};
/// Traits of `code`; the one table behind HTTP statuses and exit codes.
const ErrorCodeTraits& error_code_traits(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kUnknown;
  std::string message;  // "[where] rule; got ...; try ..."
};

/// "invalid_argument: [where] rule; got ..."
std::string to_string(const Error& error);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}              // NOLINT: implicit on purpose
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}          // NOLINT
  template <class U>
    requires(!std::is_same_v<std::remove_cvref_t<U>, Result> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error> && std::is_convertible_v<U, T>)
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}      // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { check(); return *std::get_if<0>(&state_); }
  const T& value() const& { check(); return *std::get_if<0>(&state_); }
  T&& value() && { check(); return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { CHECK(!ok(), "error() of a Result that holds a value"); return *std::get_if<1>(&state_); }

 private:
  void check() const { CHECK(ok(), std::get_if<1>(&state_)->message); }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { CHECK(!ok(), "error() of a Result that holds a value"); return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace accelerate

#define ACC_CONCAT_(a, b) a##b
#define ACC_CONCAT(a, b) ACC_CONCAT_(a, b)
/// ACC_TRY(Type name, expression): declares `name` with the value, or returns the error from the enclosing function.
#define ACC_TRY(declaration, expression) ACC_TRY_(declaration, ACC_CONCAT(acc_result_, __LINE__), expression)
#define ACC_TRY_(declaration, temporary, expression) \
  auto temporary = (expression);                     \
  if (!temporary.ok()) return temporary.error();     \
  declaration = std::move(*temporary)
/// ACC_TRY_VOID(expression): returns the error of a Result<void> (or any Result) from the enclosing function.
#define ACC_TRY_VOID(expression)                                   \
  do {                                                             \
    if (auto acc_result = (expression); !acc_result.ok()) return acc_result.error(); \
  } while (false)
