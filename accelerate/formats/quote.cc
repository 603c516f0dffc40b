#include "accelerate/formats/quote.h"

#include <algorithm>

namespace accelerate {
namespace {

bool is_printable(char c) { return c >= 0x20 && c < 0x7f; }

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, kInQuotesBytesMax)) out += is_printable(c) ? c : '?';
  out += text.size() > kInQuotesBytesMax ? "...'" : "'";
  return out;
}

bool is_printable_name(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_printable); }

}  // namespace accelerate
