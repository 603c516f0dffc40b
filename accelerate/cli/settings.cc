#include "accelerate/cli/settings.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <toml++/toml.h>

#include "accelerate/base/file.h"
#include "accelerate/base/limits.h"
#include "accelerate/base/paths.h"
#include "accelerate/engine/near_match.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr char kEscape = '\x01';  // no text begins with it, and those that do are escaped too

/// Typed only: help and version act at once, and the file cannot name itself.
bool settable(const CLI::Option& option) {
  if (option.get_lnames().empty()) return false;
  const std::string& name = option.get_lnames().front();
  return name != "help" && name != "version" && name != "config";
}

std::string origin_of(const std::string& path, const toml::node& node) {
  return fmt::format("{}:{}", path, node.source().begin.line);
}

Error bad_value(const std::string& origin, std::string_view key) {
  return {ErrorCode::kInvalidArgument,
          fmt::format("[config] a value is a string, number, boolean or an array of them; got something else for '{}' ({})", key, origin)};
}

Result<std::string> scalar_text(const toml::node& node, const std::string& origin, std::string_view key) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return std::string(flag->get() ? "true" : "false");
  return bad_value(origin, key);
}

Result<Setting> setting_of(const toml::node& node, const std::string& path, std::string_view key) {
  Setting setting{{}, origin_of(path, node)};
  const toml::array* array = node.as_array();
  if (!array) {
    ACC_TRY(std::string text, scalar_text(node, setting.origin, key));
    setting.values.push_back(std::move(text));
    return setting;
  }
  for (const toml::node& element : *array) {
    ACC_TRY(std::string text, scalar_text(element, setting.origin, key));
    setting.values.push_back(std::move(text));
  }
  return setting;
}

Result<void> fill(const toml::table& from, const std::string& table, SettingsFile& file) {
  for (const auto& [key, node] : from) {
    const std::string name(key.str());
    const toml::table* nested = node.as_table();
    if (nested && table.empty()) {
      file.tables[name];
      ACC_TRY_VOID(fill(*nested, name, file));
      continue;
    }
    if (nested) return bad_value(origin_of(file.path, node), name);
    ACC_TRY(file.tables[table][name], setting_of(node, file.path, name));
  }
  return {};
}

void collect_options(const CLI::App& app, bool deep, std::vector<std::string>& names) {
  for (const CLI::Option* option : app.get_options()) {
    if (settable(*option)) names.push_back(option->get_lnames().front());
  }
  if (!deep) return;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) collect_options(*verb, true, names);
}

Result<void> check_keys(const std::map<std::string, Setting>& keys, const std::vector<std::string>& known, const std::string& where) {
  for (const auto& [key, setting] : keys) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    return Error{ErrorCode::kInvalidArgument, fmt::format("[config] {} must be an option's name; got '{}' ({}){}", where, key,
                                                          setting.origin, near_match_hint(key, known))};
  }
  return {};
}

/// The value for `name` with the narrowest scope, or null.
const Setting* find_setting(const SettingsFile& file, const std::string& verb, const std::string& name) {
  for (const std::string& table : {verb, std::string()}) {
    const auto found = file.tables.find(table);
    if (found == file.tables.end()) continue;
    const auto key = found->second.find(name);
    if (key != found->second.end()) return &key->second;
  }
  return nullptr;
}

Result<void> apply_to_option(CLI::Option& option, const SettingsFile& file, const std::string& verb) {
  const std::string& name = option.get_lnames().front();
  const std::string variable = variable_name(name);
  const char* value = std::getenv(variable.c_str());
  Setting setting;
  if (value && *value) {
    setting = {{value}, variable};
  } else if (const Setting* found = find_setting(file, verb, name)) {
    setting = *found;
  } else {
    return {};
  }
  std::transform(setting.values.begin(), setting.values.end(), setting.values.begin(), escape_value);
  try {
    option.add_result(setting.values);
    option.run_callback();
  } catch (const CLI::Error& error) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[config] {} must suit --{}; got: {}", setting.origin, name, error.what())};
  }
  return {};
}

Result<void> apply_to_app(CLI::App& app, const SettingsFile& file, const std::string& verb) {
  for (CLI::Option* option : app.get_options()) {
    if (!settable(*option) || option->count() > 0) continue;
    ACC_TRY_VOID(apply_to_option(*option, file, verb));
  }
  for (CLI::App* inner : app.get_subcommands()) {  // the parsed ones
    ACC_TRY_VOID(apply_to_app(*inner, file, verb.empty() ? inner->get_name() : verb));
  }
  return {};
}

}  // namespace

std::string escape_value(std::string value) {
  const bool escape = value.starts_with('[') || value.starts_with(kEscape);
  return escape ? kEscape + value : value;
}

void take_escaped_values(CLI::App& root) {
  for (CLI::Option* option : root.get_options()) {
    option->transform([](std::string value) { return value.starts_with(kEscape) ? value.substr(1) : value; });
  }
  for (CLI::App* verb : root.get_subcommands([](const CLI::App*) { return true; })) take_escaped_values(*verb);
}

std::string variable_name(const std::string& option) {
  std::string name = "IPFS_ACCELERATE_";
  for (const char c : option) name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

fs::path settings_path(const std::string& flag) {
  if (!flag.empty()) return flag;
  const char* variable = std::getenv("IPFS_ACCELERATE_CONFIG");
  if (variable && *variable) return variable;
  const fs::path usual = config_dir() / "config.toml";
  std::error_code error;
  return fs::exists(usual, error) ? usual : fs::path();
}

Result<SettingsFile> read_settings(const fs::path& path) {
  SettingsFile file{.path = path.string(), .tables = {}};
  ACC_TRY(const std::string text, read_file(path, limits::kConfigFileBytesMax));
  try {
    const toml::table table = toml::parse(text, file.path);
    ACC_TRY_VOID(fill(table, "", file));
  } catch (const toml::parse_error& error) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[config] {}:{} must be TOML; got: {}", file.path,
                                                          error.source().begin.line, std::string(error.description()))};
  }
  return file;
}

Result<void> check_settings(const CLI::App& root, const SettingsFile& file) {
  std::vector<std::string> verbs, all;
  for (const CLI::App* verb : root.get_subcommands([](const CLI::App*) { return true; })) verbs.push_back(verb->get_name());
  collect_options(root, true, all);
  for (const auto& [table, keys] : file.tables) {
    if (table.empty()) {
      ACC_TRY_VOID(check_keys(keys, all, "a key"));
      continue;
    }
    if (std::find(verbs.begin(), verbs.end(), table) == verbs.end()) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[config] a table is named after a verb; got '[{}]' ({}){}", table, file.path,
                                                            near_match_hint(table, verbs))};
    }
    std::vector<std::string> own;
    collect_options(*root.get_subcommand(table), true, own);
    collect_options(root, false, own);
    ACC_TRY_VOID(check_keys(keys, own, fmt::format("a key of [{}]", table)));
  }
  return {};
}

Result<void> apply_settings(CLI::App& root, const SettingsFile& file) { return apply_to_app(root, file, ""); }

}  // namespace accelerate
