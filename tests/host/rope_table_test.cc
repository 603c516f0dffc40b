#include "accelerate/host/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace accelerate {
namespace {

TEST(RopeTable, RowsAreFilledAsAsked) {
  auto table = RopeTable::create({{.base = 100}, 6}, 1000);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(RopeTable::bytes_needed({{.base = 100}, 6}, 1000), 1000u * 6 * 4);
  table->fill(10);
  table->fill(5);  // already there
  table->fill(1000);
  for (const uint32_t position : {0u, 9u, 10u, 999u}) {
    for (uint32_t i = 0; i < 3; ++i) {
      const double angle = position * std::pow(100.0, -2.0 * i / 6);
      EXPECT_NEAR(table->cosines(position)[i], std::cos(angle), 1e-6);
      EXPECT_NEAR(table->sines(position)[i], std::sin(angle), 1e-6);
    }
  }
}

}  // namespace
}  // namespace accelerate
