// StopMatcher - finds stop strings in text that comes in pieces, holding back no more than could still become one.
//
//   ACC_TRY(StopMatcher stop, StopMatcher::create({"\nUser:", "###"}));
//   StopMatcher::Step step = stop.push(" and so\nUs");   // step.text == " and so"; "\nUs" waits
//   step = stop.push("er: hi");                          // step.matched == 0, step.text == ""
//   send(stop.finish());                                 // at the end without a match: what was held back
//
// The match that ends first wins; of several that end at the same byte, the longest. The stop string itself and what
// follows it are never given out. The result does not depend on how the text is cut into pieces: each stop string runs
// as a Knuth-Morris-Pratt automaton over bytes, so a match may cross any token border. Where the text is UTF-8, so is
// every piece that comes out, cut at character borders. Plain value; not thread-safe; one matcher a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

class StopMatcher {
 public:
  struct Step {
    std::string text;              // may be sent now
    std::optional<size_t> matched; // index of the stop string; the stream is over
  };

  /// invalid_argument for an empty or ill-formed (UTF-8) stop string, one longer than limits::kStopStringBytesMax, or
  /// more than kStopStringsMax of them. No stop strings is fine: every text passes at once.
  static Result<StopMatcher> create(std::vector<std::string> stops);

  /// Appends `text`. After a match further calls are a programmer error.
  Step push(std::string_view text);
  /// The end of the stream without a match: the text held back so far.
  std::string finish();

 private:
  struct Stop {
    std::string text;
    std::vector<uint32_t> border;  // border[i]: longest proper border of the first i bytes
    uint32_t state = 0;            // bytes of this stop that the text so far ends with
  };
  StopMatcher() = default;

  std::vector<Stop> stops_;
  std::string held_;  // given to push, not yet out
  bool over_ = false;
};

}  // namespace accelerate
