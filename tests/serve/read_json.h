// A reply's JSON; text that is none fails the test.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "accelerate/base/json.h"

namespace accelerate {

inline Json read(const std::string& text) {
  const auto parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? *parsed : Json::object();
}

}  // namespace accelerate
