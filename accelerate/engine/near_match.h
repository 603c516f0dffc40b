// Near matches - "did you mean": the known words that look most like a mistyped one.
//
//   for (const std::string& word : near_matches("smolm2", {"smollm2", "minilm"})) suggest(word);   // smollm2
//
// Pure functions on bytes: invalid UTF-8 is compared byte by byte. Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace accelerate {

inline constexpr size_t kNearMatchesMax = 4;        // more are noise in an error line
inline constexpr size_t kNearMatchBytesMax = 256;   // of a word; longer ones are cut before comparing (cost is quadratic)

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b);

/// Those of `known` within a third of the word's length (at least 2 edits) of `word`, or that contain it or begin it,
/// case ignored; best first, ties alphabetical, at most kNearMatchesMax.
std::vector<std::string> near_matches(std::string_view word, const std::vector<std::string>& known);

/// "; near matches: a, b" or "" if there are none: ready to append to an error text.
std::string near_match_hint(std::string_view word, const std::vector<std::string>& known);

}  // namespace accelerate
