#include "accelerate/core/worker.h"

namespace accelerate {

Result<void> Channel::attach(int) { return Error{ErrorCode::kFailedPrecondition, "[core] no files travel over this channel"}; }

WorkerSource& no_workers() {
  struct None final : WorkerSource {
    Result<std::unique_ptr<Worker>> start(const WorkerSpec& spec, Deadline) override {
      return Error{ErrorCode::kUnimplemented, "[core] this build starts no worker processes; got '" + spec.name + "'"};
    }
    std::unique_ptr<Worker> take_connected(std::string_view) override { return nullptr; }
  };
  static None none;
  return none;
}

}  // namespace accelerate
