// CHECK - programmer errors, kept in release builds. Never reachable by a request or a file: those return Result.
//
//   CHECK(index < size, "index is bounded by the caller");
#pragma once

#include <string_view>

namespace accelerate {

/// Prints "CHECK failed: expression (message) at file:line" to stderr and aborts.
[[noreturn]] void check_failed(const char* expression, std::string_view message, const char* file, int line);

}  // namespace accelerate

#define CHECK(condition, message)                                                       \
  do {                                                                                  \
    if (!(condition)) [[unlikely]]                                                      \
      ::accelerate::check_failed(#condition, message, __FILE__, __LINE__);              \
  } while (false)
