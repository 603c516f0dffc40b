#include "accelerate/serve/access_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/json.h"
#include "accelerate/base/log.h"

namespace accelerate {
namespace {

constexpr size_t kPathBytesMax = 256;  // a stranger's text: a line stays a line
constexpr size_t kMethodBytesMax = 32;

std::string utc_time(int64_t unix_ms) {
  const std::time_t seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                     utc.tm_sec, unix_ms % 1000);
}

}  // namespace

std::string access_line(const AccessRecord& record, int64_t unix_ms) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  const auto tenths = [](double ms) { return std::round(ms * 10) / 10; };
  nlohmann::ordered_json line;  // a reader looks for the time first
  line["time"] = utc_time(unix_ms);
  line["id"] = record.id;
  line["method"] = record.method.substr(0, kMethodBytesMax);
  line["path"] = record.path.substr(0, kPathBytesMax);
  line["route"] = or_null(record.route);
  line["status"] = record.status;
  line["whole"] = record.whole;
  line["bytes_in"] = record.bytes_in;
  line["bytes_out"] = record.bytes_out;
  line["duration_ms"] = tenths(record.duration_ms);
  line["ttft_ms"] = record.ttft_ms ? Json(tenths(*record.ttft_ms)) : Json(nullptr);
  line["client"] = or_null(record.client);
  line["peer"] = record.peer;
  line["model"] = or_null(record.model);
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);  // a path may be any bytes
}

Result<std::unique_ptr<AccessLog>> AccessLog::open(const std::string& where) {
  std::unique_ptr<AccessLog> log(new AccessLog());
  log->where_ = where;
  if (where == "-") {
    log->fd_ = STDOUT_FILENO;
  } else if (!where.empty()) {
    log->fd_ = ::open(where.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (log->fd_ < 0) return errno_error(errno, "access log", "open for appending", where);
  }
  return log;
}

AccessLog::~AccessLog() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

void AccessLog::write(const AccessRecord& record) {
  if (fd_ < 0 && log_level() > LogLevel::kInfo) return;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::string line = access_line(record, std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  if (fd_ < 0) return log_info(line);
  line += '\n';
  ssize_t written = -1;
  do written = ::write(fd_, line.data(), line.size());
  while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(line.size()) || told_.exchange(true)) return;
  log_warning(fmt::format("[access log] every request has its line; got {} for '{}', and lines are missing from here on",
                          written < 0 ? std::strerror(errno) : "a partial write", where_));
}

}  // namespace accelerate
