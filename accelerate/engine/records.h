// Records - what was measured and proven on this machine, in one SQLite file of the user's state directory.
//
//   ACC_TRY(std::unique_ptr<Records> records, Records::open({}));        // state_dir()/records.sqlite
//   ACC_TRY_VOID(records->add({.key = key, .kind = "bench", .samples = {{"ttft_ms", {41.2, 40.8, 43.0}}}}));
//   ACC_TRY(std::vector<Record> known, records->find({.kind = "bench", .model_id = id}));
//
// Raw samples, never averages alone. Thread-safe; several processes may use one file (write-ahead log; a writer waits at
// most kRecordsBusyMsMax for another). A file that a newer version of us wrote is left untouched (failed_precondition). A
// corrupt file is renamed to NAME.corrupt-TIME, said in the log and in notices(), and a new one begun. A file or folder that
// can not be written is still read; add() then says why. No error here may stop serving: callers warn and go on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

inline constexpr int kRecordsVersion = 1;                     // PRAGMA user_version
inline constexpr int kRecordsBusyMsMax = 5000;
inline constexpr uint32_t kRecordsMax = 20'000;               // in the file; the oldest go
inline constexpr uint32_t kRecordsReadMax = 10'000;           // of one find(), newest first
inline constexpr size_t kRecordSamplesMax = 100'000;          // numbers of one Record
inline constexpr size_t kRecordTextBytesMax = size_t{4} << 20; // samples or notes of one Record as stored

/// Under which conditions something was measured. Two Records compare only if all of it is equal.
struct RecordKey {
  std::string model_id, quantization;
  std::string shape;        // a shape bucket (engine/use_case.h) or "" where it does not matter
  std::string target;       // "cpu@cpu:0", with the mode where it is not the default: "cpu@cpu:0 exact"
  std::string versions, fingerprint;  // engine/fingerprint.h
  uint32_t threads = 0;
  bool operator==(const RecordKey&) const = default;
};

struct Record {
  RecordKey key;
  std::string kind;                                   // "bench" or "parity"
  std::string verdict;                                // parity: pass, fail, no_reference, not_applicable
  std::map<std::string, std::vector<double>> samples; // name with its unit -> raw samples, finite
  std::vector<std::string> notes;
  int64_t unix_s = 0;                                 // add() fills 0 with now
};

/// Empty strings and 0 match everything.
struct RecordFilter {
  std::string kind, model_id, quantization, shape, target, versions, fingerprint;
  uint32_t threads = 0;
};

class Records {
 public:
  /// Empty = state_dir()/records.sqlite. Makes the folder.
  static Result<std::unique_ptr<Records>> open(std::filesystem::path path);
  ~Records();

  /// resource_exhausted: disk full or over a limit; permission_denied: read-only; unavailable: another process held it too long.
  Result<void> add(const Record& record);
  /// Newest first, at most kRecordsReadMax.
  Result<std::vector<Record>> find(const RecordFilter& filter);
  /// What users should know: a corrupt file set aside, a file that can only be read.
  std::vector<std::string> notices() const;
  const std::filesystem::path& path() const;

 private:
  Records();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
