// Where things live, by the XDG base directory rules (each overridable by its XDG_*_HOME variable).
#pragma once

#include <filesystem>

namespace accelerate {

std::filesystem::path data_dir();    // ~/.local/share/ipfs-accelerate: models
std::filesystem::path cache_dir();   // ~/.cache/ipfs-accelerate: artifacts, environments
std::filesystem::path config_dir();  // ~/.config/ipfs-accelerate: config.toml
std::filesystem::path state_dir();   // ~/.local/state/ipfs-accelerate: records, logs

}  // namespace accelerate
