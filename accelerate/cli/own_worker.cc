#include "accelerate/cli/own_worker.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdio>

#include "accelerate/backends/registry.h"
#include "accelerate/base/log.h"
#include "accelerate/base/process.h"
#include "accelerate/engine/worker.h"
#include "accelerate/wire/socket_channel.h"

namespace accelerate {

std::vector<BackendFactory> own_backends() {
  std::vector<BackendFactory> backends;
  for (const BackendEntry& entry : backend_registry()) backends.push_back({std::string(entry.name), entry.make});
  return backends;
}

// By its inode: an upgrade that replaced the file meanwhile does not mix two releases.
std::vector<std::string> own_worker_argv() { return {"/proc/self/exe", "worker"}; }

int run_own_worker() {
  struct stat status{};
  if (::fstat(kInheritedFile, &status) != 0 || !S_ISSOCK(status.st_mode)) {
    std::fputs("error: [cli] `worker` is how ipfs-accelerate starts itself: it takes a socket as file 3; try `run --isolate`\n", stderr);
    return error_code_traits(ErrorCode::kFailedPrecondition).exit_code;
  }
  SocketChannel channel(kInheritedFile);
  const Result<void> served = run_worker(channel, own_backends());
  if (served) return 0;
  log_error(served.error().message);
  return error_code_traits(served.error().code).exit_code;
}

}  // namespace accelerate
