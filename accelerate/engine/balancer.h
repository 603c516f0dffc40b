// Balancer - which of several running Targets a request goes to: where it is expected to end first.
//
//   const std::optional<size_t> at = choose_target(loads, {.prompt_tokens = 300, .answer_tokens = 128});
//
// expected = what is ahead of it + its own prompt, less what is cached there, by the tokens of prompts a Target computes a
// second + its answer by the seconds of a step. A conversation so stays where its beginning is cached unless the queue there
// costs more. A Target that was just started is taken for slower than it is, so that what comes to it comes little by little.
// Pure; ties go to the first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace accelerate {

/// Live averages of one Target, exponentially weighted; 0 = not known yet.
class SpeedAverages {
 public:
  static constexpr double kWeight = 0.2;               // of the newest sample: the last ten decide
  static constexpr uint32_t kPromptTokensMin = 16;     // fewer in a step say nothing about prompts

  SpeedAverages() = default;
  /// From Records.
  SpeedAverages(double prompt_tokens_per_s, double step_s) : prompt_tokens_per_s_(prompt_tokens_per_s), step_s_(step_s) {}
  /// One step of the program: so many tokens of prompts and of answers.
  void observe(uint64_t prompt_tokens, uint64_t answer_tokens, double seconds);
  double prompt_tokens_per_s() const { return prompt_tokens_per_s_; }
  double step_s() const { return step_s_; }

 private:
  double prompt_tokens_per_s_ = 0, step_s_ = 0;
};

struct TargetLoad {
  bool takes_requests = true;          // running and not draining
  SpeedAverages speed;
  uint32_t slots = 1;                  // answers computed at once
  uint32_t running = 0, queued = 0;    // requests there
  uint64_t prompt_tokens_ahead = 0;    // of these, not computed yet
  uint32_t cached_tokens = 0;          // of this request's prompt
  double up_s = 0;                     // since its start
};

struct RequestDemand {
  uint32_t prompt_tokens = 0, answer_tokens = 0;
};

inline constexpr double kSlowStart_s = 10;         // from a start to full trust
inline constexpr double kSlowStartFactor = 4;      // how much slower it is taken for at first

/// Seconds until the request would be answered there; nothing where nobody measured yet.
std::optional<double> expected_seconds(const TargetLoad& load, const RequestDemand& demand);

/// Index of the Target to take; nothing when none takes requests. One that is not measured is taken for as fast as the
/// fastest that is; when none is, the fewest requests decide.
std::optional<size_t> choose_target(std::span<const TargetLoad> loads, const RequestDemand& demand);

}  // namespace accelerate
