// Console - how verbs speak: answers to stdout, everything else to stderr, tables, sizes, JSON.
//
//   if (!console.put(text)) return console.output_error();
//   console.note("the KV cache is float16");
//
// One thread (progress excepted, see progress.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/cli/cli.h"

namespace accelerate {

class Console {
 public:
  explicit Console(Streams& streams) : streams_(streams) {}
  Streams& streams() { return streams_; }

  /// Writes to stdout and flushes; false when stdout takes no more: stop working then.
  bool put(std::string_view text);
  /// Writes one JSON object and a line end; errors that come later go to stderr only.
  bool put_json(const std::string& dumped);
  bool json_written() const { return json_written_; }
  /// "note: TEXT" on stderr.
  void note(std::string_view text);
  /// A line on stderr.
  void say(std::string_view text);
  /// True once stdout failed.
  bool output_lost() const { return output_lost_; }
  /// True when it failed because its reader went away: nothing to complain about.
  bool reader_gone() const;
  /// What to return then: the reason where it is known.
  Error output_error() const;

 private:
  Streams& streams_;
  bool output_lost_ = false, json_written_ = false;
};

/// Columns padded to their widest cell, two spaces apart; the first row is the head.
std::string format_table(const std::vector<std::vector<std::string>>& rows);
/// "92.9 MB", decimal units; "0 B".
std::string format_bytes(uint64_t bytes);
/// "134.5 M": parameters.
std::string format_count(uint64_t count);
/// "12.3", or "unavailable" for NaN.
std::string format_number(double value, int decimals = 1);
/// `text` without control characters, at most `bytes_max` bytes of whole characters: for words of users in messages.
std::string printable(std::string_view text, size_t bytes_max = 200);

/// Everything from `in` up to its end; resource_exhausted over `bytes_max`, cancelled on a signal.
Result<std::string> read_all(std::istream& in, size_t bytes_max);

}  // namespace accelerate
