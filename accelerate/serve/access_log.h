// AccessLog - one line of JSON for every request, written when it is over.
//
//   ACC_TRY(std::unique_ptr<AccessLog> log, AccessLog::open("/var/log/ipfs-accelerate/access.log"));
//   log->write({.id = "req_...", .method = "POST", .route = "/v1/chat/completions", .status = 200});
//
//   {"time":"2026-01-31T12:00:00.123Z","id":"req_...","method":"POST","path":"/v1/chat/completions",
//    "route":"/v1/chat/completions","status":200,"whole":true,"bytes_in":120,"bytes_out":2048,"duration_ms":812.5,
//    "ttft_ms":95.1,"client":"key-1a2b3c4d","peer":"127.0.0.1:51234","model":"smollm2"}
//
// Prompts, answers, keys and query strings are never in it. A line is one write() in append mode, so that several servers,
// and a logrotate with copytruncate, may share a file. Thread-safe; a line that can not be written is dropped, and the first
// of them said in the log.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "accelerate/base/result.h"

namespace accelerate {

struct AccessRecord {
  std::string id, method;
  std::string path;    // as sent, without the query
  std::string route;   // "/v1/models/{id}"; empty = none
  int status = 0;      // 499 = the client left before there was one, as nginx has it
  bool whole = true;   // the answer was sent to its end
  uint64_t bytes_in = 0, bytes_out = 0;  // of bodies
  double duration_ms = 0;                // from the request's last byte to the answer's
  std::optional<double> ttft_ms;         // of streams: to the first event
  std::string client;  // ApiKeys::client_of; empty = no key
  std::string peer, model;
};

class AccessLog {
 public:
  /// A file, "-" for stdout, or "" for lines of level info in the log. Errors as of opening the file for appending.
  static Result<std::unique_ptr<AccessLog>> open(const std::string& where);
  ~AccessLog();
  void write(const AccessRecord& record);

 private:
  AccessLog() = default;
  std::string where_;
  int fd_ = -1;  // none = the log
  std::atomic<bool> told_{false};
};

/// The line, without its end.
std::string access_line(const AccessRecord& record, int64_t unix_ms);

}  // namespace accelerate
