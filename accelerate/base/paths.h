// Where things live, by the XDG base directory rules (each overridable by its XDG_*_HOME variable).
#pragma once

#include <filesystem>
#include <string_view>

namespace accelerate {

std::filesystem::path data_dir();    // ~/.local/share/ipfs-accelerate: models
std::filesystem::path cache_dir();   // ~/.cache/ipfs-accelerate: artifacts, environments
std::filesystem::path config_dir();  // ~/.config/ipfs-accelerate: config.toml
std::filesystem::path state_dir();   // ~/.local/state/ipfs-accelerate: records, logs

/// The interpreter of a Python environment that `ipfs-accelerate install NAME` makes: cache_dir()/NAME/bin/python. It is
/// whole if its folder has a file `installed`.
std::filesystem::path environment_python(std::string_view name);

}  // namespace accelerate
