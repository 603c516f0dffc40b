// for_each_place of plan.h: one list of what each step reads and writes, for lifetimes, placement and barriers.
#pragma once

#include <type_traits>
#include <variant>

#include "accelerate/host/plan.h"

namespace accelerate {

template <class StepType, class Visit>
void for_each_place(StepType& step, const Visit& visit) {
  std::visit(
      [&](auto& s) {
        using S = std::remove_cvref_t<decltype(s)>;
        if constexpr (std::is_same_v<S, EmbedStep>) {
          visit(s.out, Access::kWrite);
        } else if constexpr (std::is_same_v<S, AddStep>) {
          visit(s.a, Access::kRead);
          visit(s.b, Access::kRead);
          visit(s.out, Access::kWrite);
        } else if constexpr (std::is_same_v<S, StoreStep>) {
          visit(s.k, Access::kRead);
          visit(s.v, Access::kRead);
        } else if constexpr (std::is_same_v<S, PrepareStep>) {
          visit(s.x, Access::kRead);
        } else if constexpr (std::is_same_v<S, MatmulStep>) {
          visit(s.x, Access::kRead);
          for (auto& part : s.parts) visit(part.out, Access::kWrite);
        } else if constexpr (std::is_same_v<S, AttentionStep>) {
          visit(s.q, Access::kRead);
          visit(s.out, Access::kWrite);
        } else {
          visit(s.x, Access::kRead);
          visit(s.out, Access::kWrite);
        }
      },
      step);
}

}  // namespace accelerate
