// Settings - options that were not typed: config file < environment < flags.
//
//   # ~/.config/ipfs-accelerate/config.toml
//   threads = 2                # any verb that has --threads
//   [run]
//   temperature = 0.7          # this verb only; wins over the same key above
//
//   IPFS_ACCELERATE_THREADS=2  # environment: the option's name in capitals, '-' as '_'
//
// An unknown key or table of the file is an error that names near matches: a typo never passes for a default.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "accelerate/base/result.h"

namespace CLI {
class App;
}

namespace accelerate {

struct Setting {
  std::vector<std::string> values;  // one, or the elements of an array
  std::string origin;               // "/home/u/.config/ipfs-accelerate/config.toml:3"
};
struct SettingsFile {
  std::string path;
  std::map<std::string, std::map<std::string, Setting>> tables;  // verb -> key -> value; "" = top level
};

/// invalid_argument naming path and line for broken TOML, nested tables, dates and the like; not_found; permission_denied.
Result<SettingsFile> read_settings(const std::filesystem::path& path);

/// The file to read: `flag` if typed, else IPFS_ACCELERATE_CONFIG, else config_dir()/config.toml if it is there, else "".
std::filesystem::path settings_path(const std::string& flag);

/// Checks every key of `file` against the options of `root` and its verbs.
Result<void> check_settings(const CLI::App& root, const SettingsFile& file);

/// Fills the options of `root` and of its parsed verb that were not typed, from the environment, else from `file`.
/// invalid_argument says which value, from where, is wrong.
Result<void> apply_settings(CLI::App& root, const SettingsFile& file);

/// CLI11 takes "[a, b]" for a list wherever an option may repeat, so a text in brackets would fall apart. Every value is
/// escaped on its way in and, by a transform that take_escaped_values() gives to all options, unescaped on its way out.
std::string escape_value(std::string value);
void take_escaped_values(CLI::App& root);

/// "IPFS_ACCELERATE_MAX_TOKENS" of "max-tokens".
std::string variable_name(const std::string& option);

}  // namespace accelerate
