// An upstream's streamed answer, bytes in, Parts out.
//
//   SseReader events;
//   ACC_TRY(std::vector<std::string> data, events.feed(piece));        // the "data:" of each whole event
//   RelayAnswer answer;
//   for (const std::string& one : data) { ACC_TRY(std::optional<Part> part, answer.take(one)); if (part) stream.push(*part); }
//   if (answer.whole()) use(answer.reply());
//
// Server-sent events as the WHATWG's standard has them, as far as "data" goes. What an upstream sends is foreign: limits on
// a line, checked types, data_loss for what is no answer. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/request.h"

namespace accelerate {

inline constexpr size_t kSseEventBytesMax = size_t{4} << 20;  // a chunk is a few hundred bytes; whole tool calls may come as one

class SseReader {
 public:
  /// resource_exhausted for an event over kSseEventBytesMax.
  Result<std::vector<std::string>> feed(std::string_view bytes);

 private:
  void end_line(std::vector<std::string>& events);
  std::string line_, data_;
  bool has_data_ = false, after_cr_ = false;
};

/// The error that an upstream's words stand for. `status` 0 = it came inside a stream.
Error relay_error(std::string_view upstream, int status, std::string_view body);

class RelayAnswer {
 public:
  explicit RelayAnswer(std::string upstream) : upstream_(std::move(upstream)) {}
  /// One event's data. The error that the upstream tells, or data_loss.
  Result<std::optional<Part>> take(std::string_view data);
  /// [DONE] has come: nothing follows.
  bool done() const { return done_; }
  /// It ended by itself: a finish reason has come.
  bool whole() const { return finish_.has_value(); }
  /// Something was said that a caller has seen.
  bool begun() const { return characters_ > 0 || !calls_begun_.empty(); }
  size_t characters() const { return characters_; }
  /// Finish reason, usage and notes.
  Reply reply() const;

 private:
  std::string upstream_;
  std::optional<FinishReason> finish_;
  std::optional<Usage> usage_;
  std::set<uint32_t> calls_begun_;  // indices
  size_t characters_ = 0;  // bytes of text so far
  bool done_ = false, filtered_ = false, reasoned_ = false;
};

}  // namespace accelerate
