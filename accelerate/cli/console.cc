#include "accelerate/cli/console.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "accelerate/cli/signals.h"

namespace accelerate {
namespace {

/// Characters, not bytes: continuation bytes of UTF-8 do not count.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string scaled(double value, const char* const* units, int count) {
  int unit = 0;
  while (value >= 999.95 && unit + 1 < count) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} {}", value, units[0]) : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace

bool Console::put(std::string_view text) {
  if (output_lost_) return false;
  streams_.out.write(text.data(), static_cast<std::streamsize>(text.size()));
  streams_.out.flush();
  output_lost_ = !streams_.out;
  return !output_lost_;
}

bool Console::put_json(const std::string& dumped) {
  json_written_ = true;
  return put(dumped + "\n");
}

void Console::note(std::string_view text) { say(fmt::format("note: {}", text)); }

void Console::say(std::string_view text) {
  streams_.err << text << "\n";
  streams_.err.flush();
}

bool Console::reader_gone() const { return output_lost_ && streams_.out_errno && streams_.out_errno() == EPIPE; }

Error Console::output_error() const {
  const int number = streams_.out_errno ? streams_.out_errno() : 0;
  const ErrorCode code = number == ENOSPC || number == EDQUOT || number == EFBIG ? ErrorCode::kResourceExhausted : ErrorCode::kUnknown;
  return {code, fmt::format("[cli] stdout must take the answer; got {}; try another place for it",
                            number ? std::strerror(number) : "a failed write")};
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string format_bytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  return scaled(static_cast<double>(bytes), kUnits, 7);
}

std::string format_count(uint64_t count) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T"};
  std::string text = scaled(static_cast<double>(count), kUnits, 5);
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::string format_number(double value, int decimals) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, decimals) : "unavailable";
}

std::string printable(std::string_view text, size_t bytes_max) {
  std::string shown;
  for (const char c : text.substr(0, bytes_max)) shown += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  if (text.size() > bytes_max) {
    while (!shown.empty() && (shown.back() & 0xc0) == 0x80) shown.pop_back();
    if (!shown.empty() && (shown.back() & 0x80)) shown.pop_back();
    shown += "...";
  }
  return shown;
}

Result<std::string> read_all(std::istream& in, size_t bytes_max) {
  std::string text;
  char chunk[16384];
  while (in.read(chunk, sizeof chunk) || in.gcount() > 0) {
    text.append(chunk, static_cast<size_t>(in.gcount()));
    if (text.size() > bytes_max) {
      return Error{ErrorCode::kResourceExhausted, fmt::format("[cli] standard input holds at most {} bytes; got more; try less "
                                                              "at a time", bytes_max)};
    }
  }
  if (signals_received() > 0) return Error{ErrorCode::kCancelled, "[cli] stopped while reading standard input"};
  return text;
}

}  // namespace accelerate
