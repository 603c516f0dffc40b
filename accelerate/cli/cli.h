// The command line: `ipfs-accelerate VERB ...`. Everything main() does, callable from a test.
//
//   std::ostringstream out, err;
//   std::istringstream in;
//   Streams streams{.in = in, .out = out, .err = err};
//   int code = run_cli({"models", "--json"}, streams);
//
// Exit codes are error_code_traits' (docs/cli.md lists them); 0 = done, 141 = the reader of stdout went away. Answers go
// to `out`, everything else to `err`. One call at a time (it owns SIGINT and SIGTERM while a verb runs). Throws nothing.
#pragma once

#include <functional>
#include <istream>
#include <ostream>
#include <string>
#include <vector>

namespace accelerate {

inline constexpr int kExitBrokenPipe = 141;  // 128 + SIGPIPE, what a shell reports for any other tool

struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool in_is_terminal = false;        // interactive chat instead of reading a prompt to the end
  bool err_is_terminal = false;       // progress as a bar that redraws itself
  std::function<int()> out_errno{};   // why `out` failed; empty = unknown
};

/// `args` without the program's name.
int run_cli(const std::vector<std::string>& args, Streams& streams);

}  // namespace accelerate
