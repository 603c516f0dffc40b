#include "accelerate/formats/model_id.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/json.h"
#include "accelerate/base/limits.h"
#include "accelerate/base/log.h"
#include "accelerate/base/paths.h"
#include "accelerate/base/sha256.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

/// Files of a Hugging Face directory that change what a model answers.
constexpr const char* kConfigurationFiles[] = {
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
    "chat_template.jinja", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "model.safetensors.index.json",
};

struct Stamp {
  uint64_t size = 0, inode = 0;
  int64_t modified_ns = 0;
  bool operator==(const Stamp&) const = default;
};

Result<Stamp> stamp_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return errno_error(errno, "model id", "looking at", path);
  return Stamp{.size = static_cast<uint64_t>(status.st_size), .inode = status.st_ino,
               .modified_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

fs::path folder_of(const Model& model) { return model.files.empty() ? fs::path(model.path) : model.files.front()->path().parent_path(); }

/// The cache file's object "files": path -> {size, inode, modified_ns, sha256}. Empty when it cannot be used.
Json read_cache(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return Json::object();
  const Result<std::string> text = read_file(path, limits::kConfigFileBytesMax);
  const Result<Json> json = text ? parse_json(*text, {.where = "model id", .bytes_max = limits::kConfigFileBytesMax}) : text.error();
  if (!json) {
    log_warning(fmt::format("the cache of file hashes is left aside: {}", json.error().message));
    return Json::object();
  }
  const auto files = json->is_object() ? json->find("files") : json->end();
  return files != json->end() && files->is_object() ? *files : Json::object();
}

void write_cache(const fs::path& path, const Json& files) {
  const Json& kept = files.size() > kHashCacheEntriesMax ? Json::object() : files;
  if (const Result<void> written = write_file_atomically(path, dump_json({{"version", 1}, {"files", kept}}, 1)); !written) {
    log_warning(fmt::format("file hashes are not kept: {}", written.error().message));
  }
}

/// The remembered hash, if the file is what it was then.
std::string remembered(const Json& files, const std::string& key, const Stamp& stamp) {
  const auto found = files.find(key);
  if (found == files.end() || !found->is_object()) return {};
  const auto is = [&](const char* field, auto value) { return found->contains(field) && (*found)[field] == value; };
  const bool same = is("size", stamp.size) && is("inode", stamp.inode) && is("modified_ns", stamp.modified_ns);
  return same && found->contains("sha256") && (*found)["sha256"].is_string() ? (*found)["sha256"].get<std::string>() : std::string();
}

Result<std::string> hash_file(const fs::path& path, const Stamp& before, const std::atomic<bool>* stop) {
  ACC_TRY(std::string hash, sha256_file(path, [&](uint64_t) { return !stop || !stop->load(std::memory_order_relaxed); }));
  ACC_TRY(const Stamp after, stamp_of(path));
  if (after != before) {
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[model id] files stay as they are while they are read; got a change in {}; "
                                                             "try again when it is complete", path.string())};
  }
  return hash;
}

}  // namespace

std::vector<fs::path> identity_files(const Model& model) {
  std::vector<fs::path> files;
  for (const auto& file : model.files) files.push_back(file->path());
  if (model.format != "safetensors") return files;
  std::error_code ignored;
  for (const char* name : kConfigurationFiles) {
    if (fs::is_regular_file(folder_of(model) / name, ignored)) files.push_back(folder_of(model) / name);
  }
  return files;
}

Result<std::string> compute_model_id(const Model& model, const ModelIdOptions& options) {
  const fs::path cache_path = options.cache_file.empty() ? cache_dir() / "file_hashes.json" : options.cache_file;
  Json cache = read_cache(cache_path);
  std::map<std::string, std::string> lines;  // by name
  bool changed = false;
  for (const fs::path& path : identity_files(model)) {
    ACC_TRY(const Stamp stamp, stamp_of(path));
    std::error_code ignored;
    const std::string key = fs::absolute(path, ignored).string();
    std::string hash = remembered(cache, key, stamp);
    if (hash.empty()) {
      ACC_TRY(hash, hash_file(path, stamp, options.stop));
      cache[key] = {{"size", stamp.size}, {"inode", stamp.inode}, {"modified_ns", stamp.modified_ns}, {"sha256", hash}};
      changed = true;
    }
    const std::string name = path.lexically_relative(folder_of(model)).generic_string();
    lines[name] = fmt::format("{} {} {}\n", hash, stamp.size, name);
  }
  if (lines.empty()) return Error{ErrorCode::kFailedPrecondition, "[model id] a model has files; got one without"};
  if (changed) write_cache(cache_path, cache);
  std::string text;
  for (const auto& [name, line] : lines) text += line;
  return sha256_hex(text);
}

}  // namespace accelerate
