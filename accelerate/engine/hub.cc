#include "accelerate/engine/hub.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/file.h"
#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/engine/near_match.h"
#include "accelerate/net/http_url.h"
#include "accelerate/net/socket.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRepositoryPartMax = 96;    // as the hub has it
constexpr size_t kRevisionMax = 256;
constexpr size_t kFileMax = 512;
constexpr size_t kTokenBytesMax = 4096;
constexpr size_t kListedMax = 40;            // names in an error
constexpr size_t kCommitLength = 40;         // hexadecimal digits of a SHA-1
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kFolderFiles[] = {
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json", "modules.json",
    "sentence_bert_config.json", "config_sentence_transformers.json", kIndex};

bool is_word(std::string_view text, std::string_view extra) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || extra.find(c) != std::string_view::npos;
  });
}

bool is_repository_part(std::string_view part) {
  return is_word(part, "-._") && part.size() <= kRepositoryPartMax && part.front() != '.' && part.front() != '-' && part.back() != '.' &&
         part.back() != '-' && part.find("..") == std::string_view::npos && part.find("--") == std::string_view::npos;
}

// Every part between slashes is a name, not empty and not a step up.
bool has_safe_parts(std::string_view path) {
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

std::string printable_word(std::string_view text) {
  std::string out(text.substr(0, 200));
  for (char& c : out) c = c >= 0 && c < 0x20 ? '?' : c;
  return out;
}

Error name_error(std::string_view word, std::string_view rule) {
  return {ErrorCode::kInvalidArgument, fmt::format("[hub] {}; got '{}'; try hf:org/repo, hf:org/repo@revision or hf:org/repo:file.gguf", rule, printable_word(word))};
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

fs::path hub_home() {
  if (const std::string home = variable("HF_HOME"); !home.empty()) return home;
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return fs::path(cache) / "huggingface";
  return fs::path(variable("HOME")) / ".cache" / "huggingface";
}

bool is_on(std::string value) {
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::toupper(c); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

Result<std::string> read_token() {
  std::string token = variable("HF_TOKEN");
  if (token.empty()) {
    const std::string named = variable("HF_TOKEN_PATH");
    const fs::path path = named.empty() ? hub_home() / "token" : fs::path(named);
    std::error_code ignored;
    if (fs::exists(path, ignored)) {
      ACC_TRY(token, read_file(path, kTokenBytesMax));
    }
  }
  const auto blank = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!token.empty() && blank(token.back())) token.pop_back();
  while (!token.empty() && blank(token.front())) token.erase(0, 1);
  return token;
}

bool ends_with_gguf(std::string_view file) { return file.ends_with(".gguf"); }

Error several(const HubName& name, std::vector<std::string> files, std::string_view kind, std::string_view where) {
  std::sort(files.begin(), files.end());
  const size_t shown = std::min(files.size(), kListedMax);
  return {ErrorCode::kInvalidArgument,
          fmt::format("[hub] one {} file is opened; got {} in {} {}: {}{}; try naming one, as hf:{}:{}", kind, files.size(), name.repository, where,
                      fmt::join(files.begin(), files.begin() + static_cast<std::ptrdiff_t>(shown), ", "), shown < files.size() ? " ..." : "", name.repository, files.front())};
}

Error not_here(const HubName& name, const HubSettings& settings) {
  const std::string pull = fmt::format("`ipfs-accelerate pull {}`", name.word());
  return {ErrorCode::kNotFound, fmt::format("[hub] '{}' must be pulled before it is opened; got nothing whole of it in '{}'; try {}", name.word(),
                                            settings.cache.string(), settings.offline ? pull + " without HF_HUB_OFFLINE" : pull)};
}

std::string model_name(const HubName& name, const fs::path& path) {
  if (path.extension() == ".gguf" || path.extension() == ".safetensors") return path.stem().string();
  return name.repository.substr(name.repository.find('/') + 1);
}

// The commit that the cache has for a revision; empty = none.
std::string commit_here(const HubName& name, const HubSettings& settings) {
  const fs::path folder = hub_folder(name, settings);
  std::error_code ignored;
  if (is_word(name.revision, "") && name.revision.size() == kCommitLength && fs::is_directory(folder / "snapshots" / name.revision, ignored)) return name.revision;
  Result<std::string> text = read_file(folder / "refs" / name.revision, 4096);
  if (!text) return {};
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
  return is_word(*text, "") && text->size() == kCommitLength ? *text : "";
}

// Files of a snapshot whose blobs are there, relative to it.
std::vector<std::string> files_here(const fs::path& snapshot) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(snapshot, error), end; !error && it != end && files.size() < kHubFilesMax * 10; it.increment(error)) {
    std::error_code gone;
    if (fs::is_regular_file(it->path(), gone)) files.push_back(it->path().lexically_relative(snapshot).generic_string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool weights_are_whole(const fs::path& snapshot, const std::vector<std::string>& files) {
  const auto has = [&](std::string_view file) { return std::binary_search(files.begin(), files.end(), file); };
  if (!has("config.json")) return false;
  if (!has(kIndex)) return std::any_of(files.begin(), files.end(), [](const std::string& f) { return f.ends_with(".safetensors") && f.find('/') == std::string::npos; });
  const Result<std::string> text = read_file(snapshot / kIndex, limits::kConfigFileBytesMax);
  if (!text) return false;
  const Result<Json> index = parse_json(*text, {.where = "hub"});
  if (!index || !index->is_object() || !index->contains("weight_map") || !(*index)["weight_map"].is_object()) return true;  // opening it says what is wrong
  for (const auto& [tensor, file] : (*index)["weight_map"].items()) {
    if (file.is_string() && !has(file.get_ref<const std::string&>())) return false;
  }
  return true;
}

}  // namespace

std::string HubName::word() const {
  return fmt::format("{}{}{}{}{}{}", kHubPrefix, repository, revision == "main" ? "" : "@", revision == "main" ? "" : revision, file.empty() ? "" : ":", file);
}

bool is_hub_name(std::string_view word) { return word.starts_with(kHubPrefix); }

bool is_safe_hub_file(std::string_view file) {
  return file.size() <= kFileMax && has_safe_parts(file) && std::none_of(file.begin(), file.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f || c == '\\'; });
}

Result<HubName> parse_hub_name(std::string_view word) {
  if (!is_hub_name(word)) return name_error(word, "a model of a hub begins with hf:");
  std::string_view rest = word.substr(kHubPrefix.size());
  HubName name;
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    name.file = rest.substr(colon + 1);
    if (!is_safe_hub_file(name.file)) return name_error(word, "a file of a repository is a relative path below it");
    rest = rest.substr(0, colon);
  }
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    name.revision = rest.substr(at + 1);
    if (!is_word(name.revision, "-._/+") || name.revision.size() > kRevisionMax || !has_safe_parts(name.revision)) return name_error(word, "a revision is a branch, a tag or a commit");
    rest = rest.substr(0, at);
  }
  const size_t slash = rest.find('/');
  const bool fine = slash == std::string_view::npos ? is_repository_part(rest) : is_repository_part(rest.substr(0, slash)) && is_repository_part(rest.substr(slash + 1));
  if (!fine) return name_error(word, "a repository is org/repo, of letters, digits and -._");
  name.repository = rest;
  return name;
}

