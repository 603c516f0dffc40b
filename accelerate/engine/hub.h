// Hub - models by their name on a Hugging Face hub: "hf:org/repo[@revision][:file]".
//
//   ACC_TRY(HubName name, parse_hub_name("hf:org/model@main:model-q4.gguf"));
//   ACC_TRY(HubSettings settings, hub_settings());
//   Result<HubModel> here = find_in_hub_cache(name, settings);              // no network
//   ACC_TRY(HubModel model, pull_from_hub(name, settings, progress));       // asks the hub, fetches what is missing
//
// Files lie in the cache that other tools of the hub share, in its own layout: models--org--repo/refs/REVISION names a commit,
// snapshots/COMMIT/FILE is a link to blobs/ETAG, and blobs/ETAG.incomplete what came before a download ended. Which files
// make the model, where none is named: the only .gguf of the repository (several: the error lists them); without any,
// config.json, the tokenizer's files and the safetensors that model.safetensors.index.json names, or the only one.
// Thread-safe; a download of one file by several processes happens once (lock files, the hub's own).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/backend.h"

namespace accelerate {

inline constexpr std::string_view kHubPrefix = "hf:";
inline constexpr size_t kHubFilesMax = 1000;  // of one model: the largest ones have about 200 shards

struct HubName {
  std::string repository;         // "org/repo", or "repo" for the oldest ones
  std::string revision = "main";  // branch, tag or commit
  std::string file;               // empty = what makes the model

  std::string word() const;  // "hf:org/repo:file", without the revision where it is main
};
bool is_hub_name(std::string_view word);
/// invalid_argument naming the part that is wrong. Nothing that passes can lead out of the cache's folder.
Result<HubName> parse_hub_name(std::string_view word);
/// A relative path of at most 512 bytes without "." and ".." as parts, backslashes and control characters.
bool is_safe_hub_file(std::string_view file);

struct HubSettings {
  std::filesystem::path cache;  // HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub
  std::string endpoint;         // HF_ENDPOINT, else https://huggingface.co; no '/' at its end
  std::string token;            // HF_TOKEN, else the file HF_TOKEN_PATH or HF_HOME/token; empty = none
  bool offline = false;         // HF_HUB_OFFLINE is 1, ON, YES or TRUE
  std::chrono::milliseconds retry_wait{500};  // before a second try; doubles while nothing comes
};
/// From the environment. invalid_argument for an endpoint that is no URL, and for a token that would go over plain http to
/// another machine.
Result<HubSettings> hub_settings();

struct HubModel {
  std::filesystem::path path;  // what to open: a .gguf or .safetensors, or the snapshot's folder
  std::string name;            // what clients call it: the file's stem, or the repository's last part
};
/// not_found says how to pull it; invalid_argument lists the .gguf files where several are here and none is named.
Result<HubModel> find_in_hub_cache(const HubName& name, const HubSettings& settings);

/// Fetches what is missing and returns what find_in_hub_cache() finds then; with `offline` only the latter. A download that
/// breaks is tried again where it stopped; Ctrl-C (progress says stop: cancelled) keeps what came. Errors: not_found,
/// permission_denied (gated or private: how to get access), data_loss (sha256; the file is removed), resource_exhausted
/// (disk, checked before), unavailable.
Result<HubModel> pull_from_hub(const HubName& name, const HubSettings& settings, Progress& progress);

/// The files of `listing` that make the model of `name` and can be told from their names: weights that an index names come
/// later. invalid_argument listing the choice where there is one; not_found where no model is among them.
Result<std::vector<std::string>> choose_hub_files(const HubName& name, const std::vector<std::string>& listing);

/// models--org--repo in the cache.
std::filesystem::path hub_folder(const HubName& name, const HubSettings& settings);

}  // namespace accelerate
