// The command line, run inside the test: arguments and standard input in, exit code and both outputs back.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/cli.h"
#include "tests/engine/scratch.h"

namespace accelerate {

struct CliRun {
  int code = -1;
  std::string out, err;
  Json json() const {
    const Result<Json> parsed = parse_json(out);
    EXPECT_TRUE(parsed.ok()) << out << err;
    return parsed ? *parsed : Json();
  }
};
struct CliInput {
  std::string text;
  bool terminal = false;  // chat
};

inline CliRun cli(const std::vector<std::string>& args, const CliInput& input = {}) {
  std::istringstream in(input.text);
  std::ostringstream out, err;
  Streams streams{.in = in, .out = out, .err = err, .in_is_terminal = input.terminal};
  CliRun run;
  run.code = run_cli(args, streams);
  run.out = out.str();
  run.err = err.str();
  return run;
}

inline std::string fixture(const std::string& name) { return std::string(ACC_TEST_DATA "/fixtures/") + name; }

/// No settings or models of whoever runs the tests: every test of the command line stands on one of these.
class CliTest : public ::testing::Test {
 protected:
  TemporaryFolder home_;
  ScopedEnvironment config_{"XDG_CONFIG_HOME", (home_ / "config").string()};
  ScopedEnvironment state_{"XDG_STATE_HOME", (home_ / "state").string()};
  ScopedEnvironment cache_{"XDG_CACHE_HOME", (home_ / "cache").string()};
  ScopedEnvironment models_{"IPFS_ACCELERATE_MODELS", (home_ / "models").string()};
};

inline bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace accelerate
