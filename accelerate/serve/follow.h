// follow - carries answers from their Streams to a client until all end or the client is gone.
//
//   Followed end = follow(streams, writer, [&](size_t index, Part part) { return writer.write(part.text); },
//                         [&](size_t index, const Result<Reply>& how) { return how.ok(); });
//
// Several streams are taken in turn, so that choices interleave as their tokens come. Whatever way it ends, every stream
// that still runs is cancelled: a client that leaves frees its slots within one token. Runs on the caller's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>

#include "accelerate/core/request.h"
#include "accelerate/net/http.h"

namespace accelerate {

/// How long a gone client goes unnoticed while no token comes.
inline constexpr std::chrono::milliseconds kClientPoll{20};
/// With several streams only one can be waited for at a time: the others' tokens wait at most this long.
inline constexpr std::chrono::milliseconds kSeveralPoll{5};

enum class Followed { kDone, kStopped, kClientGone };  // kStopped: a callback said false

using OnPart = std::function<bool(size_t index, Part part)>;
using OnEnd = std::function<bool(size_t index, const Result<Reply>& result)>;
Followed follow(std::span<const std::shared_ptr<Stream>> streams, ResponseWriter& writer, const OnPart& on_part, const OnEnd& on_end);

}  // namespace accelerate
