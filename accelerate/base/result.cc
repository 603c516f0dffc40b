#include "accelerate/base/result.h"

#include <cstdio>
#include <cstdlib>

namespace accelerate {

const ErrorCodeTraits& error_code_traits(ErrorCode code) {
  // Exit codes: 2 = usage (as shells have it), 130 = interrupted, others from 3 up so that 1 stays "unknown".
  static constexpr ErrorCodeTraits kTraits[kErrorCodeCount] = {
      {"cancelled", 499, 130},         {"unknown", 500, 1},          {"invalid_argument", 400, 2},
      {"deadline_exceeded", 504, 3},   {"not_found", 404, 4},        {"already_exists", 409, 5},
      {"permission_denied", 403, 6},   {"resource_exhausted", 429, 7}, {"failed_precondition", 400, 8},
      {"aborted", 409, 9},             {"out_of_range", 400, 10},    {"unimplemented", 501, 11},
      {"internal", 500, 12},           {"unavailable", 503, 13},     {"data_loss", 500, 14},
      {"unauthenticated", 401, 15},
  };
  const int index = static_cast<int>(code);
  CHECK(index >= 0 && index < kErrorCodeCount, "error code outside the table");
  return kTraits[index];
}

std::string to_string(const Error& error) {
  return std::string(error_code_traits(error.code).name) + ": " + error.message;
}

void check_failed(const char* expression, std::string_view message, const char* file, int line) {
  std::fprintf(stderr, "CHECK failed: %s (%.*s) at %s:%d\n", expression, static_cast<int>(message.size()), message.data(),
               file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace accelerate
