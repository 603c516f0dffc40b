#include "accelerate/models/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;

TEST(Families, RefusesAnUnknownArchitectureByNameAndListsTheKnown) {
  Model model;
  model.config.architecture = "rwkv7";
  const Error error = build_graph(model).error();
  EXPECT_EQ(error.code, ErrorCode::kUnimplemented);
  EXPECT_THAT(error.message, HasSubstr("got 'rwkv7'"));
  EXPECT_THAT(error.message, HasSubstr("bert, gemma3, gemma3_text, llama, mistral"));
}

TEST(Families, MapsArchitecturesToFamilies) {
  EXPECT_EQ(family_of("mistral"), "llama");
  EXPECT_EQ(family_of("gemma3_text"), "gemma");
  EXPECT_EQ(family_of("gemma3n"), "");
  EXPECT_EQ(family_of(""), "");
}

TEST(Families, AnEmptyModelOfEachFamilyIsAnError) {
  for (const char* architecture : {"bert", "gemma3", "gemma3_text", "llama", "mistral"}) {
    Model model;
    model.config.architecture = architecture;
    EXPECT_EQ(build_graph(model).error().code, ErrorCode::kDataLoss) << architecture;
  }
}

}  // namespace
}  // namespace accelerate
