// The keys of tests that ask /v1/admin.
#pragma once

#include <string_view>

#include <gtest/gtest.h>

#include "accelerate/serve/api_keys.h"

namespace accelerate::testing {

inline constexpr std::string_view kAdmin = "authorization: Bearer root-key\r\n", kUser = "authorization: Bearer user-key\r\n";

/// Just this one: "root-key", "user-key".
inline ApiKeys only_key(std::string_view text) {
  ApiKeys keys;
  EXPECT_TRUE(keys.add(text).ok());
  return keys;
}

}  // namespace accelerate::testing
