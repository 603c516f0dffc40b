// watched - runs blocking work beside the thread of its connection, which looks after the client meanwhile.
//
//   const auto reply = watched(writer, [&](const std::atomic<bool>& stop) { return endpoint.embed(inputs, &stop); });
//   if (!reply) return;   // the client left; the work saw `stop` and ended
//
// The work may borrow what is on the caller's stack: the call returns when it has ended.
#pragma once

#include <atomic>
#include <future>
#include <optional>

#include "accelerate/core/backend.h"
#include "accelerate/net/http.h"
#include "accelerate/serve/follow.h"

namespace accelerate {

/// What `work(stop)` returns; nothing when the client left.
template <class Work>
auto watched(ResponseWriter& writer, const Work& work) -> std::optional<decltype(work(std::declval<const std::atomic<bool>&>()))> {
  std::atomic<bool> stop{false};
  auto running = std::async(std::launch::async, [&] { return work(stop); });
  while (running.wait_for(kClientPoll) != std::future_status::ready) {
    if (!stop && writer.client_gone()) stop = true;
  }
  auto result = running.get();
  if (stop) return std::nullopt;
  return result;
}

/// For work that takes a Progress: ends with `stop`.
class StopProgress final : public Progress {
 public:
  explicit StopProgress(const std::atomic<bool>& stop) : stop_(stop) {}
  bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { return !stop_; }

 private:
  const std::atomic<bool>& stop_;
};

}  // namespace accelerate
