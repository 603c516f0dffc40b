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

}  // namespace accelerate
