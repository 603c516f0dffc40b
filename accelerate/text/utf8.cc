#include "accelerate/text/utf8.h"

#include <cstdint>
#include <cstring>

namespace accelerate {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Sequence {
  size_t bytes;       // of the character, or of the maximal subpart of an ill-formed one; at least 1
  bool well_formed;
  bool open;          // the text ends inside it
};

/// Bounds of the second byte by the first: excludes overlong forms, surrogates and code points past U+10FFFF
/// (Unicode 15, table 3-7).
struct SecondByte {
  unsigned char low, high;
};
SecondByte second_byte(unsigned char lead) {
  switch (lead) {
    case 0xE0: return {0xA0, 0xBF};
    case 0xED: return {0x80, 0x9F};
    case 0xF0: return {0x90, 0xBF};
    case 0xF4: return {0x80, 0x8F};
    default: return {0x80, 0xBF};
  }
}

Sequence next_sequence(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {1, true, false};
  if (lead < 0xC2 || lead > 0xF4) return {1, false, false};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {i, false, true};
    const SecondByte bounds = i == 1 ? second_byte(lead) : SecondByte{0x80, 0xBF};
    if (at(i) < bounds.low || at(i) > bounds.high) return {i, false, false};
  }
  return {length, true, false};
}

}  // namespace

size_t utf8_valid_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight;
    if (at + sizeof eight <= text.size()) {
      std::memcpy(&eight, text.data() + at, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        at += sizeof eight;
        continue;
      }
    }
    const Sequence sequence = next_sequence(text.substr(at));
    if (!sequence.well_formed) return at;
    at += sequence.bytes;
  }
  return at;
}

std::string utf8_repair(std::string_view text) {
  Utf8Assembler assembler;
  std::string result = assembler.push(text);
  result += assembler.finish();
  return result;
}

std::string Utf8Assembler::push(std::string_view bytes) {
  std::string joined;
  if (!open_.empty()) {
    joined = open_;
    joined += bytes;
    bytes = joined;
    open_.clear();
  }
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    if (const size_t valid = utf8_valid_prefix(bytes); valid != 0) {
      text += bytes.substr(0, valid);
      bytes.remove_prefix(valid);
      continue;
    }
    const Sequence sequence = next_sequence(bytes);
    if (sequence.open) {
      open_ = bytes;
      break;
    }
    text += kReplacement;
    bytes.remove_prefix(sequence.bytes);
  }
  return text;
}

std::string Utf8Assembler::finish() {
  if (open_.empty()) return {};
  open_.clear();
  return std::string(kReplacement);
}

}  // namespace accelerate
