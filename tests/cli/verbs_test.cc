#include "accelerate/cli/verb.h"

#include <set>
#include <string>

#include <CLI/CLI.hpp>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Verbs, AreThePromisedOnes) {
  std::set<std::string_view> names;
  for (const VerbEntry& verb : verbs()) names.insert(verb.name);
  EXPECT_EQ(names, (std::set<std::string_view>{"bench", "cache", "compile", "completion", "devices", "embed", "endpoints", "install", "matrix", "models", "plan", "pull", "quantize", "run", "serve",
                                               "tokenize"}));
}

TEST(Verbs, ExamplesUseTheirOwnVerb) {
  for (const VerbEntry& verb : verbs()) {
    EXPECT_TRUE(std::string(verb.examples).find("ipfs-accelerate " + std::string(verb.name)) != std::string::npos) << verb.name;
  }
}

TEST(Verbs, EveryOptionIsExplained) {
  CLI::App root;
  for (const VerbEntry& entry : verbs()) {
    CLI::App* app = root.add_subcommand(std::string(entry.name));
    const auto verb = entry.make();
    verb->declare(*app);
    for (const CLI::Option* option : app->get_options()) {
      EXPECT_FALSE(option->get_description().empty()) << entry.name << " " << option->get_name();
    }
  }
}

}  // namespace
}  // namespace accelerate