Result<HubSettings> hub_settings() {
  HubSettings settings;
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (settings.cache.empty()) settings.cache = variable(name);
  }
  if (settings.cache.empty()) settings.cache = hub_home() / "hub";
  settings.endpoint = variable("HF_ENDPOINT");
  if (settings.endpoint.empty()) settings.endpoint = "https://huggingface.co";
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  settings.offline = is_on(variable("HF_HUB_OFFLINE"));
  const Result<HttpUrl> url = parse_http_url(settings.endpoint);
  if (!url) return Error{url.error().code, url.error().message + " (of HF_ENDPOINT)"};
  ACC_TRY(settings.token, read_token());
  if (!settings.token.empty() && !url->secure && !settings.offline && !is_loopback(url->host)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[hub] a token goes over https, or stays on this machine; got HF_ENDPOINT {}; try https, or no HF_TOKEN", url->origin())};
  }
  return settings;
}

fs::path hub_folder(const HubName& name, const HubSettings& settings) {
  std::string folder = "models--" + name.repository;
  if (const size_t slash = folder.find('/'); slash != std::string::npos) folder.replace(slash, 1, "--");
  return settings.cache / folder;
}

Result<std::vector<std::string>> choose_hub_files(const HubName& name, const std::vector<std::string>& listing) {
  const auto has = [&](std::string_view file) { return std::find(listing.begin(), listing.end(), file) != listing.end(); };
  if (!name.file.empty() && !has(name.file)) {
    return Error{ErrorCode::kNotFound, fmt::format("[hub] '{}' has the file that is named; got {}{}; try hf:{} for the list", name.repository, printable_word(name.file),
                                                   near_match_hint(name.file, listing), name.repository)};
  }
  // A .safetensors file says nothing without the files beside it; every other one is fetched alone.
  const bool alone = !name.file.ends_with(".safetensors") || name.file.find('/') != std::string::npos || !has("config.json");
  if (!name.file.empty() && alone) return std::vector<std::string>{name.file};
  std::vector<std::string> gguf, safetensors, chosen;
  for (const std::string& file : listing) {
    if (ends_with_gguf(file)) gguf.push_back(file);
    if (file.ends_with(".safetensors") && file.find('/') == std::string::npos) safetensors.push_back(file);
  }
  if (name.file.empty() && gguf.size() > 1) return several(name, gguf, ".gguf", "of the hub");
  if (name.file.empty() && gguf.size() == 1) return gguf;
  if (!has("config.json") || safetensors.empty()) {
    return Error{ErrorCode::kNotFound, fmt::format("[hub] a model is one .gguf, or config.json with *.safetensors; got neither among the {} files of {}", listing.size(), name.repository)};
  }
  for (const std::string& file : listing) {
    const bool of_module = file.ends_with("/config.json") && file.find('/') == file.rfind('/') && file.front() >= '0' && file.front() <= '9';  // 1_Pooling
    if (of_module || std::find(std::begin(kFolderFiles), std::end(kFolderFiles), file) != std::end(kFolderFiles)) chosen.push_back(file);
  }
  if (!name.file.empty()) {
    std::erase(chosen, kIndex);
    chosen.push_back(name.file);
  } else if (!has(kIndex)) {
    if (has("model.safetensors")) safetensors = {"model.safetensors"};
    if (safetensors.size() > 1) return several(name, safetensors, ".safetensors", "of the hub, and no index");
    chosen.push_back(safetensors.front());
  }
  return chosen;
}

Result<HubModel> find_in_hub_cache(const HubName& name, const HubSettings& settings) {
  const std::string commit = commit_here(name, settings);
  if (commit.empty()) return not_here(name, settings);
  const fs::path snapshot = hub_folder(name, settings) / "snapshots" / commit;
  std::error_code gone;
  if (!name.file.empty()) {
    const fs::path path = snapshot / name.file;
    if (!fs::is_regular_file(path, gone)) return not_here(name, settings);
    return HubModel{path, model_name(name, path)};
  }
  const std::vector<std::string> files = files_here(snapshot);
  std::vector<std::string> gguf;
  std::copy_if(files.begin(), files.end(), std::back_inserter(gguf), ends_with_gguf);
  if (gguf.size() > 1) return several(name, gguf, ".gguf", "of the cache");
  if (gguf.size() == 1) return HubModel{snapshot / gguf.front(), model_name(name, gguf.front())};
  if (!weights_are_whole(snapshot, files)) return not_here(name, settings);
  return HubModel{snapshot, model_name(name, snapshot)};
}

}  // namespace accelerate
