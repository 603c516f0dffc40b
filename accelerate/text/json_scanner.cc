#include "accelerate/text/json_scanner.h"

namespace accelerate {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

}  // namespace

bool JsonScanner::open(bool object) {
  if (depth_ == kDepthMax) return false;
  objects_[depth_++] = object;
  state_ = object ? State::kFirstKey : State::kFirstItem;
  return true;
}

bool JsonScanner::close(bool object) {
  if (objects_[depth_ - 1] != object) return false;
  state_ = --depth_ == 0 ? State::kDone : State::kAfterValue;
  return true;
}

bool JsonScanner::begin_value(char c) {
  switch (c) {
    case '{': return open(true);
    case '[': return open(false);
    case '"': state_ = State::kString; key_ = false; return true;
    case 't': state_ = State::kLiteral; literal_left_ = "rue"; return true;
    case 'f': state_ = State::kLiteral; literal_left_ = "alse"; return true;
    case 'n': state_ = State::kLiteral; literal_left_ = "ull"; return true;
    case '-': state_ = State::kMinus; return true;
    case '0': state_ = State::kZero; return true;
    default:
      if (is_digit(c)) state_ = State::kInteger;
      return is_digit(c);
  }
}

bool JsonScanner::push_string(char c) {
  if (state_ == State::kHex) {
    if (is_hex(c) && --hex_left_ == 0) state_ = State::kString;
    return is_hex(c);
  }
  if (state_ == State::kEscape) {
    if (std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos) return false;
    state_ = c == 'u' ? State::kHex : State::kString;
    hex_left_ = 4;
    return true;
  }
  if (c == '"') state_ = key_ ? State::kColon : State::kAfterValue;
  else if (c == '\\') state_ = State::kEscape;
  return static_cast<unsigned char>(c) >= 0x20;
}

// A number ends with what follows it.
bool JsonScanner::push_number(char c) {
  const bool digit = is_digit(c), exponent = c == 'e' || c == 'E';
  switch (state_) {
    case State::kMinus:
      if (digit) state_ = c == '0' ? State::kZero : State::kInteger;
      return digit;
    case State::kPoint:
      if (digit) state_ = State::kFraction;
      return digit;
    case State::kExponent:
      if (c == '+' || c == '-') return state_ = State::kExponentSign, true;
      [[fallthrough]];
    case State::kExponentSign:
      if (digit) state_ = State::kExponentDigits;
      return digit;
    case State::kZero:
    case State::kInteger:
      if (c == '.') return state_ = State::kPoint, true;
      [[fallthrough]];
    case State::kFraction:
      if (exponent) return state_ = State::kExponent, true;
      [[fallthrough]];
    default:
      if (digit) return state_ != State::kZero;
      return after_value(c);
  }
}

bool JsonScanner::after_value(char c) {
  if (is_space(c)) return state_ = State::kAfterValue, true;
  if (c == ',') return state_ = objects_[depth_ - 1] ? State::kKey : State::kValue, true;
  if (c == '}' || c == ']') return close(c == '}');
  return false;
}

bool JsonScanner::push(char c) {
  switch (state_) {
    case State::kStart: return c == '{' && open(true);
    case State::kFirstKey:
      if (c == '}') return close(true);
      [[fallthrough]];
    case State::kKey:
      if (c == '"') return state_ = State::kString, key_ = true;
      return is_space(c);
    case State::kColon:
      if (c == ':') return state_ = State::kValue, true;
      return is_space(c);
    case State::kFirstItem:
      if (c == ']') return close(false);
      [[fallthrough]];
    case State::kValue: return is_space(c) || begin_value(c);
    case State::kAfterValue: return after_value(c);
    case State::kString:
    case State::kEscape:
    case State::kHex: return push_string(c);
    case State::kLiteral:
      if (c != literal_left_.front()) return false;
      literal_left_.remove_prefix(1);
      if (literal_left_.empty()) state_ = State::kAfterValue;
      return true;
    case State::kDone: return false;
    default: return push_number(c);
  }
}

}  // namespace accelerate
