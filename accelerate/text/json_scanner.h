// JsonScanner - follows one JSON object byte by byte: is it still JSON, where in it are we, is it over.
//
//   JsonScanner scanner;
//   for (char c : R"({"a": [1]} and more)") if (scanner.done() || !scanner.push(c)) break;   // done() behind the '}'
//
// For JSON that arrives in pieces, such as a model's arguments for a tool: what it accepted is the beginning of an object
// of RFC 8259 (bytes beyond ASCII are taken as they are: whoever made the text vouches for its UTF-8). Constant memory:
// one bit a level, at most kDepthMax levels. Plain value; not thread-safe.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace accelerate {

class JsonScanner {
 public:
  static constexpr size_t kDepthMax = 64;  // as the doors have it for request bodies

  /// False when `c` cannot stand here; the scanner stays as it was. After done() every byte is refused.
  bool push(char c);
  bool done() const { return state_ == State::kDone; }
  size_t depth() const { return depth_; }                       // 1 = inside the object itself
  bool in_string() const { return state_ == State::kString || state_ == State::kEscape || state_ == State::kHex; }
  bool in_key() const { return in_string() && key_; }
  /// A value may begin with the next byte (whitespace may come before).
  bool wants_value() const { return state_ == State::kValue || state_ == State::kFirstItem; }

 private:
  enum class State : uint8_t {
    kStart, kFirstKey, kKey, kColon, kValue, kFirstItem, kAfterValue, kString, kEscape, kHex, kLiteral,
    kMinus, kZero, kInteger, kPoint, kFraction, kExponent, kExponentSign, kExponentDigits, kDone
  };
  bool begin_value(char c);
  bool push_string(char c);
  bool push_number(char c);
  bool after_value(char c);
  bool open(bool object);
  bool close(bool object);

  State state_ = State::kStart;
  bool key_ = false;               // the string being read is a member's name
  uint8_t hex_left_ = 0;
  std::string_view literal_left_;  // of true, false, null
  size_t depth_ = 0;
  std::bitset<kDepthMax> objects_;  // by level: object or array
};

}  // namespace accelerate
