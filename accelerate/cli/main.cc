#include <csignal>
#include <string_view>

#include <unistd.h>

#include "accelerate/base/cpu.h"
#include "accelerate/cli/cli.h"
#include "accelerate/cli/fd_buffer.h"
#include "accelerate/cli/own_worker.h"

int main(int argc, char** argv) {
  accelerate::bound_allocator();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an answer of write(), not a death
  if (argc == 2 && std::string_view(argv[1]) == "worker") return accelerate::run_own_worker();
  accelerate::FdBuffer in_buffer(STDIN_FILENO), out_buffer(STDOUT_FILENO), err_buffer(STDERR_FILENO);
  std::istream in(&in_buffer);
  std::ostream out(&out_buffer), err(&err_buffer);
  accelerate::Streams streams{.in = in, .out = out, .err = err, .in_is_terminal = ::isatty(STDIN_FILENO) == 1,
                              .err_is_terminal = ::isatty(STDERR_FILENO) == 1,
                              .out_errno = [&out_buffer] { return out_buffer.error_number(); }};
  return accelerate::run_cli({argv + 1, argv + argc}, streams);
}
