#include "accelerate/engine/near_match.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace accelerate {
namespace {

std::string folded(std::string_view text) {
  std::string lower(text.substr(0, kNearMatchBytesMax));
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_') c = '-';
  }
  return lower;
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last, last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last = last;
    last = row;
  }
  return last[b.size()];
}

std::vector<std::string> near_matches(std::string_view word, const std::vector<std::string>& known) {
  const std::string wanted = folded(word);
  if (wanted.empty()) return {};
  const size_t distance_max = std::max<size_t>(2, wanted.size() / 3);
  std::vector<std::pair<size_t, std::string>> found;
  for (const std::string& candidate : known) {
    const std::string folded_candidate = folded(candidate);
    size_t distance = edit_distance(wanted, folded_candidate);
    // Two edits turn any two-letter word into any other: a near match keeps at least one letter in place.
    const bool near = distance <= distance_max && distance < std::max(wanted.size(), folded_candidate.size());
    const bool inside = wanted.size() >= 3 && (folded_candidate.find(wanted) != std::string::npos ||
                                               (folded_candidate.size() >= 3 && wanted.starts_with(folded_candidate)));
    if (near || inside) found.emplace_back(distance, candidate);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::vector<std::string> names;
  for (auto& [distance, name] : found) {
    if (names.size() == kNearMatchesMax) break;
    names.push_back(std::move(name));
  }
  return names;
}

std::string near_match_hint(std::string_view word, const std::vector<std::string>& known) {
  const std::vector<std::string> names = near_matches(word, known);
  return names.empty() ? "" : fmt::format("; near matches: {}", fmt::join(names, ", "));
}

}  // namespace accelerate
