#include "accelerate/text/stop_strings.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/core/request.h"
#include "accelerate/text/limits.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

std::vector<uint32_t> borders_of(std::string_view text) {
  std::vector<uint32_t> border(text.size() + 1, 0);
  uint32_t state = 0;
  for (size_t i = 1; i < text.size(); ++i) {
    while (state != 0 && text[i] != text[state]) state = border[state];
    if (text[i] == text[state]) ++state;
    border[i + 1] = state;
  }
  return border;
}

}  // namespace

Result<StopMatcher> StopMatcher::create(std::vector<std::string> stops) {
  if (stops.size() > kStopStringsMax) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[text] a request may have at most {} stop strings; got {}", kStopStringsMax, stops.size())};
  }
  StopMatcher matcher;
  for (std::string& text : stops) {
    if (text.empty() || text.size() > limits::kStopStringBytesMax) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[text] a stop string must have 1 to {} bytes; got {}",
                                                            limits::kStopStringBytesMax, text.size())};
    }
    if (!utf8_is_valid(text)) {
      return Error{ErrorCode::kInvalidArgument, "[text] a stop string must be UTF-8; got ill-formed bytes"};
    }
    std::vector<uint32_t> border = borders_of(text);
    matcher.stops_.push_back({std::move(text), std::move(border)});
  }
  return matcher;
}

StopMatcher::Step StopMatcher::push(std::string_view text) {
  CHECK(!over_, "the stream ended with a match");
  Step step;
  for (const char byte : text) {
    held_ += byte;
    size_t matched_bytes = 0;
    for (size_t i = 0; i < stops_.size(); ++i) {
      Stop& stop = stops_[i];
      while (stop.state != 0 && stop.text[stop.state] != byte) stop.state = stop.border[stop.state];
      if (stop.text[stop.state] == byte) ++stop.state;
      if (stop.state == stop.text.size() && stop.state > matched_bytes) {
        matched_bytes = stop.state;
        step.matched = i;
      }
    }
    if (step.matched) {
      over_ = true;
      held_.resize(held_.size() - matched_bytes);
      step.text = std::move(held_);
      held_.clear();
      return step;
    }
  }
  size_t keep = 0;
  for (const Stop& stop : stops_) keep = std::max<size_t>(keep, stop.state);
  step.text = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return step;
}

std::string StopMatcher::finish() {
  for (Stop& stop : stops_) stop.state = 0;
  std::string rest = std::move(held_);
  held_.clear();
  return rest;
}

}  // namespace accelerate
