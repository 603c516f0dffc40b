// UTF-8 in streams: tokens end inside characters, clients must never see half of one.
//
//   Utf8Assembler utf8;
//   send(utf8.push("\xE4\xBD"));   // sends ""
//   send(utf8.push("\xA0!"));      // sends "你!"
//   send(utf8.finish());           // sends what was left open as U+FFFD
//
// Ill-formed bytes become U+FFFD, one for each maximal subpart of an ill-formed sequence (Unicode 15, section 3.9,
// "U+FFFD substitution of maximal subparts"): the same text as Python's bytes.decode(errors="replace"). Not thread-safe;
// one assembler a stream. Any split of the same bytes into pushes gives the same text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace accelerate {

/// Bytes of the longest prefix of `text` that is well-formed UTF-8 (no surrogates, no overlong forms).
size_t utf8_valid_prefix(std::string_view text);

/// Whether all of `text` is well-formed UTF-8.
inline bool utf8_is_valid(std::string_view text) { return utf8_valid_prefix(text) == text.size(); }

/// `text` with ill-formed parts replaced by U+FFFD.
std::string utf8_repair(std::string_view text);

/// Bytes of the character at the start of well-formed, non-empty `text`.
inline size_t utf8_character_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

class Utf8Assembler {
 public:
  /// Appends `bytes` and answers the text that is complete now.
  std::string push(std::string_view bytes);
  /// The end: an open sequence becomes one U+FFFD. The assembler is empty afterwards.
  std::string finish();

 private:
  std::string open_;  // a proper prefix of one well-formed sequence: at most 3 bytes
};

}  // namespace accelerate
