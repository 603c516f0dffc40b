#include "accelerate/base/paths.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

namespace accelerate {
namespace {

std::filesystem::path home() {
  if (const char* variable = std::getenv("HOME"); variable && *variable) return variable;
  if (const passwd* entry = getpwuid(getuid()); entry && entry->pw_dir) return entry->pw_dir;
  return "/";
}

// By the XDG rules a relative value is invalid and is to be ignored.
std::filesystem::path xdg(const char* variable, const char* fallback) {
  const char* value = std::getenv(variable);
  const std::filesystem::path base = value && *value == '/' ? std::filesystem::path(value) : home() / fallback;
  return base / "ipfs-accelerate";
}

}  // namespace

std::filesystem::path data_dir() { return xdg("XDG_DATA_HOME", ".local/share"); }
std::filesystem::path cache_dir() { return xdg("XDG_CACHE_HOME", ".cache"); }
std::filesystem::path config_dir() { return xdg("XDG_CONFIG_HOME", ".config"); }
std::filesystem::path state_dir() { return xdg("XDG_STATE_HOME", ".local/state"); }
std::filesystem::path environment_python(std::string_view name) { return cache_dir() / name / "bin" / "python"; }

}  // namespace accelerate
