// Foreign text made fit for error messages and names.
//
//   fmt::format("got {}", in_quotes(name))   ->   got 'blk.0.attn_q.weight'
//
// Thread-safe, never fails.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace accelerate {

inline constexpr size_t kInQuotesBytesMax = 80;  // what an error shows of a foreign text

/// In single quotes; control and non-ASCII bytes shown as '?', cut after kInQuotesBytesMax bytes.
std::string in_quotes(std::string_view text);

/// True for a non-empty text of printable ASCII: what names inside model files have to be.
bool is_printable_name(std::string_view text);

}  // namespace accelerate
