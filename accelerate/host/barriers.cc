// Where workers must meet: between a step that writes a buffer and a step of another worker that touches the same bytes.
#include <vector>

#include "accelerate/host/plan.h"

namespace accelerate {
namespace {

/// What a step does to one buffer. Two touches by rows are by the same worker for the same row: no conflict.
struct Touch {
  uint32_t buffer;
  bool write;
  bool by_rows;
};

class Barriers {
 public:
  Barriers(const HostPlan& plan, bool few)
      : few_(few), scratch_(static_cast<uint32_t>(plan.buffer_widths.size())), pages_(scratch_ + 1) {}

  /// Whether all must meet before `step`.
  bool needed_before(const Step& step) {
    std::vector<Touch> touches = touches_of(step);
    bool conflict = false;
    for (const Touch& now : touches) {
      for (const Touch& before : since_) {
        conflict |= now.buffer == before.buffer && (now.write || before.write) && !(now.by_rows && before.by_rows);
      }
    }
    if (conflict) since_.clear();
    since_.insert(since_.end(), touches.begin(), touches.end());
    return conflict;
  }

 private:
  std::vector<Touch> touches_of(const Step& step) const {
    std::vector<Touch> touches;
    const bool rows = is_row_step(step);
    for_each_place(step, [&](const Place& place, Access access) {
      // With few rows a replicated value is private, and a row step reads all rows of a shared one.
      if (few_ && place.replicated) return;
      touches.push_back({place.buffer, access == Access::kWrite, rows && !few_});
    });
    if (std::holds_alternative<StoreStep>(step)) touches.push_back({pages_, true, true});
    if (std::holds_alternative<AttentionStep>(step)) touches.push_back({pages_, false, false});
    if (few_) return touches;  // each worker prepares for itself
    if (std::holds_alternative<PrepareStep>(step)) touches.push_back({scratch_, true, true});
    if (std::holds_alternative<MatmulStep>(step)) touches.push_back({scratch_, false, false});
    return touches;
  }

  bool few_;
  uint32_t scratch_, pages_;
  std::vector<Touch> since_;  // the last barrier
};

}  // namespace

void place_barriers(HostPlan& plan) {
  Barriers few(plan, true), many(plan, false);
  for (PlannedStep& planned : plan.steps) {
    planned.barrier_few = few.needed_before(planned.step);
    planned.barrier_many = many.needed_before(planned.step);
  }
}

}  // namespace accelerate
