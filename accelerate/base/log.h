// Log - leveled lines to stderr. Thread-safe; never throws. The level comes from --log-level or
// IPFS_ACCELERATE_LOG (debug, info, warning, error, off).
//
//   log_info(fmt::format("loaded {} in {} ms", name, ms));
#pragma once

#include <string_view>

namespace accelerate {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

void set_log_level(LogLevel level);
LogLevel log_level();
void log_debug(std::string_view text);
void log_info(std::string_view text);
void log_warning(std::string_view text);
void log_error(std::string_view text);

}  // namespace accelerate
