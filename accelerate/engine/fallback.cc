#include "accelerate/engine/fallback.h"

#include <fmt/format.h>

namespace accelerate {

std::string_view fallback_name(Fallback fallback) {
  switch (fallback) {
    case Fallback::kForbid: return "forbid";
    case Fallback::kAllow: return "allow";
    case Fallback::kNotify: break;
  }
  return "notify";
}

Result<Fallback> fallback_named(std::string_view name) {
  for (const Fallback fallback : {Fallback::kForbid, Fallback::kAllow, Fallback::kNotify}) {
    if (fallback_name(fallback) == name) return fallback;
  }
  return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] fallback is forbid, allow or notify; got '{}'", name)};
}

}  // namespace accelerate
