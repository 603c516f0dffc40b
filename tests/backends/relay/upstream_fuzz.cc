// Any bytes from an upstream: its events are the same whole as in pieces, and each is taken or refused.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/backends/relay/relay_answer.h"

namespace {

// Nothing where it was refused.
std::optional<std::vector<std::string>> events_of(std::string_view bytes, size_t piece) {
  accelerate::SseReader reader;
  std::vector<std::string> events;
  while (!bytes.empty()) {
    auto fed = reader.feed(bytes.substr(0, piece));
    if (!fed) return std::nullopt;
    events.insert(events.end(), fed->begin(), fed->end());
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = events_of(bytes, SIZE_MAX), pieces = events_of(bytes, 1 + data[0] % 7);
  if (whole != pieces) std::abort();
  if (!whole) return 0;
  accelerate::RelayAnswer answer("up");
  for (const std::string& event : *whole) {
    if (!answer.take(event)) break;
  }
  (void)answer.reply();
  (void)accelerate::relay_error("up", data[0] * 4, bytes);
  return 0;
}
