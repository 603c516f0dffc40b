#include "accelerate/cli/progress.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/cli/signals.h"

namespace accelerate {
namespace {

constexpr int kBarCells = 24;

std::string amount(uint64_t done, uint64_t total, std::string_view unit) {
  const bool bytes = unit == "bytes";
  const std::string here = bytes ? format_bytes(done) : fmt::format("{}", done);
  if (total == 0) return done == 0 ? "" : bytes ? here : fmt::format("{} {}", here, unit);
  return bytes ? fmt::format("{} of {}", here, format_bytes(total)) : fmt::format("{} of {} {}", done, total, unit);
}

}  // namespace

ProgressLine::~ProgressLine() {
  if (!drawn_) return;
  console_.streams().err << "\r\x1b[K";
  console_.streams().err.flush();
}

bool ProgressLine::update(std::string_view what, uint64_t done, uint64_t total, std::string_view unit) {
  const std::lock_guard lock(mutex_);
  const std::string_view word = what.substr(0, what.find(' '));
  auto found = stages_.find(word);
  if (found == stages_.end()) found = stages_.emplace(std::string(word), Stage{.begin = Clock::now()}).first;
  Stage& stage = found->second;
  if (done < stage.done_last) stage = Stage{.begin = Clock::now()};  // the same work on another file
  stage.done_last = done;
  if (Clock::now() - stage.begin >= quiet_time_) {
    if (console_.streams().err_is_terminal) draw(what, done, total, unit);
    else tell(what, done, total, unit, stage);
  }
  return signals_received() == 0;
}

void ProgressLine::draw(std::string_view what, uint64_t done, uint64_t total, std::string_view unit) {
  const bool last = total != 0 && done >= total;
  if (!last && Clock::now() - drawn_at_ < kRedrawInterval) return;
  drawn_at_ = Clock::now();
  drawn_ = true;
  std::string bar;
  if (total != 0) {
    const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    const auto full = static_cast<size_t>(share * kBarCells);
    bar = fmt::format("[{}{}] {:3.0f} %  ", std::string(full, '#'), std::string(kBarCells - full, '-'), share * 100);
  }
  console_.streams().err << fmt::format("\r\x1b[K{}  {}{}", what, bar, amount(done, total, unit));
  console_.streams().err.flush();
}

void ProgressLine::tell(std::string_view what, uint64_t done, uint64_t total, std::string_view unit, Stage& stage) {
  if (total == 0) {
    if (!stage.told) console_.say(fmt::format("{} ...", what));
    stage.told = true;
    return;
  }
  const int tenths = static_cast<int>(10 * (static_cast<double>(done) / static_cast<double>(total)));
  if (tenths <= stage.tenths_told) return;
  stage.tenths_told = tenths;
  console_.say(fmt::format("{}: {} % ({})", what, tenths * 10, amount(done, total, unit)));
}

}  // namespace accelerate
