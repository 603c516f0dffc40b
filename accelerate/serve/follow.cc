#include "accelerate/serve/follow.h"

#include <optional>
#include <utility>
#include <vector>

namespace accelerate {
namespace {

using std::chrono::milliseconds;

struct CancelOnExit {
  std::span<const std::shared_ptr<Stream>> streams;
  ~CancelOnExit() {
    for (const auto& stream : streams) stream->cancel();  // a finished one does not mind
  }
};

}  // namespace

Followed follow(std::span<const std::shared_ptr<Stream>> streams, ResponseWriter& writer, const OnPart& on_part, const OnEnd& on_end) {
  const CancelOnExit cancel{streams};
  std::vector<bool> ended(streams.size(), false);
  size_t left = streams.size();
  bool progressed = false;
  while (left > 0) {
    // A round after one without progress waits on its first stream; rounds with progress only collect.
    milliseconds wait = left == 1 ? kClientPoll : progressed ? milliseconds(0) : kSeveralPoll;
    progressed = false;
    for (size_t i = 0; i < streams.size(); ++i) {
      if (ended[i]) continue;
      if (std::optional<Part> part = streams[i]->next(std::exchange(wait, milliseconds(0)))) {
        progressed = true;
        if (!on_part(i, std::move(*part))) return writer.client_gone() ? Followed::kClientGone : Followed::kStopped;
      }
      if (!streams[i]->done()) continue;
      progressed = true;
      ended[i] = true;
      --left;
      if (!on_end(i, streams[i]->result())) return writer.client_gone() ? Followed::kClientGone : Followed::kStopped;
    }
    if (writer.client_gone()) return Followed::kClientGone;
  }
  return Followed::kDone;
}

}  // namespace accelerate
