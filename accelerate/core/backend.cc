#include "accelerate/core/backend.h"

namespace accelerate {

Progress& no_progress() {
  struct Silent final : Progress {
    bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { return true; }
  };
  static Silent silent;
  return silent;
}

std::string to_string(const Target& target) { return target.backend + "@" + to_string(target.device); }

std::string_view verdict_state_name(Verdict::State state) {
  switch (state) {
    case Verdict::State::kAvailable: return "available";
    case Verdict::State::kBroken: return "broken";
    case Verdict::State::kAbsent: return "absent";
  }
  return "absent";
}

}  // namespace accelerate
